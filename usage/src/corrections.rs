//! Corrections of usage by the provider: a remark, usage that is not to count, usage that nobody recorded. Each names a
//! resource, a meter, whole usage windows, a reason and who made it. Usage records are never rewritten and corrections
//! never changed: one that was wrong is withdrawn by another row. What is billed is records and corrections together.
//!
//! None makes usage negative: what is excluded counts nothing, and only more than nothing can be added.

pub(crate) mod effects;

use jiff::{SignedDuration, Timestamp};
use metering::{MeterName, Resource, ResourceKind, TenantId, Window};
use migrations::{Database, Scope, Transaction};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::dimensions;
use crate::error::{UsageError, unsigned};
use crate::ingest::marks::MarkKind;
use crate::load;
use crate::ownership;
use crate::settings::UsageSettings;
use effects::{Effect, Effects};

/// Characters of a reason: some sentences, as they are shown beside a figure.
pub const REASON_MAX: usize = 500;
/// Characters of who makes it.
const AUTHOR_MAX: usize = 100;
/// The longest window: longer than any period that is invoiced, short enough that a slip in a year is noticed.
const WINDOW_MAX: SignedDuration = SignedDuration::from_hours(24 * 366);
/// The most that one list shows.
pub const LIST_MAX: i64 = 1_000;

/// What a correction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: it is a remark.
    Annotate,
    /// What is recorded does not count.
    Exclude,
    /// So much counts that is not recorded, in the meter's base unit, spread evenly over the window.
    Add(u64),
}

impl Action {
    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Annotate => "annotate",
            Self::Exclude => "exclude",
            Self::Add(_) => "add",
        }
    }
}

/// One that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    /// Its id.
    pub id: Uuid,
    /// Who pays, or not.
    pub tenant_id: TenantId,
    /// For what.
    pub resource: Resource,
    /// Which meter.
    pub meter: MeterName,
    /// When: whole usage windows.
    pub window: Window,
    /// What it does.
    pub action: Action,
    /// Why.
    pub reason: String,
    /// Who made it.
    pub author: String,
    /// When it was made.
    pub recorded_at: Timestamp,
    /// Whether it was withdrawn: then it does nothing.
    pub withdrawn: Option<Withdrawal>,
}

/// That a correction does not hold any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// Its id.
    pub id: Uuid,
    /// Why.
    pub reason: String,
    /// Who withdrew it.
    pub author: String,
    /// When.
    pub recorded_at: Timestamp,
}

/// One to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewCorrection<'a> {
    /// Its id to be: making it again is making it once.
    pub id: Uuid,
    /// Of what.
    pub resource: &'a Resource,
    /// Which meter: one of the resource's kind.
    pub meter: MeterName,
    /// When: whole usage windows in which one tenant pays.
    pub window: Window,
    /// What it does.
    pub action: Action,
    /// Why.
    pub reason: &'a str,
    /// Who makes it.
    pub author: &'a str,
}

/// Why a correction was not made.
#[derive(Debug, thiserror::Error)]
pub enum CorrectionError {
    /// The meter is of another kind of resource.
    #[error(
        "{meter} is a meter of kind {of}, and the resource is of kind {kind}; name another meter, or another resource"
    )]
    Meter {
        /// The meter.
        meter: MeterName,
        /// What it is measured on.
        of: &'static str,
        /// What was named.
        kind: &'static str,
    },
    /// The window cuts usage windows.
    #[error(
        "{window} is not made of whole usage windows of {seconds} s: usage is only known for whole ones; begin and end \
         it at their borders, such as {start}"
    )]
    Unaligned {
        /// The window.
        window: Window,
        /// The length of usage windows.
        seconds: u32,
        /// The border before it begins.
        start: Timestamp,
    },
    /// The window is too long.
    #[error("{0} is longer than 366 days; make a correction for each year")]
    TooLong(Window),
    /// Nothing, or too much, is to be added.
    #[error("{0} cannot be added: it must be from 1 to 9223372036854775807 of the meter's base unit")]
    Quantity(u64),
    /// No reason, or an essay.
    #[error("a correction needs a reason of 1 to 500 characters, which the tenant will read")]
    Reason,
    /// Nobody.
    #[error("who corrects must be named in 1 to 100 characters")]
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
    /// Nobody pays, or several do.
    #[error(
        "no single tenant pays for it in all of {0}; make a correction for the time of each (weir instance show says who \
         held it when)"
    )]
    NotHeld(Window),
    /// There is no such correction.
    #[error("there is no correction {0}; weir usage correct list shows those that there are")]
    NoCorrection(Uuid),
    /// It was withdrawn before.
    #[error("correction {0} was withdrawn already")]
    Withdrawn(Uuid),
    /// The database.
    #[error("the correction could not be made or read")]
    Usage(#[source] UsageError),
}

impl<E: Into<UsageError>> From<E> for CorrectionError {
    fn from(source: E) -> Self {
        Self::Usage(source.into())
    }
}

/// Makes a correction, or finds the one that was made under its id. For the provider.
///
/// # Errors
/// See [`CorrectionError`].
pub async fn correct(
    db: &Database,
    new: &NewCorrection<'_>,
    settings: UsageSettings,
    now: Timestamp,
) -> Result<Correction, CorrectionError> {
    check(new, settings)?;
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let id = new.id;
    if let Some(made) = find_in(&transaction, id).await? {
        return Ok(made);
    }
    let tenant = holder(&transaction, new).await?;
    let (kind, resource, device) = dimensions::parts(new.resource);
    let quantity = match new.action {
        Action::Add(quantity) => {
            Some(i64::try_from(quantity).map_err(|_| CorrectionError::Quantity(quantity))?)
        }
        Action::Annotate | Action::Exclude => None,
    };
    let params: [&(dyn ToSql + Sync); 13] = [
        &id,
        &tenant.uuid(),
        &kind,
        &resource,
        &device,
        &new.meter.as_str(),
        &new.window.start(),
        &new.window.end(),
        &new.action.as_str(),
        &quantity,
        &new.reason.trim(),
        &new.author,
        &metering::micros(now),
    ];
    let statement = transaction.prepare_cached(sql!("add_correction")).await?;
    transaction.execute(&statement, &params).await?;
    let made = find_in(&transaction, id).await?.ok_or(CorrectionError::NoCorrection(id))?;
    transaction.commit().await?;
    Ok(made)
}

/// Withdraws a correction: from then on it does nothing, and stays to be seen. Under which id, why, and who says so: doing
/// it again under the same id is doing it once. For the provider.
///
/// # Errors
/// There is none of that id, it was withdrawn before, the reason or author is refused, or the database fails.
pub async fn withdraw(
    db: &Database,
    id: Uuid,
    (withdrawal, reason, author): (Uuid, &str, &str),
    now: Timestamp,
) -> Result<Correction, CorrectionError> {
    check_words(reason, author)?;
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let found = find_in(&transaction, id).await?.ok_or(CorrectionError::NoCorrection(id))?;
    if found.withdrawn.as_ref().is_some_and(|done| done.id == withdrawal) {
        return Ok(found);
    }
    let statement = transaction.prepare_cached(sql!("withdraw_correction")).await?;
    let params: [&(dyn ToSql + Sync); 5] =
        [&withdrawal, &id, &reason.trim(), &author, &metering::micros(now)];
    match transaction.execute(&statement, &params).await {
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
            return Err(CorrectionError::Withdrawn(id));
        }
        done => done?,
    };
    let withdrawn = find_in(&transaction, id).await?.ok_or(CorrectionError::NoCorrection(id))?;
    transaction.commit().await?;
    Ok(withdrawn)
}

/// Corrections that touch `span` (`None`: all), of one tenant or of all that `scope` may see: the latest first, at most
/// `limit` (and at most [`LIST_MAX`]) after the one with the id `after`.
///
/// # Errors
/// The database fails.
pub async fn list(
    db: &Database,
    scope: Scope,
    tenant: Option<TenantId>,
    span: Option<Window>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Correction>, CorrectionError> {
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let statement = transaction.prepare_cached(sql!("corrections")).await?;
    let (tenant, from, to) =
        (tenant.map(TenantId::uuid), span.map(|span| span.start()), span.map(|span| span.end()));
    let limit = limit.clamp(1, LIST_MAX);
    let params: [&(dyn ToSql + Sync); 7] =
        [&None::<Uuid>, &tenant, &from, &to, &after, &limit, &None::<&str>];
    let rows = transaction.query(&statement, &params).await?;
    Ok(rows.iter().map(correction).collect::<Result<_, _>>()?)
}

/// One of them.
///
/// # Errors
/// The database fails.
pub async fn find(db: &Database, scope: Scope, id: Uuid) -> Result<Option<Correction>, CorrectionError> {
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    find_in(&transaction, id).await
}

/// Those of one meter that touch a period, at most [`LIST_MAX`].
pub(crate) async fn of_meter(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    meter: MeterName,
    period: Window,
) -> Result<Vec<Correction>, UsageError> {
    let statement = transaction.prepare_cached(sql!("corrections")).await?;
    let (tenant, from, to) = (Some(tenant.uuid()), Some(period.start()), Some(period.end()));
    let none = None::<Uuid>;
    let meter = Some(meter.as_str());
    let params: [&(dyn ToSql + Sync); 7] = [&none, &tenant, &from, &to, &none, &LIST_MAX, &meter];
    transaction.query(&statement, &params).await?.iter().map(correction).collect()
}

/// What changes a tenant's usage of a period.
pub(crate) async fn effects(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    period: Window,
) -> Result<Effects, UsageError> {
    let statement = transaction.prepare_cached(sql!("corrections_within")).await?;
    let rows = transaction.query(&statement, &[&tenant.uuid(), &period.start(), &period.end()]).await?;
    let mut effects = Vec::with_capacity(rows.len());
    for row in &rows {
        let quantity: Option<i64> = row.try_get("quantity")?;
        effects.push(Effect {
            correction_id: row.try_get("correction_id")?,
            resource: resource(row)?,
            meter: crate::records::meter(row)?,
            window: crate::derivation::window_of(row)?,
            added: quantity.map(|quantity| unsigned("usage_correction", "quantity", quantity)).transpose()?,
        });
    }
    Ok(Effects::new(effects))
}

fn check(new: &NewCorrection<'_>, settings: UsageSettings) -> Result<(), CorrectionError> {
    check_words(new.reason, new.author)?;
    let (of, kind) = (new.meter.meter().resource, load::kind_of(new.resource));
    if of != kind {
        return Err(CorrectionError::Meter { meter: new.meter, of: of.as_str(), kind: kind.as_str() });
    }
    let length = settings.window;
    if !length.aligns_with(new.window.start()) || !length.aligns_with(new.window.end()) {
        let start = length.window_of(new.window.start()).start();
        return Err(CorrectionError::Unaligned { window: new.window, seconds: length.seconds(), start });
    }
    if WINDOW_MAX < SignedDuration::from_micros(new.window.microseconds()) {
        return Err(CorrectionError::TooLong(new.window));
    }
    match new.action {
        Action::Add(0) => Err(CorrectionError::Quantity(0)),
        Action::Annotate | Action::Exclude | Action::Add(_) => Ok(()),
    }
}

fn check_words(reason: &str, author: &str) -> Result<(), CorrectionError> {
    let is_shown = |text: &str, most: usize| {
        (1..=most).contains(&text.trim().chars().count()) && !text.chars().any(char::is_control)
    };
    if !is_shown(reason, REASON_MAX) {
        return Err(CorrectionError::Reason);
    }
    if !is_shown(author, AUTHOR_MAX) {
        return Err(CorrectionError::Author);
    }
    Ok(())
}

/// Who pays for it in all of the window.
async fn holder(transaction: &Transaction<'_>, new: &NewCorrection<'_>) -> Result<TenantId, CorrectionError> {
    let (kind, id, device) = dimensions::parts(new.resource);
    if !dimensions::is_known(transaction, new.resource).await? {
        let device = if device.is_empty() {
            String::new()
        } else {
            format!(" with device {}", crate::registry::shown(device))
        };
        return Err(CorrectionError::NoResource { kind, id: id.to_string(), device });
    }
    let mark = match new.resource {
        Resource::Volume(_) => MarkKind::Volume,
        Resource::Instance(_) | Resource::Disk(..) | Resource::Nic(..) => MarkKind::Instance,
    };
    let ownership = ownership::ownership_of(transaction, mark, id).await?;
    let tenant = ownership.at(new.window.start());
    let is_one = ownership.split(&[new.window]).iter().all(|part| ownership.at(part.start()) == tenant);
    if tenant == TenantId::UNASSIGNED || !is_one {
        return Err(CorrectionError::NotHeld(new.window));
    }
    Ok(tenant)
}

async fn find_in(transaction: &Transaction<'_>, id: Uuid) -> Result<Option<Correction>, CorrectionError> {
    let statement = transaction.prepare_cached(sql!("corrections")).await?;
    let (no_id, no_time) = (None::<Uuid>, None::<Timestamp>);
    let params: [&(dyn ToSql + Sync); 7] =
        [&Some(id), &no_id, &no_time, &no_time, &no_id, &1_i64, &None::<&str>];
    let row = transaction.query_opt(&statement, &params).await?;
    Ok(row.as_ref().map(correction).transpose()?)
}

fn resource(row: &Row) -> Result<Resource, UsageError> {
    let kind: String = row.try_get("kind")?;
    let Some(kind) = ResourceKind::parse(&kind) else {
        return Err(UsageError::Corrupt { table: "usage_correction", column: "kind", value: kind });
    };
    Ok(load::resource_of(kind, row.try_get("resource")?, row.try_get("device")?))
}

fn correction(row: &Row) -> Result<Correction, UsageError> {
    let action: String = row.try_get("action")?;
    let quantity: Option<i64> = row.try_get("quantity")?;
    let action = match (action.as_str(), quantity) {
        ("annotate", _) => Action::Annotate,
        ("exclude", _) => Action::Exclude,
        ("add", Some(quantity)) => Action::Add(unsigned("usage_correction", "quantity", quantity)?),
        _ => return Err(UsageError::Corrupt { table: "usage_correction", column: "action", value: action }),
    };
    let withdrawn: Option<Timestamp> = row.try_get("withdrawn_at")?;
    let withdrawn = match withdrawn {
        None => None,
        Some(recorded_at) => Some(Withdrawal {
            id: row.try_get("withdrawal_id")?,
            reason: row.try_get("withdrawn_reason")?,
            author: row.try_get("withdrawn_author")?,
            recorded_at,
        }),
    };
    Ok(Correction {
        id: row.try_get("correction_id")?,
        tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
        resource: resource(row)?,
        meter: crate::records::meter(row)?,
        window: crate::derivation::window_of(row)?,
        action,
        reason: row.try_get("reason")?,
        author: row.try_get("author")?,
        recorded_at: row.try_get("recorded_at")?,
        withdrawn,
    })
}
