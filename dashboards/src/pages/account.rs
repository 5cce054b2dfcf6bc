//! `/account` of a tenant, `/tenants/NAME/account` for the provider: what is owed, what was booked in the last year, and the
//! prepaid wallet. It books nothing and adds nothing up: the ledger did.

use actix_web::{HttpResponse, web};
use askama::Template;
use billing::books::dunning::{self, Listed};
use billing::books::statement::{self, Statement, StatementLine};
use billing::books::wallet::{self, Wallet};
use jiff::ToSpan;
use metering::Window;
use serde::Deserialize;
use usage::registry::Tenant;

use super::{bill, figures};
use crate::show::{self, Clock, Moment};
use crate::site::{Layout, PageError, Site, Viewer, html, now};

/// How far back the page goes: what people look up. `weir statement --from` goes further.
const MONTHS: i32 = 12;
/// The newest lines of each currency that are shown.
const LINES_SHOWN: usize = 200;

/// Letters and disputes that are shown: the newest.
const REMINDERS_SHOWN: u32 = 50;

/// `templates/account.html`
#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    layout: Layout,
    tenant: String,
    display_name: String,
    since: String,
    statements: Vec<StatementView>,
    wallet: Option<WalletView>,
    reminders: Vec<Reminder>,
}

/// A letter that went out about an invoice that is overdue, or a dispute that keeps letters back.
struct Reminder {
    at: Moment,
    number: String,
    path: String,
    /// `Reminder 2`, `Disputed`.
    what: String,
    is_dispute: bool,
    open: Option<String>,
    fee: Option<String>,
    /// Why it is disputed.
    reason: String,
}

/// What was booked in one currency.
struct StatementView {
    currency: &'static str,
    /// `Owed`, `Paid ahead`, `Settled`: what the closing balance means.
    standing: &'static str,
    balance: String,
    opening: String,
    lines: Vec<LineView>,
    /// Older lines of the year that are not shown.
    earlier: usize,
}

struct LineView {
    day: String,
    kind: String,
    about: String,
    path: Option<String>,
    amount: String,
    balance: String,
}

struct WalletView {
    paid: String,
    held: String,
    spent: String,
    left: String,
    level: &'static str,
    note: String,
}

#[derive(Deserialize)]
struct AccountPath {
    tenant: String,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/account").route(web::get().to(own)).route(web::head().to(own))).service(
        web::resource("/tenants/{tenant}/account")
            .route(web::get().to(of_tenant))
            .route(web::head().to(of_tenant)),
    );
}

async fn own(site: web::Data<Site>, viewer: Viewer) -> Result<HttpResponse, PageError> {
    let tenant = viewer.tenant.clone().ok_or(PageError::NotFound)?;
    show(&site, &viewer, &tenant, "/account").await
}

async fn of_tenant(
    site: web::Data<Site>,
    viewer: Viewer,
    path: web::Path<AccountPath>,
) -> Result<HttpResponse, PageError> {
    let tenant = bill::tenant(&site, &viewer, &path.tenant).await?;
    let here = if viewer.tenant.is_some() { "/account" } else { "/tenants" };
    show(&site, &viewer, &tenant, here).await
}

async fn show(site: &Site, viewer: &Viewer, tenant: &Tenant, here: &str) -> Result<HttpResponse, PageError> {
    viewer.must_see_money()?;
    let clock = Clock::of_zone(&tenant.time_zone);
    let now = now();
    let end = now.to_zoned(clock.zone().clone());
    let start = end.checked_sub(MONTHS.months()).map_err(|_| PageError::NotFound)?.timestamp();
    // Half-open: what was booked in this very moment is in.
    let until = now.checked_add(1.second()).map_err(|_| PageError::NotFound)?;
    let period = Window::new(start, until).map_err(|_| PageError::NotFound)?;
    let statements = statement::statement(&site.database, viewer.scope(), tenant.id, period).await?;
    let wallet = wallet::show(&site.database, viewer.scope(), tenant.id, now).await?;
    let own = migrations::Scope::Tenant(tenant.id.uuid());
    let letters = dunning::list(&site.database, own, REMINDERS_SHOWN).await?;
    html(&AccountPage {
        layout: Layout { zone: clock.zone_name().to_owned(), ..viewer.layout(here) },
        tenant: tenant.name.to_string(),
        display_name: tenant.display_name.clone(),
        since: clock.day(start),
        statements: statements.iter().map(|found| statement_view(found, tenant, &clock)).collect(),
        wallet: wallet.filter(|wallet| wallet.is_prepaid).map(|wallet| wallet_view(&wallet, &clock)),
        reminders: letters.into_iter().map(|letter| reminder(letter, tenant, &clock)).collect(),
    })
}

fn reminder(listed: Listed, tenant: &Tenant, clock: &Clock) -> Reminder {
    Reminder {
        at: clock.moment(listed.at),
        path: format!("/tenants/{}/invoices/{}", tenant.name, listed.number),
        what: match listed.level {
            Some(level) => format!("Reminder {level}"),
            None => "Disputed".to_owned(),
        },
        is_dispute: listed.level.is_none(),
        open: listed.open.map(show::money),
        fee: listed.fee.map(show::money),
        reason: listed.reason.unwrap_or_default(),
        number: listed.number,
    }
}

fn statement_view(found: &Statement, tenant: &Tenant, clock: &Clock) -> StatementView {
    let closing = found.closing.amount();
    let standing = match (closing.is_zero(), closing.is_sign_negative()) {
        (true, _) => "Settled",
        (false, true) => "Paid ahead",
        (false, false) => "Owed",
    };
    let earlier = found.lines.len().saturating_sub(LINES_SHOWN);
    StatementView {
        currency: found.currency.code(),
        standing,
        balance: reports::figures::grouped(closing.abs(), found.currency.exponent()),
        opening: figures::amount(found.opening),
        // The newest first: they are what somebody looks for.
        lines: found.lines.iter().skip(earlier).rev().map(|line| line_view(line, tenant, clock)).collect(),
        earlier,
    }
}

fn line_view(line: &StatementLine, tenant: &Tenant, clock: &Clock) -> LineView {
    let is_document = matches!(line.kind.as_str(), "invoice" | "credit_note" | "void");
    LineView {
        day: clock.day(line.at),
        kind: capitalised(&line.kind.replace('_', " ")),
        path: is_document.then(|| format!("/tenants/{}/invoices/{}", tenant.name, line.about)),
        about: line.about.clone(),
        amount: figures::amount(line.amount),
        balance: figures::amount(line.balance),
    }
}

fn wallet_view(wallet: &Wallet, clock: &Clock) -> WalletView {
    let left = wallet.left.amount();
    let is_low = wallet.low_balance.is_some_and(|low| left <= low.amount());
    let level = match (left.is_zero() || left.is_sign_negative(), is_low) {
        (true, _) => "bad",
        (false, true) => "warn",
        (false, false) => "good",
    };
    let note = match (wallet.stopped_at, wallet.empty_since) {
        (Some(at), _) => format!("Instances were stopped on {} because nothing was left.", clock.day(at)),
        (None, Some(at)) => format!("Nothing has been left since {}.", clock.day(at)),
        (None, None) => String::new(),
    };
    WalletView {
        paid: show::money(wallet.paid),
        held: show::money(wallet.held),
        spent: show::money(wallet.spent),
        left: show::money(wallet.left),
        level,
        note,
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
