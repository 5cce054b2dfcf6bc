//! Tenants: creating, finding, listing, and the price plan that each is on today. It does NOT know plans (a plan's name is
//! text here), nor by which one a period is billed: assignments have dates, and billing keeps them.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use metering::{TenantId, TenantName};
use migrations::{Database, Scope, Transaction};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::{RegistryError, shown};
use crate::error::UsageError;
use crate::ingest::marks::{self, Marks};
use crate::ownership;
use crate::settings::UsageSettings;

/// The longest display name, in characters: it must fit the head of an invoice.
pub const DISPLAY_NAME_MAX: usize = 200;

/// Address lines: what fits beside a window of an envelope.
pub const ADDRESS_LINES_MAX: usize = 10;

/// Bytes of a tax number; the longest in use have about 20.
pub const TAX_NUMBER_MAX: usize = 64;

/// Bytes of an e-mail address (RFC 5321, section 4.5.3.1.3, less the brackets).
const EMAIL_MAX: usize = 254;
/// What may stand before the `@` (RFC 5321, 4.5.3.1.1), in bytes.
const EMAIL_LOCAL_MAX: usize = 64;

/// Offsets of a zone are checked from here on: nothing earlier is metered.
const ZONE_CHECK_FROM: &str = "2020-01-01T00:00:00Z";

/// How many changes of a zone's offset are checked: two a year, for thirty years.
const ZONE_CHANGES_MAX: usize = 60;

/// Who pays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its name in commands and metadata.
    pub name: TenantName,
    /// Its name on invoices.
    pub display_name: String,
    /// The IANA time zone in which its months begin.
    pub time_zone: String,
    /// The price plan that it is on today, in its zone; `None`: none. What a period is billed by is another question.
    pub plan_name: Option<String>,
    /// Its postal address, line by line.
    pub address: Vec<String>,
    /// The number under which the tax office knows it.
    pub tax_number: Option<String>,
    /// Where its mail goes.
    pub email: Option<String>,
    /// How often it was changed, and once more: what a change must name.
    pub revision: u64,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A tenant to be.
#[derive(Clone, Debug)]
pub struct NewTenant<'a> {
    /// Its name.
    pub name: TenantName,
    /// Its name on invoices.
    pub display_name: &'a str,
    /// An IANA time zone.
    pub time_zone: &'a str,
    /// Its price plan, which the caller knows to exist, for all time.
    pub plan_name: Option<&'a str>,
    /// Who says so, if somebody is to be named.
    pub added_by: Option<&'a str>,
    /// Its postal address, line by line.
    pub address: &'a [String],
    /// The number under which the tax office knows it.
    pub tax_number: Option<&'a str>,
}

/// What may be changed of a tenant: all of it at once, as the asker wants it to be.
#[derive(Clone, Copy, Debug)]
pub struct TenantChange<'a> {
    /// Its name on invoices.
    pub display_name: &'a str,
    /// Its postal address, line by line.
    pub address: &'a [String],
    /// The number under which the tax office knows it.
    pub tax_number: Option<&'a str>,
    /// Where its mail goes.
    pub email: Option<&'a str>,
}

impl<'a> NewTenant<'a> {
    /// A tenant of which nothing more is known.
    #[must_use]
    pub const fn new(name: TenantName, display_name: &'a str, time_zone: &'a str) -> Self {
        Self {
            name,
            display_name,
            time_zone,
            plan_name: None,
            added_by: None,
            address: &[],
            tax_number: None,
        }
    }
}

/// Creates a tenant, all or nothing. Instances whose label names it and that are nobody's become its own, from when they
/// were first seen.
///
/// # Errors
/// The name is taken; the display name, the zone, the address or the tax number is refused; or the database fails.
pub async fn create_tenant(
    db: &Database,
    new: &NewTenant<'_>,
    settings: UsageSettings,
) -> Result<Tenant, RegistryError> {
    check_display_name(new.display_name)?;
    check_zone(new.time_zone, settings)?;
    check_party(new.address, new.tax_number)?;
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql!("add_tenant")).await?;
    let added = transaction
        .query_one(
            &statement,
            &[
                &Uuid::now_v7(),
                &new.name.as_str(),
                &new.display_name,
                &new.time_zone,
                &new.plan_name,
                &new.address,
                &new.tax_number,
                &new.added_by,
            ],
        )
        .await;
    let row = match added {
        Ok(row) => row,
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
            return Err(RegistryError::TenantExists { name: new.name.to_string() });
        }
        Err(error) => return Err(error.into()),
    };
    let tenant = tenant(&row)?;
    adopt_labelled(&transaction, &tenant, settings).await?;
    transaction.commit().await?;
    Ok(tenant)
}

/// The tenants that `scope` may see, by name. [`TenantId::UNASSIGNED`] is one of the provider's.
pub async fn tenants(db: &Database, scope: Scope) -> Result<Vec<Tenant>, RegistryError> {
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let statement = transaction.prepare_cached(sql!("tenants")).await?;
    let rows = transaction.query(&statement, &[]).await?;
    Ok(rows.iter().map(tenant).collect::<Result<_, _>>()?)
}

/// The tenant of that name or id.
///
/// # Errors
/// There is none, or it is not for `scope` to see.
pub async fn find_tenant(db: &Database, scope: Scope, asked: &str) -> Result<Tenant, RegistryError> {
    let none = || RegistryError::NoTenant { asked: shown(asked) };
    if asked.contains('\0') {
        return Err(none());
    }
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let statement = transaction.prepare_cached(sql!("find_tenant")).await?;
    let id: Option<Uuid> = asked.parse().ok();
    let row = transaction.query_opt(&statement, &[&id, &asked]).await?.ok_or_else(none)?;
    Ok(tenant(&row)?)
}

/// Changes a tenant, unless somebody else did since revision `expected` was looked at.
///
/// # Errors
/// [`RegistryError::Changed`] names the present revision; or no such tenant, something that cannot be printed or mailed
/// to, or the database fails.
pub async fn update_tenant(
    db: &Database,
    tenant_id: TenantId,
    expected: u64,
    change: &TenantChange<'_>,
) -> Result<Tenant, RegistryError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let changed = update_tenant_within(&transaction, tenant_id, expected, change).await?;
    transaction.commit().await?;
    Ok(changed)
}

/// The same within a transaction, for whoever changes more of the tenant.
///
/// # Errors
/// As [`update_tenant`].
pub async fn update_tenant_within(
    transaction: &Transaction<'_>,
    tenant_id: TenantId,
    expected: u64,
    change: &TenantChange<'_>,
) -> Result<Tenant, RegistryError> {
    check_display_name(change.display_name)?;
    check_party(change.address, change.tax_number)?;
    check_email(change.email)?;
    let statement = transaction.prepare_cached(sql!("update_tenant")).await?;
    // A revision beyond what PostgreSQL counts to was never seen by anybody.
    let revision = i64::try_from(expected).unwrap_or(0);
    let changed = transaction
        .query_opt(
            &statement,
            &[
                &tenant_id.uuid(),
                &revision,
                &change.display_name,
                &change.address,
                &change.tax_number,
                &change.email,
            ],
        )
        .await?;
    if let Some(row) = changed {
        return Ok(tenant(&row)?);
    }
    let statement = transaction.prepare_cached(sql!("find_tenant")).await?;
    match transaction.query_opt(&statement, &[&Some(tenant_id.uuid()), &""]).await? {
        Some(row) => Err(RegistryError::Changed { revision: tenant(&row)?.revision }),
        None => Err(RegistryError::NoTenant { asked: tenant_id.to_string() }),
    }
}

/// Says what invoices print of a tenant besides its name.
///
/// # Errors
/// Too much to print, no such tenant, or the database fails.
pub async fn set_party(
    db: &Database,
    tenant_id: TenantId,
    address: &[String],
    tax_number: Option<&str>,
) -> Result<(), RegistryError> {
    check_party(address, tax_number)?;
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql!("set_party")).await?;
    if transaction.execute(&statement, &[&tenant_id.uuid(), &address, &tax_number]).await? == 0 {
        return Err(RegistryError::NoTenant { asked: tenant_id.to_string() });
    }
    transaction.commit().await?;
    Ok(())
}

/// Gives the new tenant the instances that wait for it.
async fn adopt_labelled(
    transaction: &Transaction<'_>,
    tenant: &Tenant,
    settings: UsageSettings,
) -> Result<(), UsageError> {
    let statement = transaction.prepare_cached(sql!("lock_labelled")).await?;
    let mut waiting: Vec<Uuid> = Vec::new();
    for row in transaction.query(&statement, &[&tenant.name.as_str()]).await? {
        waiting.push(row.try_get("instance_id")?);
    }
    let mut marks = Marks::new(settings.window);
    ownership::adopt(transaction, &waiting, &[], &mut marks).await?;
    marks::write(transaction, &marks).await
}

fn check_display_name(name: &str) -> Result<(), RegistryError> {
    // Spaces, and characters without width, would be a name that nobody sees.
    let is_seen = name.chars().any(char::is_alphanumeric);
    if is_seen && is_printable(name) {
        return Ok(());
    }
    Err(RegistryError::DisplayName { found: name.chars().count() })
}

/// Whether mail could be sent there, as far as the text tells: one `@` with something on both sides, and nothing that
/// could begin another header or another recipient.
fn check_email(email: Option<&str>) -> Result<(), RegistryError> {
    let Some(email) = email else { return Ok(()) };
    let is_plain = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| !c.is_control() && !c.is_whitespace() && !"@,;:<>()[]\\\"".contains(c))
    };
    match email.split_once('@') {
        Some((local, host))
            if email.len() <= EMAIL_MAX
                && local.len() <= EMAIL_LOCAL_MAX
                && is_plain(local)
                && is_plain(host)
                && is_printable(email) =>
        {
            Ok(())
        }
        _ => Err(RegistryError::Email { shown: shown(email) }),
    }
}

fn check_party(address: &[String], tax_number: Option<&str>) -> Result<(), RegistryError> {
    if ADDRESS_LINES_MAX < address.len() || !address.iter().all(|line| is_printable(line)) {
        return Err(RegistryError::Address);
    }
    match tax_number {
        Some(number) if number.is_empty() || TAX_NUMBER_MAX < number.len() || !is_printable(number) => {
            Err(RegistryError::TaxNumber)
        }
        _ => Ok(()),
    }
}

/// Whether a line can stand on paper: not too long, and nothing in it that would move the pen. Marks that turn the
/// direction of writing could make an invoice show what it does not say.
fn is_printable(line: &str) -> bool {
    let moves_the_pen = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    line.chars().count() <= DISPLAY_NAME_MAX && !line.chars().any(moves_the_pen)
}

/// Refuses a zone in which a month would begin within a usage window.
fn check_zone(zone: &str, settings: UsageSettings) -> Result<(), RegistryError> {
    let unknown = || RegistryError::UnknownZone { zone: shown(zone) };
    let time_zone = TimeZone::get(zone).map_err(|_| unknown())?;
    let from: Timestamp = ZONE_CHECK_FROM.parse().map_err(|_| unknown())?;
    let changes = time_zone.following(from).take(ZONE_CHANGES_MAX).map(|change| change.offset());
    let window = SignedDuration::from_secs(i64::from(settings.window.seconds()));
    let misfit = std::iter::once(time_zone.to_offset(from))
        .chain(changes)
        .find(|offset| i64::from(offset.seconds()) % window.as_secs() != 0);
    match misfit {
        None => Ok(()),
        Some(offset) => Err(RegistryError::ZoneOffWindows {
            zone: shown(zone),
            offset: offset.to_string(),
            window_seconds: settings.window.seconds(),
        }),
    }
}

pub(super) fn tenant(row: &Row) -> Result<Tenant, UsageError> {
    let name: String = row.try_get("name")?;
    Ok(Tenant {
        id: TenantId::from_uuid(row.try_get("tenant_id")?),
        name: TenantName::new(&name).map_err(|_| UsageError::Corrupt {
            table: "tenant",
            column: "name",
            value: shown(&name),
        })?,
        display_name: row.try_get("display_name")?,
        time_zone: row.try_get("time_zone")?,
        plan_name: row.try_get("plan_name")?,
        address: row.try_get("address")?,
        tax_number: row.try_get("tax_number")?,
        email: row.try_get("email")?,
        revision: row.try_get::<_, i64>("revision")?.unsigned_abs(),
        created_at: row.try_get("created_at")?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use metering::WindowLength;

    use super::*;

    fn check(zone: &str, window_minutes: u64, expected: &str) {
        let window = WindowLength::new(Duration::from_secs(window_minutes * 60)).unwrap();
        let settings = UsageSettings { window, tolerance: Duration::from_secs(150) };
        let got = check_zone(zone, settings).map_or_else(|error| error.to_string(), |()| "fine".into());
        assert!(got.contains(expected), "{zone} {window_minutes}: {got}");
    }

    #[test]
    fn an_address_that_could_carry_a_second_header_or_recipient_is_refused() {
        let long = format!("{}@example.org", "a".repeat(250));
        for bad in
            ["", "@", "a", "a@", "@b", "a@b@c", "a b@c", "a@b\r\nBcc: c@d", "a@b,c@d", "A <a@b>", &long]
        {
            let error = check_email(Some(bad)).unwrap_err().to_string();
            assert!(error.len() < 300, "{error}");
        }
        for good in ["a@b", "billing+weir@example.org", "ä@münchen.example"] {
            assert!(check_email(Some(good)).is_ok(), "{good}");
        }
        assert!(check_email(None).is_ok());
    }

    #[test]
    fn a_zone_whose_months_begin_within_a_window_is_refused_with_the_way_out() {
        check("UTC", 60, "fine");
        check("Europe/Berlin", 60, "fine");
        check("America/New_York", 60, "fine");
        check("Asia/Kolkata", 60, "metering.window = \"15m\"");
        check("Asia/Kolkata", 15, "fine");
        check("Asia/Kathmandu", 30, "+05:45");
        check("Asia/Kathmandu", 15, "fine");
        check("Australia/Lord_Howe", 60, "Australia/Lord_Howe");
        check("Mars/Olympus", 60, "no time zone");
        check("../../etc/passwd", 60, "no time zone");
        check("", 60, "no time zone");
    }
}
