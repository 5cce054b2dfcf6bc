//! The letter that says that a part of a tenant's allowance is consumed, or will be, and what follows from it.

use askama::Template;
use jiff::Timestamp;
use metering::Window;
use serde::Deserialize;

use super::when::{day_number, days, month_or_days};
use super::{Letter, LetterError, letter, lower_first, portal};
use crate::text::{NAME_MAX, one_line};

/// Longest figure, with its unit.
const FIGURE_MAX: usize = 60;

/// What was crossed, and what follows.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AllowanceNotice {
    /// The tenant's name.
    pub tenant: String,
    /// What the allowance is called.
    pub allowance: String,
    /// The beginning of the month.
    pub period_start: Timestamp,
    /// Its end.
    pub period_end: Timestamp,
    /// `actual` or `forecast`.
    pub basis: String,
    /// Which threshold, in percent.
    pub threshold_percent: u32,
    /// `notify`, `throttle`, `suspend` or `stop`.
    pub action: String,
    /// What is allowed, in `unit`.
    pub allowed: String,
    /// What was consumed, or is forecast, in `unit`.
    pub consumed: String,
    /// A currency, or a meter's priced unit.
    pub unit: String,
    /// When it was noted; not from the outbox's text.
    #[serde(skip)]
    pub noted_at: Timestamp,
}

/// What both versions show.
struct View {
    headline: String,
    tenant: String,
    allowance: String,
    is_forecast: bool,
    consumed: String,
    allowed: String,
    month: String,
    day: String,
    follows: &'static str,
    portal: Option<String>,
}

#[derive(Template)]
#[template(path = "allowance.txt")]
struct Text<'a> {
    view: &'a View,
}

#[derive(Template)]
#[template(path = "allowance.html")]
struct Html<'a> {
    subject: &'a str,
    view: &'a View,
}

impl AllowanceNotice {
    /// Reads what the outbox says.
    ///
    /// # Errors
    /// A field is missing or makes no sense.
    pub fn from_about(about: &serde_json::Value, noted_at: Timestamp) -> Result<Self, LetterError> {
        let notice = Self::deserialize(about).map_err(LetterError::About)?;
        Ok(Self { noted_at, ..notice })
    }
}

/// The letter about a crossed threshold.
///
/// # Errors
/// The month is empty, or the template fails.
pub fn allowance(notice: &AllowanceNotice, portal_url: Option<&str>) -> Result<Letter, LetterError> {
    let period = Window::new(notice.period_start, notice.period_end).map_err(|_| LetterError::Nothing)?;
    let is_forecast = notice.basis == "forecast";
    let (name, percent) = (one_line(&notice.allowance, NAME_MAX), notice.threshold_percent);
    let headline = match (is_forecast, notice.action.as_str()) {
        (true, "throttle") => {
            format!("Allowance {name} will reach {percent} % this month: instances are slowed down")
        }
        (false, "throttle") => format!("Allowance {name} is at {percent} %: instances are slowed down"),
        (true, _) => format!("Allowance {name} will reach {percent} % this month"),
        (false, "stop") => format!("Allowance {name} is at {percent} %: instances are stopped"),
        (false, "suspend") => format!("Allowance {name} is at {percent} %: instances are suspended"),
        (false, _) => format!("Allowance {name} is at {percent} %"),
    };
    let figure = |figure: &str| one_line(&format!("{figure} {}", notice.unit), FIGURE_MAX);
    let view = View {
        headline,
        tenant: one_line(&notice.tenant, NAME_MAX),
        allowance: name,
        is_forecast,
        consumed: figure(&notice.consumed),
        allowed: figure(&notice.allowed),
        month: month_or_days(period),
        day: match day_number(period, notice.noted_at) {
            Some(day) => format!("day {day} of {}", days(period)),
            None => "over".to_owned(),
        },
        follows: match notice.action.as_str() {
            "stop" => {
                "All running instances of the tenant are stopped, and cannot be started until the month is over or the provider raises the allowance. Their disks are kept."
            }
            "throttle" => {
                "All instances of the tenant run on, slowly: their disks, networks and processors are bounded until the month is over, it is not reached any more, or the provider raises the allowance. What they use is charged."
            }
            "suspend" => {
                "All running instances of the tenant are suspended. They go on where they are when the month is over or the provider raises the allowance."
            }
            _ => "Nothing is stopped. Whatever runs goes on, and what it uses is charged.",
        },
        portal: portal(portal_url),
    };
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
    fn a_letter_says_what_was_reached_and_what_follows() {
        let letter_about = |basis: &str, action: &str| {
            let about = json!({
                "tenant": "acme", "allowance": "traffic", "period_start": "2026-11-01T00:00:00Z",
                "period_end": "2026-12-01T00:00:00Z", "basis": basis, "threshold_percent": 100, "action": action,
                "allowed": "500", "consumed": "501.25", "unit": "GiB",
            });
            let notice =
                AllowanceNotice::from_about(&about, "2026-11-20T00:00:00Z".parse().unwrap()).unwrap();
            allowance(&notice, Some("https://weir.example.org")).unwrap()
        };
        let stop = letter_about("actual", "stop");
        assert_eq!(stop.subject, "acme: allowance traffic is at 100 %: instances are stopped");
        for part in [&stop.text, &stop.html] {
            assert!(
                part.contains("501.25 GiB") && part.contains("November 2026") && part.contains("cannot be"),
                "{part}"
            );
        }
        let forecast = letter_about("forecast", "notify");
        assert_eq!(forecast.subject, "acme: allowance traffic will reach 100 % this month");
        assert!(forecast.text.contains("501.25 GiB by the end of the month"), "{}", forecast.text);
        assert!(forecast.text.contains("Nothing is stopped"), "{}", forecast.text);
        let nothing = json!({ "tenant": "acme" });
        assert!(AllowanceNotice::from_about(&nothing, Timestamp::UNIX_EPOCH).is_err());
    }
}
