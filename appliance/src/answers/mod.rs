//! What the control channel's requests do, one module for each kind of thing. Answers are the JSON that
//! `--json` prints.
//!
//! Names are checked here (or by the crate that owns them); nothing below trusts a request.

mod accounts;
mod alerts;
mod allowances;
pub mod billing;
mod books;
mod capacity;
mod corrections;
mod instances;
mod invoices;
mod keeping;
mod limits;
mod mail;
mod nodes;
pub mod plans;
mod revisions;
pub mod statements;
pub mod tenants;
mod usage;
mod webhooks;

use anyhow::Result;
use serde_json::{Value, json};

use crate::control::request::Request;
use crate::parts::Parts;

/// What goes back.
pub enum Answer {
    /// For tables and programs.
    Json(Value),
    /// A document.
    Document {
        /// Its bytes.
        bytes: Vec<u8>,
        /// What they are.
        content_type: &'static str,
    },
}

/// Does what is asked.
///
/// # Errors
/// What is wrong, where, and how to mend it.
pub async fn answer(parts: &Parts, request: Request) -> Result<Answer> {
    if let Request::InvoiceShow { number, format } = request {
        return invoices::show(parts, &number, format).await;
    }
    if let Request::CapacityPdf {} = request {
        return capacity::pdf(parts).await;
    }
    if let Request::StatementPdf { tenant, from, to } = request {
        return statements::answer(parts, &tenant, from.as_deref(), to.as_deref()).await;
    }
    Ok(Answer::Json(value(parts, request).await?))
}

async fn value(parts: &Parts, request: Request) -> Result<Value> {
    match request {
        Request::Status {} => status(parts).await,
        Request::TenantCreate { name, display_name, address, tax_number, time_zone, plan } => {
            let new = tenants::New { name, display_name, address, tax_number, time_zone, plan };
            tenants::create(parts, new).await
        }
        Request::TenantSetPlan { name, plan, from } => {
            tenants::set_plan(parts, &name, &plan, from.as_deref()).await
        }
        Request::TenantSetParty { name, address, tax_number } => {
            tenants::set_party(parts, &name, &address, tax_number.as_deref()).await
        }
        Request::TenantSetEmail { name, email } => tenants::set_email(parts, &name, email.as_deref()).await,
        Request::TenantList {} => tenants::list(parts).await,
        Request::Account(request) => accounts::value(parts, request).await,
        Request::Books(request) => books::value(parts, request).await,
        Request::Limit(request) => limits::value(parts, request).await,
        Request::Capacity {} => capacity::value(parts).await,
        Request::Mail(request) => mail::value(parts, request).await,
        Request::Allowance(request) => allowances::value(parts, request).await,
        Request::Webhook(request) => webhooks::value(parts, request).await,
        Request::Alert(request) => alerts::value(parts, request).await,
        Request::Backup(request) => keeping::backup(parts, request).await,
        Request::Quarantine(request) => keeping::quarantined(parts, request).await,
        Request::PlanApply { file, text, rewrites_past } => {
            tenants::apply_plan(parts, &file, &text, rewrites_past).await
        }
        Request::PlanList {} => tenants::plans(parts).await,
        Request::Plan(request) => plans::value(parts, request).await,
        Request::Terms(request) => plans::of_terms(parts, request).await,
        Request::Revision(request) => revisions::value(parts, request).await,
        Request::Node(request) => nodes::value(parts, request).await,
        Request::InspectNode {} => parts.inspect().await,
        Request::ReadingTake {} => usage::take_reading(parts).await,
        Request::ReadingShow { instance, from, to } => usage::readings(parts, &instance, from, to).await,
        Request::Correction(request) => corrections::value(parts, request).await,
        Request::Dimension(request) => corrections::dimensions(parts, request).await,
        Request::UsageShow { tenant, from, to } => usage::show(parts, tenant.as_deref(), from, to).await,
        Request::InvoiceIssue { period, tenant, wait_seconds, preview } => {
            let asked = invoices::Asked { period, tenant, wait_seconds, preview };
            invoices::issue(parts, &asked).await
        }
        Request::Billing(request) => billing::value(parts, request).await,
        Request::InvoiceList { tenant } => invoices::list(parts, tenant.as_deref()).await,
        Request::InvoiceShow { .. } | Request::CapacityPdf {} | Request::StatementPdf { .. } => {
            anyhow::bail!("a document is not JSON")
        }
        other => instances::value(parts, other).await,
    }
}

async fn status(parts: &Parts) -> Result<Value> {
    let collector = parts.collector_status().await.unwrap_or_default();
    let profile = parts.database.storage_profile().await?;
    let alerts: u64 = ::nodes::alerts::counts(&parts.database).await?.iter().map(|(_, open)| open).sum();
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "node": parts.node_name,
        "metered": parts.config.collector.enabled,
        "libvirt_connected": collector.is_connected,
        "last_observed_at": collector.last_observed_at,
        "last_error": collector.last_error,
        "instances_seen": collector.instances,
        "batches_waiting": collector.backlog.batches,
        "storage_profile": profile.as_sql(),
        "alerts_open": alerts,
        "nodes_join_at": parts.door.as_ref().map(|door| &door.url),
    }))
}
