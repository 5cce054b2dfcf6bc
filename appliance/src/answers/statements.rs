//! Statements of account on paper: whose it is and who sells, put beside what the ledger says. For the command line and the API.

use anyhow::{Context, Result};
use billing::books::statement::statement;
use billing::{Party, account};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use metering::Window;
use migrations::Scope;
use reports::StatementDocument;
use usage::registry::{self, Tenant};

use super::Answer;
use crate::invoicing::{self, Tables};
use crate::parts::Parts;

/// The period of a statement as it was typed: days are the tenant's.
///
/// # Errors
/// It is none.
pub fn period(tenant: &Tenant, from: Option<&str>, to: Option<&str>, now: Timestamp) -> Result<Window> {
    let zone = TimeZone::get(&tenant.time_zone)?;
    let instant = |text: Option<&str>, default| match text {
        Some(text) => billing::period::instant(text, &zone),
        None => Ok(default),
    };
    let (from, to) = (instant(from, Timestamp::UNIX_EPOCH)?, instant(to, now)?);
    Window::new(from, to)
        .with_context(|| format!("a statement ends after it begins, not from {from} to {to}"))
}

/// All that a tenant's statement says, as far as `scope` may see it.
///
/// # Errors
/// It would be too long, or the database failed.
pub async fn document(
    parts: &Parts,
    scope: Scope,
    tenant: &Tenant,
    period: Window,
) -> Result<StatementDocument> {
    let statements = statement(&parts.database, scope, tenant.id, period).await?;
    let account = account::get(&parts.database, scope, tenant.id).await?;
    Ok(StatementDocument {
        seller: invoicing::seller(parts, &Tables::read(parts).await?),
        buyer: Party {
            name: tenant.display_name.clone(),
            address: tenant.address.clone(),
            country: account.terms.country.map(|country| country.code().to_owned()),
            tax_number: tenant.tax_number.clone(),
        },
        tenant: tenant.name.to_string(),
        time_zone: tenant.time_zone.clone(),
        period,
        made_at: Timestamp::now(),
        statements,
    })
}

/// The same as a PDF.
///
/// # Errors
/// It cannot be typeset.
pub async fn pdf(document: StatementDocument) -> Result<Vec<u8>> {
    // Typesetting takes a second: not on a thread that others wait for.
    Ok(tokio::task::spawn_blocking(move || reports::statement_pdf(&document)).await??)
}

/// What `weir statement --pdf` asks for.
///
/// # Errors
/// There is no such tenant or period, or as [`document`].
pub async fn answer(parts: &Parts, tenant: &str, from: Option<&str>, to: Option<&str>) -> Result<Answer> {
    let tenant = registry::find_tenant(&parts.database, Scope::Provider, tenant).await?;
    let period = period(&tenant, from, to, Timestamp::now())?;
    let document = document(parts, Scope::Provider, &tenant, period).await?;
    Ok(Answer::Document { bytes: pdf(document).await?, content_type: "application/pdf" })
}
