//! What corrections do to usage. Pure. What is excluded counts nothing; what is added is spread evenly over its window
//! and floored like a register between two readings, so that pieces add up wherever they are cut.

use std::collections::BTreeSet;

use jiff::Timestamp;
use metering::{MeterName, Resource, Window};
use uuid::Uuid;

use crate::load;

/// A correction that changes usage and was not withdrawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) correction_id: Uuid,
    pub(crate) resource: Resource,
    pub(crate) meter: MeterName,
    pub(crate) window: Window,
    /// How much is added; `None`: what is recorded is excluded.
    pub(crate) added: Option<u64>,
}

/// Those of a tenant and period.
#[derive(Clone, Debug, Default)]
pub(crate) struct Effects(Vec<Effect>);

impl Effects {
    pub(crate) const fn new(all: Vec<Effect>) -> Self {
        Self(all)
    }

    /// The instances and volumes of which recorded usage is excluded.
    pub(crate) fn excluding(&self) -> impl Iterator<Item = Uuid> {
        self.0.iter().filter(|one| one.added.is_none()).map(|one| load::uuid_of(&one.resource))
    }

    /// The resources of which recorded usage of a meter is excluded, each once.
    pub(crate) fn excluded_resources(&self, meter: MeterName) -> BTreeSet<&Resource> {
        let of_meter = self.0.iter().filter(|one| one.added.is_none() && one.meter == meter);
        of_meter.map(|one| &one.resource).collect()
    }

    /// What adds usage.
    pub(crate) fn adding(&self) -> impl Iterator<Item = &Effect> {
        self.0.iter().filter(|one| one.added.is_some())
    }

    /// What excludes usage that is recorded in a window beginning at `at`: the first, if several do.
    pub(crate) fn excluded_by(
        &self,
        resource: &Resource,
        meter: MeterName,
        at: Timestamp,
    ) -> Option<&Effect> {
        self.0.iter().find(|one| {
            one.added.is_none() && one.meter == meter && one.window.contains(at) && one.resource == *resource
        })
    }
}

impl Effect {
    /// How much it adds to `piece`.
    pub(crate) fn added_in(&self, piece: Window) -> u64 {
        let (Some(quantity), Some(within)) = (self.added, self.window.intersection(piece)) else { return 0 };
        let length = i128::from(self.window.microseconds());
        let until = |at: Timestamp| {
            let passed = i128::from(at.as_microsecond() - self.window.start().as_microsecond());
            i128::from(quantity) * passed / length
        };
        // Not more than `quantity`, and not negative: a window ends after it starts.
        u64::try_from(until(within.end()) - until(within.start())).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use metering::InstanceId;
    use proptest::prelude::*;

    use super::*;

    fn at(us: i64) -> Timestamp {
        Timestamp::from_microsecond(1_790_000_000_000_000 + us).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_added_is_the_same_wherever_the_period_is_cut(
            quantity in 1_u64..u64::MAX, length in 1_i64..40_000_000_000,
            cuts in proptest::collection::vec(-1_000_i64..40_000_000_000, 0..9),
        ) {
            let effect = Effect {
                correction_id: Uuid::nil(),
                resource: Resource::Instance(InstanceId::from_uuid(Uuid::nil())),
                meter: MeterName::parse("cpu_ns").unwrap(),
                window: Window::new(at(0), at(length)).unwrap(),
                added: Some(quantity),
            };
            let whole = Window::new(at(-1_000_000), at(50_000_000_000)).unwrap();
            let cuts: Vec<Timestamp> = cuts.into_iter().map(at).collect();
            let sum: u128 = whole.split_at(&cuts).into_iter().map(|piece| u128::from(effect.added_in(piece))).sum();
            prop_assert_eq!(sum, u128::from(quantity));
        }
    }
}
