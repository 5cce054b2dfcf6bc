//! Deliveries: one event on its way to one endpoint, from the row that `billing` writes with the event to what became of
//! it. It does NOT send (`deliver` does); it keeps the log, and orders replays and tests.

use jiff::{SignedDuration, Timestamp};
use metering::{TenantId, micros};
use migrations::{Database, Scope};
use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::endpoints::{self, EndpointId};
use crate::error::HookError;
use crate::sign::Secret;
use crate::sql;

/// Events and what became of them are kept so many days: time to notice that a receiver was down over a holiday.
pub const KEPT_DAYS: i64 = 30;
/// Events that one replay orders at most.
pub const REPLAY_MAX: i64 = 10_000;
/// Deliveries of one page.
pub const PAGE_MAX: u32 = 500;

/// One event on its way to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its identity.
    pub id: Uuid,
    /// The event's: the `webhook-id` that the receiver sees.
    pub event_id: Uuid,
    /// `invoice.issued`
    pub event_type: String,
    /// Where to.
    pub endpoint_id: EndpointId,
    /// Since when it is due.
    pub created_at: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// Where it stands.
    pub state: State,
    /// The status of the last answer.
    pub last_status: Option<u16>,
    /// The first KiB of the last answer.
    pub last_answer: Option<String>,
    /// Why the last attempt failed, for people.
    pub last_error: Option<String>,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It will be tried, not before then.
    Waiting(Timestamp),
    /// The receiver took it.
    Delivered(Timestamp),
    /// It was given up.
    Failed(Timestamp),
}

/// What to send once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// One event.
    Event(Uuid),
    /// All that the endpoint wants since then, the oldest [`REPLAY_MAX`] of them.
    Since(Timestamp),
}

/// A delivery that is the caller's to make until `leased_until`.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub delivery_id: Uuid,
    pub event_id: Uuid,
    pub endpoint_id: Uuid,
    pub created_at: Timestamp,
    pub attempts: u32,
    pub leased_until: Timestamp,
    pub url: String,
    pub secrets: Vec<Secret>,
    pub failing_since: Option<Timestamp>,
    pub payload: String,
}

/// What came of an attempt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub status: Option<u16>,
    pub answer: Option<String>,
    pub error: Option<String>,
}

/// What follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Delivered,
    Again { at: Timestamp, rest_until: Timestamp },
    GivenUp { disable: Option<String> },
}

/// The deliveries to an endpoint, the youngest first, before `after`; at most `limit` and never more than [`PAGE_MAX`].
///
/// # Errors
/// There is no such endpoint for `scope`, or the database failed.
pub async fn page(
    db: &Database,
    scope: Scope,
    endpoint: EndpointId,
    after: Option<(Timestamp, Uuid)>,
    limit: u32,
) -> Result<Vec<Delivery>, HookError> {
    endpoints::get(db, scope, endpoint).await?;
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let (at, id) = after.unzip();
    let limit = i64::from(limit.min(PAGE_MAX));
    let rows = transaction.query(sql::DELIVERY_LIST, &[&endpoint.uuid(), &at, &id, &limit]).await?;
    rows.iter().map(delivery).collect()
}

/// Orders events once more, under the `webhook-id` that they had. How many were ordered.
///
/// # Errors
/// There is no such endpoint for `scope`, the one event is none of its own, or the database failed.
pub async fn replay(
    db: &Database,
    scope: Scope,
    endpoint: EndpointId,
    what: Replay,
    now: Timestamp,
) -> Result<u64, HookError> {
    endpoints::get(db, scope, endpoint).await?;
    let (id, now) = (endpoint.uuid(), micros(now));
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let ordered = match what {
        Replay::Event(event) => match transaction.execute(sql::REPLAY_EVENT, &[&id, &event, &now]).await? {
            0 => return Err(HookError::NoEvent),
            ordered => ordered,
        },
        Replay::Since(since) => {
            transaction.execute(sql::REPLAY_SINCE, &[&id, &micros(since), &now, &REPLAY_MAX]).await?
        }
    };
    transaction.commit().await?;
    Ok(ordered)
}

/// Orders an event of the type `webhook.test` for this endpoint alone, and returns its id.
///
/// # Errors
/// There is no such endpoint for `scope`, or the database failed.
pub async fn test(
    db: &Database,
    scope: Scope,
    endpoint: EndpointId,
    now: Timestamp,
) -> Result<Uuid, HookError> {
    let found = endpoints::get(db, scope, endpoint).await?;
    let (event, now) = (Uuid::now_v7(), micros(now));
    let mut payload = json!({
        "type": "webhook.test", "timestamp": now.to_string(), "data": { "endpoint_id": endpoint.to_string() },
    });
    if found.tenant_id != TenantId::UNASSIGNED {
        payload["tenant_id"] = found.tenant_id.to_string().into();
    }
    // Events are written by the provider alone; that the endpoint is the caller's was seen above.
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let written =
        transaction.execute(sql::TEST, &[&endpoint.uuid(), &event, &payload.to_string(), &now]).await?;
    transaction.commit().await?;
    if written == 0 { Err(HookError::NoEndpoint) } else { Ok(event) }
}

/// Forgets events that are older than [`KEPT_DAYS`]; how many there were.
///
/// # Errors
/// The database failed.
pub async fn sweep(db: &Database, now: Timestamp) -> Result<u64, HookError> {
    let oldest = now.checked_sub(SignedDuration::from_hours(24 * KEPT_DAYS)).unwrap_or(Timestamp::UNIX_EPOCH);
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let swept = transaction.execute(sql::EVENT_SWEEP, &[&micros(oldest)]).await?;
    transaction.commit().await?;
    Ok(swept)
}

/// Takes the delivery that has been due longest and that nobody has, until `leased_until`.
pub(crate) async fn take(
    db: &Database,
    now: Timestamp,
    leased_until: Timestamp,
) -> Result<Option<Taken>, HookError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let row = transaction.query_opt(sql::TAKE, &[&micros(now), &micros(leased_until)]).await?;
    let taken = row.as_ref().map(|row| taken(row, now)).transpose()?;
    transaction.commit().await?;
    Ok(taken)
}

/// Writes down what came of an attempt, and what follows for the endpoint, in one transaction. `false`: the lease was lost.
pub(crate) async fn record(
    db: &Database,
    taken: &Taken,
    outcome: &Outcome,
    verdict: &Verdict,
    now: Timestamp,
) -> Result<bool, HookError> {
    let now = micros(now);
    let (again, delivered, failed) = match verdict {
        Verdict::Delivered => (None, Some(now), None),
        Verdict::Again { at, .. } => (Some(micros(*at)), None, None),
        Verdict::GivenUp { .. } => (None, None, Some(now)),
    };
    let status = outcome.status.map(i32::from);
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let recorded = transaction
        .execute(
            sql::RECORD,
            &[
                &taken.delivery_id,
                &taken.leased_until,
                &status,
                &outcome.answer,
                &outcome.error,
                &again,
                &delivered,
                &failed,
            ],
        )
        .await?;
    let endpoint = taken.endpoint_id;
    match verdict {
        Verdict::Delivered => transaction.execute(sql::ENDPOINT_WORKS, &[&endpoint]).await?,
        Verdict::Again { rest_until, .. } => {
            transaction.execute(sql::ENDPOINT_REST, &[&endpoint, &now, &micros(*rest_until)]).await?
        }
        Verdict::GivenUp { disable: Some(because) } => {
            transaction.execute(sql::ENDPOINT_DISABLE, &[&endpoint, &now, because]).await?
        }
        Verdict::GivenUp { disable: None } => 0,
    };
    transaction.commit().await?;
    Ok(0 < recorded)
}

fn taken(row: &Row, now: Timestamp) -> Result<Taken, HookError> {
    let former: Option<&str> = row.try_get("former_secret")?;
    let former_until: Option<Timestamp> = row.try_get("former_until")?;
    let former = former.filter(|_| former_until.is_some_and(|until| now < until));
    let secrets: Option<Vec<Secret>> =
        [Some(row.try_get("secret")?), former].into_iter().flatten().map(Secret::parse).collect();
    Ok(Taken {
        delivery_id: row.try_get("delivery_id")?,
        event_id: row.try_get("event_id")?,
        endpoint_id: row.try_get("endpoint_id")?,
        created_at: row.try_get("created_at")?,
        attempts: row.try_get::<_, i32>("attempts")?.unsigned_abs(),
        leased_until: row.try_get("leased_until")?,
        url: row.try_get("url")?,
        secrets: secrets.ok_or(HookError::BadSecret)?,
        failing_since: row.try_get("failing_since")?,
        payload: row.try_get("payload")?,
    })
}

fn delivery(row: &Row) -> Result<Delivery, HookError> {
    let state = match (row.try_get("delivered_at")?, row.try_get("failed_at")?) {
        (Some(at), _) => State::Delivered(at),
        (None, Some(at)) => State::Failed(at),
        (None, None) => State::Waiting(row.try_get("next_attempt_at")?),
    };
    let status: Option<i32> = row.try_get("last_status")?;
    Ok(Delivery {
        id: row.try_get("delivery_id")?,
        event_id: row.try_get("event_id")?,
        event_type: row.try_get("type")?,
        endpoint_id: EndpointId::from_uuid(row.try_get("endpoint_id")?),
        created_at: row.try_get("created_at")?,
        attempts: row.try_get::<_, i32>("attempts")?.unsigned_abs(),
        state,
        last_status: status.and_then(|status| u16::try_from(status).ok()),
        last_answer: row.try_get("last_answer")?,
        last_error: row.try_get("last_error")?,
    })
}
