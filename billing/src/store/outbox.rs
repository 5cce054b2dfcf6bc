//! Mail that is to be sent: the row is written in the transaction of its reason, so that neither is ever there
//! without the other. It does NOT deliver (the crate `mail` does) and does not choose recipients.

use jiff::Timestamp;
use metering::TenantId;
use migrations::Transaction;
use serde_json::{Value, json};
use uuid::Uuid;

use super::sql;

/// What a mail is about.
pub(crate) struct Mail {
    kind: &'static str,
    /// The same for the same subject: the table takes each once.
    subject_key: String,
    tenant: TenantId,
    about: Value,
}

impl Mail {
    /// An invoice was issued.
    pub(crate) fn invoice(tenant: TenantId, number: &str) -> Self {
        let (subject_key, about) = (format!("invoice/{number}"), json!({ "number": number }));
        Self { kind: "invoice", subject_key, tenant, about }
    }

    /// An invoice is overdue.
    pub(crate) fn dunning(tenant: TenantId, number: &str, level: u32, about: Value) -> Self {
        Self { kind: "dunning", subject_key: format!("dunning/{number}/{level}"), tenant, about }
    }

    /// A wallet is low, empty, or its tenant's instances were stopped.
    pub(crate) fn wallet(tenant: TenantId, subject_key: String, about: Value) -> Self {
        Self { kind: "wallet", subject_key, tenant, about }
    }

    /// A threshold of an allowance was crossed.
    pub(crate) fn allowance(tenant: TenantId, subject_key: String, about: Value) -> Self {
        Self { kind: "allowance", subject_key, tenant, about }
    }

    /// A threshold of a budget was crossed.
    pub(crate) fn budget(tenant: TenantId, subject_key: String, about: Value) -> Self {
        Self { kind: "budget", subject_key, tenant, about }
    }
}

/// Orders `mail`, due at once. An error when the same subject was announced before: then the transaction, and what
/// it wanted to announce, is rolled back.
pub(crate) async fn put(
    transaction: &Transaction<'_>,
    mail: &Mail,
    now: Timestamp,
) -> Result<(), tokio_postgres::Error> {
    let Mail { kind, subject_key, tenant, about } = mail;
    transaction
        .execute(sql::MAIL_INSERT, &[&Uuid::now_v7(), kind, subject_key, &tenant.uuid(), about, &now])
        .await?;
    Ok(())
}
