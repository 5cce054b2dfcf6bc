//! Letters about a tenant's account: reminders of what is overdue, level by level, and warnings that a prepaid wallet is low or
//! empty. The provider's words of a level come with the row; this only sets them.

use askama::Template;
use billing::{Currency, Money};
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Deserialize;

use super::{Letter, LetterError, letter, lower_first, portal};
use crate::text::{NAME_MAX, one_line};

/// Longest title of a level.
const TITLE_MAX: usize = 80;
/// Longest text of a level.
const WORDS_MAX: usize = 2_000;
/// As many names of stopped instances as a letter lists.
const NAMES_LISTED: usize = 20;

/// An invoice is overdue.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DunningNotice {
    /// The tenant's name.
    pub tenant: String,
    /// The invoice.
    pub number: String,
    /// From 1.
    pub level: u32,
    /// What the provider calls the letter.
    pub title: String,
    /// What the provider says in it.
    pub text: String,
    /// The last day on which it could have been paid in time.
    pub due_on: String,
    /// What is owed on the invoice.
    pub open: Decimal,
    /// What the letter costs.
    pub fee: Decimal,
    /// Both together.
    pub to_pay: Decimal,
    /// Of all amounts.
    pub currency: Currency,
}

/// A wallet is low or empty.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct WalletNotice {
    /// The tenant's name.
    pub tenant: String,
    /// `low`, `empty` or `stopped`.
    pub what: String,
    /// What was paid in advance and not taken by an invoice.
    pub paid: Decimal,
    /// What was used and is not invoiced yet.
    pub spent: Decimal,
    /// What is left.
    pub left: Decimal,
    /// Of all amounts.
    pub currency: Currency,
    /// When the tenant's instances will be stopped.
    #[serde(default)]
    pub stops_at: Option<Timestamp>,
    /// Those that were stopped.
    #[serde(default)]
    pub instances: Vec<String>,
}

/// What both versions show.
struct View {
    tenant: String,
    headline: String,
    /// Label and value.
    rows: Vec<(&'static str, String)>,
    /// Paragraphs.
    words: Vec<String>,
    /// What the button says and where it leads.
    action: &'static str,
    page: &'static str,
    portal: Option<String>,
    foot: &'static str,
}

#[derive(Template)]
#[template(path = "account.txt")]
struct Text<'a> {
    view: &'a View,
}

#[derive(Template)]
#[template(path = "account.html")]
struct Html<'a> {
    subject: &'a str,
    view: &'a View,
}

impl DunningNotice {
    /// Reads what the outbox says.
    ///
    /// # Errors
    /// A field is missing or makes no sense.
    pub fn from_about(about: &serde_json::Value) -> Result<Self, LetterError> {
        Self::deserialize(about).map_err(LetterError::About)
    }
}

impl WalletNotice {
    /// Reads what the outbox says.
    ///
    /// # Errors
    /// A field is missing or makes no sense.
    pub fn from_about(about: &serde_json::Value) -> Result<Self, LetterError> {
        Self::deserialize(about).map_err(LetterError::About)
    }
}

/// The letter about an overdue invoice.
///
/// # Errors
/// An amount is none, or the template fails.
pub fn dunning(notice: &DunningNotice, portal_url: Option<&str>) -> Result<Letter, LetterError> {
    let money = |amount| Money::exact(amount, notice.currency).map(|money| money.to_string());
    let number = one_line(&notice.number, NAME_MAX);
    let mut rows = vec![
        ("Invoice", number.clone()),
        ("Due", one_line(&notice.due_on, NAME_MAX)),
        ("Open", money(notice.open)?),
    ];
    if !notice.fee.is_zero() {
        rows.push(("Fee", money(notice.fee)?));
        rows.push(("To pay", money(notice.to_pay)?));
    }
    let words = notice.text.lines().map(|line| one_line(line, WORDS_MAX)).filter(|line| !line.is_empty());
    let mut words: Vec<String> = words.collect();
    words.push("If you have paid meanwhile, thank you: there is nothing to do.".to_owned());
    set(View {
        tenant: one_line(&notice.tenant, NAME_MAX),
        headline: format!("{}: {number}", one_line(&notice.title, TITLE_MAX)),
        rows,
        words,
        action: "See the invoice",
        page: "invoices",
        portal: portal(portal_url),
        foot: "Sent by Weir because an invoice is overdue. If you dispute it, say so: no further letter goes out then.",
    })
}

/// The letter about a wallet.
///
/// # Errors
/// An amount is none, or the template fails.
pub fn wallet(notice: &WalletNotice, portal_url: Option<&str>) -> Result<Letter, LetterError> {
    let money = |amount| Money::exact(amount, notice.currency).map(|money| money.to_string());
    let (headline, words) = match notice.what.as_str() {
        "stopped" => ("Your instances were stopped: your wallet is empty", stopped(&notice.instances)),
        "empty" => {
            let when = notice.stops_at.map(|at| at.strftime("on %-d %B %Y at %H:%M UTC").to_string());
            let when = when.unwrap_or_else(|| "soon".to_owned());
            let word =
                format!("What runs goes on until it is stopped {when}, unless you top the wallet up before.");
            ("Your wallet is empty", vec![word, "Disks are kept.".to_owned()])
        }
        _ => ("Your wallet is low", vec!["Top it up in time, so that your instances run on.".to_owned()]),
    };
    set(View {
        tenant: one_line(&notice.tenant, NAME_MAX),
        headline: headline.to_owned(),
        rows: vec![
            ("Paid", money(notice.paid)?),
            ("Used", money(notice.spent)?),
            ("Left", money(notice.left)?),
        ],
        words,
        action: "See what costs most",
        page: "usage",
        portal: portal(portal_url),
        foot: "Sent by Weir because you pay in advance. The figures are those of the moment when it was noted.",
    })
}

fn stopped(instances: &[String]) -> Vec<String> {
    let names: Vec<String> =
        instances.iter().take(NAMES_LISTED).map(|name| one_line(name, NAME_MAX)).collect();
    let more = instances.len().saturating_sub(names.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let which = match names.is_empty() {
        true => "Nothing ran.".to_owned(),
        false => format!("Stopped: {}{more}.", names.join(", ")),
    };
    vec![which, "Disks are kept. When the wallet is filled up, start your instances again.".to_owned()]
}

fn set(view: View) -> Result<Letter, LetterError> {
    let subject = format!("{}: {}", view.tenant, lower_first(&view.headline));
    let text = Text { view: &view }.render()?;
    let html = Html { subject: &subject, view: &view }.render()?;
    Ok(letter(&subject, &text, html, None))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reminder_says_what_is_open_and_hostile_names_stay_text() {
        let about = json!({
            "tenant": "acme", "name": "x", "number": "INV-2026-000001", "level": 2, "title": "Final <b>notice</b>",
            "text": "Please pay.\nOr call us.\u{202e}", "due_on": "2026-11-16", "open": "100.00", "fee": "5.00",
            "to_pay": "105.00", "currency": "EUR",
        });
        let letter =
            dunning(&DunningNotice::from_about(&about).unwrap(), Some("https://weir.example.org")).unwrap();
        assert_eq!(letter.subject, "acme: final <b>notice</b>: INV-2026-000001");
        for part in ["100.00 EUR", "5.00 EUR", "105.00 EUR", "2026-11-16", "Please pay.", "Or call us."] {
            assert!(letter.text.contains(part) && letter.html.contains(part), "{part}: {}", letter.text);
        }
        assert!(letter.text.contains("https://weir.example.org/invoices"), "{}", letter.text);
        assert!(!letter.html.contains("<b>notice"), "{}", letter.html);
        assert!(!letter.text.contains('\u{202e}'));
        assert!(DunningNotice::from_about(&json!({ "tenant": "acme" })).is_err());
    }

    #[test]
    fn a_letter_about_a_wallet_says_what_is_left_and_what_follows() {
        let about = |what: &str| {
            json!({
                "tenant": "acme", "what": what, "paid": "10.00", "spent": "12.00", "left": "-2.00", "currency": "EUR",
                "stops_at": "2026-11-23T09:00:00Z", "instances": ["web-1", "<i>db</i>"],
            })
        };
        for (what, subject, part) in [
            ("low", "acme: your wallet is low", "Top it up in time"),
            ("empty", "acme: your wallet is empty", "on 23 November 2026 at 09:00 UTC"),
            (
                "stopped",
                "acme: your instances were stopped: your wallet is empty",
                "Stopped: web-1, <i>db</i>.",
            ),
        ] {
            let letter = wallet(&WalletNotice::from_about(&about(what)).unwrap(), None).unwrap();
            assert_eq!(letter.subject, subject);
            let words = letter.text.replace('\n', " ");
            assert!(words.contains(part) && words.contains("-2.00 EUR"), "{}", letter.text);
            assert!(!letter.html.contains("<i>"));
        }
    }
}
