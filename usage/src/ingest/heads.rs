//! The neighbours of a batch's readings: what lies between a resource's previous reading and its next one must be
//! derived again. It keeps the head rows, which know the neighbours while readings come in order. It does NOT derive.

use std::collections::BTreeMap;

use jiff::Timestamp;
use metering::{Epoch, EpochId, InstanceState, ResourceKind};
use migrations::Transaction;
use uuid::Uuid;

use super::facts::begins;
use super::known::{Head, Key};
use super::marks::{MarkKind, Marks};
use super::rates::Registers;
use super::screen::Screened;
use crate::error::UsageError;

/// What a batch has read of one of them. Of several lives in one batch that comes late, the last one's going on is looked
/// up: the others ended in it.
#[derive(Clone, Copy, Debug)]
struct Touch {
    /// The first instant at which the first reading may show usage.
    begins: Timestamp,
    first: Timestamp,
    last: Timestamp,
    is_gone: bool,
    /// The life and registers of the last reading.
    epoch: EpochId,
    registers: Registers,
}

/// Marks what a batch's readings and gaps change, then brings the heads up to date.
pub(super) async fn write(
    transaction: &Transaction<'_>,
    screened: &Screened<'_>,
    heads: &BTreeMap<Key, Head>,
    marks: &mut Marks,
) -> Result<(), UsageError> {
    let touches = touches(screened);
    let gaps = gaps(screened);
    let gaps = gaps.iter().filter(|(key, _)| heads.contains_key(key)).map(|(key, touch)| (key, *touch));
    let mut late: BTreeMap<&'static str, Vec<(&Key, Touch)>> = BTreeMap::new();
    for (key, touch) in touches.iter().map(|(key, touch)| (key, *touch)).chain(gaps) {
        match heads.get(key) {
            // Its very first readings.
            None => marks.add(mark_kind(key), key.0, touch.begins, touch.last),
            // In order, as nearly always.
            Some(head) if head.last < touch.first => {
                marks.add(mark_kind(key), key.0, head.last, touch.last);
            }
            Some(_) => late.entry(key.1).or_default().push((key, touch)),
        }
    }
    for (kind, late) in late {
        mark_late(transaction, kind, &late, marks).await?;
    }
    put(transaction, &touches).await
}

fn mark_kind(key: &Key) -> MarkKind {
    if key.1 == ResourceKind::Volume.as_str() { MarkKind::Volume } else { MarkKind::Instance }
}

fn touches(screened: &Screened<'_>) -> BTreeMap<Key, Touch> {
    let mut touches: BTreeMap<Key, Touch> = BTreeMap::new();
    let mut add = |key: Key, epoch: Epoch, at: Timestamp, is_gone: bool, registers: Registers| {
        let (begins, epoch) = (begins(at, epoch), epoch.id);
        let fresh = Touch { begins, first: at, last: at, is_gone, epoch, registers };
        let touch = touches.entry(key).or_insert(fresh);
        touch.begins = touch.begins.min(begins);
        touch.first = touch.first.min(at);
        if touch.last <= at {
            touch.is_gone = is_gone || (touch.is_gone && touch.last == at);
            touch.last = at;
            (touch.epoch, touch.registers) = (epoch, registers);
        }
    };
    for r in &screened.instances {
        let key = (r.instance_id.uuid(), ResourceKind::Instance.as_str(), String::new());
        let n = r.registers;
        let registers = [n.cpu_ns, n.running_ms, n.vcpu_ms, n.memory_kib_s];
        add(key, r.epoch, r.observed_at, r.state == InstanceState::Gone, registers);
    }
    for r in &screened.disks {
        let key = (r.instance_id.uuid(), ResourceKind::Disk.as_str(), r.target.clone());
        let n = r.registers;
        add(key, r.epoch, r.observed_at, false, [n.read_bytes, n.write_bytes, n.read_ops, n.write_ops]);
    }
    for r in &screened.nics {
        let key = (r.instance_id.uuid(), ResourceKind::Nic.as_str(), r.mac.clone());
        let n = r.registers;
        add(key, r.epoch, r.observed_at, false, [n.rx_bytes, n.tx_bytes, n.rx_packets, n.tx_packets]);
    }
    for r in &screened.volumes {
        let key = (r.volume_id.uuid(), ResourceKind::Volume.as_str(), String::new());
        add(key, r.epoch, r.observed_at, !r.exists, [r.registers.provisioned_kib_s, 0, 0, 0]);
    }
    touches
}

/// Gaps of instances: they change whether a device without readings counts as off. A device may be a disk or a NIC.
fn gaps(screened: &Screened<'_>) -> Vec<(Key, Touch)> {
    let mut touches = Vec::new();
    for gap in &screened.gaps {
        let Some(instance_id) = gap.instance_id else {
            continue;
        };
        let Some(span) = screened.bounds.and_then(|bounds| bounds.intersection(gap.span)) else {
            continue;
        };
        let (first, last) = (span.start(), span.end());
        let (epoch, registers) = (EpochId::NONE, [0; 4]);
        let touch = Touch { begins: first, first, last, is_gone: false, epoch, registers };
        let id = instance_id.uuid();
        touches.push(((id, ResourceKind::Instance.as_str(), String::new()), touch));
        if let Some(device) = &gap.device {
            touches.push(((id, ResourceKind::Disk.as_str(), device.clone()), touch));
            touches.push(((id, ResourceKind::Nic.as_str(), device.clone()), touch));
        }
    }
    touches
}

/// Marks what readings change that come after later ones: their neighbours are looked up.
async fn mark_late(
    transaction: &Transaction<'_>,
    kind: &'static str,
    late: &[(&Key, Touch)],
    marks: &mut Marks,
) -> Result<(), UsageError> {
    let text = match kind {
        "instance" => sql!("neighbours_instance"),
        "disk" => sql!("neighbours_disk"),
        "nic" => sql!("neighbours_nic"),
        _ => sql!("neighbours_volume"),
    };
    let resources: Vec<Uuid> = late.iter().map(|(key, _)| key.0).collect();
    let devices: Vec<&str> = late.iter().map(|(key, _)| key.2.as_str()).collect();
    let firsts: Vec<Timestamp> = late.iter().map(|(_, touch)| touch.first).collect();
    let lasts: Vec<Timestamp> = late.iter().map(|(_, touch)| touch.last).collect();
    let epochs: Vec<i64> = late.iter().map(|(_, touch)| touch.epoch.as_i64()).collect();
    let statement = transaction.prepare_cached(text).await?;
    let rows = transaction.query(&statement, &[&resources, &devices, &firsts, &lasts, &epochs]).await?;
    for row in rows {
        let n: i64 = row.try_get("n")?;
        // WITH ORDINALITY counts from one.
        let Some((key, touch)) = usize::try_from(n - 1).ok().and_then(|n| late.get(n)) else {
            continue;
        };
        let before: Option<Timestamp> = row.try_get("before")?;
        let after: Option<Timestamp> = row.try_get("after")?;
        let again: Option<Timestamp> = row.try_get("again")?;
        let start = before.unwrap_or(touch.begins);
        let end = after.into_iter().chain(again).fold(touch.last, Timestamp::max);
        marks.add(mark_kind(key), key.0, start, end);
    }
    Ok(())
}

async fn put(transaction: &Transaction<'_>, touches: &BTreeMap<Key, Touch>) -> Result<(), UsageError> {
    if touches.is_empty() {
        return Ok(());
    }
    let resources: Vec<Uuid> = touches.keys().map(|key| key.0).collect();
    let kinds: Vec<&str> = touches.keys().map(|key| key.1).collect();
    let devices: Vec<&str> = touches.keys().map(|key| key.2.as_str()).collect();
    let firsts: Vec<Timestamp> = touches.values().map(|touch| touch.first).collect();
    let lasts: Vec<Timestamp> = touches.values().map(|touch| touch.last).collect();
    let gone: Vec<bool> = touches.values().map(|touch| touch.is_gone).collect();
    let epochs: Vec<i64> = touches.values().map(|touch| touch.epoch.as_i64()).collect();
    // Screening has refused what does not fit.
    let register = |n: usize| -> Vec<i64> {
        touches.values().map(|touch| i64::try_from(touch.registers[n]).unwrap_or(i64::MAX)).collect()
    };
    let registers = [register(0), register(1), register(2), register(3)];
    let statement = transaction.prepare_cached(sql!("put_heads")).await?;
    transaction
        .execute(
            &statement,
            &[
                &resources,
                &kinds,
                &devices,
                &firsts,
                &lasts,
                &gone,
                &epochs,
                &registers[0],
                &registers[1],
                &registers[2],
                &registers[3],
            ],
        )
        .await?;
    Ok(())
}
