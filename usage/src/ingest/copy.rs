//! Readings into their tables, by binary COPY. It does NOT judge them: they were screened.

use std::pin::pin;

use jiff::Timestamp;
use metering::{BootId, NodeId};
use migrations::Transaction;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

use super::screen::Screened;
use crate::error::UsageError;

const BOOL: Type = Type::BOOL;
const INT: Type = Type::INT8;
const TEXT: Type = Type::TEXT;
const TIME: Type = Type::TIMESTAMPTZ;
const UUID: Type = Type::UUID;

const INSTANCE: [Type; 13] = [UUID, UUID, TIME, TIME, INT, TIME, INT, INT, INT, INT, INT, INT, TEXT];
const DISK: [Type; 13] = [UUID, UUID, TIME, TIME, INT, TIME, INT, INT, INT, INT, INT, TEXT, TEXT];
const NIC: [Type; 11] = [UUID, UUID, TIME, TIME, INT, TIME, INT, INT, INT, INT, TEXT];
const VOLUME: [Type; 9] = [UUID, UUID, TIME, TIME, INT, TIME, INT, INT, BOOL];
const NODE: [Type; 12] = [UUID, TIME, TIME, INT, INT, INT, INT, INT, INT, INT, INT, UUID];

/// One row for `COPY`, in the order of the columns.
type Row<'a, const N: usize> = [&'a (dyn ToSql + Sync); N];

/// Writes all readings of a batch.
pub(super) async fn write(
    transaction: &Transaction<'_>,
    node_id: NodeId,
    boot_id: BootId,
    screened: &Screened<'_>,
    received_at: Timestamp,
) -> Result<(), UsageError> {
    instances(transaction, node_id, screened, received_at).await?;
    disks(transaction, node_id, screened, received_at).await?;
    nics(transaction, node_id, screened, received_at).await?;
    volumes(transaction, node_id, screened, received_at).await?;
    node(transaction, node_id, boot_id, screened, received_at).await
}

async fn instances(
    transaction: &Transaction<'_>,
    node_id: NodeId,
    screened: &Screened<'_>,
    received_at: Timestamp,
) -> Result<(), UsageError> {
    if screened.instances.is_empty() {
        return Ok(());
    }
    let mut writer = pin!(start(transaction, sql!("copy_instance_reading"), &INSTANCE).await?);
    for reading in &screened.instances {
        let r = reading.registers;
        let row: Row<'_, 13> = [
            &reading.instance_id.uuid(),
            &node_id.uuid(),
            &reading.observed_at,
            &received_at,
            &reading.epoch.id.as_i64(),
            &reading.epoch.born_at,
            &i64::from(reading.vcpus),
            &big(reading.memory_kib),
            &big(r.cpu_ns),
            &big(r.running_ms),
            &big(r.vcpu_ms),
            &big(r.memory_kib_s),
            &reading.state.as_str(),
        ];
        writer.as_mut().write(&row).await?;
    }
    writer.finish().await?;
    Ok(())
}

async fn disks(
    transaction: &Transaction<'_>,
    node_id: NodeId,
    screened: &Screened<'_>,
    received_at: Timestamp,
) -> Result<(), UsageError> {
    if screened.disks.is_empty() {
        return Ok(());
    }
    let mut writer = pin!(start(transaction, sql!("copy_disk_reading"), &DISK).await?);
    for reading in &screened.disks {
        let r = reading.registers;
        let row: Row<'_, 13> = [
            &reading.instance_id.uuid(),
            &node_id.uuid(),
            &reading.observed_at,
            &received_at,
            &reading.epoch.id.as_i64(),
            &reading.epoch.born_at,
            &big(r.read_bytes),
            &big(r.write_bytes),
            &big(r.read_ops),
            &big(r.write_ops),
            &big(r.flush_ops),
            &reading.target,
            &reading.source,
        ];
        writer.as_mut().write(&row).await?;
    }
    writer.finish().await?;
    Ok(())
}

async fn nics(
    transaction: &Transaction<'_>,
    node_id: NodeId,
    screened: &Screened<'_>,
    received_at: Timestamp,
) -> Result<(), UsageError> {
    if screened.nics.is_empty() {
        return Ok(());
    }
    let mut writer = pin!(start(transaction, sql!("copy_nic_reading"), &NIC).await?);
    for reading in &screened.nics {
        let r = reading.registers;
        let row: Row<'_, 11> = [
            &reading.instance_id.uuid(),
            &node_id.uuid(),
            &reading.observed_at,
            &received_at,
            &reading.epoch.id.as_i64(),
            &reading.epoch.born_at,
            &big(r.rx_bytes),
            &big(r.tx_bytes),
            &big(r.rx_packets),
            &big(r.tx_packets),
            &reading.mac,
        ];
        writer.as_mut().write(&row).await?;
    }
    writer.finish().await?;
    Ok(())
}

async fn volumes(
    transaction: &Transaction<'_>,
    node_id: NodeId,
    screened: &Screened<'_>,
    received_at: Timestamp,
) -> Result<(), UsageError> {
    if screened.volumes.is_empty() {
        return Ok(());
    }
    let mut writer = pin!(start(transaction, sql!("copy_volume_reading"), &VOLUME).await?);
    for reading in &screened.volumes {
        let row: Row<'_, 9> = [
            &reading.volume_id.uuid(),
            &node_id.uuid(),
            &reading.observed_at,
            &received_at,
            &reading.epoch.id.as_i64(),
            &reading.epoch.born_at,
            &big(reading.capacity_bytes),
            &big(reading.registers.provisioned_kib_s),
            &reading.exists,
        ];
        writer.as_mut().write(&row).await?;
    }
    writer.finish().await?;
    Ok(())
}

async fn node(
    transaction: &Transaction<'_>,
    node_id: NodeId,
    boot_id: BootId,
    screened: &Screened<'_>,
    received_at: Timestamp,
) -> Result<(), UsageError> {
    let Some(reading) = screened.node else {
        return Ok(());
    };
    let mut writer = pin!(start(transaction, sql!("copy_node_reading"), &NODE).await?);
    let row: Row<'_, 12> = [
        &node_id.uuid(),
        &reading.observed_at,
        &received_at,
        &i64::from(reading.cpus),
        &big(reading.cpu_busy_ms),
        &big(reading.memory_total_kib),
        &big(reading.memory_used_kib),
        &big(reading.storage_total_kib),
        &big(reading.storage_used_kib),
        &big(reading.rx_bytes),
        &big(reading.tx_bytes),
        &boot_id.uuid(),
    ];
    writer.as_mut().write(&row).await?;
    writer.finish().await?;
    Ok(())
}

async fn start(
    transaction: &Transaction<'_>,
    text: &str,
    types: &[Type],
) -> Result<BinaryCopyInWriter, UsageError> {
    let statement = transaction.prepare_cached(text).await?;
    Ok(BinaryCopyInWriter::new(transaction.copy_in(&statement).await?, types))
}

/// Screening has refused what does not fit.
fn big(figure: u64) -> i64 {
    i64::try_from(figure).unwrap_or(i64::MAX)
}
