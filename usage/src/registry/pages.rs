//! Lists by the page, for lists that grow: a cursor says after what the next page begins, so that what comes and goes
//! meanwhile neither repeats nor hides anything else. It does NOT know how a cursor is written: the front does.

use metering::{InstanceId, InstanceState, TenantId};
use migrations::{Database, Scope};
use uuid::Uuid;

use super::instances::{self, Instance};
use super::tenants::{self, Tenant};
use super::{PAGE_MAX, RegistryError};

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, C> {
    /// In order.
    pub items: Vec<T>,
    /// Where the next page begins; `None`: this is the last one.
    pub next: Option<C>,
}

/// The last instance of a page. Any value is a place in the list, whether such an instance exists or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceCursor {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: InstanceId,
}

/// Which instances.
#[derive(Clone, Debug, Default)]
pub struct InstanceQuery<'a> {
    /// Who holds them now; [`TenantId::UNASSIGNED`]: nobody. `None`: anybody. A tenant's scope sees its own alone.
    pub tenant: Option<TenantId>,
    /// In which state; `None`: all but those that are gone.
    pub state: Option<InstanceState>,
    /// What their names contain, whatever the case; or an id.
    pub search: Option<&'a str>,
    /// After which one.
    pub after: Option<InstanceCursor>,
    /// How many at most: 1 to [`PAGE_MAX`].
    pub limit: usize,
}

/// The last tenant of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantCursor {
    /// Its name.
    pub name: String,
}

/// Which tenants.
#[derive(Clone, Debug, Default)]
pub struct TenantQuery<'a> {
    /// What their name or display name contains, whatever the case.
    pub search: Option<&'a str>,
    /// After which one.
    pub after: Option<TenantCursor>,
    /// How many at most: 1 to [`PAGE_MAX`].
    pub limit: usize,
}

/// Instances by name, as far as `scope` may see them. A tenant sees those that it holds now.
///
/// # Errors
/// The database fails.
pub async fn instances_page(
    db: &Database,
    scope: Scope,
    query: &InstanceQuery<'_>,
) -> Result<Page<Instance, InstanceCursor>, RegistryError> {
    let tenant: Option<Uuid> = match (scope, query.tenant.map(TenantId::uuid)) {
        (Scope::Tenant(own), None) => Some(own),
        (Scope::Tenant(own), Some(asked)) if asked != own => {
            return Ok(Page { items: Vec::new(), next: None });
        }
        (_, asked) => asked,
    };
    let after = query.after.as_ref();
    if [query.search, after.map(|after| after.name.as_str())].into_iter().flatten().any(has_nul) {
        return Ok(Page { items: Vec::new(), next: None });
    }
    let (limit, fetched) = limits(query.limit);
    let search = query.search.map(str::trim).filter(|search| !search.is_empty());
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let statement = transaction.prepare_cached(sql!("instances_page")).await?;
    let rows = transaction
        .query(
            &statement,
            &[
                &tenant,
                &query.state.map(InstanceState::as_str),
                &search,
                &search.and_then(|search| search.parse::<Uuid>().ok()),
                &after.map(|after| after.name.as_str()),
                &after.map(|after| after.id.uuid()),
                &fetched,
            ],
        )
        .await?;
    let items = rows.iter().map(instances::instance).collect::<Result<Vec<_>, _>>()?;
    Ok(cut(items, limit, |last| InstanceCursor { name: last.name.clone(), id: last.id }))
}

/// Tenants by name, as far as `scope` may see them.
///
/// # Errors
/// The database fails.
pub async fn tenants_page(
    db: &Database,
    scope: Scope,
    query: &TenantQuery<'_>,
) -> Result<Page<Tenant, TenantCursor>, RegistryError> {
    let after = query.after.as_ref().map(|after| after.name.as_str());
    if [query.search, after].into_iter().flatten().any(has_nul) {
        return Ok(Page { items: Vec::new(), next: None });
    }
    let (limit, fetched) = limits(query.limit);
    let search = query.search.map(str::trim).filter(|search| !search.is_empty());
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let statement = transaction.prepare_cached(sql!("tenants_page")).await?;
    let rows = transaction.query(&statement, &[&after, &search, &fetched]).await?;
    let items = rows.iter().map(tenants::tenant).collect::<Result<Vec<_>, _>>()?;
    Ok(cut(items, limit, |last| TenantCursor { name: last.name.as_str().to_owned() }))
}

/// PostgreSQL's text cannot hold it, so nothing has such a name.
fn has_nul(text: &str) -> bool {
    text.contains('\0')
}

/// How many are shown, and how many are fetched: one more says whether there is a next page.
fn limits(asked: usize) -> (usize, i64) {
    let limit = asked.clamp(1, PAGE_MAX);
    (limit, i64::try_from(limit + 1).unwrap_or(i64::MAX))
}

fn cut<T, C>(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> C) -> Page<T, C> {
    let is_last = items.len() <= limit;
    items.truncate(limit);
    let next = if is_last { None } else { items.last().map(cursor) };
    Page { items, next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_just_full_has_no_next_one_unless_there_is_more() {
        let check = |found: usize, limit: usize, items: usize, next: Option<usize>| {
            let page = cut((1..=found).collect(), limit, |last| *last);
            assert_eq!((page.items.len(), page.next), (items, next), "{found} of {limit}");
        };
        check(0, 3, 0, None);
        check(3, 3, 3, None);
        check(4, 3, 3, Some(3));
        assert_eq!(limits(0).0, 1);
        assert_eq!(limits(usize::MAX), (PAGE_MAX, 201));
    }
}
