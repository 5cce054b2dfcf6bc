//! What corrections do to a line, in the step of its resources: what was recorded, what each correction excludes or adds,
//! and what comes of it. It sums what `usage::why` found and decides nothing.

use metering::{MeterName, Window};
use usage::corrections::{Action, Correction};
use usage::why::{self, CorrectedUsage};

use super::super::figures::{self, Quantity};
use crate::show::{self, Clock, Moment};

/// The corrections of a line.
pub(super) struct CorrectionsView {
    pub recorded: Quantity,
    pub excluded: Option<Quantity>,
    pub added: Option<Quantity>,
    pub result: Quantity,
    pub rows: Vec<CorrectionRow>,
}

/// One of them.
pub(super) struct CorrectionRow {
    /// `Excluded`, `Added`, `Remark`.
    pub what: &'static str,
    /// How the word is shown.
    pub level: &'static str,
    pub resource: String,
    pub device: Option<String>,
    pub window: String,
    /// With its sign; nothing where it does nothing.
    pub effect: String,
    pub unit: &'static str,
    pub reason: String,
    pub author: String,
    pub at: Moment,
    pub withdrawn: Option<Withdrawn>,
}

/// That it does nothing any more.
pub(super) struct Withdrawn {
    pub reason: String,
    pub author: String,
    pub at: Moment,
}

/// `None`: nobody corrected anything. `name_of`: how a resource is called.
pub(super) fn view(
    found: &[CorrectedUsage],
    recorded: u128,
    meter: MeterName,
    clock: &Clock,
    name_of: impl Fn(&Correction) -> String,
) -> Option<CorrectionsView> {
    if found.is_empty() {
        return None;
    }
    let sum = |of: fn(&CorrectedUsage) -> u64| found.iter().map(|one| u128::from(of(one))).sum::<u128>();
    let (excluded, added) = (sum(|one| one.excluded), sum(|one| one.added));
    let shown = |base: u128| (0 < base).then(|| figures::quantity(base, meter));
    let mut view = CorrectionsView {
        recorded: figures::quantity(recorded, meter),
        excluded: shown(excluded),
        added: shown(added),
        result: figures::quantity(why::corrected(recorded, found), meter),
        rows: found.iter().map(|one| row(one, meter, clock, name_of(&one.correction))).collect(),
    };
    let column = [&mut view.recorded, &mut view.result];
    figures::align(column.into_iter().chain(&mut view.excluded).chain(&mut view.added));
    Some(view)
}

fn row(found: &CorrectedUsage, meter: MeterName, clock: &Clock, resource: String) -> CorrectionRow {
    let correction = &found.correction;
    let effect = match (found.excluded, found.added) {
        (0, 0) => String::new(),
        (excluded, 0) => format!("\u{2212}{}", show::whole(excluded.into())),
        (_, added) => format!("+{}", show::whole(added.into())),
    };
    let (what, level) = words(correction.action);
    CorrectionRow {
        what,
        level: if correction.withdrawn.is_some() { "gone" } else { level },
        resource,
        device: correction.resource.device().map(str::to_owned),
        window: span(correction.window, clock),
        effect,
        unit: meter.meter().unit.symbol(),
        reason: correction.reason.clone(),
        author: correction.author.clone(),
        at: clock.moment(correction.recorded_at),
        withdrawn: correction.withdrawn.as_ref().map(|withdrawn| Withdrawn {
            reason: withdrawn.reason.clone(),
            author: withdrawn.author.clone(),
            at: clock.moment(withdrawn.recorded_at),
        }),
    }
}

/// How an action is called, and how the word is coloured.
pub(in crate::pages) const fn words(action: Action) -> (&'static str, &'static str) {
    match action {
        Action::Annotate => ("Remark", ""),
        Action::Exclude => ("Excluded", "warn"),
        Action::Add(_) => ("Added", "good"),
    }
}

/// `2026-10-01, 14:00 to 16:00`, or its two instants.
pub(in crate::pages) fn span(window: Window, clock: &Clock) -> String {
    let (start, end) = (clock.date(window.start()), clock.date(window.end()));
    let zone = clock.zone();
    let (from, to) = (figures::clock(window.start(), zone), figures::clock(window.end(), zone));
    if start == end { format!("{start}, {from} to {to}") } else { format!("{start} {from} to {end} {to}") }
}
