//! Volumes and nodes, as lists. It does NOT change them: readings do.

use jiff::Timestamp;
use metering::{InstanceId, NodeId, TenantId, VolumeId};
use migrations::{Database, Scope};

use super::RegistryError;

/// Storage that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its id.
    pub id: VolumeId,
    /// Its pool, or `""`.
    pub pool: String,
    /// Its name in the pool, or its path.
    pub name: String,
    /// The instance that it is attached to.
    pub instance_id: Option<InstanceId>,
    /// Who pays now, as far as `scope` may see.
    pub tenant_id: Option<TenantId>,
    /// When it was first known to exist.
    pub first_seen_at: Timestamp,
    /// When it was seen to be deleted.
    pub gone_at: Option<Timestamp>,
}

/// A KVM host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// The latest reading that came from it.
    pub last_observed_at: Option<Timestamp>,
    /// The highest batch that came from it.
    pub last_seq: u64,
}

/// The volumes that `scope` may see, by pool and name.
pub async fn volumes(db: &Database, scope: Scope) -> Result<Vec<Volume>, RegistryError> {
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let statement = transaction.prepare_cached(sql!("volumes")).await?;
    let mut volumes = Vec::new();
    for row in transaction.query(&statement, &[]).await? {
        volumes.push(Volume {
            id: VolumeId::from_uuid(row.try_get("volume_id")?),
            pool: row.try_get("pool")?,
            name: row.try_get("name")?,
            instance_id: row.try_get::<_, Option<_>>("instance_id")?.map(InstanceId::from_uuid),
            tenant_id: row.try_get::<_, Option<_>>("tenant_id")?.map(TenantId::from_uuid),
            first_seen_at: row.try_get("first_seen_at")?,
            gone_at: row.try_get("gone_at")?,
        });
    }
    Ok(volumes)
}

/// The nodes, by name: the provider's business alone, a tenant's scope sees none.
pub async fn nodes(db: &Database, scope: Scope) -> Result<Vec<Node>, RegistryError> {
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let statement = transaction.prepare_cached(sql!("nodes")).await?;
    let mut nodes = Vec::new();
    for row in transaction.query(&statement, &[]).await? {
        nodes.push(Node {
            id: NodeId::from_uuid(row.try_get("node_id")?),
            name: row.try_get("name")?,
            last_observed_at: row.try_get("last_observed_at")?,
            last_seq: row.try_get::<_, i64>("last_seq")?.unsigned_abs(),
        });
    }
    Ok(nodes)
}
