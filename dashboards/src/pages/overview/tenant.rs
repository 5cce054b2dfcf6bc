//! The tenant's overview: the running month in money and in quantities, the budget, the last invoices. All of it comes from
//! the draft that a job rates each minute: the same figures as the invoice would have now.

use actix_web::HttpResponse;
use askama::Template;
use billing::drafts::{self, Draft};
use billing::{InvoiceDocument, Money, budget, period};
use metering::MeterName;
use rust_decimal::{Decimal, RoundingStrategy};
use usage::registry::Tenant;

use super::pace::{self, Pace};
use super::{Clocks, Count, InvoiceRow, count, last_invoices};
use crate::show::{self, Moment};
use crate::site::{Layout, PageError, Site, Viewer, html, now};

/// Decimals of quantities here. The invoice has all of them.
const DECIMALS: u32 = 3;

/// `templates/overview_tenant.html`
#[derive(Template)]
#[template(path = "overview_tenant.html")]
struct TenantOverview {
    layout: Layout,
    month: String,
    running_month: Option<RunningMonth>,
    budget: Option<BudgetBar>,
    instances: Count,
    invoices: Vec<InvoiceRow>,
}

/// The draft, ready to show.
struct RunningMonth {
    as_of: Moment,
    total: String,
    /// `12.00 EUR + 2.28 EUR VAT`.
    made_of: String,
    /// `None` when it is too early to say.
    forecast: Option<Forecast>,
    /// `1 December 2026`.
    ends: String,
    meters: Vec<MeterRow>,
    subtotal: String,
}

/// What the month will come to.
struct Forecast {
    /// `about` or `at least`.
    word: &'static str,
    amount: String,
}

/// What one meter comes to.
struct MeterRow {
    title: String,
    description: &'static str,
    quantity: String,
    unit: String,
    /// `None`: the plan has no price for it.
    amount: Option<String>,
}

/// How much of the budget is spent.
pub(super) struct BudgetBar {
    amount: String,
    /// Rounded down: 100 only when all of it is spent.
    percent: String,
    /// For the bar, which ends at 100.
    filled: u32,
    /// `warn` from 80 %, `bad` from 100 %.
    mark: &'static str,
    /// `12.00 EUR left`.
    rest: String,
}

pub(super) async fn overview(
    site: &Site,
    viewer: &Viewer,
    tenant: &Tenant,
) -> Result<HttpResponse, PageError> {
    let (database, scope, now) = (&site.database, viewer.scope(), now());
    let month =
        period::month(&viewer.clock.month_key(now), viewer.clock.zone()).map_err(PageError::failed)?;
    let draft = drafts::get(database, scope, tenant.id, month.start()).await?;
    let budget = budget::get(database, scope, tenant.id).await?;
    let spent = draft.as_ref().map(|draft| draft.document.total);
    html(&TenantOverview {
        layout: viewer.layout("/"),
        month: viewer.clock.month(month.start()),
        budget: budget.and_then(|budget| bar(budget.amount, spent)),
        running_month: draft.map(|draft| running_month(viewer, tenant, draft)),
        instances: count(database, scope).await?,
        invoices: last_invoices(site, viewer, &Clocks::of([tenant])).await?,
    })
}

fn running_month(viewer: &Viewer, tenant: &Tenant, draft: Draft) -> RunningMonth {
    let Draft { document, computed_at } = draft;
    let forecast = match pace::of(&document, tenant.created_at, computed_at) {
        Pace::TooEarly => None,
        Pace::About(money) => Some(Forecast { word: "about", amount: show::money_about(money) }),
        Pace::AtLeast(money) => Some(Forecast { word: "at least", amount: show::money_about(money) }),
    };
    RunningMonth {
        as_of: viewer.clock.moment_with_zone(computed_at),
        total: show::money(document.total),
        made_of: format!(
            "{} + {} {}",
            show::money(document.subtotal),
            show::money(document.tax_total().unwrap_or(Money::zero(document.currency))),
            document.taxes.first().map_or("tax", |tax| tax.name.as_str())
        ),
        forecast,
        ends: viewer.clock.day(document.service_period.end()),
        subtotal: show::money(document.subtotal),
        meters: meters(&document),
    }
}

/// One row for each meter: its lines (tiers, versions of the plan) added up, in the order of an invoice.
fn meters(document: &InvoiceDocument) -> Vec<MeterRow> {
    let mut found: Vec<(MeterName, Decimal, &str, Option<Money>)> = Vec::new();
    let lines = document
        .lines
        .iter()
        .filter_map(|line| Some((line.meter?, line.quantity, &line.unit, Some(line.amount))));
    let unpriced = document.unpriced.iter().map(|usage| (usage.meter, usage.quantity, &usage.unit, None));
    for (meter, quantity, unit, amount) in lines.chain(unpriced) {
        match found.iter_mut().find(|(known, ..)| *known == meter) {
            None => found.push((meter, quantity, unit, amount)),
            Some((_, sum, _, money)) => {
                *sum = sum.saturating_add(quantity);
                *money = match (*money, amount) {
                    // One currency in one document: it can only fail at 28 digits.
                    (Some(sum), Some(more)) => sum.checked_add(more).ok(),
                    (one, other) => one.or(other),
                };
            }
        }
    }
    found.sort_by_key(|(meter, ..)| meter.position());
    let rows = found.into_iter().map(|(meter, quantity, unit, amount)| MeterRow {
        title: meter.meter().title.clone(),
        description: &meter.meter().description,
        quantity: show::quantity_in_column(quantity, DECIMALS),
        unit: unit.to_owned(),
        amount: amount.map(show::money),
    });
    rows.collect()
}

/// `None` where nothing is spent that could be compared, or in another currency.
fn bar(budget: Money, spent: Option<Money>) -> Option<BudgetBar> {
    let spent = spent.unwrap_or(Money::zero(budget.currency()));
    if spent.currency() != budget.currency() {
        return None;
    }
    let hundredfold = spent.amount().checked_mul(Decimal::ONE_HUNDRED)?;
    let percent = hundredfold.checked_div(budget.amount())?;
    let percent = percent.round_dp_with_strategy(0, RoundingStrategy::ToZero);
    let filled = u32::try_from(percent).unwrap_or(u32::MAX).min(100);
    let rest = budget.amount().checked_sub(spent.amount())?;
    let money = |amount: Decimal| Money::rounded(amount, budget.currency()).ok().map(show::money);
    Some(BudgetBar {
        amount: show::money(budget),
        percent: show::quantity(percent, 0),
        filled,
        mark: match filled {
            100.. => "bad",
            80.. => "warn",
            _ => "",
        },
        rest: match rest.is_sign_negative() {
            true => format!("{} over it", money(-rest)?),
            false => format!("{} left", money(rest)?),
        },
    })
}

#[cfg(test)]
mod tests {
    use billing::Currency;

    use super::*;

    fn check(budget: &str, spent: &str, percent: &str, mark: &str, rest: &str) {
        let euros = |text: &str| Money::exact(text.parse().unwrap(), Currency::EUR).unwrap();
        let bar = bar(euros(budget), Some(euros(spent))).unwrap();
        assert_eq!(
            (bar.percent.as_str(), bar.mark, bar.rest.replace('\u{a0}', " ")),
            (percent, mark, rest.to_owned())
        );
    }

    #[test]
    fn a_budget_is_spent_only_when_all_of_it_is() {
        check("100.00", "0.00", "0", "", "100.00 EUR left");
        check("100.00", "79.99", "79", "", "20.01 EUR left");
        check("100.00", "80.00", "80", "warn", "20.00 EUR left");
        check("100.00", "99.99", "99", "warn", "0.01 EUR left");
        check("100.00", "100.00", "100", "bad", "0.00 EUR left");
        check("0.01", "1000000.00", "10,000,000,000", "bad", "999,999.99 EUR over it");
    }

    #[test]
    fn a_budget_in_another_currency_says_nothing() {
        let yen = Money::zero(Currency::parse("JPY").unwrap());
        let euro = Money::exact(Decimal::ONE, Currency::EUR).unwrap();
        assert!(bar(euro, Some(yen)).is_none());
    }
}
