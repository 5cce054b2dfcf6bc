//! `/instances`: the list, by name, page by page, with a search and filters. It works as a plain form; htmx swaps the list
//! alone where there is a script.

use actix_web::{HttpResponse, web};
use askama::Template;
use metering::{InstanceId, InstanceState, TenantId};
use serde::Deserialize;
use usage::registry::{self, Instance, InstanceCursor, InstanceQuery, RegistryError};

use crate::auth::query_value;
use crate::show::{self, Moment};
use crate::site::{Layout, PageError, Site, Viewer, html};

/// Rows of a page: what a person looks through.
const ROWS: usize = 50;
/// The longest search that is looked for, in characters; names are shorter.
const SEARCH_MAX: usize = 200;
/// The states to choose from. Without one: whatever is not gone.
const STATES: [InstanceState; 4] =
    [InstanceState::Running, InstanceState::Paused, InstanceState::Stopped, InstanceState::Gone];

/// `/instances?q=web&state=running&tenant=acme&after=...`
#[derive(Deserialize)]
struct Asked {
    q: Option<String>,
    state: Option<String>,
    tenant: Option<String>,
    after: Option<String>,
}

/// `templates/instances.html`
#[derive(Template)]
#[template(path = "instances.html")]
struct InstancesPage {
    layout: Layout,
    search: String,
    states: Vec<StateChoice>,
    /// Whether the viewer sees several tenants, and nodes.
    sees_tenants: bool,
    tenant: String,
    rows: Vec<Row>,
    /// `50 instances` or `50 instances on this page`.
    found: String,
    is_filtered: bool,
    /// Back to the beginning, when this is not it.
    first_page: Option<String>,
    next_page: Option<String>,
}

/// A state to choose.
struct StateChoice {
    word: &'static str,
    is_chosen: bool,
}

/// An instance of the list.
struct Row {
    id: InstanceId,
    name: String,
    tenant: Option<String>,
    state: &'static str,
    vcpus: String,
    memory: String,
    node: String,
    last_seen_at: Moment,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/instances").route(web::get().to(list)).route(web::head().to(list)));
}

async fn list(
    site: web::Data<Site>,
    viewer: Viewer,
    asked: web::Query<Asked>,
) -> Result<HttpResponse, PageError> {
    let asked = asked.into_inner();
    let search: String = asked.q.unwrap_or_default().trim().chars().take(SEARCH_MAX).collect();
    let state = chosen_state(asked.state.as_deref())?;
    let after = asked.after.as_deref().filter(|after| !after.is_empty()).map(cursor).transpose()?;
    let tenant = asked.tenant.unwrap_or_default().trim().to_owned();
    let sees_tenants = viewer.tenant.is_none();
    let filters = filters(&search, state, &tenant);
    let is_first = after.is_none();
    let (mut items, mut next) = (Vec::new(), None);
    // A tenant that does not exist has no instances: that is no error while somebody types its name.
    if let Some(tenant) = held_by(&site, &viewer, &tenant).await? {
        let query = InstanceQuery { tenant, state, search: Some(&search), after, limit: ROWS };
        let page = registry::instances_page(&site.database, viewer.scope(), &query).await?;
        (items, next) = (page.items, page.next);
    }
    let rows: Vec<Row> = items.into_iter().map(|instance| row(&viewer, instance)).collect();
    html(&InstancesPage {
        layout: viewer.layout("/instances"),
        states: STATES
            .iter()
            .map(|known| StateChoice { word: known.as_str(), is_chosen: state == Some(*known) })
            .collect(),
        sees_tenants,
        found: found(rows.len(), is_first && next.is_none()),
        is_filtered: !search.is_empty() || state.is_some() || !tenant.is_empty(),
        first_page: (!is_first).then(|| format!("/instances?{filters}")),
        next_page: next.map(|next| format!("/instances?{filters}after={}", query_value(&cursor_text(&next)))),
        search,
        tenant,
        rows,
    })
}

/// Whose instances are asked for: `Some(None)` for everybody's, `None` for those of a tenant that there is not.
async fn held_by(site: &Site, viewer: &Viewer, name: &str) -> Result<Option<Option<TenantId>>, PageError> {
    if name.is_empty() || viewer.tenant.is_some() {
        return Ok(Some(None));
    }
    match registry::find_tenant(&site.database, viewer.scope(), name).await {
        Ok(tenant) => Ok(Some(Some(tenant.id))),
        Err(RegistryError::NoTenant { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn chosen_state(asked: Option<&str>) -> Result<Option<InstanceState>, PageError> {
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else { return Ok(None) };
    let unknown = || {
        PageError::BadRequest(
            "There is no such state. Choose running, paused, stopped or gone in the list of instances."
                .to_owned(),
        )
    };
    InstanceState::parse(asked).map(Some).ok_or_else(unknown)
}

fn row(viewer: &Viewer, instance: Instance) -> Row {
    Row {
        id: instance.id,
        name: instance.name,
        tenant: instance.tenant_name.map(String::from),
        state: instance.state.as_str(),
        vcpus: instance.vcpus.map(|vcpus| vcpus.to_string()).unwrap_or_default(),
        memory: instance.memory_kib.map(show::kib).unwrap_or_default(),
        node: instance.node_name.unwrap_or_default(),
        last_seen_at: viewer.clock.moment(instance.last_seen_at),
    }
}

fn found(rows: usize, is_all: bool) -> String {
    let unit = if rows == 1 { "instance" } else { "instances" };
    let rest = if is_all { "" } else { " on this page" };
    format!("{rows} {unit}{rest}")
}

/// The filters as the beginning of a query.
fn filters(search: &str, state: Option<InstanceState>, tenant: &str) -> String {
    let mut query = String::new();
    let state = state.map_or("", InstanceState::as_str);
    for (name, value) in [("q", search), ("state", state), ("tenant", tenant)] {
        if !value.is_empty() {
            query.push_str(&format!("{name}={}&", query_value(value)));
        }
    }
    query
}

/// A place in the list: `<id>.<name>`. Whatever the name, it is one; it shows no more than the list itself.
fn cursor_text(cursor: &InstanceCursor) -> String {
    format!("{}.{}", cursor.id, cursor.name)
}

fn cursor(text: &str) -> Result<InstanceCursor, PageError> {
    let place = text.split_once('.').and_then(|(id, name)| {
        Some(InstanceCursor { id: InstanceId::from_uuid(id.parse().ok()?), name: name.to_owned() })
    });
    place.ok_or_else(|| {
        PageError::BadRequest(
            "That is no place in the list of instances. Begin at its first page and go on with “Next page”."
                .to_owned(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_list_survives_any_name() {
        for name in ["web-1", "", "a.b.c", "<b>&\"'", "ü 😀", "%2F+ ?#"] {
            let there = InstanceCursor { id: InstanceId::PROBE, name: name.to_owned() };
            assert_eq!(cursor(&cursor_text(&there)).unwrap(), there);
        }
    }

    #[test]
    fn an_altered_cursor_is_refused_and_says_what_to_do() {
        for bad in ["x", "1.web", ".", "zz000000-0000-0000-0000-000000000000.web"] {
            assert!(matches!(cursor(bad), Err(PageError::BadRequest(text)) if text.contains("first page")));
        }
    }

    #[test]
    fn filters_are_values_of_a_query() {
        assert_eq!(filters("a&b=c", Some(InstanceState::Running), ""), "q=a%26b%3Dc&state=running&");
        assert_eq!(filters("", None, ""), "");
    }
}
