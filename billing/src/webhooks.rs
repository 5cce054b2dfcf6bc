//! Events that others may want to hear of: an invoice was issued, a budget was crossed. Each is written in the
//! transaction of what happened, with one delivery for each endpoint that wants it, so that neither is there alone.
//!
//! It does NOT keep endpoints, sign or send: the crate `hooks` does.

use jiff::Timestamp;
use metering::{TenantId, micros};
use migrations::{Database, Scope, Transaction};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::store::invoices::StoreError;
use crate::store::sql;

/// What happened. Its name is part of the API: receivers choose by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// An invoice got its number.
    InvoiceIssued,
    /// An invoice went out to its tenant.
    InvoiceSent,
    /// All of an invoice is paid.
    InvoicePaid,
    /// An invoice was not paid when it was due.
    InvoiceOverdue,
    /// An invoice was withdrawn.
    InvoiceVoided,
    /// A credit note got its number.
    CreditNoteIssued,
    /// Money came in.
    PaymentRecorded,
    /// A payment was taken back.
    PaymentReversed,
    /// A threshold of a budget was crossed.
    BudgetCrossed,
    /// A threshold of an allowance was crossed.
    AllowanceCrossed,
    /// A tenant asked for more than its quota.
    QuotaRefused,
    /// Readings are missing that a bill would stand on.
    MeterGap,
    /// A wallet holds less than its tenant wants to be warned at.
    WalletLow,
    /// Somebody wants to know whether an endpoint works. Sent to that one alone.
    Test,
}

impl EventType {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::InvoiceIssued,
        Self::InvoiceSent,
        Self::InvoicePaid,
        Self::InvoiceOverdue,
        Self::InvoiceVoided,
        Self::CreditNoteIssued,
        Self::PaymentRecorded,
        Self::PaymentReversed,
        Self::BudgetCrossed,
        Self::AllowanceCrossed,
        Self::QuotaRefused,
        Self::MeterGap,
        Self::WalletLow,
        Self::Test,
    ];

    /// As sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvoiceIssued => "invoice.issued",
            Self::InvoiceSent => "invoice.sent",
            Self::InvoicePaid => "invoice.paid",
            Self::InvoiceOverdue => "invoice.overdue",
            Self::InvoiceVoided => "invoice.voided",
            Self::CreditNoteIssued => "credit_note.issued",
            Self::PaymentRecorded => "payment.recorded",
            Self::PaymentReversed => "payment.reversed",
            Self::BudgetCrossed => "budget.crossed",
            Self::AllowanceCrossed => "allowance.crossed",
            Self::QuotaRefused => "quota.refused",
            Self::MeterGap => "meter.gap",
            Self::WalletLow => "wallet.low",
            Self::Test => "webhook.test",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Notes that `event` happened to `tenant` (to the provider alone: [`TenantId::UNASSIGNED`]), in the caller's
/// transaction, which must be the provider's ([`migrations::Scope::Provider`]). `data` are facts for programs: ids,
/// numbers, amounts as text with their currency, instants. Keep it thin: who wants more asks the API.
///
/// # Errors
/// The database failed, or the transaction is a tenant's.
pub async fn emit(
    transaction: &Transaction<'_>,
    event: EventType,
    tenant: TenantId,
    data: &Value,
    now: Timestamp,
) -> Result<(), StoreError> {
    let now = micros(now);
    let payload = payload(event, tenant, data, now);
    let id = Uuid::now_v7();
    transaction.execute(sql::WEBHOOK_EMIT, &[&id, &event.as_str(), &tenant.uuid(), &payload, &now]).await?;
    Ok(())
}

/// The same in a transaction of its own, for what changes nothing: a refusal, a gap that was found.
///
/// # Errors
/// The database failed.
pub async fn tell(
    database: &Database,
    event: EventType,
    tenant: TenantId,
    data: &Value,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    emit(&transaction, event, tenant, data, now).await?;
    transaction.commit().await?;
    Ok(())
}

/// What is sent: the envelope of Standard Webhooks, and whom it concerns.
fn payload(event: EventType, tenant: TenantId, data: &Value, now: Timestamp) -> String {
    let mut payload = json!({ "type": event.as_str(), "timestamp": now.to_string(), "data": data });
    if tenant != TenantId::UNASSIGNED {
        payload["tenant_id"] = tenant.to_string().into();
    }
    payload.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_name_of_its_own_that_is_read_back() {
        for event in EventType::ALL {
            assert_eq!(EventType::parse(event.as_str()), Some(event));
        }
        assert_eq!(EventType::parse("invoice.eaten"), None);
    }
}
