//! `/budget`, and the form by which a tenant or the provider sets one. It notes no crossings and sends no mail: the job
//! that rates the running month does.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use askama::Template;
use billing::budget::{self, Crossing, SetError, THRESHOLDS};
use billing::drafts::{self, Draft};
use billing::{Currency, Money, plans};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::Deserialize;
use usage::registry::Tenant;

use super::bill;
use super::conflict::{self, ConflictPage, Difference, lead_to};
use crate::auth::Writer;
use crate::show::{self, Clock, Moment};
use crate::site::{Layout, PageError, Site, Viewer, html, now};

/// More digits than any month costs; what is longer is a mistake.
const AMOUNT_CHARACTERS_MAX: usize = 20;

/// `templates/budget.html`
#[derive(Template)]
#[template(path = "budget.html")]
struct BudgetPage {
    layout: Layout,
    budget: BudgetView,
}

/// A tenant's budget and how much of it is spent; the form with it.
pub(crate) struct BudgetView {
    pub action: String,
    /// Which page the form is on.
    pub back: Back,
    pub may_write: bool,
    pub month: String,
    pub draft: String,
    /// The budget as it stands.
    pub standing: Option<Standing>,
    /// What is spent, if the running month was rated.
    pub spent: Option<String>,
    pub computed_at: Option<Moment>,
    pub crossings: Vec<CrossingRow>,
    /// What stands in the form.
    pub amount: String,
    pub currency: String,
    pub currencies: Vec<String>,
    pub revision: u64,
    pub error: Option<String>,
}

/// A budget that stands.
pub(crate) struct Standing {
    pub amount: String,
    /// How much of it is spent, in percent; `None` when it cannot be compared.
    pub percent: Option<u32>,
    /// The colour that helps the words.
    pub level: &'static str,
    pub left: Option<String>,
    pub is_over: bool,
}

/// A threshold of the budget, crossed or not.
pub(crate) struct CrossingRow {
    pub percent: u32,
    pub crossed: Option<(Moment, String)>,
}

/// Which page a form came from, so that it leads back there.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Back {
    Budget,
    Tenant,
}

/// What the form sends.
#[derive(Clone, Deserialize)]
struct Entered {
    amount: Option<String>,
    currency: Option<String>,
    revision: u64,
    back: Back,
    action: Option<String>,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/budget").route(web::get().to(show_own)).route(web::head().to(show_own)))
        .service(web::resource("/tenants/{tenant}/budget").route(web::post().to(set)));
}

async fn show_own(site: web::Data<Site>, viewer: Viewer) -> Result<HttpResponse, PageError> {
    let Some(tenant) = &viewer.tenant else {
        viewer.must_see_money()?;
        return Ok(lead_to("/tenants"));
    };
    let budget = view(&site, &viewer, tenant, Back::Budget).await?;
    html(&BudgetPage { layout: viewer.layout("/budget"), budget })
}

async fn set(
    site: web::Data<Site>,
    viewer: Viewer,
    who: Writer,
    path: web::Path<String>,
    entered: web::Form<Entered>,
) -> Result<HttpResponse, PageError> {
    let tenant = bill::tenant(&site, &viewer, &path).await?;
    let scope = who.0.scope();
    let back = entered.back.path(&tenant);
    let revision = Some(entered.revision);
    let result = if entered.action.as_deref() == Some("remove") {
        budget::remove(&site.database, scope, tenant.id, revision, now()).await.map(|_| ())
    } else {
        match amount(&entered) {
            Ok(amount) => {
                // A form that was opened before the plan was changed says another one; what is spent never reaches it.
                let fitting = view(&site, &viewer, &tenant, entered.back).await?.currencies;
                if !fitting.iter().any(|code| code == amount.currency().code()) {
                    let error = format!("Prices are in {}: write the amount in that.", fitting.join(" or "));
                    return again(&site, &viewer, &tenant, &entered, error).await;
                }
                let set = budget::set(&site.database, scope, tenant.id, amount, revision, now()).await;
                set.map(|_| ())
            }
            Err(error) => return again(&site, &viewer, &tenant, &entered, error).await,
        }
    };
    match result {
        Ok(()) => Ok(lead_to(&back)),
        Err(SetError::Changed { current }) => {
            conflict::answer(&conflict_page(&viewer, &tenant, &entered, current, back))
        }
        Err(SetError::NotPositive { .. }) => {
            again(&site, &viewer, &tenant, &entered, "Write more than nothing, or remove the budget.".into())
                .await
        }
        Err(SetError::NoTenant(_)) => Err(PageError::NotFound),
        Err(SetError::Store(error)) => Err(error.into()),
    }
}

/// The budget of `tenant` with its form, as it stands.
pub(crate) async fn view(
    site: &Site,
    viewer: &Viewer,
    tenant: &Tenant,
    back: Back,
) -> Result<BudgetView, PageError> {
    let (scope, now) = (viewer.scope(), now());
    let month = bill::running_month(tenant, now).ok_or(PageError::NotFound)?;
    let standing = budget::get(&site.database, scope, tenant.id).await?;
    let draft = drafts::get(&site.database, scope, tenant.id, month.start()).await?;
    let crossings = budget::crossings(&site.database, scope, tenant.id, month).await?;
    let clock = Clock::of_zone(&tenant.time_zone);
    let spent = draft.as_ref().map(|draft| draft.document.total);
    let currencies = currencies(site, tenant, draft.as_ref()).await?;
    let currency = standing.map(|budget| budget.amount.currency().code().to_owned());
    let revision = standing.map_or(0, |budget| budget.revision);
    Ok(BudgetView {
        action: format!("/tenants/{}/budget", tenant.name),
        back,
        may_write: viewer.principal.may_write,
        month: clock.month(month.start()),
        draft: format!("/tenants/{}/draft", tenant.name),
        standing: standing.map(|budget| standing_of(budget.amount, spent)),
        spent: spent.map(show::money),
        computed_at: draft.map(|draft| clock.moment(draft.computed_at)),
        crossings: crossing_rows(&crossings, revision, &clock),
        amount: standing.map(|budget| budget.amount.amount().to_string()).unwrap_or_default(),
        currency: currency.or_else(|| currencies.first().cloned()).unwrap_or_default(),
        currencies,
        revision,
        error: None,
    })
}

impl BudgetView {
    /// `back` as the form sends it.
    pub(crate) const fn back_word(&self) -> &'static str {
        self.back.word()
    }
}

impl Back {
    const fn word(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Tenant => "tenant",
        }
    }

    fn path(self, tenant: &Tenant) -> String {
        match self {
            Self::Budget => "/budget".to_owned(),
            Self::Tenant => format!("/tenants/{}#budget", tenant.name),
        }
    }
}

/// The form again, with what was typed and why it will not do.
async fn again(
    site: &Site,
    viewer: &Viewer,
    tenant: &Tenant,
    entered: &Entered,
    error: String,
) -> Result<HttpResponse, PageError> {
    let standing = view(site, viewer, tenant, entered.back).await?;
    let budget = BudgetView {
        amount: entered.amount.clone().unwrap_or_default(),
        currency: entered.currency.clone().unwrap_or_else(|| standing.currency.clone()),
        // What it was typed for: somebody else's change in between must not pass unseen.
        revision: entered.revision,
        error: Some(error),
        ..standing
    };
    let layout = viewer.layout(if entered.back == Back::Budget { "/budget" } else { "/tenants" });
    conflict::with_status(StatusCode::UNPROCESSABLE_ENTITY, &BudgetPage { layout, budget })
}

fn conflict_page(
    viewer: &Viewer,
    tenant: &Tenant,
    entered: &Entered,
    current: Option<budget::Budget>,
    back: String,
) -> ConflictPage {
    let is_removed = entered.action.as_deref() == Some("remove");
    let none = || "no budget".to_owned();
    let mine = match amount(entered) {
        Ok(amount) if !is_removed => show::money(amount),
        _ => none(),
    };
    let mut fields = vec![
        ("amount", entered.amount.clone().unwrap_or_default()),
        ("currency", entered.currency.clone().unwrap_or_default()),
        ("revision", current.map_or(0, |budget| budget.revision).to_string()),
        ("back", entered.back.word().to_owned()),
    ];
    if is_removed {
        fields.push(("action", "remove".to_owned()));
    }
    ConflictPage {
        layout: viewer.layout("/budget"),
        what: format!("The budget of {}", tenant.name),
        rows: vec![Difference {
            label: "Budget for a month",
            theirs: current.map_or_else(none, |budget| show::money(budget.amount)),
            mine,
        }],
        action: format!("/tenants/{}/budget", tenant.name),
        fields,
        back,
    }
}

/// The amount that was typed, or what is wrong with it.
fn amount(entered: &Entered) -> Result<Money, String> {
    let text = entered.amount.as_deref().unwrap_or("").trim();
    let is_shaped = !text.is_empty()
        && text.len() <= AMOUNT_CHARACTERS_MAX
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let amount: Option<Decimal> = is_shaped.then(|| text.parse().ok()).flatten();
    let amount = amount.ok_or("Write an amount in digits with a point, such as 1500.00.")?;
    let currency = Currency::parse(entered.currency.as_deref().unwrap_or("").trim());
    let currency = currency.map_err(|error| format!("{error}."))?;
    Money::exact(amount, currency).map_err(|_| {
        format!("{currency} has {} decimals; write the amount with no more.", currency.exponent())
    })
}

/// The currencies in which the budget makes sense: that of what is spent, or those of the plans.
pub(crate) async fn currencies(
    site: &Site,
    tenant: &Tenant,
    draft: Option<&Draft>,
) -> Result<Vec<String>, PageError> {
    if let Some(draft) = draft {
        return Ok(vec![draft.document.currency.code().to_owned()]);
    }
    let plans = plans::list(&site.database).await?;
    let own = plans.iter().find(|plan| tenant.plan_name.as_deref() == Some(plan.name.as_str()));
    let mut codes: Vec<String> = match own {
        Some(plan) => vec![plan.currency.code().to_owned()],
        None => plans.iter().map(|plan| plan.currency.code().to_owned()).collect(),
    };
    codes.sort();
    codes.dedup();
    if codes.is_empty() {
        codes.push(Currency::EUR.code().to_owned());
    }
    Ok(codes)
}

fn standing_of(amount: Money, spent: Option<Money>) -> Standing {
    let spent = spent.filter(|spent| spent.currency() == amount.currency());
    let percent = spent.and_then(|spent| {
        let share = spent.amount().checked_mul(Decimal::ONE_HUNDRED)?.checked_div(amount.amount())?;
        share.floor().to_u32()
    });
    let left = spent.and_then(|spent| amount.amount().checked_sub(spent.amount()));
    let left_money = left.and_then(|left| Money::exact(left.abs(), amount.currency()).ok());
    Standing {
        amount: show::money(amount),
        percent,
        level: match percent {
            Some(percent) if THRESHOLDS[2] <= percent => "bad",
            Some(percent) if THRESHOLDS[1] <= percent => "warn",
            _ => "",
        },
        is_over: left.is_some_and(|left| left < Decimal::ZERO),
        left: left_money.map(show::money),
    }
}

/// Each threshold, and when this budget crossed it.
fn crossing_rows(crossings: &[Crossing], revision: u64, clock: &Clock) -> Vec<CrossingRow> {
    THRESHOLDS
        .iter()
        .map(|&percent| {
            let found = crossings.iter().find(|crossing| {
                crossing.threshold_percent == percent && crossing.budget_revision == revision
            });
            let told = |crossing: &Crossing| (clock.moment(crossing.crossed_at), show::money(crossing.spent));
            CrossingRow { percent, crossed: found.map(told) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entered(amount: &str, currency: &str) -> Entered {
        Entered {
            amount: Some(amount.to_owned()),
            currency: Some(currency.to_owned()),
            revision: 0,
            back: Back::Budget,
            action: None,
        }
    }

    #[test]
    fn an_amount_that_could_be_read_in_two_ways_is_refused() {
        for (text, currency) in [
            ("", "EUR"),
            ("1,50", "EUR"),
            ("1.500,00", "EUR"),
            ("1e9", "EUR"),
            ("-5", "EUR"),
            ("+5", "EUR"),
            ("0.001", "EUR"),
            ("1.5", "JPY"),
            ("5", "XXX"),
            ("5", ""),
            (".", "EUR"),
            ("1\u{661}", "EUR"),
            ("999999999999999999999", "EUR"),
        ] {
            assert!(amount(&entered(text, currency)).is_err(), "{text} {currency}");
        }
        for (text, shown) in [("1500", "1500.00 EUR"), (" 0.5 ", "0.50 EUR"), ("1500.00", "1500.00 EUR")] {
            assert_eq!(amount(&entered(text, "EUR")).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_spent_is_never_shown_as_less_than_a_threshold_it_reached() {
        let euros = |text: &str| Money::exact(text.parse().unwrap(), Currency::EUR).unwrap();
        let check = |spent: &str, percent, level, left: &str, is_over| {
            let found = standing_of(euros("100"), Some(euros(spent)));
            let left = format!("{left}\u{a0}EUR");
            assert_eq!(
                (found.percent, found.level, found.left, found.is_over),
                (percent, level, Some(left), is_over)
            );
        };
        check("0", Some(0), "", "100.00", false);
        check("79.99", Some(79), "", "20.01", false);
        check("80", Some(80), "warn", "20.00", false);
        check("100", Some(100), "bad", "0.00", false);
        check("250.5", Some(250), "bad", "150.50", true);
        let yen = Money::exact(Decimal::TEN, Currency::parse("JPY").unwrap()).unwrap();
        assert_eq!(standing_of(euros("100"), Some(yen)).percent, None);
    }
}
