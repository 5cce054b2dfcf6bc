//! Delivering the mail that is due, and what mails are made of: invoices with their PDF, addresses of tenants.

use std::sync::Arc;
use std::time::Duration;

use billing::{InvoiceDocument, invoices};
use jiff::Timestamp;
use mail::{Letters, LettersError, LettersFuture, PrintedInvoice, Smtp, deliver_due};
use metering::TenantId;
use migrations::Scope;
use tokio::sync::watch;
use tracing::{error, info};
use usage::registry;

use crate::parts::Parts;

/// What is due is looked for so often, and at once when something has become due.
const LOOK: Duration = Duration::from_secs(5);

/// Delivers until `stop` turns true. Without a mail server, mail waits.
pub async fn deliver(parts: Arc<Parts>, smtp: Option<Smtp>, mut stop: watch::Receiver<bool>) {
    let Some(smtp) = smtp else { return };
    let letters = Desk { parts: Arc::clone(&parts) };
    while !*stop.borrow_and_update() {
        match deliver_due(&parts.database, &smtp, &letters, Timestamp::now()).await {
            Ok(delivered) if 0 < delivered.sent + delivered.deferred + delivered.refused => {
                info!(?delivered, "mail");
            }
            Ok(_) => {}
            Err(failure) => error!("mail was not delivered: {:#}", anyhow::Error::from(failure)),
        }
        tokio::select! {
            () = parts.mail_due.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
            _ = stop.changed() => return,
        }
    }
}

/// Where letters get what they are made of.
struct Desk {
    parts: Arc<Parts>,
}

impl Letters for Desk {
    fn document(&self, number: &str) -> LettersFuture<'_, PrintedInvoice> {
        let number = number.to_owned();
        Box::pin(async move {
            let found =
                invoices::find(&self.parts.database, Scope::Provider, &number).await.map_err(boxed)?;
            let invoice = found.ok_or_else(|| LettersError(format!("there is no invoice {number}")))?;
            let document = InvoiceDocument { status: invoice.status, ..invoice.document };
            let printed = document.clone();
            let pdf =
                tokio::task::spawn_blocking(move || reports::invoice_pdf(&printed)).await.map_err(boxed)?;
            Ok(PrintedInvoice { document, pdf: pdf.map_err(boxed)? })
        })
    }

    fn recipient(&self, tenant_id: TenantId) -> LettersFuture<'_, Option<String>> {
        Box::pin(async move {
            let operator = self.parts.config.mail.operator.clone();
            if tenant_id == TenantId::UNASSIGNED {
                return Ok(operator);
            }
            let id = tenant_id.to_string();
            let tenant =
                registry::find_tenant(&self.parts.database, Scope::Provider, &id).await.map_err(boxed)?;
            Ok(tenant.email.or(operator))
        })
    }
}

fn boxed(error: impl std::error::Error + Send + Sync + 'static) -> LettersError {
    LettersError(format!("{:#}", anyhow::Error::from(error)))
}
