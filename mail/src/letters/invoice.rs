//! The letter that an invoice goes with.

use askama::Template;
use billing::{InvoiceDocument, Money, Tax};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use super::when::{day, period};
use super::{Attachment, Letter, LetterError, letter, portal};
use crate::text::{NAME_MAX, one_line};

/// Longest number of an invoice.
const NUMBER_MAX: usize = 40;
/// Longest name of a tax.
const TAX_MAX: usize = 40;

/// What both versions show.
struct View {
    number: String,
    file_name: String,
    seller: String,
    buyer: String,
    tenant: String,
    period: String,
    time_zone: String,
    issued: Option<String>,
    subtotal: String,
    tax_label: String,
    tax: String,
    total: String,
    owes_nothing: bool,
    link: Option<String>,
}

#[derive(Template)]
#[template(path = "invoice.txt")]
struct Text<'a> {
    view: &'a View,
}

#[derive(Template)]
#[template(path = "invoice.html")]
struct Html<'a> {
    subject: &'a str,
    view: &'a View,
}

/// The letter with an issued invoice. `pdf` goes with it as it is.
///
/// # Errors
/// The document is a draft.
pub fn invoice(
    document: &InvoiceDocument,
    pdf: Vec<u8>,
    portal_url: Option<&str>,
) -> Result<Letter, LetterError> {
    let number = document.number.as_deref().ok_or(LetterError::Draft)?;
    let view = view(document, number, portal_url);
    let from = if view.seller.is_empty() { String::new() } else { format!(" from {}", view.seller) };
    let subject = format!("Invoice {}{from}: {} for {}", view.number, view.total, view.period);
    let text = Text { view: &view }.render()?;
    let html = Html { subject: &subject, view: &view }.render()?;
    let attachment = Attachment { file_name: view.file_name, pdf };
    Ok(letter(&subject, &text, html, Some(attachment)))
}

fn view(document: &InvoiceDocument, number: &str, portal_url: Option<&str>) -> View {
    // A zone that this machine does not know is no reason to keep an invoice back: its dates are said in UTC then.
    let (zone, time_zone) = match TimeZone::get(&document.time_zone) {
        Ok(zone) => (zone, one_line(&document.time_zone, NAME_MAX)),
        Err(_) => (TimeZone::UTC, "UTC".to_owned()),
    };
    let stem = file_stem(number);
    View {
        number: one_line(number, NUMBER_MAX),
        seller: one_line(&document.seller.name, NAME_MAX),
        buyer: one_line(&document.buyer.name, NAME_MAX),
        tenant: document.tenant.to_string(),
        period: period(document.service_period, &zone),
        time_zone,
        issued: document.issued_at.map(|at| day(at.to_zoned(zone.clone()).date())),
        subtotal: document.subtotal.to_string(),
        tax_label: tax_label(&document.taxes),
        tax: document.tax_total().unwrap_or(Money::zero(document.currency)).to_string(),
        total: document.total.to_string(),
        owes_nothing: document.total.is_zero(),
        link: portal(portal_url)
            .map(|portal| format!("{portal}/tenants/{}/invoices/{stem}", document.tenant)),
        file_name: format!("{stem}.pdf"),
    }
}

/// `VAT 19 %`, of several rates `VAT 19 %, VAT 7 %`.
fn tax_label(taxes: &[Tax]) -> String {
    let labels: Vec<String> = taxes
        .iter()
        .map(|tax| {
            let name = one_line(&tax.name, TAX_MAX);
            let rate = tax.rate.checked_mul(Decimal::ONE_HUNDRED).unwrap_or_default().normalize();
            format!("{} {rate} %", if name.is_empty() { "Tax" } else { &name })
        })
        .collect();
    labels.join(", ")
}

impl View {
    /// The period with the zone in which it is meant.
    fn dated_period(&self) -> String {
        format!("{} ({})", self.period, self.time_zone)
    }

    /// Subtotal, tax and total as rows of text, the amounts under each other.
    fn text_sums(&self) -> String {
        let rows =
            [("Subtotal", &self.subtotal), (self.tax_label.as_str(), &self.tax), ("Total", &self.total)];
        let widest = rows.map(|(label, amount)| (label.chars().count(), amount.chars().count()));
        let labels = widest.map(|(label, _)| label).into_iter().max().unwrap_or_default();
        let amounts = widest.map(|(_, amount)| amount).into_iter().max().unwrap_or_default();
        rows.map(|(label, amount)| format!("{label:<labels$}   {amount:>amounts$}")).join("\n")
    }
}

/// The number as far as it is letters, digits, `-` and `_`: it becomes the name of a file and a part of a link.
fn file_stem(number: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let stem: String = number.chars().filter(is_plain).take(NUMBER_MAX).collect();
    if stem.is_empty() { "invoice".to_owned() } else { stem }
}
