//! Who held a resource when: instance_tenant and volume_tenant, always within the caller's transaction. It does NOT
//! derive usage: it marks what must be derived again.

use jiff::Timestamp;
use metering::{InstanceId, TenantId, Window, WindowLength};
use migrations::Transaction;
use uuid::Uuid;

use crate::error::UsageError;
use crate::ingest::marks::{self, MarkKind, Marks};
use crate::registry::RegistryError;

/// Who held a resource from when to when. Between and beside them nobody was assigned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ownership {
    /// In order, disjoint: who, since, until.
    pub(crate) spans: Vec<(TenantId, Timestamp, Option<Timestamp>)>,
}

impl Ownership {
    /// Who pays at `at`.
    pub(crate) fn at(&self, at: Timestamp) -> TenantId {
        self.spans
            .iter()
            .find(|(_, since, until)| *since <= at && until.is_none_or(|until| at < until))
            .map_or(TenantId::UNASSIGNED, |(tenant_id, ..)| *tenant_id)
    }

    /// The pieces of `windows` within each of which one tenant pays.
    pub(crate) fn split(&self, windows: &[Window]) -> Vec<Window> {
        let cuts: Vec<Timestamp> =
            self.spans.iter().flat_map(|(_, since, until)| [Some(*since), *until]).flatten().collect();
        windows.iter().flat_map(|window| window.split_at(&cuts)).collect()
    }
}

/// Who held a resource.
pub(crate) async fn ownership_of(
    transaction: &Transaction<'_>,
    kind: MarkKind,
    resource: Uuid,
) -> Result<Ownership, UsageError> {
    let text = match kind {
        MarkKind::Instance => sql!("owners_of_instance"),
        MarkKind::Volume => sql!("owners_of_volume"),
    };
    let statement = transaction.prepare_cached(text).await?;
    let mut spans = Vec::new();
    for row in transaction.query(&statement, &[&resource]).await? {
        let tenant_id = TenantId::from_uuid(row.try_get("tenant_id")?);
        spans.push((tenant_id, row.try_get("since")?, row.try_get("until")?));
    }
    Ok(Ownership { spans })
}

/// Fails unless the tenant exists.
pub(crate) async fn require_tenant(
    transaction: &Transaction<'_>,
    tenant_id: TenantId,
) -> Result<(), RegistryError> {
    let statement = transaction.prepare_cached(sql!("find_tenant")).await?;
    match transaction.query_opt(&statement, &[&Some(tenant_id.uuid()), &""]).await? {
        Some(_) => Ok(()),
        None => Err(RegistryError::NoTenant { asked: tenant_id.to_string() }),
    }
}

/// Locks an instance against ingest and other assignments; when its first usage began, if it exists.
pub(crate) async fn lock_instance(
    transaction: &Transaction<'_>,
    instance_id: InstanceId,
) -> Result<Option<Timestamp>, UsageError> {
    let statement = transaction.prepare_cached(sql!("lock_instances")).await?;
    let row = transaction.query_opt(&statement, &[&vec![instance_id.uuid()]]).await?;
    Ok(row.map(|row| row.try_get("first_seen_at")).transpose()?)
}

/// Makes `tenant_id` the holder of a locked instance and of its volumes from `since` on.
pub(crate) async fn assign(
    transaction: &Transaction<'_>,
    instance_id: InstanceId,
    tenant_id: TenantId,
    since: Timestamp,
    window: WindowLength,
) -> Result<(), UsageError> {
    let (id, tenant) = (instance_id.uuid(), tenant_id.uuid());
    let statement = transaction.prepare_cached(sql!("lock_volumes_of_instance")).await?;
    let mut volumes = Vec::new();
    for row in transaction.query(&statement, &[&id]).await? {
        let first_seen_at: Timestamp = row.try_get("first_seen_at")?;
        volumes.push((row.try_get::<_, Uuid>("volume_id")?, since.max(first_seen_at)));
    }
    for text in [sql!("drop_later_instance_owners"), sql!("end_instance_owner")] {
        let statement = transaction.prepare_cached(text).await?;
        transaction.execute(&statement, &[&id, &since]).await?;
    }
    let statement = transaction.prepare_cached(sql!("add_instance_owner")).await?;
    transaction.execute(&statement, &[&id, &tenant, &since]).await?;
    let mut marks = Marks::new(window);
    mark_since(transaction, &mut marks, MarkKind::Instance, &[id], Some(since)).await?;
    for (volume, since) in volumes {
        for text in [sql!("drop_later_volume_owners"), sql!("end_volume_owner")] {
            let statement = transaction.prepare_cached(text).await?;
            transaction.execute(&statement, &[&volume, &since]).await?;
        }
        let statement = transaction.prepare_cached(sql!("add_volume_owner")).await?;
        transaction.execute(&statement, &[&volume, &tenant, &since]).await?;
        mark_since(transaction, &mut marks, MarkKind::Volume, &[volume], Some(since)).await?;
    }
    marks::write(transaction, &marks).await
}

/// Gives locked instances that nobody holds to the tenant that their label names, and volumes that nobody holds to
/// the holder of their instance. `volumes` are those whose facts are new.
pub(crate) async fn adopt(
    transaction: &Transaction<'_>,
    instances: &[Uuid],
    volumes: &[Uuid],
    marks: &mut Marks,
) -> Result<(), UsageError> {
    let statement = transaction.prepare_cached(sql!("adopt_instances")).await?;
    let mut adopted: Vec<Uuid> = Vec::new();
    for row in transaction.query(&statement, &[&instances]).await? {
        adopted.push(row.try_get("instance_id")?);
    }
    mark_since(transaction, marks, MarkKind::Instance, &adopted, None).await?;
    let statement = transaction.prepare_cached(sql!("adopt_volumes")).await?;
    let mut followed: Vec<Uuid> = Vec::new();
    for row in transaction.query(&statement, &[&adopted, &volumes]).await? {
        followed.push(row.try_get("volume_id")?);
    }
    mark_since(transaction, marks, MarkKind::Volume, &followed, None).await
}

/// Marks all usage of resources from `since` on (`None`: all of it) as far as there is any.
async fn mark_since(
    transaction: &Transaction<'_>,
    marks: &mut Marks,
    kind: MarkKind,
    resources: &[Uuid],
    since: Option<Timestamp>,
) -> Result<(), UsageError> {
    if resources.is_empty() {
        return Ok(());
    }
    let text = match kind {
        MarkKind::Instance => sql!("extent_of_instances"),
        MarkKind::Volume => sql!("extent_of_volumes"),
    };
    let statement = transaction.prepare_cached(text).await?;
    for row in transaction.query(&statement, &[&resources]).await? {
        let starts: Timestamp = row.try_get("starts")?;
        let ends: Timestamp = row.try_get("ends")?;
        marks.add(kind, row.try_get("resource")?, since.map_or(starts, |since| since.max(starts)), ends);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + seconds).unwrap()
    }

    #[test]
    fn every_instant_has_one_payer_and_before_the_first_it_is_nobody() {
        let (a, b) = (TenantId::from_uuid(Uuid::from_u128(1)), TenantId::from_uuid(Uuid::from_u128(2)));
        let ownership = Ownership { spans: vec![(a, at(10), Some(at(20))), (b, at(20), None)] };
        for (second, expected) in
            [(0, TenantId::UNASSIGNED), (9, TenantId::UNASSIGNED), (10, a), (19, a), (20, b), (999, b)]
        {
            assert_eq!(ownership.at(at(second)), expected, "{second}");
        }
        let pieces = ownership.split(&[Window::new(at(0), at(30)).unwrap()]);
        assert_eq!(pieces.iter().map(|piece| piece.start()).collect::<Vec<_>>(), [at(0), at(10), at(20)]);
    }
}
