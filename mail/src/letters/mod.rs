//! What letters say: from the facts to subject, text and HTML. Pure: no clock, no database, no server.
//!
//! It does not know to whom they go or how they are wrapped up for the way (`message`), and computes no money.
//! Text and HTML say the same. Names come from tenants: each is one line without marks of direction, and askama
//! escapes it in HTML.

mod account;
mod alert;
mod allowance;
mod budget;
mod invoice;
mod when;

use askama::Template;
use jiff::Timestamp;

pub use account::{DunningNotice, WalletNotice, dunning, wallet};
pub use alert::{AlertNotice, alert};
pub use allowance::{AllowanceNotice, allowance};
pub use budget::{BudgetNotice, budget};
pub use invoice::invoice;

use crate::text::{one_line, wrap};

/// Longest subject: more is cut by every mail program.
const SUBJECT_MAX: usize = 180;

/// Longest address of the portal that is made a link.
const PORTAL_URL_MAX: usize = 200;

/// A letter, ready to be addressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// One line.
    pub subject: String,
    /// Plain text, at most 76 characters a line where words allow it.
    pub text: String,
    /// A page that needs nothing else: no picture, no script.
    pub html: String,
    /// What is enclosed.
    pub attachment: Option<Attachment>,
}

/// A document that goes with a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Letters, digits, `-`, `_`, `.` only.
    pub file_name: String,
    /// A PDF, byte for byte.
    pub pdf: Vec<u8>,
}

/// Why a letter could not be written.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    /// The outbox does not say what the letter needs.
    #[error("the outbox says too little for a letter")]
    About(#[source] serde_json::Error),
    /// An amount is none.
    #[error("the outbox holds an amount that is none")]
    Money(#[from] billing::money::MoneyError),
    /// The budget or its period is empty.
    #[error("the outbox holds a budget or a period of nothing")]
    Nothing,
    /// A draft is nobody's debt.
    #[error("an invoice without a number is a draft, which is not sent")]
    Draft,
    /// The page could not be filled in.
    #[error("the letter could not be filled in")]
    Template(#[from] askama::Error),
}

#[derive(Template)]
#[template(path = "test.txt")]
struct TestText<'a> {
    sent: &'a str,
    portal: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "test.html")]
struct TestHtml<'a> {
    subject: &'a str,
    sent: &'a str,
    portal: Option<&'a str>,
}

/// The letter that shows that mail works.
///
/// # Errors
/// The template fails, which is a fault of ours.
pub fn test(ordered_at: Timestamp, portal_url: Option<&str>) -> Result<Letter, LetterError> {
    let subject = "Test mail from Weir: delivery works";
    let sent = ordered_at.strftime("%-d %B %Y, %H:%M:%S UTC").to_string();
    let portal = portal(portal_url);
    let (sent, portal) = (sent.as_str(), portal.as_deref());
    let text = TestText { sent, portal }.render()?;
    let html = TestHtml { subject, sent, portal }.render()?;
    Ok(letter(subject, &text, html, None))
}

fn letter(subject: &str, text: &str, html: String, attachment: Option<Attachment>) -> Letter {
    Letter { subject: one_line(subject, SUBJECT_MAX), text: wrap(text), html, attachment }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// The portal's address without a slash at its end, if it is one that may be linked to.
fn portal(url: Option<&str>) -> Option<String> {
    let url = url?.trim().trim_end_matches('/');
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    let is_plain = url.chars().all(|c| c.is_ascii_graphic()) && url.len() <= PORTAL_URL_MAX;
    (is_web && is_plain).then(|| url.to_owned())
}
