//! What Weir says about the guests: read, used, invoiced; taken from its JSON and added up per guest and meter.
//!
//! Adding up is all that is done here: a figure that Weir does not give stays absent.

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Records;
use super::invoices::Issued;
use super::records::GuestRecord;
use super::truths::{METERS, Meter};
use super::weir::Weir;

/// One guest and meter, at the three places.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) read: Option<u64>,
    pub(super) used: Option<u64>,
    pub(super) invoiced: Option<u64>,
    /// Time that the usage records call missing, ms.
    pub(super) missing_ms: u64,
}

/// All claims, by guest (in the order of the records) and meter (in the order of [`METERS`]).
#[derive(Debug, Default)]
pub(super) struct Claims(pub(super) Vec<Vec<Claim>>);

/// `weir reading show`
#[derive(Debug, Deserialize)]
struct Readings {
    instance: Vec<Epoch>,
    disks: Vec<Epoch>,
    nics: Vec<Epoch>,
    volumes: Vec<Epoch>,
}

#[derive(Debug, Deserialize)]
struct Epoch {
    #[serde(default)]
    device: Option<String>,
    last: Map<String, Value>,
}

/// `weir usage show`
#[derive(Debug, Deserialize)]
struct Usage {
    records: Vec<UsageRecord>,
}

#[derive(Debug, Clone, Deserialize)]
struct UsageRecord {
    resource: String,
    #[serde(default)]
    instance_id: Option<String>,
    #[serde(default)]
    device: Option<String>,
    meter: String,
    quantity: u64,
    #[serde(default)]
    missing_ms: u64,
}

impl Claims {
    /// Asks Weir for everything.
    pub(super) fn collect(
        weir: &Weir,
        records: &Records,
        from: Timestamp,
        to: Timestamp,
        invoices: &[Issued],
    ) -> Result<Self> {
        let (from, to) = (from.to_string(), to.to_string());
        let span = ["--from", from.as_str(), "--to", to.as_str()];
        let mut usage: BTreeMap<&str, Vec<UsageRecord>> = BTreeMap::new();
        let mut all = Vec::new();
        for record in records {
            let tenant = record.plan.tenant;
            if !usage.contains_key(tenant) {
                let answer: Usage =
                    weir.ask(&[&["usage", "show", "--tenant", tenant], span.as_slice()].concat())?;
                usage.insert(tenant, answer.records);
            }
            let readings: Readings =
                weir.ask(&[&["reading", "show", &record.instance_id], span.as_slice()].concat())?;
            let used = usage.get(tenant).map_or(&[][..], Vec::as_slice);
            let invoice = invoices.iter().find(|issued| issued.invoice.tenant == tenant);
            all.push(METERS.iter().map(|meter| claim(record, *meter, &readings, used, invoice)).collect());
        }
        Ok(Self(all))
    }
}

fn claim(
    record: &GuestRecord,
    meter: Meter,
    readings: &Readings,
    used: &[UsageRecord],
    invoice: Option<&Issued>,
) -> Claim {
    let volumes: Vec<&str> = record.volumes.iter().map(|volume| volume.volume.as_str()).collect();
    let is_own_volume = |device: &str| volumes.iter().any(|volume| same_volume(volume, device));
    let is_volume = meter.resource == "volume";
    let own_usage = used.iter().filter(|usage| {
        usage.resource == meter.resource
            && usage.meter == meter.name
            && if is_volume {
                usage.device.as_deref().is_some_and(is_own_volume)
            } else {
                usage.instance_id.as_deref() == Some(&record.instance_id)
            }
    });
    let own_shares = invoice.into_iter().flat_map(|issued| &issued.invoice.instances).filter(|share| {
        share.meter == meter.name
            && if is_volume {
                is_own_volume(&share.name) || share.instance_id.as_deref() == Some(&record.instance_id)
            } else {
                share.instance_id.as_deref() == Some(&record.instance_id)
            }
    });
    Claim {
        read: read(readings, meter, is_own_volume),
        used: sum(own_usage.clone().map(|usage| usage.quantity)),
        invoiced: sum(own_shares.map(|share| share.base_quantity)),
        missing_ms: own_usage.map(|usage| usage.missing_ms).sum(),
    }
}

/// The last reading of every epoch, added up: each was born at zero within the period.
fn read(readings: &Readings, meter: Meter, is_own_volume: impl Fn(&str) -> bool) -> Option<u64> {
    let epochs = match meter.resource {
        "instance" => &readings.instance,
        "disk" => &readings.disks,
        "nic" => &readings.nics,
        _ => &readings.volumes,
    };
    let own = epochs
        .iter()
        .filter(|epoch| meter.resource != "volume" || epoch.device.as_deref().is_none_or(&is_own_volume));
    sum(own.filter_map(|epoch| epoch.last.get(meter.register)?.as_u64()))
}

/// None of nothing: absent is not zero.
fn sum(quantities: impl Iterator<Item = u64>) -> Option<u64> {
    quantities.reduce(|sum, quantity| sum.saturating_add(quantity))
}

/// `pool/name`, or the name alone.
fn same_volume(one: &str, other: &str) -> bool {
    let name = |volume: &str| volume.rsplit('/').next().unwrap_or_default().to_owned();
    if one.contains('/') && other.contains('/') { one == other } else { name(one) == name(other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings() -> Readings {
        serde_json::from_str(
            r#"{"instance": [{"epoch": "a", "born_at": "x", "first": {"cpu_ns": 1}, "last": {"observed_at": "t", "cpu_ns": 5}},
                             {"epoch": "b", "last": {"observed_at": "t", "cpu_ns": 7}}],
                "disks": [{"device": "vda", "last": {"read_bytes": 1}}, {"device": "vda", "last": {"read_bytes": 2}},
                          {"device": "vdb", "last": {}}],
                "nics": [], "volumes": [{"device": "p/own", "last": {"provisioned_kib_s": 3}},
                                        {"device": "p/other", "last": {"provisioned_kib_s": 100}}]}"#,
        )
        .unwrap()
    }

    #[test]
    fn what_was_read_is_the_sum_of_the_epochs_ends() {
        let check = |name: &str, expected| {
            let meter = METERS.iter().find(|meter| meter.name == name).unwrap();
            assert_eq!(read(&readings(), *meter, |device| same_volume("own", device)), expected, "{name}");
        };
        check("cpu_ns", Some(12));
        check("disk_read_bytes", Some(3));
        check("provisioned_kib_s", Some(3));
        check("disk_write_bytes", None);
        check("net_rx_bytes", None);
    }

    #[test]
    fn volumes_are_the_same_by_pool_and_name() {
        for (one, other, same) in
            [("a/b", "a/b", true), ("a/b", "c/b", false), ("a/b", "b", true), ("a/b", "a", false)]
        {
            assert_eq!(same_volume(one, other), same, "{one} {other}");
        }
    }
}
