//! Dimensions: what prices may depend on beside the meter, such as `storage_class` of a volume, `network` of a NIC,
//! `licence` of an instance. Each value holds from the start of a usage window on, the next one when it is said, so that
//! no window has two. What was said is never changed: a later value takes its place, and taking one away is a row too.
//!
//! It does NOT know prices, and not which names mean anything: a rate card says which values it is for.

mod rules;
pub(crate) mod timeline;

use jiff::Timestamp;
use metering::{Resource, ResourceKind, TenantId, Window, WindowLength};
use migrations::{Database, Scope, Transaction};
use tokio_postgres::Row;

use crate::error::UsageError;
use crate::load;
use timeline::{Said, Timeline};

pub use rules::{Match, Rule, apply_rules};

/// Letters of a name and of a value: what fits into a column of a list and into the key of a line.
const NAME_MAX: usize = 32;
const VALUE_MAX: usize = 63;

/// Characters of who says so.
const AUTHOR_MAX: usize = 100;

/// What is shown of a resource's history: more would be a slip in a program that sets the same thing again and again.
const HISTORY_MAX: i64 = 1_000;

/// One thing that was said of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DimensionChange {
    /// Counts up in the order in which things were said.
    pub change_id: i64,
    /// Of what.
    pub resource: Resource,
    /// Which dimension.
    pub name: String,
    /// Its value from `valid_from` on; `None`: none.
    pub value: Option<String>,
    /// From when on: the start of a usage window.
    pub valid_from: Timestamp,
    /// Whether a rule of the configuration says so. A person's word goes before it.
    pub is_rule: bool,
    /// Who says so.
    pub author: String,
    /// When it was said.
    pub recorded_at: Timestamp,
}

/// Something to be said.
#[derive(Clone, Copy, Debug)]
pub struct NewDimension<'a> {
    /// Of what.
    pub resource: &'a Resource,
    /// Which dimension: a small letter, then small letters, digits and `_`.
    pub name: &'a str,
    /// Its value: small letters, digits, `.`, `_` and `-`; `None` takes it away.
    pub value: Option<&'a str>,
    /// Who says so.
    pub author: &'a str,
}

/// Why a dimension was not set.
#[derive(Debug, thiserror::Error)]
pub enum DimensionError {
    /// The name cannot be one.
    #[error(
        "{0:?} is no name of a dimension: it begins with a small letter and has up to 32 of a to z, 0 to 9 and _, \
         such as storage_class"
    )]
    Name(String),
    /// The value cannot be one.
    #[error(
        "{0:?} is no value of a dimension: it has up to 63 of a to z, 0 to 9, ., _ and -, and begins with a letter or a \
         digit, such as ssd"
    )]
    Value(String),
    /// Nobody, or somebody with too long a name.
    #[error("who sets the dimension must be named in 1 to 100 characters")]
    Author,
    /// There is no such resource.
    #[error("there is no {kind} {id}{device}; weir instance list and weir volume list show what there is")]
    NoResource {
        /// What it would be.
        kind: &'static str,
        /// Its id, or its instance's.
        id: String,
        /// ` with device ...`, or nothing.
        device: String,
    },
    /// The database.
    #[error("the dimension could not be set or read")]
    Usage(#[source] UsageError),
}

impl<E: Into<UsageError>> From<E> for DimensionError {
    fn from(source: E) -> Self {
        Self::Usage(source.into())
    }
}

/// Says a dimension's value from the next usage window on. For the provider. Saying the same again changes nothing and
/// gives what holds.
///
/// # Errors
/// There is no such resource, a word is refused, or the database fails.
pub async fn set(
    db: &Database,
    new: &NewDimension<'_>,
    window: WindowLength,
    now: Timestamp,
) -> Result<DimensionChange, DimensionError> {
    check(new)?;
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    require(&transaction, new.resource).await?;
    let (kind, id, device) = parts(new.resource);
    let valid_from = window.window_of(now).end();
    let statement = transaction.prepare_cached(sql!("put_dimension")).await?;
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
        [&kind, &id, &device, &new.name, &new.value, &valid_from, &new.author, &metering::micros(now)];
    let row = transaction.query_one(&statement, &params).await?;
    let change = change(&row)?;
    transaction.commit().await?;
    Ok(change)
}

/// What was ever said of an instance with its devices, or of a volume: the latest first.
///
/// # Errors
/// The database fails.
pub async fn history(
    db: &Database,
    scope: Scope,
    resource: &Resource,
) -> Result<Vec<DimensionChange>, DimensionError> {
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let statement = transaction.prepare_cached(sql!("dimensions_of")).await?;
    let (_, id, _) = parts(resource);
    let rows = transaction.query(&statement, &[&id, &HISTORY_MAX]).await?;
    Ok(rows.iter().map(change).collect::<Result<_, _>>()?)
}

/// What holds of all that a tenant held within a period.
pub(crate) async fn timeline(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    period: Window,
) -> Result<Timeline, UsageError> {
    let statement = transaction.prepare_cached(sql!("dimensions_held")).await?;
    let rows = transaction.query(&statement, &[&tenant.uuid(), &period.start(), &period.end()]).await?;
    let mut said = Vec::with_capacity(rows.len());
    for row in &rows {
        said.push(Said {
            resource: resource(row)?,
            name: row.try_get("name")?,
            value: row.try_get("value")?,
            valid_from: row.try_get("valid_from")?,
            is_rule: row.try_get("is_rule")?,
        });
    }
    Ok(Timeline::new(said))
}

/// A resource as its rows name it.
pub(crate) fn parts(resource: &Resource) -> (&'static str, uuid::Uuid, &str) {
    (load::kind_of(resource).as_str(), load::uuid_of(resource), resource.device().unwrap_or(""))
}

/// Whether a resource was ever metered.
pub(crate) async fn is_known(
    transaction: &Transaction<'_>,
    resource: &Resource,
) -> Result<bool, tokio_postgres::Error> {
    let (kind, id, device) = parts(resource);
    let statement = transaction.prepare_cached(sql!("is_known_resource")).await?;
    transaction.query_one(&statement, &[&kind, &id, &device]).await?.try_get("is_known")
}

fn check(new: &NewDimension<'_>) -> Result<(), DimensionError> {
    check_words(new.name, new.value)?;
    let is_author = (1..=AUTHOR_MAX).contains(&new.author.chars().count());
    if is_author { Ok(()) } else { Err(DimensionError::Author) }
}

fn check_words(name: &str, value: Option<&str>) -> Result<(), DimensionError> {
    let small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= NAME_MAX
        && name.chars().all(|c| small(c) || c == '_');
    if !is_name {
        return Err(DimensionError::Name(crate::registry::shown(name)));
    }
    let is_value = |value: &str| {
        value.starts_with(small)
            && value.len() <= VALUE_MAX
            && value.chars().all(|c| small(c) || "._-".contains(c))
    };
    match value {
        Some(value) if !is_value(value) => Err(DimensionError::Value(crate::registry::shown(value))),
        _ => Ok(()),
    }
}

async fn require(transaction: &Transaction<'_>, resource: &Resource) -> Result<(), DimensionError> {
    if is_known(transaction, resource).await? {
        return Ok(());
    }
    let (kind, id, device) = parts(resource);
    let device = if device.is_empty() {
        String::new()
    } else {
        format!(" with device {}", crate::registry::shown(device))
    };
    Err(DimensionError::NoResource { kind, id: id.to_string(), device })
}

fn resource(row: &Row) -> Result<Resource, UsageError> {
    let kind: String = row.try_get("kind")?;
    let Some(kind) = ResourceKind::parse(&kind) else {
        return Err(UsageError::Corrupt { table: "resource_dimension", column: "kind", value: kind });
    };
    Ok(load::resource_of(kind, row.try_get("resource")?, row.try_get("device")?))
}

fn change(row: &Row) -> Result<DimensionChange, UsageError> {
    Ok(DimensionChange {
        change_id: row.try_get("change_id")?,
        resource: resource(row)?,
        name: row.try_get("name")?,
        value: row.try_get("value")?,
        valid_from: row.try_get("valid_from")?,
        is_rule: row.try_get("is_rule")?,
        author: row.try_get("author")?,
        recorded_at: row.try_get("recorded_at")?,
    })
}
