//! The form of an allowance: what people type, and the limit and thresholds that it means. It asks no database.

use billing::limits::allowances::Allowance;
use billing::limits::{Action, Allowed, Basis, THRESHOLDS_MAX, Threshold};
use billing::{Currency, Money};
use metering::MeterName;
use metering::catalog;
use metering::meter::Visibility;
use rust_decimal::Decimal;

use super::shown;
use crate::site::PageError;

/// More digits than anybody allows; what is longer is a mistake.
const FIGURE_CHARACTERS_MAX: usize = 20;
/// Longer than any name or choice.
const TEXT_CHARACTERS_MAX: usize = 100;
/// Rows of thresholds of a new allowance, and how many are empty when one is changed.
const NEW_ROWS: usize = 3;
/// What is suggested for a new one.
const SUGGESTED: [u32; 2] = [80, 100];
/// How money stands among the meters: `money:EUR`.
const MONEY: &str = "money:";

/// What the form sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entered {
    pub(super) name: String,
    what: String,
    figure: String,
    rows: Vec<Row>,
    pub(super) revision: u64,
    pub(super) is_removal: bool,
}

/// A threshold as it was typed. Without a percentage it is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Row {
    percent: String,
    basis: String,
    action: String,
}

/// What stands in the form.
pub(super) struct FormView {
    pub name: String,
    pub is_new: bool,
    pub is_open: bool,
    pub whats: Vec<Choice>,
    pub figure: String,
    pub rows: Vec<RowView>,
    pub revision: u64,
    pub error: Option<String>,
}

/// A row of the form.
pub(super) struct RowView {
    pub percent: String,
    pub bases: Vec<Choice>,
    /// Empty: nothing can be chosen, it tells.
    pub actions: Vec<Choice>,
}

/// A value of a list.
pub(super) struct Choice {
    pub value: String,
    pub label: String,
    pub is_chosen: bool,
}

impl Entered {
    /// Reads what was sent: names come several times where the form has rows.
    pub(super) fn of(fields: &[(String, String)]) -> Result<Self, PageError> {
        let mut entered = Self::default();
        let mut revision = None;
        for (name, value) in fields {
            if TEXT_CHARACTERS_MAX < value.chars().count() {
                return Err(bad("A field of the form is longer than anything that it asks for."));
            }
            let value = value.clone();
            match name.as_str() {
                "name" => entered.name = value,
                "what" => entered.what = value,
                "figure" => entered.figure = value,
                "revision" => revision = value.parse().ok(),
                "action" => entered.is_removal = value == "remove",
                "percent" => entered.rows.push(Row { percent: value, ..Row::default() }),
                // They follow their percentage.
                "basis" => {
                    if let Some(row) = entered.rows.last_mut() {
                        row.basis = value;
                    }
                }
                "then" => {
                    if let Some(row) = entered.rows.last_mut() {
                        row.action = value;
                    }
                }
                _ => {}
            }
        }
        entered.revision = revision.ok_or_else(|| bad("The form does not say what it was opened for."))?;
        entered.rows.truncate(2 * THRESHOLDS_MAX);
        Ok(entered)
    }

    /// The limit that was typed, or what is wrong with it.
    pub(super) fn allowed(&self, currencies: &[String]) -> Result<Allowed, String> {
        let text = self.figure.trim();
        let is_shaped = !text.is_empty()
            && text.len() <= FIGURE_CHARACTERS_MAX
            && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let figure: Option<Decimal> = is_shaped.then(|| text.parse().ok()).flatten();
        let figure = figure.ok_or("Write how much in digits with a point, such as 500 or 99.50.")?;
        let Some(code) = self.what.strip_prefix(MONEY) else {
            let meter = MeterName::parse(&self.what).ok().filter(|meter| is_offered(*meter));
            let meter = meter.ok_or("Choose what is limited from the list.")?;
            return Allowed::Quantity(meter, figure).check().map_err(|error| super::sentence(&error));
        };
        if !currencies.iter().any(|known| known == code) {
            return Err(format!("Prices are in {}: choose that.", currencies.join(" or ")));
        }
        let currency = Currency::parse(code).map_err(|error| super::sentence(&error))?;
        let money = Money::exact(figure, currency).map_err(|_| {
            format!("{currency} has {} decimals; write the amount with no more.", currency.exponent())
        })?;
        Allowed::Money(money).check().map_err(|error| super::sentence(&error))
    }

    /// The thresholds that were typed, or what is wrong with one.
    pub(super) fn thresholds(&self) -> Result<Vec<Threshold>, String> {
        let typed = self.rows.iter().filter(|row| !row.percent.trim().is_empty());
        let thresholds: Vec<Threshold> = typed.map(Row::read).collect::<Result<_, _>>()?;
        if thresholds.is_empty() {
            return Err("Write at least one percentage at which something is to happen.".to_owned());
        }
        billing::limits::thresholds(thresholds).map_err(|error| super::sentence(&error))
    }

    /// The limit as it was typed.
    pub(super) fn in_words(&self) -> String {
        let what = self.what.strip_prefix(MONEY).map_or_else(
            || MeterName::parse(&self.what).map_or_else(|_| self.what.clone(), of_meter),
            str::to_owned,
        );
        format!("{} {what}", self.figure.trim())
    }

    pub(super) fn thresholds_in_words(&self) -> String {
        self.thresholds().map_or_else(|error| error, |thresholds| shown::thresholds(&thresholds))
    }

    /// The same form for another revision.
    pub(super) fn fields(&self, revision: u64) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("name", self.name.clone()),
            ("what", self.what.clone()),
            ("figure", self.figure.clone()),
            ("revision", revision.to_string()),
        ];
        for row in &self.rows {
            fields.push(("percent", row.percent.clone()));
            fields.push(("basis", row.basis.clone()));
            fields.push(("then", row.action.clone()));
        }
        if self.is_removal {
            fields.push(("action", "remove".to_owned()));
        }
        fields
    }
}

impl Row {
    fn of(threshold: Threshold) -> Self {
        Self {
            percent: threshold.percent.to_string(),
            basis: threshold.basis.as_str().to_owned(),
            action: threshold.action.as_str().to_owned(),
        }
    }

    fn read(&self) -> Result<Threshold, String> {
        let percent = self.percent.trim();
        let is_number = !percent.is_empty() && percent.bytes().all(|byte| byte.is_ascii_digit());
        let percent: Option<u32> = is_number.then(|| percent.parse().ok()).flatten();
        let percent = percent.ok_or("Write percentages as whole numbers from 1 to 1000.")?;
        let basis = match self.basis.as_str() {
            "" => Basis::Actual,
            text => Basis::parse(text).ok_or("Choose from the list what a percentage is of.")?,
        };
        let action = match self.action.as_str() {
            "" => Action::Notify,
            text => Action::parse(text).map_err(|_| "Choose from the list what is done.")?,
        };
        Ok(Threshold { basis, percent, action })
    }

    fn view(&self, is_provider: bool) -> RowView {
        let basis = |basis: Basis| Choice {
            value: basis.as_str().to_owned(),
            // Short: three fields stand in a row.
            label: if basis == Basis::Actual { "used" } else { "forecast" }.to_owned(),
            is_chosen: self.basis == basis.as_str(),
        };
        let action = |action: Action| Choice {
            value: action.as_str().to_owned(),
            label: shown::action(action).to_owned(),
            is_chosen: self.action == action.as_str(),
        };
        let actions = [Action::Notify, Action::Throttle, Action::Suspend, Action::Stop];
        RowView {
            percent: self.percent.clone(),
            bases: [Basis::Actual, Basis::Forecast].map(basis).into(),
            actions: if is_provider { actions.map(action).into() } else { Vec::new() },
        }
    }
}

impl FormView {
    /// For a new allowance.
    pub(super) fn empty(currencies: &[String], is_provider: bool) -> Self {
        let row = |percent: u32| Row { percent: percent.to_string(), ..Row::default() };
        let mut rows = SUGGESTED.map(row).to_vec();
        rows.resize(NEW_ROWS, Row::default());
        let entered = Entered { rows, ..Entered::default() };
        Self { is_open: false, ..Self::filled(&entered, currencies, is_provider) }
    }

    /// For one that stands.
    pub(super) fn of(allowance: &Allowance, currencies: &[String], is_provider: bool) -> Self {
        let what = match allowance.allowed {
            Allowed::Money(money) => format!("{MONEY}{}", money.currency().code()),
            Allowed::Quantity(meter, _) => meter.to_string(),
        };
        let mut rows: Vec<Row> = allowance.thresholds.iter().map(|one| Row::of(*one)).collect();
        let wanted = (rows.len() + 1).max(NEW_ROWS).min(THRESHOLDS_MAX.max(rows.len()));
        rows.resize(wanted, Row::default());
        let figure = allowance.allowed.figure().to_string();
        let (name, revision) = (allowance.name.clone(), allowance.revision);
        let entered = Entered { name, what, figure, rows, revision, is_removal: false };
        Self { is_open: false, ..Self::filled(&entered, currencies, is_provider) }
    }

    /// As it was typed, with what is wrong.
    pub(super) fn again(entered: &Entered, error: &str, currencies: &[String], is_provider: bool) -> Self {
        let mut entered = entered.clone();
        entered.rows.resize(entered.rows.len().max(NEW_ROWS), Row::default());
        Self { error: Some(error.to_owned()), ..Self::filled(&entered, currencies, is_provider) }
    }

    fn filled(entered: &Entered, currencies: &[String], is_provider: bool) -> Self {
        let choice = |value: String, label: String| Choice { is_chosen: value == entered.what, value, label };
        let money =
            currencies.iter().map(|code| choice(format!("{MONEY}{code}"), format!("Money with tax, {code}")));
        let meters = catalog().iter().map(|meter| meter.id()).filter(|meter| is_offered(*meter));
        let meters = meters.map(|meter| choice(meter.to_string(), of_meter(meter)));
        Self {
            name: entered.name.clone(),
            is_new: entered.revision == 0,
            is_open: true,
            whats: money.chain(meters).collect(),
            figure: entered.figure.clone(),
            rows: entered.rows.iter().map(|row| row.view(is_provider)).collect(),
            revision: entered.revision,
            error: None,
        }
    }
}

fn is_offered(meter: MeterName) -> bool {
    meter.meter().visible_to == Visibility::Tenant
}

/// `CPU time, CPU·h`
fn of_meter(meter: MeterName) -> String {
    let meter = meter.meter();
    format!("{}, {}", meter.title, meter.priced_unit.symbol)
}

fn bad(sentence: &str) -> PageError {
    PageError::BadRequest(sentence.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entered(text: &str) -> Entered {
        let pair = |word: &str| word.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned())).unwrap();
        let fields: Vec<_> = text.split('&').map(pair).collect();
        Entered::of(&fields).unwrap()
    }

    #[test]
    fn figures_and_percentages_that_could_be_read_in_two_ways_are_refused() {
        let euro = ["EUR".to_owned()];
        for (what, figure) in [
            ("cpu_ns", ""),
            ("cpu_ns", "0"),
            ("cpu_ns", "-1"),
            ("cpu_ns", "1,5"),
            ("cpu_ns", "1e9"),
            ("cpu_ns", "99999999999999999999"),
            ("cpu_ns", "1.0000001"),
            ("cpu_ns", "."),
            ("money:EUR", "1.001"),
            ("money:EUR", "0.00"),
            ("money:JPY", "5"),
            ("money:", "5"),
            ("", "5"),
            ("nothing", "5"),
        ] {
            let entered = entered(&format!("revision=0&what={what}&figure={figure}"));
            assert!(entered.allowed(&euro).is_err(), "{what} {figure}");
        }
        for percent in ["0", "1001", "-5", "1.5", "x", "99999999999", "+5"] {
            let entered = entered(&format!("revision=0&percent={percent}"));
            assert!(entered.thresholds().is_err(), "{percent}");
        }
        for rows in ["percent=", "percent=80&percent=80", "percent=80&basis=x", "percent=80&then=x"] {
            assert!(entered(&format!("revision=0&{rows}")).thresholds().is_err(), "{rows}");
        }
    }

    #[test]
    fn rows_keep_what_belongs_together() {
        let typed = "revision=3&name=cpu&what=cpu_ns&figure=500&percent=80&basis=forecast&then=notify&percent=&basis=actual\
             &then=stop&percent=100&basis=actual&then=stop";
        let typed = entered(typed);
        let thresholds = typed.thresholds().unwrap();
        let said: Vec<String> = thresholds.iter().map(ToString::to_string).collect();
        assert_eq!(said, ["100:stop", "forecast:80:notify"]);
        let fields: Vec<String> = typed.fields(3).iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(entered(&fields.join("&")), typed);
    }
}
