//! Figures for `make bench`: how fast batches are taken in, against bare `COPY` into the same table; and a history to ask
//! for pages of. It does NOT judge them, and it fills the database that it is given: give it one of its own.

pub mod month;

use std::pin::pin;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use metering::{
    Batch, BatchSeq, BootId, Epoch, EpochId, InstanceFacts, InstanceId, InstanceReading, InstanceRegisters,
    InstanceState, Meter, NodeId, Readings, ResourceKind, WindowLength, catalog,
};
use migrations::{Database, Scope};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::error::UsageError;
use crate::ingest::{Delivery, IngestError, IngestSettings, Ingestor};

/// Instances on one node: a large host.
const INSTANCES: usize = 200;

/// Between two readings of an instance.
const INTERVAL_US: i64 = 10_000_000;

/// Instances on one node of the history: about as many as it takes to fill one.
const INSTANCES_PER_NODE: i64 = 100;

/// How fast rows went in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub rows: usize,
    /// In what time, commits included.
    pub elapsed: Duration,
}

impl Rate {
    /// Whole rows per second.
    #[must_use]
    pub fn rows_per_second(self) -> u128 {
        self.rows as u128 * 1_000_000 / self.elapsed.as_micros().max(1)
    }
}

/// Takes `rows` readings of 200 instances of a new node in, in batches, as a node that catches up would send them.
///
/// # Errors
/// The database fails.
pub async fn ingest_rows(db: &Database, rows: usize, batch_size: usize) -> Result<Rate, IngestError> {
    let batches = batches(rows, batch_size);
    let settings = IngestSettings { rows_max: batch_size.max(1), ..IngestSettings::new(WindowLength::HOUR) };
    let ingestor = Ingestor::new(db.clone(), settings);
    make_partitions(db, &batches).await?;
    let started = Instant::now();
    for batch in &batches {
        ingestor.ingest(batch, &Delivery::default(), batch.collected_at).await?;
    }
    Ok(Rate { rows, elapsed: started.elapsed() })
}

/// Copies the same rows into the same table, one transaction a batch, and nothing else.
///
/// # Errors
/// The database fails.
pub async fn bare_copy(db: &Database, rows: usize, batch_size: usize) -> Result<Rate, UsageError> {
    const TYPES: [Type; 13] = [
        Type::UUID,
        Type::UUID,
        Type::TIMESTAMPTZ,
        Type::TIMESTAMPTZ,
        Type::INT8,
        Type::TIMESTAMPTZ,
        Type::INT8,
        Type::INT8,
        Type::INT8,
        Type::INT8,
        Type::INT8,
        Type::INT8,
        Type::TEXT,
    ];
    let batches = batches(rows, batch_size);
    make_partitions(db, &batches).await?;
    let mut session = db.session().await?;
    let started = Instant::now();
    for batch in &batches {
        let transaction = session.begin(Scope::Provider).await?;
        let statement = transaction.prepare_cached(sql!("copy_instance_reading")).await?;
        let mut writer = pin!(BinaryCopyInWriter::new(transaction.copy_in(&statement).await?, &TYPES));
        for r in &batch.readings.instances {
            let registers = r.registers;
            let big = |figure: u64| figure.cast_signed();
            let row: [&(dyn ToSql + Sync); 13] = [
                &r.instance_id.uuid(),
                &batch.node_id.uuid(),
                &r.observed_at,
                &batch.collected_at,
                &r.epoch.id.as_i64(),
                &r.epoch.born_at,
                &i64::from(r.vcpus),
                &big(r.memory_kib),
                &big(registers.cpu_ns),
                &big(registers.running_ms),
                &big(registers.vcpu_ms),
                &big(registers.memory_kib_s),
                &r.state.as_str(),
            ];
            writer.as_mut().write(&row).await?;
        }
        writer.finish().await?;
        transaction.commit().await?;
    }
    Ok(Rate { rows, elapsed: started.elapsed() })
}

/// Loads a past: `instances` with a disk, a NIC and a volume each, shared out among `tenants`, with the usage records of
/// every hour of the `days` before midnight (UTC) of `until`, their sums by day, and the nodes' days. There are no readings
/// behind it. Returns how many usage records there are. For an empty database, and once.
///
/// # Errors
/// The database fails.
pub async fn load_history(
    db: &Database,
    tenants: u32,
    instances: u32,
    days: u32,
    until: Timestamp,
) -> Result<u64, UsageError> {
    let (midnight, meters) = (midnight_of(until), catalog().iter().collect::<Vec<_>>());
    put_everybody(db, Size { tenants, instances, days }, false, midnight).await?;
    let kinds: Vec<&str> = meters.iter().map(|meter| meter.resource.as_str()).collect();
    let names: Vec<&str> = meters.iter().map(|meter| meter.name.as_str()).collect();
    let devices = devices(&meters);
    let mut records = 0;
    let indexes = bare(db, "usage_record").await?;
    // A day at a time, as they would have come: rows of one time lie beside each other.
    for day in (1..=days).rev() {
        let (start, end) = (days_before(midnight, day), days_before(midnight, day - 1));
        records += execute(db, sql!("bench_usage"), &[&start, &end, &kinds, &devices, &names]).await?;
    }
    as_owner(db, &indexes).await?;
    execute(db, sql!("bench_days"), &[]).await?;
    execute(db, sql!("bench_totals"), &[]).await?;
    let today = midnight.to_zoned(TimeZone::UTC).date();
    execute(db, sql!("bench_node_days"), &[&today, &i64::from(days)]).await?;
    // What autovacuum would do in its own time.
    as_owner(db, &["ANALYZE".to_owned()]).await?;
    Ok(records)
}

/// How much a past has of everything.
#[derive(Clone, Copy)]
struct Size {
    tenants: u32,
    instances: u32,
    days: u32,
}

/// Tenants, whose days are all UTC's or not, nodes and instances.
async fn put_everybody(
    db: &Database,
    size: Size,
    is_utc: bool,
    midnight: Timestamp,
) -> Result<(), UsageError> {
    let (tenants, instances) = (i64::from(size.tenants.max(1)), i64::from(size.instances));
    let (nodes, start) = (instances / INSTANCES_PER_NODE + 1, days_before(midnight, size.days));
    execute(db, sql!("bench_tenants"), &[&tenants, &is_utc, &start]).await?;
    execute(db, sql!("bench_nodes"), &[&nodes, &midnight]).await?;
    execute(db, sql!("bench_instances"), &[&instances, &tenants, &nodes, &start, &midnight]).await?;
    Ok(())
}

/// Midnight (UTC) before `until`.
fn midnight_of(until: Timestamp) -> Timestamp {
    until.to_zoned(TimeZone::UTC).start_of_day().map_or(until, |day| day.timestamp())
}

fn days_before(midnight: Timestamp, days: u32) -> Timestamp {
    midnight.saturating_sub(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(midnight)
}

/// The device that each of `meters` is of.
fn devices(meters: &[&Meter]) -> Vec<&'static str> {
    let device = |meter: &&Meter| match meter.resource {
        ResourceKind::Instance | ResourceKind::Volume => "",
        ResourceKind::Disk => "vda",
        ResourceKind::Nic => "52:54:00:00:00:01",
    };
    meters.iter().map(device).collect()
}

/// Takes keys, indexes and checks off a table, which makes filling it three times as fast; gives what puts them back.
async fn bare(db: &Database, table: &str) -> Result<Vec<String>, UsageError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql!("bench_indexes")).await?;
    let (mut drops, mut adds) = (Vec::new(), vec!["SET LOCAL maintenance_work_mem = '256MB'".to_owned()]);
    for row in transaction.query(&statement, &[&table]).await? {
        drops.push(row.try_get("take_off")?);
        adds.push(row.try_get("put_back")?);
    }
    transaction.commit().await?;
    as_owner(db, &drops).await?;
    Ok(adds)
}

/// Executes what only the owner of the tables may.
async fn as_owner(db: &Database, statements: &[String]) -> Result<(), UsageError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    transaction.execute("SET LOCAL ROLE NONE", &[]).await?;
    for statement in statements {
        transaction.execute(statement.as_str(), &[]).await?;
    }
    transaction.commit().await?;
    Ok(())
}

async fn execute(db: &Database, text: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, UsageError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(text).await?;
    let rows = transaction.execute(&statement, params).await?;
    transaction.commit().await?;
    Ok(rows)
}

async fn make_partitions(db: &Database, batches: &[Batch]) -> Result<(), UsageError> {
    let instants = batches.iter().flat_map(|b| &b.readings.instances).map(|r| r.observed_at);
    let (Some(start), Some(end)) = (instants.clone().min(), instants.max()) else {
        return Ok(());
    };
    let after = end.saturating_add(Duration::from_secs(1)).unwrap_or(end);
    migrations::ensure_partitions(db, "instance_reading", start, after).await?;
    Ok(())
}

/// Readings by time, then by instance, as they come.
fn batches(rows: usize, batch_size: usize) -> Vec<Batch> {
    let node_id = NodeId::from_uuid(Uuid::new_v4());
    let instances: Vec<InstanceId> = (0..INSTANCES).map(|_| InstanceId::from_uuid(Uuid::new_v4())).collect();
    let all: Vec<InstanceReading> = (0..rows).map(|n| reading(instances[n % INSTANCES], n)).collect();
    all.chunks(batch_size.max(1))
        .enumerate()
        .map(|(n, chunk)| Batch {
            node_id,
            seq: BatchSeq(n as u64 + 1),
            node_name: "bench".to_owned(),
            boot_id: BootId::from_uuid(node_id.uuid()),
            collected_at: chunk[chunk.len() - 1].observed_at,
            collected_boot: None,
            readings: Readings { instances: chunk.to_vec(), ..Readings::default() },
            gaps: Vec::new(),
            instances: if n == 0 { facts(&instances) } else { Vec::new() },
            volumes: Vec::new(),
            notices: Vec::new(),
        })
        .collect()
}

fn facts(instances: &[InstanceId]) -> Vec<InstanceFacts> {
    let fact = |id: &InstanceId| InstanceFacts {
        instance_id: *id,
        name: id.to_string(),
        tenant_label: None,
        makeup: metering::Makeup::default(),
    };
    instances.iter().map(fact).collect()
}

fn reading(instance_id: InstanceId, n: usize) -> InstanceReading {
    let step = (n / INSTANCES) as u64;
    // 2026-11-01, midnight UTC.
    let us = 1_793_491_200_000_000 + INTERVAL_US * i64::try_from(step).unwrap_or(0);
    InstanceReading {
        instance_id,
        observed_at: Timestamp::from_microsecond(us).unwrap_or(Timestamp::UNIX_EPOCH),
        epoch: Epoch { id: EpochId::of(&[instance_id.uuid().as_bytes()]), born_at: None },
        state: InstanceState::Running,
        vcpus: 2,
        memory_kib: 4_194_304,
        registers: InstanceRegisters {
            cpu_ns: step * 1_700_000_123 + n as u64,
            running_ms: step * 10_000,
            vcpu_ms: step * 20_000,
            memory_kib_s: step * 41_943_040,
        },
    }
}
