//! Plans and usage in a few words, for the tables of the tests.

use std::future::Future;

use billing::store::invoices::StoreError;
use billing::{PricePlan, Rating, RatingError, RatingInput, Taxation};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use metering::{
    Coverage, Dimensions, InstanceId, MeterName, Resource, ResourceKind, UsageRecord, VolumeId, Window,
};
use uuid::Uuid;

/// A plan from lines such as `currency JPY`, `zone Europe/Berlin`, `tax 0.07`, `version 2026-10-15`, `cpu_ns 0.04`,
/// `cpu_ns 0.04 included 10`. Not said: EUR, UTC, 0.19, and a version from 2026-01-01.
pub fn plan(text: &str) -> PricePlan {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let said = |key: &str, default: &str| {
        let value = lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        value.unwrap_or(default).to_owned()
    };
    let (currency, zone, tax) = (said("currency", "EUR"), said("zone", "UTC"), said("tax", "0.19"));
    let mut toml = format!(
        "name = \"test\"\ncurrency = \"{currency}\"\ntime_zone = \"{zone}\"\n[tax]\nname = \"VAT\"\nrate = \"{tax}\"\n"
    );
    if !lines().any(|line| line.starts_with("version ")) {
        toml += "[[version]]\nfrom = \"2026-01-01\"\n";
    }
    for line in lines() {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["currency" | "zone" | "tax", _] => {}
            ["version", from] => toml += &format!("[[version]]\nfrom = \"{from}\"\n"),
            [meter, price] => toml += &card(meter, price, "0"),
            [meter, price, "included", included] => toml += &card(meter, price, included),
            _ => panic!("no line of a plan: {line}"),
        }
    }
    PricePlan::parse("test.toml", toml.as_bytes()).unwrap_or_else(|errors| panic!("{errors}\n{toml}"))
}

fn card(meter: &str, price: &str, included: &str) -> String {
    format!(
        "[[version.rate_card]]\nmeter = \"{meter}\"\nunit_price = \"{price}\"\nincluded = \"{included}\"\n"
    )
}

/// Usage from lines such as `web cpu_ns 2026-10-01T00 3600000000000`: so much in one hour of UTC.
pub fn usage(text: &str) -> Vec<UsageRecord> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| {
            let [name, meter, hour, quantity] = line.split_whitespace().collect::<Vec<_>>()[..] else {
                panic!("no line of usage: {line}");
            };
            let start: Timestamp = format!("{hour}:00:00Z").parse().unwrap();
            let hour = Window::new(start, start + jiff::SignedDuration::from_hours(1)).unwrap();
            record(name, MeterName::parse(meter).unwrap(), hour, quantity.parse().unwrap())
        })
        .collect()
}

/// One record, all measured. The same name is the same resource.
pub fn record(name: &str, meter: MeterName, window: Window, quantity: u64) -> UsageRecord {
    let id = Uuid::from_u128(name.bytes().fold(1, |id, byte| id * 257 + u128::from(byte)));
    let resource = match meter.meter().resource {
        ResourceKind::Instance => Resource::Instance(InstanceId::from_uuid(id)),
        ResourceKind::Disk => Resource::Disk(InstanceId::from_uuid(id), "vda".to_owned()),
        ResourceKind::Nic => Resource::Nic(InstanceId::from_uuid(id), "52:54:00:00:00:01".to_owned()),
        ResourceKind::Volume => Resource::Volume(VolumeId::from_uuid(id)),
    };
    UsageRecord {
        resource,
        resource_name: name.to_owned(),
        meter,
        window,
        quantity,
        coverage: Coverage { measured_us: window.microseconds().unsigned_abs(), ..Coverage::default() },
        dimensions: Dimensions::default(),
    }
}

/// Rates usage in the plan's currency and with its own tax.
pub fn rate<'a>(
    plan: &'a PricePlan,
    usage: &'a [UsageRecord],
    period: Window,
) -> Result<Rating<'a>, RatingError> {
    let tax = plan.tax().expect("plans of tests have a tax");
    let taxation = Box::leak(Box::new(Taxation::fixed(tax)));
    billing::rate(&RatingInput { plan, usage, samples: &[], period, exchange: None, taxation })
}

/// October 2026 in UTC.
pub fn october() -> Window {
    billing::period::month("2026-10", &TimeZone::UTC).unwrap()
}

/// An instant after October.
pub fn november() -> Timestamp {
    "2026-11-02T09:00:00Z".parse().unwrap()
}

/// Does it until the connection lives long enough.
pub async fn insist<T, F: Future<Output = Result<T, StoreError>>>(work: impl Fn() -> F) -> T {
    loop {
        match work().await {
            Ok(done) => return done,
            Err(error) if error.is_transient() => {}
            Err(error) => panic!("{error}: {error:?}"),
        }
    }
}
