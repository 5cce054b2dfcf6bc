//! Endpoints: where events go, whose they are, and their secrets. It does NOT know which types of events there are (whoever
//! calls checks them), and sends nothing.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use metering::{TenantId, TenantName, micros};
use migrations::{Database, Scope, Transaction};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::HookError;
use crate::guard::Guard;
use crate::sign::Secret;
use crate::sql;

/// Endpoints of one owner: some systems of its own, and not a way to multiply traffic.
pub const ENDPOINTS_MAX: i64 = 16;
/// Endpoints that one list holds.
pub const LISTED_MAX: i64 = 1_000;
/// Types that one endpoint chooses.
pub const TYPES_MAX: usize = 32;
/// Characters of a description.
const DESCRIPTION_MAX: usize = 200;
/// After a rotation the former secret signs on for so long: a day to deploy the new one.
pub const FORMER_SECRET_LIFE: SignedDuration = SignedDuration::from_hours(24);
/// Why an endpoint is disabled that a person disabled.
pub const BY_HAND: &str = "disabled by hand";

/// An endpoint's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(Uuid);

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its identity.
    pub id: EndpointId,
    /// Whose it is; [`TenantId::UNASSIGNED`]: the provider's own, which hears of all tenants.
    pub tenant_id: TenantId,
    /// That tenant's name.
    pub tenant: TenantName,
    /// Its address.
    pub url: String,
    /// What its owner says of it.
    pub description: String,
    /// The types that it wants. `None`: all, those too that are added later.
    pub types: Option<Vec<String>>,
    /// Grows with each change.
    pub revision: u64,
    /// When it was added.
    pub created_at: Timestamp,
    /// When and why nothing is sent to it any more.
    pub disabled: Option<(Timestamp, String)>,
    /// Nothing was taken by it since then.
    pub failing_since: Option<Timestamp>,
    /// Until when the former secret signs, too.
    pub former_secret_until: Option<Timestamp>,
    secret: Secret,
}

/// What an endpoint is to be.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its address.
    pub url: &'a str,
    /// What its owner says of it.
    pub description: &'a str,
    /// The types that it wants. `None`: all.
    pub types: Option<&'a [String]>,
    /// Whether anything is sent to it.
    pub is_enabled: bool,
}

impl EndpointId {
    /// Wraps an id.
    #[must_use]
    pub const fn from_uuid(id: Uuid) -> Self {
        Self(id)
    }

    /// The plain UUID.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for EndpointId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl Endpoint {
    /// The secret, for whoever may see it: once, after it was made.
    #[must_use]
    pub fn secret(&self) -> String {
        self.secret.expose()
    }
}

/// Adds an endpoint of `owner` under an id that the caller chose: the same id again gives what is there.
///
/// # Errors
/// See [`HookError`]; the address is checked by `guard`.
pub async fn add(
    db: &Database,
    scope: Scope,
    guard: Guard,
    id: EndpointId,
    owner: TenantId,
    wanted: &Wanted<'_>,
    now: Timestamp,
) -> Result<Endpoint, HookError> {
    check(guard, wanted)?;
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    transaction.query_one(sql::ENDPOINT_LOCK, &[&owner.uuid()]).await?;
    if let Some(there) = read(&transaction, id).await? {
        return Ok(there);
    }
    let row = transaction.query_one(sql::ENDPOINT_COUNT, &[&owner.uuid()]).await?;
    if ENDPOINTS_MAX <= row.try_get::<_, i64>("endpoints")? {
        return Err(HookError::TooMany(ENDPOINTS_MAX));
    }
    let secret = Secret::random()?.expose();
    let types = wanted.types.map(<[String]>::to_vec);
    transaction
        .execute(
            sql::ENDPOINT_ADD,
            &[&id.0, &owner.uuid(), &wanted.url, &wanted.description, &types, &secret, &micros(now)],
        )
        .await?;
    let added = read(&transaction, id).await?.ok_or(HookError::NoEndpoint)?;
    transaction.commit().await?;
    Ok(added)
}

/// The endpoints that `scope` may see, of one owner or of all, by owner and age; at most [`LISTED_MAX`].
///
/// # Errors
/// The database failed.
pub async fn list(db: &Database, scope: Scope, owner: Option<TenantId>) -> Result<Vec<Endpoint>, HookError> {
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let owner = owner.map(TenantId::uuid);
    let rows = transaction.query(sql::ENDPOINT_LIST, &[&owner, &LISTED_MAX]).await?;
    rows.iter().map(endpoint).collect()
}

/// The endpoints that were disabled because they failed, not by a person.
///
/// # Errors
/// The database failed.
pub async fn disabled_by_failures(db: &Database) -> Result<Vec<Endpoint>, HookError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let rows = transaction.query(sql::ENDPOINT_DISABLED, &[&BY_HAND, &LISTED_MAX]).await?;
    rows.iter().map(endpoint).collect()
}

/// One endpoint.
///
/// # Errors
/// There is none that `scope` may see.
pub async fn get(db: &Database, scope: Scope, id: EndpointId) -> Result<Endpoint, HookError> {
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    read(&transaction, id).await?.ok_or(HookError::NoEndpoint)
}

/// Makes the endpoint what is wanted, if it is at that revision (`None`: at any). Enabled again, it begins anew.
///
/// # Errors
/// See [`HookError`]; `Changed` tells the revision as it stands.
pub async fn change(
    db: &Database,
    scope: Scope,
    guard: Guard,
    id: EndpointId,
    expected_revision: Option<u64>,
    wanted: &Wanted<'_>,
    now: Timestamp,
) -> Result<Endpoint, HookError> {
    check(guard, wanted)?;
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let revision = expect(&transaction, id, expected_revision).await?;
    let types = wanted.types.map(<[String]>::to_vec);
    let changed = transaction
        .execute(
            sql::ENDPOINT_CHANGE,
            &[
                &id.0,
                &revision,
                &wanted.url,
                &wanted.description,
                &types,
                &wanted.is_enabled,
                &micros(now),
                &BY_HAND,
            ],
        )
        .await?;
    finish(transaction, id, changed).await
}

/// Gives the endpoint a new secret. The former one signs on until [`FORMER_SECRET_LIFE`] is over, so that the receiver can
/// change over.
///
/// # Errors
/// As [`change`].
pub async fn rotate(
    db: &Database,
    scope: Scope,
    id: EndpointId,
    expected_revision: Option<u64>,
    now: Timestamp,
) -> Result<Endpoint, HookError> {
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let revision = expect(&transaction, id, expected_revision).await?;
    let (now, secret) = (micros(now), Secret::random()?.expose());
    let until = now.checked_add(FORMER_SECRET_LIFE).unwrap_or(Timestamp::MAX);
    let changed =
        transaction.execute(sql::ENDPOINT_ROTATE, &[&id.0, &revision, &secret, &until, &now]).await?;
    finish(transaction, id, changed).await
}

/// Removes the endpoint: nothing is sent to it any more. `false`: there was none.
///
/// # Errors
/// It is at another revision, or the database failed.
pub async fn remove(
    db: &Database,
    scope: Scope,
    id: EndpointId,
    expected_revision: Option<u64>,
    now: Timestamp,
) -> Result<bool, HookError> {
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let expected = expected_revision.map(|revision| i64::try_from(revision).unwrap_or(i64::MAX));
    let removed = transaction.execute(sql::ENDPOINT_REMOVE, &[&id.0, &expected, &micros(now)]).await?;
    if removed == 0
        && let Some(there) = read(&transaction, id).await?
    {
        return Err(HookError::Changed { current: there.revision });
    }
    transaction.commit().await?;
    Ok(0 < removed)
}

/// The revision to change from.
async fn expect(
    transaction: &Transaction<'_>,
    id: EndpointId,
    expected: Option<u64>,
) -> Result<i64, HookError> {
    let there = read(transaction, id).await?.ok_or(HookError::NoEndpoint)?;
    if expected.is_some_and(|expected| expected != there.revision) {
        return Err(HookError::Changed { current: there.revision });
    }
    Ok(i64::try_from(there.revision).unwrap_or(i64::MAX))
}

/// The endpoint as it is now; an error if somebody was faster.
async fn finish(transaction: Transaction<'_>, id: EndpointId, changed: u64) -> Result<Endpoint, HookError> {
    let there = read(&transaction, id).await?.ok_or(HookError::NoEndpoint)?;
    if changed == 0 {
        return Err(HookError::Changed { current: there.revision });
    }
    transaction.commit().await?;
    Ok(there)
}

fn check(guard: Guard, wanted: &Wanted<'_>) -> Result<(), HookError> {
    guard.check(wanted.url)?;
    if DESCRIPTION_MAX < wanted.description.chars().count()
        || wanted.description.chars().any(char::is_control)
    {
        return Err(HookError::Invalid(format!(
            "a description is one line of at most {DESCRIPTION_MAX} characters"
        )));
    }
    if wanted.types.is_some_and(|types| types.is_empty() || TYPES_MAX < types.len()) {
        return Err(HookError::Invalid(format!(
            "name 1 to {TYPES_MAX} types of events, or leave them out for all"
        )));
    }
    Ok(())
}

async fn read(transaction: &Transaction<'_>, id: EndpointId) -> Result<Option<Endpoint>, HookError> {
    transaction.query_opt(sql::ENDPOINT_GET, &[&id.0]).await?.as_ref().map(endpoint).transpose()
}

fn endpoint(row: &Row) -> Result<Endpoint, HookError> {
    let disabled_at: Option<Timestamp> = row.try_get("disabled_at")?;
    let because: Option<String> = row.try_get("disabled_because")?;
    let name: &str = row.try_get("tenant")?;
    Ok(Endpoint {
        id: EndpointId(row.try_get("endpoint_id")?),
        tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
        tenant: TenantName::new(name).map_err(|error| HookError::Invalid(error.to_string()))?,
        url: row.try_get("url")?,
        description: row.try_get("description")?,
        types: row.try_get("types")?,
        revision: row.try_get::<_, i64>("revision")?.unsigned_abs(),
        created_at: row.try_get("created_at")?,
        disabled: disabled_at.zip(because),
        failing_since: row.try_get("failing_since")?,
        former_secret_until: row.try_get("former_until")?,
        secret: Secret::parse(row.try_get("secret")?).ok_or(HookError::BadSecret)?,
    })
}
