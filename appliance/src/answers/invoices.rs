//! Invoices: issued, previewed, listed, shown.

use std::time::Duration;

use anyhow::{Context, Result};
use billing::{InvoiceDocument, Issued, invoices};
use migrations::Scope;
use serde_json::{Value, json};
use usage::registry::Tenant;

use super::{Answer, tenants};
use crate::cli::args::DocumentFormat;
use crate::config::Seller;
use crate::control::request::PeriodRequest;
use crate::invoicing::{Outcome, Tables};
use crate::parts::Parts;
use crate::{documents, invoicing};

/// The actor of what is done on the control channel: whoever may use it is the operator of the machine.
pub const COMMAND_LINE: &str = "command line";

/// What is to be invoiced.
pub struct Asked {
    pub period: PeriodRequest,
    pub tenant: Option<String>,
    pub wait_seconds: u64,
    pub preview: bool,
}

/// Issues or previews the invoices of a period. One tenant that fails never stops the rest.
pub async fn issue(parts: &Parts, asked: &Asked) -> Result<Value> {
    let payers = invoicing::tenants(parts, asked.tenant.as_deref(), &asked.period).await?;
    let wait = Duration::from_secs(asked.wait_seconds);
    let (mut documents, mut notes, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    let tables = Tables::read(parts).await?;
    for tenant in payers {
        let name = tenant.name.clone();
        match one(parts, &tables, tenant, asked, wait).await {
            Ok((document, note)) => {
                documents.extend(document.as_ref().map(document_value).transpose()?);
                notes.extend(note);
            }
            Err(error) => failures.push(format!("{name}: {error:#}")),
        }
    }
    if documents.is_empty() && !failures.is_empty() {
        anyhow::bail!(failures.join("\n"));
    }
    if parts.config.billing.seller == Seller::default() {
        notes.push("the invoices name no real seller yet: set billing.seller (name, address, tax_number) and start again".to_owned());
    }
    notes.extend(failures.iter().map(|failure| format!("not invoiced: {failure}")));
    Ok(json!({ "invoices": documents, "notes": notes, "failed": failures.len() }))
}

/// All invoices, the newest first.
pub async fn list(parts: &Parts, tenant: Option<&str>) -> Result<Value> {
    let scope = tenants::scope_of(parts, tenant).await?;
    let rows: Vec<Value> = invoices::list(&parts.database, scope, invoices::MAX_LISTED)
        .await?
        .iter()
        .map(|invoice| {
            json!({
                "invoice_id": invoice.invoice_id,
                "number": invoice.number,
                "tenant": invoice.tenant,
                "from": invoice.service_period.start(),
                "to": invoice.service_period.end(),
                "status": invoice.status,
                "total": invoice.total,
                "total_shown": invoice.total.to_string(),
                "issued_at": invoice.issued_at,
            })
        })
        .collect();
    Ok(json!({ "invoices": rows }))
}

/// One invoice as a document.
pub async fn show(parts: &Parts, number: &str, format: DocumentFormat) -> Result<Answer> {
    let found = invoices::find(&parts.database, Scope::Provider, number).await?;
    let invoice = found.with_context(|| {
        let shown: String = number.chars().take(80).collect();
        format!("there is no invoice {shown:?}; `weir invoice list` shows all")
    })?;
    let document = InvoiceDocument { status: invoice.status, ..invoice.document };
    // Typesetting takes a second: not on a thread that others wait for.
    let (bytes, content_type) =
        tokio::task::spawn_blocking(move || documents::render(&document, format)).await??;
    Ok(Answer::Document { bytes, content_type })
}

/// One tenant's invoice, and a note if there is something to say about it.
async fn one(
    parts: &Parts,
    tables: &Tables,
    tenant: Tenant,
    asked: &Asked,
    wait: Duration,
) -> Result<(Option<InvoiceDocument>, Option<String>)> {
    if !asked.preview {
        let (_, period) = invoicing::period_of(&tenant, &asked.period)?;
        invoicing::settle_usage(parts, tenant.id, period, wait).await?;
    }
    let bill = invoicing::gather(parts, tables, tenant, &asked.period).await?;
    if asked.preview {
        return Ok((Some(invoicing::preview(&bill)?), None));
    }
    let issued = match invoicing::issue_bill(parts, &bill, COMMAND_LINE).await? {
        Outcome::Issued(issued) => issued,
        Outcome::Nothing(why) => return Ok((None, Some(why))),
    };
    let document = issued.invoice().document.clone();
    let number = document.number.as_deref().unwrap_or_default();
    let missing = document.completeness.missing_ms;
    let note = match *issued {
        Issued::Already(_) => Some(format!("{number} had been issued before; nothing was changed")),
        Issued::New(_) if 0 < missing => Some(format!(
            "{number} is for usage of which {missing} ms of resource time are missing; the document says so"
        )),
        Issued::New(_) => None,
    };
    Ok((Some(document), note))
}

/// The document, with what the table shows.
fn document_value(document: &InvoiceDocument) -> Result<Value> {
    let mut value = serde_json::to_value(document)?;
    value["total_shown"] = json!(document.total.to_string());
    value["from"] = json!(document.service_period.start());
    value["to"] = json!(document.service_period.end());
    Ok(value)
}
