//! The period in pieces: within a segment, nothing changes but the hour of the day (one version, one trial or none, one
//! tax); within a piece, not even that. It reads no usage.

use jiff::Timestamp;
use metering::{UsageRecord, Window};

use super::quantity::divide_half_even;
use super::{RatingError, RatingInput};
use crate::plan::{PlanVersion, PricePlan};

/// A part of the period with lines of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) window: Window,
    pub(super) version: &'a PlanVersion,
    /// Its number among the version's segments, from 1.
    pub(super) ordinal: u16,
    /// Whether the version's trial goes on.
    pub(super) is_trial: bool,
}

/// A part of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) window: Window,
    pub(super) segment: usize,
}

/// The period as a whole.
#[derive(Clone, Debug)]
pub(super) struct Period<'a> {
    pub(super) window: Window,
    pub(super) segments: OneOrMore<Segment<'a>>,
    pub(super) pieces: OneOrMore<Piece>,
}

/// Mostly one, which then lies here and not elsewhere: a piece of memory of its own costs as much as a line.
#[derive(Clone, Debug)]
pub(super) enum OneOrMore<T> {
    One([T; 1]),
    More(Vec<T>),
}

impl<T> std::ops::Deref for OneOrMore<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::One(one) => one,
            Self::More(more) => more,
        }
    }
}

impl<'a> Period<'a> {
    pub(super) fn of(input: &RatingInput<'a>) -> Result<Self, RatingError> {
        let RatingInput { plan, period, taxation, .. } = *input;
        let segments = segments(plan, period, taxation.cuts(period))?;
        let mut cuts = plan.cuts(period);
        if cuts.is_empty() && segments.len() == 1 {
            let pieces = OneOrMore::One([Piece { window: period, segment: 0 }]);
            return Ok(Self { window: period, segments, pieces });
        }
        cuts.extend(segments.iter().skip(1).map(|segment| segment.window.start()));
        let pieces = period
            .split_at(&cuts)
            .into_iter()
            .map(|window| Piece {
                window,
                segment: segments.partition_point(|segment| segment.window.end() <= window.start()),
            })
            .collect();
        Ok(Self { window: period, segments, pieces: OneOrMore::More(pieces) })
    }

    /// The number of the piece in which `record` lies as a whole.
    pub(super) fn place(&self, record: &UsageRecord) -> Result<usize, RatingError> {
        let (window, period) = (record.window, self.window);
        if let [piece] = &*self.pieces
            && piece.window.start() <= window.start()
            && window.end() <= piece.window.end()
        {
            return Ok(0);
        }
        let number = self.pieces.partition_point(|piece| piece.window.end() <= window.start());
        let is_inside = period.start() <= window.start() && window.end() <= period.end();
        let (meter, resource) = (record.meter, || record.resource_name.clone());
        match self.pieces.get(number) {
            Some(piece) if is_inside && window.end() <= piece.window.end() => Ok(number),
            Some(piece) if is_inside => {
                let cut = piece.window.end();
                Err(RatingError::AcrossVersions { meter, resource: resource(), window, cut })
            }
            _ => Err(RatingError::OutsidePeriod { meter, resource: resource(), window, period }),
        }
    }

    /// The part of `whole` (not negative) that falls upon a segment by its time, half to even. The parts of adjacent
    /// segments add up: each is the difference of two figures that were rounded once.
    pub(super) fn prorated(&self, whole: i128, segment: usize) -> Option<i128> {
        let window = self.segments.get(segment)?.window;
        let all = u128::from(self.window.microseconds().unsigned_abs());
        let until = |at: Timestamp| {
            let elapsed = at.as_microsecond() - self.window.start().as_microsecond();
            let scaled = whole.unsigned_abs().checked_mul(u128::from(elapsed.unsigned_abs()))?;
            i128::try_from(divide_half_even(scaled, all)).ok()
        };
        Some(until(window.end())? - until(window.start())?)
    }
}

fn segments<'a>(
    plan: &'a PricePlan,
    period: Window,
    tax_cuts: Vec<Timestamp>,
) -> Result<OneOrMore<Segment<'a>>, RatingError> {
    let mut cuts = tax_cuts;
    for version in plan.versions() {
        let at = [Some(version.starts_at()), plan.trial_end(version)];
        cuts.extend(at.into_iter().flatten().filter(|at| period.start() < *at && *at < period.end()));
    }
    if cuts.is_empty() {
        return Ok(OneOrMore::One([segment(plan, period, None)?]));
    }
    let mut segments = Vec::<Segment<'a>>::new();
    for window in period.split_at(&cuts) {
        segments.push(segment(plan, window, segments.last())?);
    }
    Ok(OneOrMore::More(segments))
}

/// The segment of a window in which nothing changes, after the one `before` it.
fn segment<'a>(
    plan: &'a PricePlan,
    window: Window,
    before: Option<&Segment<'a>>,
) -> Result<Segment<'a>, RatingError> {
    let Some(version) = plan.version_at(window.start()) else {
        return Err(RatingError::NoPrices {
            plan: plan.name().to_owned(),
            start: window.start(),
            // A plan has at least one version.
            first: plan.versions().first().map_or(window.end(), PlanVersion::starts_at),
        });
    };
    let before = before.filter(|segment| segment.version.from() == version.from());
    Ok(Segment {
        window,
        version,
        ordinal: before.map_or(1, |segment| segment.ordinal + 1),
        is_trial: plan.trial_end(version).is_some_and(|end| window.start() < end),
    })
}
