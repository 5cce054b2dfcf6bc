//! What the tests tell their stories with.

use std::time::Duration;

use jiff::Timestamp;
use metering::{
    Batch, BatchSeq, BootId, DiskReading, DiskRegisters, Epoch, EpochId, Gap, GapReason, InstanceFacts,
    InstanceId, InstanceReading, InstanceRegisters, InstanceState, NicReading, NicRegisters, NodeId,
    Readings, TenantName, UsageRecord, VolumeFacts, VolumeId, VolumeReading, VolumeRegisters, Window,
    WindowLength,
};
use migrations::{Database, Scope};
use usage::registry::{self, NewTenant, Tenant};
use usage::{Delivery, IngestError, IngestSettings, Ingested, Ingestor, UsageSettings};
use uuid::Uuid;

/// Seconds since noon of a day in autumn.
pub fn at(seconds: i64) -> Timestamp {
    let noon: Timestamp = "2026-10-25T12:00:00Z".parse().unwrap();
    noon + jiff::SignedDuration::from_secs(seconds)
}

pub fn window(start: i64, end: i64) -> Window {
    Window::new(at(start), at(end)).unwrap()
}

/// One hour's windows; ten seconds between readings are measured.
pub fn settings() -> UsageSettings {
    UsageSettings { window: WindowLength::HOUR, tolerance: Duration::from_secs(10) }
}

pub fn instance_id() -> InstanceId {
    InstanceId::from_uuid(Uuid::new_v4())
}

/// A node that sends batches.
pub struct Node {
    pub id: NodeId,
    pub ingestor: Ingestor,
    seq: u64,
}

impl Node {
    pub fn new(db: &Database) -> Self {
        let ingestor = Ingestor::new(db.clone(), IngestSettings::new(settings().window));
        Self { id: NodeId::from_uuid(Uuid::new_v4()), ingestor, seq: 0 }
    }

    /// The next batch, with nothing in it.
    pub fn batch(&mut self) -> Batch {
        self.seq += 1;
        Batch {
            node_id: self.id,
            seq: BatchSeq(self.seq),
            node_name: "kvm1".into(),
            boot_id: BootId::from_uuid(self.id.uuid()),
            collected_at: at(i64::try_from(self.seq).unwrap()),
            collected_boot: None,
            readings: Readings::default(),
            gaps: vec![],
            instances: vec![],
            volumes: vec![],
            notices: Vec::new(),
        }
    }

    /// A batch of these readings of instances.
    pub fn instances(&mut self, readings: Vec<InstanceReading>) -> Batch {
        let mut batch = self.batch();
        batch.readings.instances = readings;
        batch
    }

    /// Takes a batch in as if it came a day later.
    pub async fn send(&self, batch: &Batch) -> Result<Ingested, IngestError> {
        self.ingestor.ingest(batch, &Delivery::default(), at(86_400)).await
    }

    pub async fn must_send(&self, batch: &Batch) {
        self.send(batch).await.unwrap();
    }
}

/// How many readings of a batch count, and how many lie in quarantine.
pub fn taken(ingested: &Ingested) -> (usize, usize) {
    assert!(!ingested.is_duplicate);
    (ingested.rows, ingested.quarantined)
}

/// An epoch born at a second, or adopted.
pub fn epoch(name: &str, born: Option<i64>) -> Epoch {
    Epoch { id: EpochId::of(&[name.as_bytes()]), born_at: born.map(at) }
}

/// A reading whose every register stands at `value`.
pub fn reading(id: InstanceId, second: i64, epoch: Epoch, value: u64) -> InstanceReading {
    let state = if epoch == Epoch::NONE { InstanceState::Stopped } else { InstanceState::Running };
    InstanceReading {
        instance_id: id,
        observed_at: at(second),
        epoch,
        state,
        vcpus: 2,
        memory_kib: 1024,
        registers: InstanceRegisters {
            cpu_ns: value,
            running_ms: value,
            vcpu_ms: value,
            memory_kib_s: value,
        },
    }
}

/// The reading of an instance that is gone.
pub fn gone(id: InstanceId, second: i64) -> InstanceReading {
    InstanceReading { state: InstanceState::Gone, ..reading(id, second, Epoch::NONE, 0) }
}

pub fn disk(id: InstanceId, target: &str, second: i64, epoch: Epoch, value: u64) -> DiskReading {
    DiskReading {
        instance_id: id,
        target: target.into(),
        source: format!("/images/{target}"),
        observed_at: at(second),
        epoch,
        registers: DiskRegisters {
            read_bytes: value,
            write_bytes: value,
            read_ops: value,
            write_ops: value,
            flush_ops: value,
        },
    }
}

pub fn nic(id: InstanceId, mac: &str, second: i64, epoch: Epoch, value: u64) -> NicReading {
    NicReading {
        instance_id: id,
        mac: mac.into(),
        observed_at: at(second),
        epoch,
        registers: NicRegisters { rx_bytes: value, tx_bytes: value, rx_packets: value, tx_packets: value },
    }
}

pub fn volume(id: VolumeId, second: i64, epoch: Epoch, value: u64) -> VolumeReading {
    VolumeReading {
        volume_id: id,
        observed_at: at(second),
        epoch,
        exists: true,
        capacity_bytes: 1 << 30,
        registers: VolumeRegisters { provisioned_kib_s: value },
    }
}

pub fn facts(id: InstanceId, name: &str, label: Option<&str>) -> InstanceFacts {
    let (name, tenant_label) = (name.into(), label.map(Into::into));
    InstanceFacts { instance_id: id, name, tenant_label, makeup: metering::Makeup::default() }
}

pub fn volume_facts(id: VolumeId, name: &str, instance_id: Option<InstanceId>) -> VolumeFacts {
    VolumeFacts { volume_id: id, pool: "default".into(), name: name.into(), instance_id }
}

pub fn gap(id: InstanceId, device: Option<&str>, start: i64, end: i64) -> Gap {
    Gap {
        instance_id: Some(id),
        device: device.map(Into::into),
        span: window(start, end),
        reason: GapReason::InstanceBusy,
        detail: "the monitor did not answer".into(),
    }
}

pub async fn tenant(db: &Database, name: &str) -> Tenant {
    let new = NewTenant::new(TenantName::new(name).unwrap(), name, "UTC");
    registry::create_tenant(db, &new, settings()).await.unwrap()
}

pub async fn derive(db: &Database, now: i64) {
    let derived = usage::derive_dirty(db, settings(), at(now)).await.unwrap();
    assert_eq!(derived.failed, 0);
}

/// What a scope's usage of one meter looks like: `tenant device start quantity measured estimated missing`, times in
/// seconds, starts in seconds since noon.
pub async fn usage_lines(db: &Database, scope: Scope, meter: &str) -> Vec<String> {
    let rows = query(
        db,
        scope,
        &format!(
            "SELECT t.name AS tenant, u.device, u.window_start, u.quantity, u.measured_us, u.estimated_us, u.missing_us
             FROM usage_record u JOIN tenant t USING (tenant_id) WHERE u.meter = '{meter}'
             ORDER BY u.window_start, t.name, u.device, u.quantity, u.measured_us"
        ),
    )
    .await;
    rows.iter()
        .map(|row| {
            let seconds = |column| row.get::<_, i64>(column) / 1_000_000;
            let start: Timestamp = row.get("window_start");
            format!(
                "{} {} {} {} {} {} {}",
                row.get::<_, String>("tenant"),
                row.get::<_, String>("device"),
                start.as_second() - at(0).as_second(),
                row.get::<_, i64>("quantity"),
                seconds("measured_us"),
                seconds("estimated_us"),
                seconds("missing_us"),
            )
            .replace("  ", " ")
        })
        .collect()
}

/// Expects usage of one meter, as [`usage_lines`] shows it.
pub async fn check(db: &Database, meter: &str, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(usage_lines(db, Scope::Provider, meter).await, expected, "{meter}");
}

/// Expects that what was read is what is recorded.
pub async fn check_conservation(db: &Database) -> usize {
    let audit = usage::audit::conservation(db, None).await.unwrap();
    assert_eq!(audit.discrepancies, []);
    assert_eq!(audit.pending, 0, "derive first");
    audit.compared
}

pub async fn query(db: &Database, scope: Scope, text: &str) -> Vec<tokio_postgres::Row> {
    let mut session = db.session().await.unwrap();
    let transaction = session.begin(scope).await.unwrap();
    transaction.query(text, &[]).await.unwrap()
}

pub async fn count(db: &Database, scope: Scope, table: &str) -> i64 {
    query(db, scope, &format!("SELECT count(*) AS n FROM {table}")).await[0].get("n")
}

/// The sum of one meter's quantities.
pub fn total(records: &[UsageRecord], meter: &str) -> u64 {
    records.iter().filter(|record| record.meter.as_str() == meter).map(|record| record.quantity).sum()
}

/// Whether a scope is refused when it tries to copy nothing at all into a table.
pub async fn is_copy_refused(db: &Database, scope: Scope, statement: &str) -> bool {
    let mut session = db.session().await.unwrap();
    let transaction = session.begin(scope).await.unwrap();
    let Ok(sink) = transaction.copy_in(statement).await else {
        return true;
    };
    let writer = tokio_postgres::binary_copy::BinaryCopyInWriter::new(sink, &[]);
    std::pin::pin!(writer).finish().await.is_err()
}
