//! What an invoice shows: every text and figure as it is read, in the order in which it stands.
//!
//! PDF and HTML are both made from it, so they cannot differ. It decides no layout and computes no money.

use billing::{
    DocumentKind, InstanceUsage, InvoiceDocument, InvoiceLine, InvoiceStatus, LineKind, Money, Party,
    UnpricedUsage,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use metering::Window;
use rust_decimal::Decimal;
use serde::Serialize;

use crate::ReportError;
use crate::figures::{Figure, column, grouped, single, whole};
use crate::text::{shown, shown_or};
use crate::times::{completeness, duration, instant, is_complete, known_ms, moment};
use crate::words::{document_title, exchange_rate, line_label, remarks};

/// Longest name of a party: three rows of its column.
const PARTY_NAME_MAX: usize = 90;
/// Longest row of an address.
const ADDRESS_ROW_MAX: usize = 70;
/// Most rows of an address; postal unions know of no more than seven.
const ADDRESS_ROWS_MAX: usize = 8;
/// Longest title of a line: two rows of its column.
const TITLE_MAX: usize = 90;
/// Longest sentence of why a line is what it is.
const WHY_MAX: usize = 400;
/// Longest name of an instance: one row of the appendix.
const INSTANCE_NAME_MAX: usize = 64;
/// Longest number of an invoice: it stands in the head of every page.
const NUMBER_MAX: usize = 32;
/// Longest name of a unit.
const UNIT_MAX: usize = 16;
/// Longest of what should be short anyhow: tax number, plan, tax name.
const SHORT_MAX: usize = 60;

/// Characters in the figures of one row from which a page sets them smaller.
const FIGURES_WIDE: usize = 54;

/// An invoice, ready to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct InvoiceView {
    /// `Invoice`, `Credit note` or `Corrected invoice`.
    pub title: &'static str,
    /// The number, or that there is none yet.
    pub number: String,
    /// What stands across the page when nobody owes what it says.
    pub mark: Option<&'static str>,
    /// The currency's code.
    pub currency: &'static str,
    /// Who sells.
    pub seller: PartyView,
    /// Who pays.
    pub buyer: PartyView,
    /// When, by which plan.
    pub facts: Vec<Fact>,
    /// What is charged.
    pub lines: Vec<LineView>,
    /// Said when there are no lines.
    pub nothing_billed: &'static str,
    /// What leads from the lines to the total.
    pub sums: Vec<Sum>,
    /// What is owed.
    pub total: Sum,
    /// What is to be said besides: why no tax is due, why it was corrected, what the provider wants on it.
    pub remarks: Vec<String>,
    /// How well the usage is known.
    pub completeness: String,
    /// What the table of usage without a price is.
    pub unpriced_note: &'static str,
    /// Usage without a price; one group without a name, or none.
    pub unpriced: Vec<UsageGroup>,
    /// What the table of usage is.
    pub usage_note: &'static str,
    /// Usage by instance.
    pub usage: Vec<UsageGroup>,
    /// What stands at the foot of every page.
    pub footer: String,
    /// Stable name of the document for its PDF identifier.
    #[serde(skip)]
    pub identity: String,
    /// The date of the document, if it was issued.
    #[serde(skip)]
    pub issued_at: Option<Timestamp>,
}

/// One side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PartyView {
    pub name: String,
    pub address: Vec<String>,
    pub tax_number: Option<String>,
}

/// A labelled fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Fact {
    pub label: &'static str,
    pub value: String,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LineView {
    pub title: String,
    /// Of the free allowance.
    pub included: bool,
    /// What tells it from others of the same title; may be empty.
    pub label: String,
    /// Why, when, how well known.
    pub notes: Vec<String>,
    pub quantity: Figure,
    pub unit: String,
    pub unit_price: Figure,
    pub amount: Figure,
}

/// A labelled amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Sum {
    pub label: String,
    pub amount: Figure,
}

/// What one instance or volume used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct UsageGroup {
    /// Empty when the group needs no heading.
    pub name: String,
    pub id: String,
    pub rows: Vec<UsageRow>,
}

/// One meter of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct UsageRow {
    pub meter: String,
    pub quantity: Figure,
    pub unit: String,
    /// In base units: what the registers said.
    pub base: Figure,
    pub base_unit: String,
}

impl InvoiceView {
    /// What `document` shows.
    pub(crate) fn of(document: &InvoiceDocument) -> Result<Self, ReportError> {
        let zone = zone(&document.time_zone)?;
        let number = match &document.number {
            Some(number) => shown_or(number, NUMBER_MAX, "(no number)"),
            None => "Draft, without a number".to_owned(),
        };
        let (sums, total) = sums(document);
        let id = document.invoice_id;
        Ok(Self {
            title: document_title(document.kind),
            footer: format!("{number} · {id}"),
            number,
            mark: mark(document),
            currency: document.currency.code(),
            seller: party(&document.seller),
            buyer: party(&document.buyer),
            facts: facts(document, &zone),
            lines: lines(document, &zone),
            nothing_billed: "Nothing that this plan charges for was used in this period. There is nothing to pay.",
            sums,
            total,
            remarks: remarks(document).iter().map(|remark| shown(remark, WHY_MAX)).collect(),
            completeness: whole_completeness(document),
            unpriced_note: "The plan has no price for this usage in (a part of) the period. It is shown, not charged.",
            unpriced: unpriced(&document.unpriced, document.service_period, &zone),
            usage_note: "Each quantity as priced, and exactly as the registers were read. \
                         Disks and network cards are counted with their instance.",
            usage: usage(&document.instances),
            identity: id.to_string(),
            issued_at: document.issued_at,
        })
    }

    /// Whether the figures of the lines leave no room for their descriptions beside them.
    pub(crate) fn has_wide_lines(&self) -> bool {
        let figures = |line: &LineView| line.quantity.width() + line.unit_price.width() + line.amount.width();
        self.lines.iter().any(|line| figures(line) > FIGURES_WIDE)
    }

    /// The same of the usage by instance.
    pub(crate) fn has_wide_usage(&self) -> bool {
        let groups = self.usage.iter().chain(&self.unpriced);
        let mut rows = groups.flat_map(|group| &group.rows);
        rows.any(|row| row.quantity.width() + row.base.width() > FIGURES_WIDE)
    }
}

pub(crate) fn zone(name: &str) -> Result<TimeZone, ReportError> {
    TimeZone::get(name)
        .map_err(|source| ReportError::TimeZone { name: name.chars().take(80).collect(), source })
}

/// A void invoice is void even if it never had a number.
fn mark(document: &InvoiceDocument) -> Option<&'static str> {
    if document.status == InvoiceStatus::Void {
        return Some("VOID");
    }
    (document.status == InvoiceStatus::Draft || document.number.is_none()).then_some("DRAFT")
}

pub(crate) fn party(party: &Party) -> PartyView {
    let mut address: Vec<String> =
        party.address.iter().map(|row| shown(row, ADDRESS_ROW_MAX)).filter(|row| !row.is_empty()).collect();
    if address.len() > ADDRESS_ROWS_MAX {
        address.truncate(ADDRESS_ROWS_MAX - 1);
        address.push("…".to_owned());
    }
    address.extend(party.country.as_deref().map(|country| shown(country, SHORT_MAX)));
    PartyView {
        name: shown_or(&party.name, PARTY_NAME_MAX, "(no name)"),
        address,
        tax_number: party.tax_number.as_deref().map(|number| shown_or(number, SHORT_MAX, "(none)")),
    }
}

fn facts(document: &InvoiceDocument, zone: &TimeZone) -> Vec<Fact> {
    let period = document.service_period;
    let plan = shown_or(&document.plan.name, SHORT_MAX, "(no name)");
    let version = shown(&document.plan.version, SHORT_MAX);
    let issued = document.issued_at.map_or_else(|| "not yet".to_owned(), |at| moment(at, zone));
    let mut facts = vec![Fact { label: "Issued", value: issued }];
    facts.extend(document.due_on.map(|day| Fact { label: "To be paid by", value: day.to_string() }));
    facts.extend(document.corrects.as_ref().map(|other| Fact {
        label: if document.kind == DocumentKind::CreditNote { "Takes back" } else { "In place of" },
        value: shown_or(&other.number, NUMBER_MAX, "(no number)"),
    }));
    facts.extend([
        Fact { label: "Used from", value: instant(period.start(), zone) },
        Fact { label: "Used until", value: instant(period.end(), zone) },
        Fact { label: "Time zone", value: shown(&document.time_zone, SHORT_MAX) },
        Fact { label: "Plan", value: plan },
        Fact { label: "Prices of", value: version },
        Fact { label: "Customer", value: document.tenant.to_string() },
    ]);
    facts.extend(exchange_rate(document).map(|value| Fact { label: "Exchange rate", value }));
    let status = match document.status {
        InvoiceStatus::Paid => Some("paid"),
        InvoiceStatus::Void => Some("void: nothing is owed"),
        _ => None,
    };
    facts.extend(status.map(|status| Fact { label: "Status", value: status.to_owned() }));
    facts
}

fn lines(document: &InvoiceDocument, zone: &TimeZone) -> Vec<LineView> {
    let decimals = document.currency.exponent();
    let lines = &document.lines;
    let quantities = column(lines.iter().map(|line| line.quantity), 0);
    let prices = column(lines.iter().map(|line| line.unit_price), decimals);
    let amounts = column(lines.iter().map(|line| line.amount.amount()), decimals);
    lines
        .iter()
        .zip(quantities)
        .zip(prices)
        .zip(amounts)
        .map(|(((line, quantity), unit_price), amount)| LineView {
            title: shown_or(&line.title, TITLE_MAX, line.meter.map_or("", |meter| meter.as_str())),
            included: line.kind == LineKind::Included,
            label: shown(&line_label(line), TITLE_MAX),
            notes: notes(line, document, zone),
            quantity,
            unit: shown(&line.unit, UNIT_MAX),
            unit_price,
            amount,
        })
        .collect()
}

/// Why the line is what it is; when, if that is not the whole period; how well known, if not as the whole.
fn notes(line: &InvoiceLine, document: &InvoiceDocument, zone: &TimeZone) -> Vec<String> {
    let mut notes = vec![shown(&line.why, WHY_MAX)];
    if line.service_period != document.service_period {
        notes.push(period_text(line.service_period, zone));
    }
    let known = completeness(line.coverage);
    if !is_complete(line.coverage) && known != completeness(document.completeness) {
        notes.extend(known.map(|known| format!("{known}.")));
    }
    notes.retain(|note| !note.is_empty());
    notes
}

fn period_text(period: Window, zone: &TimeZone) -> String {
    format!("{} until {}", instant(period.start(), zone), instant(period.end(), zone))
}

fn sums(document: &InvoiceDocument) -> (Vec<Sum>, Sum) {
    let amount = |money: Money| single(money.amount(), document.currency.exponent());
    let mut sums = vec![Sum { label: "Subtotal".to_owned(), amount: amount(document.subtotal) }];
    sums.extend(document.taxes.iter().map(|tax| {
        let percent = tax
            .rate
            .checked_mul(Decimal::ONE_HUNDRED)
            .map_or_else(|| format!("× {}", tax.rate), |percent| format!("{} %", grouped(percent, 0)));
        let name = shown_or(&tax.name, SHORT_MAX, "Tax");
        Sum { label: format!("{name} {percent} on {}", amount(tax.base).text), amount: amount(tax.amount) }
    }));
    let label = if document.kind == DocumentKind::CreditNote { "Total credit" } else { "Total" };
    (sums, Sum { label: label.to_owned(), amount: amount(document.total) })
}

fn whole_completeness(document: &InvoiceDocument) -> String {
    let known = document.completeness;
    match completeness(known) {
        Some(text) => {
            let of = duration(known_ms(known));
            format!("{text}, of {of} of resource time. What is missing is not charged.")
        }
        None => "No resource existed in this period.".to_owned(),
    }
}

fn usage(instances: &[InstanceUsage]) -> Vec<UsageGroup> {
    let quantities = column(instances.iter().map(|usage| usage.quantity), 0);
    let mut groups: Vec<UsageGroup> = Vec::new();
    let mut last = None;
    for (usage, quantity) in instances.iter().zip(quantities) {
        let resource = (usage.instance_id, usage.volume_id);
        if last != Some(resource) {
            groups.push(UsageGroup {
                name: shown_or(&usage.name, INSTANCE_NAME_MAX, "(no name)"),
                id: resource_text(usage),
                rows: Vec::new(),
            });
            last = Some(resource);
        }
        if let Some(group) = groups.last_mut() {
            let meter = usage.meter.meter();
            group.rows.push(UsageRow {
                meter: shown(&meter.title, TITLE_MAX),
                quantity,
                unit: shown(&usage.unit, UNIT_MAX),
                base: whole(usage.base_quantity),
                base_unit: meter.unit.symbol().to_owned(),
            });
        }
    }
    groups
}

fn resource_text(usage: &InstanceUsage) -> String {
    match (usage.instance_id, usage.volume_id) {
        (Some(id), _) => id.to_string(),
        (None, Some(id)) => format!("volume {id}"),
        (None, None) => String::new(),
    }
}

fn unpriced(usages: &[UnpricedUsage], period: Window, zone: &TimeZone) -> Vec<UsageGroup> {
    if usages.is_empty() {
        return Vec::new();
    }
    let quantities = column(usages.iter().map(|usage| usage.quantity), 0);
    let row = |(usage, quantity): (&UnpricedUsage, Figure)| {
        let title = shown_or(&usage.title, TITLE_MAX, usage.meter.as_str());
        let when = if usage.service_period == period {
            String::new()
        } else {
            format!(", {}", period_text(usage.service_period, zone))
        };
        UsageRow {
            meter: format!("{title}{when}"),
            quantity,
            unit: shown(&usage.unit, UNIT_MAX),
            base: whole(usage.base_quantity),
            base_unit: shown(&usage.base_unit, UNIT_MAX),
        }
    };
    let rows = usages.iter().zip(quantities).map(row).collect();
    vec![UsageGroup { name: String::new(), id: String::new(), rows }]
}
