//! What is rated, and how long it takes beside a bare multiply-and-add of the same decimals. It needs nothing but billing, so
//! that a small program can measure it alone (`billing/examples/rating_speed.rs`).

use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use billing::rating::Metered;
use billing::{PricePlan, RatingInput, Taxation, period, rate};
use jiff::tz::TimeZone;
use metering::{
    Coverage, Dimensions, InstanceId, Resource, ResourceKind, UsageRecord, VolumeId, Window, catalog,
};
use rust_decimal::{Decimal, RoundingStrategy};
use uuid::Uuid;

/// Tiers of each price, all of which are filled.
const TIERS: usize = 4;

/// Where all but the last of them end.
const BORDERS: [Decimal; TIERS - 1] = [
    Decimal::from_parts(10, 0, 0, false, 0),
    Decimal::from_parts(505, 0, 0, false, 1),
    Decimal::from_parts(250, 0, 0, false, 0),
];

/// A plan, a month, and what one tenant used in it.
pub struct Work {
    plan: PricePlan,
    usage: Vec<UsageRecord>,
    period: Window,
    taxation: Taxation,
}

/// Nanoseconds for each priced quantity, which has a line in each of its four tiers, of one round.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Four multiplications and additions, with the tiers' borders known, and one rounding. No record is looked at: beside it
    /// stands what begins with a quantity.
    pub bare_ns: f64,
    /// The same with the quantity's tiers walked, in decimals: what stood at 83 ns when the goal was set. It knows price and borders
    /// beforehand, and keeps nothing but the sum.
    pub walked_ns: f64,
    /// The bare loop after the usage records' quantities have been added up, as whole numbers of 64 bits: a bare program that is given
    /// what rating is given cannot do without. It knows by their place of which meter they are, so it looks for nothing, and it
    /// converts no units.
    pub added_ns: f64,
    /// Pricing alone: from a quantity that was gathered to its four lines, each with a rounded amount and what explains it.
    pub priced_ns: f64,
    /// Rating as a whole, from usage records to sums and taxes.
    pub rated_ns: f64,
}

impl Work {
    /// Every meter is sold in four graduated tiers, and used into the last of them by so many instances together.
    pub fn new(instances: u32) -> Self {
        let mut text = "name = \"speed\"\ncurrency = \"EUR\"\ntime_zone = \"UTC\"\n[tax]\nname = \"VAT\"\nrate = \"0.19\"\n\
                        [[version]]\nfrom = \"2026-01-01\"\n"
            .to_owned();
        for (number, meter) in catalog().iter().enumerate() {
            let price = |tier: usize| format!("0.0{}{}7", 9 - tier * 2, number % 10);
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "[[version.rate_card]]\nmeter = \"{}\"\ngraduated = [\n{{ up_to = \"{}\", unit_price = \"{}\" }},\n\
                 {{ up_to = \"{}\", unit_price = \"{}\" }},\n{{ up_to = \"{}\", unit_price = \"{}\" }},\n\
                 {{ unit_price = \"{}\" }}]",
                meter.name,
                BORDERS[0],
                price(0),
                BORDERS[1],
                price(1),
                BORDERS[2],
                price(2),
                price(3)
            );
        }
        let plan = PricePlan::parse("speed.toml", text.as_bytes()).expect("the plan above is right");
        let period = period::month("2026-10", &TimeZone::UTC).expect("October is a month");
        let taxation = plan.tax().map_or_else(|| Taxation::by_class(Vec::new()), Taxation::fixed);
        let usage = (1..=instances).flat_map(|instance| records(instance, instances, period)).collect();
        Self { plan, usage, period, taxation }
    }

    /// Lines of one rating.
    ///
    /// # Panics
    /// What was made above cannot be rated.
    pub fn lines(&self) -> usize {
        self.decimals().len()
    }

    /// All five in turn, each for about `length`.
    ///
    /// # Panics
    /// What was made above cannot be rated.
    pub fn round(&self, length: Duration) -> Round {
        let decimals = self.decimals();
        let quantities = decimals.len() as f64 / TIERS as f64;
        let bare = each(length, || multiply(black_box(&decimals)));
        let wholes: Vec<(Decimal, &[(Decimal, Decimal)])> = decimals
            .chunks(TIERS)
            .map(|tiers| (tiers.iter().map(|(quantity, _)| quantity).sum(), tiers))
            .collect();
        let walked = each(length, || walk(black_box(&wholes)));
        let mut sums = vec![0_u64; decimals.len() / TIERS];
        let added = each(length, || {
            sums.fill(0);
            // The records of each instance come in the order of the sums.
            for records in black_box(&self.usage).chunks(sums.len()) {
                sums.iter_mut().zip(records).for_each(|(sum, record)| *sum += record.quantity);
            }
            black_box(&sums);
            multiply(black_box(&decimals));
        });
        let metered = Metered::of(&self.input()).expect("what was made above can be gathered");
        let priced = each(length, || {
            black_box(black_box(&metered).lines().expect("what was made above can be priced"));
        });
        let rated = each(length, || {
            black_box(rate(&black_box(self.input())).expect("what was made above can be rated"));
        });
        let [bare_ns, walked_ns, added_ns, priced_ns, rated_ns] =
            [bare, walked, added, priced, rated].map(|ns| ns / quantities);
        Round { bare_ns, walked_ns, added_ns, priced_ns, rated_ns }
    }

    fn input(&self) -> RatingInput<'_> {
        RatingInput {
            plan: &self.plan,
            usage: &self.usage,
            samples: &[],
            period: self.period,
            exchange: None,
            taxation: &self.taxation,
        }
    }

    /// What the lines multiply.
    fn decimals(&self) -> Vec<(Decimal, Decimal)> {
        let rating = rate(&self.input()).expect("what was made above can be rated");
        rating.lines().map(|line| (line.quantity, line.unit_price)).collect()
    }
}

/// The bare loop.
fn multiply(decimals: &[(Decimal, Decimal)]) {
    for tiers in decimals.chunks(TIERS) {
        let mut sum = Decimal::ZERO;
        for (quantity, unit_price) in tiers {
            sum += *quantity * *unit_price;
        }
        black_box(sum.round_dp_with_strategy(6, RoundingStrategy::MidpointNearestEven));
    }
}

/// The bare loop that finds out how much falls into which tier. Each quantity comes with its tiers, of which it takes the prices.
fn walk(wholes: &[(Decimal, &[(Decimal, Decimal)])]) {
    for (whole, tiers) in wholes {
        let (mut sum, mut from) = (Decimal::ZERO, Decimal::ZERO);
        for (border, (_, unit_price)) in BORDERS.iter().map(Some).chain([None]).zip(*tiers) {
            let until = border.map_or(*whole, |border| (*border).min(*whole));
            if until <= from {
                break;
            }
            sum += (until - from) * *unit_price;
            from = until;
        }
        black_box(sum.round_dp_with_strategy(6, RoundingStrategy::MidpointNearestEven));
    }
}

/// Nanoseconds of one call.
fn each(length: Duration, mut work: impl FnMut()) -> f64 {
    // Looking at the clock costs as much as a line: only every so often.
    const CALLS: u32 = 200;
    let (begin, mut calls) = (Instant::now(), 0.0);
    while begin.elapsed() < length {
        for _ in 0..CALLS {
            work();
        }
        calls += f64::from(CALLS);
    }
    begin.elapsed().as_nanos() as f64 / calls
}

/// What one instance and its volume used in a month: 300 units and a bit for all together.
fn records(instance: u32, instances: u32, window: Window) -> impl Iterator<Item = UsageRecord> {
    let id = Uuid::from_u128(u128::from(instance));
    let coverage = Coverage { measured_us: window.microseconds().unsigned_abs(), ..Coverage::default() };
    catalog().iter().enumerate().map(move |(number, meter)| UsageRecord {
        resource: match meter.resource {
            ResourceKind::Instance => Resource::Instance(InstanceId::from_uuid(id)),
            ResourceKind::Disk => Resource::Disk(InstanceId::from_uuid(id), "vda".to_owned()),
            ResourceKind::Nic => Resource::Nic(InstanceId::from_uuid(id), "52:54:00:00:00:01".to_owned()),
            ResourceKind::Volume => Resource::Volume(VolumeId::from_uuid(id)),
        },
        resource_name: format!("instance-{instance}"),
        meter: meter.id(),
        window,
        quantity: meter.priced_unit.base_units / u64::from(instances) * (301 + number as u64)
            + u64::from(instance) * 7_919,
        coverage,
        dimensions: Dimensions::default(),
    })
}
