//! A statement of account as PDF: what was owed, what was charged and credited, what is owed, with the balance carried from
//! page to page. It adds nothing up: the ledger did. Who asks says whose it is, about which time, and when it was made.

use billing::books::statement::{Statement, StatementLine};
use billing::{Money, Party};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use metering::Window;
use serde::Serialize;

use crate::ReportError;
use crate::figures::grouped;
use crate::pdf::{self, About};
use crate::text::{shown, shown_or};
use crate::times::{instant, moment};
use crate::view::{Fact, PartyView, party, zone};

/// Longest name of what a line is about: a payment's reference has 140 characters at most.
const ABOUT_MAX: usize = 160;
/// Longest name of a kind that this version does not know.
const KIND_MAX: usize = 40;

/// All that a statement says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementDocument {
    /// Who sells.
    pub seller: Party,
    /// Who pays.
    pub buyer: Party,
    /// The tenant's name.
    pub tenant: String,
    /// IANA name of the tenant's zone, in which days are shown.
    pub time_zone: String,
    /// The time that it is about; from the Unix epoch on: from the beginning.
    pub period: Window,
    /// When it was made.
    pub made_at: Timestamp,
    /// One for each currency.
    pub statements: Vec<Statement>,
}

/// What the paper shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct StatementView {
    title: &'static str,
    tenant: String,
    seller: PartyView,
    buyer: PartyView,
    facts: Vec<Fact>,
    /// One for each currency.
    accounts: Vec<AccountView>,
    /// Said when nothing was ever booked.
    nothing: &'static str,
    footer: String,
}

/// What was booked in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct AccountView {
    currency: &'static str,
    /// `Owed before`.
    opening_label: String,
    opening: String,
    lines: Vec<LineView>,
    /// What was charged and credited altogether.
    charged: String,
    credited: String,
    /// `Owed`, `In credit` or `Settled`.
    standing: &'static str,
    /// What is owed or in credit, without a sign.
    closing: String,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct LineView {
    day: String,
    what: String,
    about: String,
    /// One of both is empty.
    charged: String,
    credited: String,
    balance: String,
}

/// The statement on A4. The same document makes the same bytes.
///
/// # Errors
/// The time zone is not known, or typst fails.
pub fn statement_pdf(document: &StatementDocument) -> Result<Vec<u8>, ReportError> {
    let view = StatementView::of(document)?;
    let identity = format!("statement/{}/{}/{}", document.tenant, document.period, document.made_at);
    pdf::render(&pdf::STATEMENT, &view, About { identity, dated: Some(document.made_at) })
}

impl StatementView {
    fn of(document: &StatementDocument) -> Result<Self, ReportError> {
        let zone = zone(&document.time_zone)?;
        let is_whole = document.period.start() == Timestamp::UNIX_EPOCH;
        let from =
            if is_whole { "the beginning".to_owned() } else { instant(document.period.start(), &zone) };
        let made = moment(document.made_at, &zone);
        let fact = |label, value| Fact { label, value };
        let tenant = shown(&document.tenant, 64);
        Ok(Self {
            title: "Statement of account",
            footer: format!("{tenant} · made {made}"),
            facts: vec![
                fact("From", from),
                fact("Until", moment(document.period.end(), &zone)),
                fact("Time zone", shown(&document.time_zone, 60)),
                fact("Customer", tenant.clone()),
                fact("Made", made),
            ],
            tenant,
            seller: party(&document.seller),
            buyer: party(&document.buyer),
            accounts: document.statements.iter().map(|one| account(one, is_whole, &zone)).collect(),
            nothing: "Nothing was ever booked: nothing is owed, and nothing was paid.",
        })
    }
}

fn account(statement: &Statement, is_whole: bool, zone: &TimeZone) -> AccountView {
    let exponent = statement.currency.exponent();
    let closing = statement.closing.amount();
    // Sums of what stands on the lines; the ledger's own opening and closing frame them.
    let sum = |is_charge: bool| {
        let amounts = statement.lines.iter().map(|line| line.amount.amount());
        let mut of =
            amounts.filter(|amount| amount.is_sign_positive() == is_charge).map(|amount| amount.abs());
        of.try_fold(rust_decimal::Decimal::ZERO, |sum, amount| sum.checked_add(amount))
    };
    let figure =
        |sum: Option<rust_decimal::Decimal>| sum.map_or_else(String::new, |sum| grouped(sum, exponent));
    AccountView {
        currency: statement.currency.code(),
        opening_label: if is_whole { "At the beginning" } else { "Brought in" }.to_owned(),
        opening: amount(statement.opening),
        lines: statement.lines.iter().map(|line| line_view(line, zone)).collect(),
        charged: figure(sum(true)),
        credited: figure(sum(false)),
        standing: match (closing.is_zero(), closing.is_sign_negative()) {
            (true, _) => "Settled",
            (false, true) => "In credit",
            (false, false) => "Owed",
        },
        closing: grouped(closing.abs(), exponent),
    }
}

fn line_view(line: &StatementLine, zone: &TimeZone) -> LineView {
    let value = line.amount.amount();
    let figure = grouped(value.abs(), line.amount.currency().exponent());
    let (charged, credited) =
        if value.is_sign_negative() { (String::new(), figure) } else { (figure, String::new()) };
    LineView {
        day: line.at.to_zoned(zone.clone()).date().to_string(),
        what: kind(&line.kind),
        about: shown(&line.about, ABOUT_MAX),
        charged,
        credited,
        balance: amount(line.balance),
    }
}

/// What a kind of posting is called; one that is new here is called what the ledger calls it.
fn kind(kind: &str) -> String {
    match kind {
        "invoice" => "Invoice",
        "credit_note" => "Credit note",
        "void" => "Invoice withdrawn",
        "payment" => "Payment",
        "reversal" => "Payment taken back",
        "refund" => "Refund",
        "top_up" => "Paid in advance",
        "dunning_fee" => "Dunning fee",
        other => return shown_or(&other.replace('_', " "), KIND_MAX, "(no kind)"),
    }
    .to_owned()
}

fn amount(money: Money) -> String {
    grouped(money.amount(), money.currency().exponent())
}
