//! An allowance as pages show it: what is consumed of it, what is expected, each threshold with what came of it. What was
//! consumed is what the running month was rated with; the arithmetic is `billing::limits`'.

use billing::drafts::Draft;
use billing::limits::actions::Open;
use billing::limits::allowances::{Allowance, Crossing, Owner};
use billing::limits::overview::Listed;
use billing::limits::{self, Action, Allowed, Basis, Consumed, Threshold};
use metering::Window;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::entered::FormView;
use crate::show::{self, Clock, Moment};

/// More is shown as more: nobody compares such figures.
const PERCENT_SHOWN_MAX: u32 = 9_999;
/// From here on a bar warns.
const WARN_PERCENT: u32 = 80;

/// What the month is known to be.
pub(super) struct Month<'a> {
    pub period: Window,
    pub draft: Option<&'a Draft>,
    pub crossings: &'a [Crossing],
    pub open: &'a [Open],
    pub clock: &'a Clock,
}

/// One allowance.
pub(super) struct AllowanceView {
    pub name: String,
    /// `CPU time`; nothing of money.
    pub what: String,
    pub allowed: String,
    pub is_providers: bool,
    pub actual: Option<Figure>,
    pub forecast: Option<Figure>,
    /// Why there is no figure, or no forecast.
    pub silence: &'static str,
    pub thresholds: Vec<ThresholdRow>,
    /// What is done now: `Running instances are paused`, and until when.
    pub in_force: Option<(&'static str, Moment)>,
    pub form: Option<FormView>,
}

/// A figure beside what is allowed.
pub(super) struct Figure {
    pub text: String,
    pub percent: String,
    /// Of a bar.
    pub filled: u32,
    pub level: &'static str,
}

/// A threshold, crossed or not.
pub(super) struct ThresholdRow {
    pub percent: u32,
    pub basis: &'static str,
    pub action: &'static str,
    pub crossed: Option<(Moment, String)>,
}

/// One of all tenants'.
pub(super) struct ListedRow {
    pub tenant: String,
    pub display_name: String,
    pub path: String,
    pub name: String,
    pub allowed: String,
    pub is_providers: bool,
    pub thresholds: String,
    pub crossed: Option<(String, Moment)>,
    pub in_force: Option<&'static str>,
}

impl AllowanceView {
    pub(super) fn new(allowance: &Allowance, month: &Month<'_>, form: Option<FormView>) -> Self {
        let consumed = month.draft.and_then(|draft| consumed(allowance.allowed, draft));
        let at = month.draft.map(|draft| draft.computed_at);
        let forecast =
            consumed.zip(at).and_then(|(consumed, at)| limits::forecast(consumed, month.period, at));
        let figure = |consumed: Consumed| figure(consumed, allowance.allowed);
        let in_force = month.open.iter().filter(|open| open.allowance == allowance.name);
        let strongest = in_force.max_by_key(|open| open.threshold.action);
        Self {
            name: allowance.name.clone(),
            what: match allowance.allowed {
                Allowed::Money(_) => String::new(),
                Allowed::Quantity(meter, _) => meter.meter().title.clone(),
            },
            allowed: allowed(allowance.allowed),
            is_providers: allowance.owner == Owner::Provider,
            silence: match (month.draft, consumed, forecast) {
                (None, ..) => "The month has not been rated yet.",
                (Some(_), None, _) => {
                    "It is in another currency than the prices, so nobody can say how much of it is used. Set it anew."
                }
                (.., Some(_), None) => "A forecast is made from the second day of the month on.",
                _ => "",
            },
            actual: consumed.map(figure),
            forecast: forecast.map(figure),
            thresholds: allowance
                .thresholds
                .iter()
                .map(|one| threshold_row(allowance, *one, month))
                .collect(),
            in_force: strongest.map(|open| (doing(open.threshold.action), month.clock.moment(open.until))),
            form,
        }
    }
}

/// Whether the asker may change it: tenants change their own.
pub(super) fn may_change(allowance: &Allowance, is_provider: bool) -> bool {
    is_provider || allowance.owner == Owner::Tenant
}

pub(super) fn listed(one: &Listed, open: &[Open], clock: &Clock) -> ListedRow {
    let allowance = &one.allowance;
    let of_this = |open: &&Open| open.tenant_id == one.tenant_id && open.allowance == allowance.name;
    let strongest = open.iter().filter(of_this).max_by_key(|open| open.threshold.action);
    ListedRow {
        tenant: one.tenant.clone(),
        display_name: one.display_name.clone(),
        path: format!("/tenants/{}/allowances", one.tenant),
        name: allowance.name.clone(),
        allowed: match allowance.allowed {
            Allowed::Money(_) => allowed(allowance.allowed),
            Allowed::Quantity(meter, _) => {
                format!("{} of {}", allowed(allowance.allowed), meter.meter().title)
            }
        },
        is_providers: allowance.owner == Owner::Provider,
        thresholds: thresholds(&allowance.thresholds),
        crossed: one.crossed.map(|(threshold, at)| (short(threshold), clock.moment(at))),
        in_force: strongest.map(|open| doing(open.threshold.action)),
    }
}

/// `500 CPU·h`, `250.00 EUR`.
pub(super) fn allowed(allowed: Allowed) -> String {
    match allowed {
        Allowed::Money(money) => show::money(money),
        Allowed::Quantity(..) => with_unit(allowed.figure(), allowed),
    }
}

/// `80 %, 100 % (stop), 100 % expected`.
pub(super) fn thresholds(thresholds: &[Threshold]) -> String {
    thresholds.iter().map(|one| short(*one)).collect::<Vec<_>>().join(", ")
}

/// What a percentage is of.
pub(super) const fn basis(basis: Basis) -> &'static str {
    match basis {
        Basis::Actual => "used",
        Basis::Forecast => "expected by the end of the month",
    }
}

/// What is done.
pub(super) const fn action(action: Action) -> &'static str {
    match action {
        Action::Notify => "send a mail",
        Action::Throttle => "slow instances down",
        Action::Suspend => "pause instances",
        Action::Stop => "stop instances",
    }
}

const fn doing(action: Action) -> &'static str {
    match action {
        Action::Notify => "A mail was sent",
        Action::Throttle => "Instances are slowed down",
        Action::Suspend => "Running instances are paused",
        Action::Stop => "Instances are stopped",
    }
}

fn short(threshold: Threshold) -> String {
    let expected = if threshold.basis == Basis::Forecast { " expected" } else { "" };
    match threshold.action {
        Action::Notify => format!("{}\u{a0}%{expected}", threshold.percent),
        action => format!("{}\u{a0}%{expected} ({})", threshold.percent, action.as_str()),
    }
}

fn threshold_row(allowance: &Allowance, threshold: Threshold, month: &Month<'_>) -> ThresholdRow {
    let found = month.crossings.iter().find(|crossing| {
        (&crossing.name, crossing.revision) == (&allowance.name, allowance.revision)
            && crossing.threshold == threshold
    });
    let told = |crossing: &Crossing| {
        (month.clock.moment(crossing.crossed_at), with_unit(crossing.consumed, allowance.allowed))
    };
    ThresholdRow {
        percent: threshold.percent,
        basis: basis(threshold.basis),
        action: action(threshold.action),
        crossed: found.map(told),
    }
}

/// What the running month has of it. `None`: it is in another currency.
fn consumed(allowed: Allowed, draft: &Draft) -> Option<Consumed> {
    let document = &draft.document;
    match allowed {
        Allowed::Money(money) if money.currency() != document.total.currency() => None,
        Allowed::Money(_) => Some(Consumed::money(document.total)),
        Allowed::Quantity(meter, _) => {
            let lines = document.lines.iter().filter(|line| line.meter == Some(meter));
            let unpriced = document.unpriced.iter().filter(|usage| usage.meter == meter);
            let sum = lines.map(|line| line.base_quantity).chain(unpriced.map(|usage| usage.base_quantity));
            Some(Consumed::base_units(sum.fold(0, u128::saturating_add)))
        }
    }
}

fn figure(consumed: Consumed, allowed: Allowed) -> Figure {
    let percent = percent(consumed, allowed);
    Figure {
        text: with_unit(consumed.figure(allowed), allowed),
        percent: match percent {
            PERCENT_SHOWN_MAX => format!("over {PERCENT_SHOWN_MAX}\u{a0}%"),
            percent => format!("{percent}\u{a0}%"),
        },
        filled: percent.min(100),
        level: match percent {
            100.. => "bad",
            WARN_PERCENT.. => "warn",
            _ => "",
        },
    }
}

/// Rounded down, but never below a whole percentage that is reached.
fn percent(consumed: Consumed, allowed: Allowed) -> u32 {
    let share = consumed.figure(allowed).checked_mul(Decimal::ONE_HUNDRED);
    let share = share.and_then(|share| share.checked_div(allowed.figure()));
    let percent = share.and_then(|share| share.floor().to_u32()).unwrap_or(PERCENT_SHOWN_MAX);
    let percent = percent.min(PERCENT_SHOWN_MAX);
    if percent < PERCENT_SHOWN_MAX && consumed.reaches(allowed, percent + 1) { percent + 1 } else { percent }
}

fn with_unit(figure: Decimal, allowed: Allowed) -> String {
    match allowed {
        Allowed::Money(money) => {
            let decimals = money.currency().exponent();
            format!("{}\u{a0}{}", reports::figures::grouped(figure, decimals), money.currency())
        }
        Allowed::Quantity(..) => format!("{}\u{a0}{}", show::quantity(figure, 3), allowed.unit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metering::MeterName;

    #[test]
    fn what_is_used_is_never_shown_as_less_than_a_percentage_that_it_reached() {
        let meter = MeterName::parse("cpu_ns").unwrap();
        let three = Allowed::Quantity(meter, Decimal::from(3));
        // A third of three hours is one hour, which six decimals cannot show of less.
        let check = |base: u128, expected: &str, level: &str| {
            let found = figure(Consumed::base_units(base), three);
            assert_eq!((found.percent.as_str(), found.level), (expected, level), "{base}");
        };
        let hour = 3_600_000_000_000;
        check(0, "0\u{a0}%", "");
        check(3 * hour * 8 / 10, "80\u{a0}%", "warn");
        check(3 * hour * 8 / 10 - 1, "79\u{a0}%", "");
        check(3 * hour, "100\u{a0}%", "bad");
        check(3 * hour - 1, "99\u{a0}%", "warn");
        check(u128::MAX, "over 9999\u{a0}%", "bad");
    }
}
