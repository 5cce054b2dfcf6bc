//! The letter that tells the operator of an alert: what happened, where, since when, what it means for the bill, and
//! what to do. The words about the kind come with the row; this only sets them.

use askama::Template;
use jiff::Timestamp;
use serde::Deserialize;

use super::{Letter, LetterError, letter, lower_first, portal};
use crate::text::{NAME_MAX, one_line};

/// Longest title.
const TITLE_MAX: usize = 120;
/// As much of what was seen, of its meaning and of the remedy as somebody reads on a telephone at night.
const WORDS_MAX: usize = 1_000;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AlertNotice {
    /// In one line, without names.
    pub title: String,
    /// What was seen.
    pub detail: String,
    /// The node's name, if it is about one.
    pub node: Option<String>,
    /// The instance's name or id, if it is about one.
    pub instance: Option<String>,
    /// When it was seen first.
    pub raised_at: Timestamp,
    /// What it means for the bill. `None`: a kind that is not known here.
    pub meaning: Option<String>,
    /// What to do. `None`: a kind that is not known here.
    pub remedy: Option<String>,
    /// Alerts that are open beside it.
    pub open_beside: u64,
}

/// What both versions show.
struct View {
    title: String,
    node: Option<String>,
    instance: Option<String>,
    since: String,
    detail: String,
    meaning: Option<String>,
    remedy: Option<String>,
    beside: Option<String>,
    portal: Option<String>,
}

#[derive(Template)]
#[template(path = "alert.txt")]
struct Text<'a> {
    view: &'a View,
}

#[derive(Template)]
#[template(path = "alert.html")]
struct Html<'a> {
    subject: &'a str,
    view: &'a View,
}

impl AlertNotice {
    /// Reads what the outbox says.
    ///
    /// # Errors
    /// A field is missing or makes no sense.
    pub fn from_about(about: &serde_json::Value) -> Result<Self, LetterError> {
        Self::deserialize(about).map_err(LetterError::About)
    }
}

/// The letter about an alert.
///
/// # Errors
/// The template fails, which is a fault of ours.
pub fn alert(notice: &AlertNotice, portal_url: Option<&str>) -> Result<Letter, LetterError> {
    let words = |text: &Option<String>| text.as_deref().map(|text| one_line(text, WORDS_MAX));
    let name = |text: &Option<String>| {
        text.as_deref().map(|name| one_line(name, NAME_MAX)).filter(|name| !name.is_empty())
    };
    let view = View {
        title: one_line(&notice.title, TITLE_MAX),
        node: name(&notice.node),
        instance: name(&notice.instance),
        since: notice.raised_at.strftime("%-d %B %Y, %H:%M:%S UTC").to_string(),
        detail: one_line(&notice.detail, WORDS_MAX),
        meaning: words(&notice.meaning),
        remedy: words(&notice.remedy),
        beside: match notice.open_beside {
            0 => None,
            1 => Some("One more alert is open.".to_owned()),
            more => Some(format!("{more} more alerts are open.")),
        },
        portal: portal(portal_url),
    };
    let title = lower_first(&view.title);
    let subject = match (&view.instance, &view.node) {
        (Some(instance), Some(node)) => format!("{instance} on {node}: {title}"),
        (Some(name), None) | (None, Some(name)) => format!("{name}: {title}"),
        (None, None) => format!("Weir: {title}"),
    };
    let text = Text { view: &view }.render()?;
    let html = Html { subject: &subject, view: &view }.render()?;
    Ok(letter(&subject, &text, html, None))
}
