//! The letter that says that a part of a tenant's budget is spent.

use askama::Template;
use billing::{Currency, Money};
use jiff::Timestamp;
use metering::Window;
use rust_decimal::Decimal;
use serde::Deserialize;

use super::when::{day_number, days, month_or_days};
use super::{Letter, LetterError, letter, lower_first, portal};
use crate::text::{NAME_MAX, one_line};

/// Signs of the bar in the plain text.
const BAR_SIGNS: usize = 40;
/// What is more is said no more exactly: the amounts say it.
const PERCENT_MAX: i128 = 999;
/// From here on a letter is a warning.
const HIGH_PERCENT: u32 = 80;
/// From here on nothing is left.
const SPENT_PERCENT: u32 = 100;

/// What was crossed, by how much and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetNotice {
    /// The tenant's name.
    pub tenant: String,
    /// The month, as billed.
    pub period: Window,
    /// Which threshold, in percent of the budget.
    pub threshold_percent: u32,
    /// What was to be spent in the period, with tax.
    pub budget: Money,
    /// What had been spent when it was noted, with tax.
    pub spent: Money,
    /// When it was noted.
    pub noted_at: Timestamp,
}

/// What stands in the outbox.
#[derive(Deserialize)]
struct About {
    tenant: String,
    period_start: Timestamp,
    period_end: Timestamp,
    threshold_percent: u32,
    budget: Decimal,
    spent: Decimal,
    currency: Currency,
}

/// What both versions show.
struct View {
    headline: String,
    tenant: String,
    month: String,
    spent: String,
    budget: String,
    /// `18.80 EUR left`, `2.10 EUR more than the budget`, or that it is just spent.
    balance: String,
    /// In whole percent, rounded down; `over 999` beyond that.
    percent: String,
    /// Of the bar's length, at most 100.
    bar_percent: u32,
    bar: String,
    day: String,
    tone: Tone,
    portal: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tone {
    Calm,
    High,
    Spent,
}

#[derive(Template)]
#[template(path = "budget.txt")]
struct Text<'a> {
    view: &'a View,
}

#[derive(Template)]
#[template(path = "budget.html")]
struct Html<'a> {
    subject: &'a str,
    view: &'a View,
}

impl BudgetNotice {
    /// Reads what the outbox says.
    ///
    /// # Errors
    /// A field is missing or makes no sense.
    pub fn from_about(about: &serde_json::Value, noted_at: Timestamp) -> Result<Self, LetterError> {
        let about = About::deserialize(about).map_err(LetterError::About)?;
        Ok(Self {
            tenant: about.tenant,
            period: Window::new(about.period_start, about.period_end).map_err(|_| LetterError::Nothing)?,
            threshold_percent: about.threshold_percent,
            budget: Money::exact(about.budget, about.currency)?,
            spent: Money::exact(about.spent, about.currency)?,
            noted_at,
        })
    }
}

/// The letter about a crossed threshold.
///
/// # Errors
/// The budget is nothing, or its sums are beyond all decimals.
pub fn budget(notice: &BudgetNotice, portal_url: Option<&str>) -> Result<Letter, LetterError> {
    let view = view(notice, portal_url)?;
    let subject = format!("{}: {}", view.tenant, lower_first(&view.headline));
    let text = Text { view: &view }.render()?;
    let html = Html { subject: &subject, view: &view }.render()?;
    Ok(letter(&subject, &text, html, None))
}

fn view(notice: &BudgetNotice, portal_url: Option<&str>) -> Result<View, LetterError> {
    let month = month_or_days(notice.period);
    let percent = percent(notice)?;
    let bar_percent = u32::try_from(percent).unwrap_or(SPENT_PERCENT).min(SPENT_PERCENT);
    let filled = bar_percent as usize * BAR_SIGNS / 100;
    let tone = match notice.threshold_percent {
        SPENT_PERCENT.. => Tone::Spent,
        HIGH_PERCENT.. => Tone::High,
        _ => Tone::Calm,
    };
    let headline = match tone {
        Tone::Spent => format!("The budget for {month} is spent"),
        _ => format!("{} % of the budget for {month} is spent", notice.threshold_percent),
    };
    let total = days(notice.period);
    let day = match day_number(notice.period, notice.noted_at) {
        Some(day) => format!("day {day} of {total}"),
        None if notice.noted_at < notice.period.start() => "not begun yet".to_owned(),
        None => "over".to_owned(),
    };
    Ok(View {
        headline,
        tenant: one_line(&notice.tenant, NAME_MAX),
        month,
        spent: notice.spent.to_string(),
        budget: notice.budget.to_string(),
        balance: balance(notice)?,
        percent: if PERCENT_MAX < percent { format!("over {PERCENT_MAX}") } else { percent.to_string() },
        bar_percent,
        bar: format!("{}{}", "#".repeat(filled), "-".repeat(BAR_SIGNS - filled)),
        day,
        tone,
        portal: portal(portal_url),
    })
}

/// What is spent of the budget, in whole percent, rounded down: 100 only when all is spent.
fn percent(notice: &BudgetNotice) -> Result<i128, LetterError> {
    let (spent, budget) = (notice.spent.amount(), notice.budget.amount());
    if budget <= Decimal::ZERO {
        return Err(LetterError::Nothing);
    }
    // In coins, as whole numbers: both have the currency's decimals.
    let (spent, budget) = (spent.max(Decimal::ZERO).mantissa(), budget.mantissa());
    spent.checked_mul(100).and_then(|spent| spent.checked_div(budget)).ok_or(LetterError::Nothing)
}

fn balance(notice: &BudgetNotice) -> Result<String, LetterError> {
    let (spent, budget) = (notice.spent.amount(), notice.budget.amount());
    let left = budget.checked_sub(spent).ok_or(LetterError::Nothing)?;
    let shown = Money::exact(left.abs(), notice.budget.currency())?;
    Ok(if left.is_zero() {
        "nothing is left".to_owned()
    } else if left.is_sign_positive() {
        format!("{shown} left")
    } else {
        format!("{shown} more than the budget")
    })
}

impl View {
    fn is_calm(&self) -> bool {
        self.tone == Tone::Calm
    }

    /// Whichever threshold it is about: several can be crossed at once.
    fn is_spent(&self) -> bool {
        self.bar_percent == SPENT_PERCENT
    }

    /// The colours of the bar and of what is written about it, light and dark, as the style sheet names them.
    fn tone_class(&self) -> &'static str {
        match self.tone {
            Tone::Calm => "calm",
            Tone::High => "high",
            Tone::Spent => "spent",
        }
    }

    /// The bar's colour for mail programs that know no style sheet.
    fn tone_colour(&self) -> &'static str {
        match self.tone {
            Tone::Calm => "#1f6f8b",
            Tone::High => "#b45309",
            Tone::Spent => "#b42318",
        }
    }
}
