//! `/usage`: what was used in a month, by meter and day, and down to the resources of a meter. It computes no money,
//! and does NOT add up readings: `usage::days` has the sums of the usage records.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use askama::Template;
use jiff::ToSpan;
use jiff::civil::Date;
use metering::{Coverage, MeterName, Resource, catalog};
use migrations::Scope;
use serde::Deserialize;
use usage::days::{self, DayQuery, DayUsage, ResourceDays};
use usage::registry;
use uuid::Uuid;

use super::figures::{self, Known, Quantity};
use crate::show::Clock;
use crate::site::{Layout, PageError, Site, Viewer, html, now};

/// Resources on one page: more than a screen, little enough for a page of 200 KiB with everything it loads.
const RESOURCES_SHOWN: usize = 100;

/// Nothing earlier is metered; later is a mistake in the address.
const YEARS: std::ops::Range<i16> = 2020..2100;

const NO_MONTH: &str = "Write the month as year and month, such as 2026-10, from 2020-01 on.";

/// What the address says.
#[derive(Deserialize)]
pub(crate) struct UsageAsked {
    month: Option<String>,
    tenant: Option<String>,
    meter: Option<String>,
    resource: Option<Uuid>,
    /// How many resources are passed over.
    from: Option<usize>,
}

/// The page.
#[derive(Template)]
#[template(path = "usage.html")]
struct UsagePage {
    layout: Layout,
    month: MonthNav,
    /// For the provider.
    tenants: Option<Vec<TenantChoice>>,
    /// One instance or volume alone, by name.
    resource: Option<ResourceChoice>,
    /// Meters, when none was chosen.
    meters: Vec<MeterCard>,
    /// The table behind the charts: a row for each day, a cell for each meter.
    days: Vec<DayRow>,
}

/// The page of one meter.
#[derive(Template)]
#[template(path = "usage_meter.html")]
struct MeterPage {
    layout: Layout,
    month: MonthNav,
    tenants: Option<Vec<TenantChoice>>,
    meter: MeterCard,
    /// SVG.
    chart: String,
    overview: String,
    rows: Vec<MeterDay>,
    resources: Vec<ResourceRow>,
    /// Of how many.
    resources_all: usize,
    /// The sum of those on other pages, if there are any.
    resources_elsewhere: Option<Quantity>,
    earlier: Option<String>,
    later: Option<String>,
}

/// Where the month is chosen.
struct MonthNav {
    value: String,
    title: String,
    previous: Option<Step>,
    next: Option<Step>,
    /// What the form keeps.
    meter: Option<MeterName>,
    resource: Option<Uuid>,
}

/// A link to another month.
struct Step {
    path: String,
    title: String,
}

struct TenantChoice {
    name: String,
    display_name: String,
    is_chosen: bool,
}

struct ResourceChoice {
    name: String,
    all: String,
}

/// One meter of the month.
struct MeterCard {
    title: &'static str,
    description: &'static str,
    path: String,
    sum: Quantity,
    known: Known,
    chart: Chart,
}

/// Bars by day.
pub(crate) struct Chart {
    /// What a reader who does not see it is told.
    pub label: String,
    /// In units of the drawing.
    pub width: usize,
    pub bars: Vec<Bar>,
    pub first: String,
    pub last: String,
    /// The highest, for the axis.
    pub highest: String,
}

/// One day's bar.
pub(crate) struct Bar {
    pub x: usize,
    pub y: u32,
    pub height: u32,
    pub is_complete: bool,
    pub title: String,
}

struct DayRow {
    day: String,
    cells: Vec<String>,
}

struct MeterDay {
    day: String,
    quantity: Quantity,
    known: Known,
}

struct ResourceRow {
    name: String,
    /// The disk or NIC of the instance, if it is one.
    device: Option<String>,
    path: String,
    quantity: Quantity,
    known: Known,
    /// Share of the meter's sum, in thousandths.
    width: u32,
}

/// A month of one meter: each day that has usage.
#[derive(Default)]
struct MeterMonth {
    days: BTreeMap<Date, (u128, Coverage)>,
    sum: u128,
    coverage: Coverage,
}

/// What is looked at, in one place: whose, when, of what.
#[derive(Clone)]
struct Look {
    tenant: Option<registry::Tenant>,
    is_provider: bool,
    clock: Clock,
    first: Date,
    next: Date,
    resource: Option<Uuid>,
    meter: Option<MeterName>,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/usage").route(web::get().to(usage)).route(web::head().to(usage)));
}

async fn usage(
    site: web::Data<Site>,
    viewer: Viewer,
    asked: web::Query<UsageAsked>,
) -> Result<HttpResponse, PageError> {
    viewer.must_see_money()?;
    let look = look(&site, &viewer, &asked).await?;
    let query = DayQuery {
        tenant: look.tenant.as_ref().map(|tenant| tenant.id),
        resource: look.resource,
        from: look.first,
        to: look.next,
    };
    let scope = viewer.scope();
    let months = months(days::by_day(&site.database, scope, &query).await?);
    let tenants = tenant_choices(&site, &look).await?;
    // The footer names the zone of the days.
    let layout = Layout { zone: look.clock.zone_name().to_owned(), ..viewer.layout("/usage") };
    if let Some(meter) = look.meter {
        let resources = days::by_resource(&site.database, scope, &query, meter).await?;
        let from = asked.from.unwrap_or(0);
        return html(&meter_page(layout, tenants, &look, meter, &months, resources, from));
    }
    let resource = match look.resource {
        Some(id) => Some(resource_choice(&site, &viewer, &look, id, !months.is_empty()).await?),
        None => None,
    };
    let page = UsagePage {
        layout,
        month: month_nav(&look),
        tenants,
        resource,
        meters: cards(&look, &months),
        days: day_rows(&look, &months),
    };
    html(&page)
}

async fn look(site: &Site, viewer: &Viewer, asked: &UsageAsked) -> Result<Look, PageError> {
    let is_provider = viewer.tenant.is_none();
    let tenant = match (&viewer.tenant, asked.tenant.as_deref().filter(|name| !name.is_empty())) {
        (Some(own), _) => Some(own.clone()),
        (None, Some(name)) => Some(registry::find_tenant(&site.database, viewer.scope(), name).await?),
        (None, None) => None,
    };
    let clock = tenant.as_ref().map_or_else(Clock::utc, |tenant| Clock::of_zone(&tenant.time_zone));
    let first = match asked.month.as_deref().filter(|month| !month.is_empty()) {
        Some(text) => first_of(text).ok_or_else(|| PageError::BadRequest(NO_MONTH.to_owned()))?,
        None => clock.date(now()).first_of_month(),
    };
    let next = first.checked_add(1.month()).map_err(|_| PageError::NotFound)?;
    let meter = match asked.meter.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => Some(MeterName::parse(name).map_err(|_| PageError::NotFound)?),
        None => None,
    };
    Ok(Look { tenant, is_provider, clock, first, next, resource: asked.resource, meter })
}

/// The first day of `2026-10`.
fn first_of(text: &str) -> Option<Date> {
    let is_shaped = text.len() == 7
        && text
            .bytes()
            .enumerate()
            .all(|(n, byte)| if n == 4 { byte == b'-' } else { byte.is_ascii_digit() });
    let first: Date = is_shaped.then(|| format!("{text}-01").parse().ok()).flatten()?;
    YEARS.contains(&first.year()).then_some(first)
}

async fn tenant_choices(site: &Site, look: &Look) -> Result<Option<Vec<TenantChoice>>, PageError> {
    if !look.is_provider {
        return Ok(None);
    }
    let chosen = look.tenant.as_ref().map(|tenant| tenant.id);
    let choices =
        registry::tenants(&site.database, Scope::Provider).await?.into_iter().map(|tenant| TenantChoice {
            is_chosen: Some(tenant.id) == chosen,
            name: tenant.name.to_string(),
            display_name: tenant.display_name,
        });
    Ok(Some(choices.collect()))
}

async fn resource_choice(
    site: &Site,
    viewer: &Viewer,
    look: &Look,
    id: Uuid,
    has_usage: bool,
) -> Result<ResourceChoice, PageError> {
    let scope = viewer.scope();
    let name = match registry::find_instance(&site.database, scope, &id.to_string()).await {
        Ok(instance) => instance.name,
        Err(registry::RegistryError::NoInstance { .. }) => {
            let volumes = registry::volumes(&site.database, scope).await?;
            let volume = volumes.into_iter().find(|volume| volume.id.uuid() == id);
            match volume {
                Some(volume) => volume.name,
                // Another tenant's by now; what it used here stays.
                None if has_usage => id.to_string(),
                None => return Err(PageError::NotFound),
            }
        }
        Err(error) => return Err(error.into()),
    };
    let all = Look { resource: None, ..look.clone() };
    Ok(ResourceChoice { name, all: path(&all, look.first) })
}

fn months(usage: Vec<DayUsage>) -> BTreeMap<usize, MeterMonth> {
    let mut months = BTreeMap::<usize, MeterMonth>::new();
    for DayUsage { day, meter, quantity, coverage } in usage {
        let month = months.entry(meter.position()).or_default();
        month.sum += quantity;
        month.coverage = figures::add(month.coverage, coverage);
        let sum = month.days.entry(day).or_default();
        sum.0 += quantity;
        sum.1 = figures::add(sum.1, coverage);
    }
    months
}

fn cards(look: &Look, months: &BTreeMap<usize, MeterMonth>) -> Vec<MeterCard> {
    let names = catalog().iter().map(metering::Meter::id);
    names.filter_map(|name| Some(card(look, name, months.get(&name.position())?))).collect()
}

fn card(look: &Look, name: MeterName, month: &MeterMonth) -> MeterCard {
    let meter = name.meter();
    let chosen = Look { meter: Some(name), ..look.clone() };
    MeterCard {
        title: &meter.title,
        description: &meter.description,
        path: path(&chosen, look.first),
        sum: figures::quantity(month.sum, name),
        known: figures::known(month.coverage),
        chart: chart(look, name, month),
    }
}

/// Height of the drawing, in its own units.
const CHART_HEIGHT: u32 = 100;
/// Room for one day, of which the bar takes all but a fifth.
const DAY_WIDTH: usize = 10;

fn chart(look: &Look, name: MeterName, month: &MeterMonth) -> Chart {
    let highest = month.days.values().map(|(quantity, _)| *quantity).max().unwrap_or(0);
    let all: Vec<Date> = days_of(look).collect();
    let bar = |(n, day): (usize, &Date)| {
        let (quantity, coverage) = month.days.get(day).copied()?;
        let tenths = figures::permille(quantity, highest) * CHART_HEIGHT / 1_000;
        // What is little is still seen.
        let height = if quantity == 0 { 0 } else { tenths.max(1) };
        let shown = figures::quantity(quantity, name);
        Some(Bar {
            x: n * DAY_WIDTH + 1,
            y: CHART_HEIGHT - height,
            height,
            is_complete: figures::known(coverage).is_complete,
            title: format!("{}: {} {}", day.strftime("%-d %B"), shown.text, shown.unit),
        })
    };
    let bars: Vec<Bar> = all.iter().enumerate().filter_map(bar).collect();
    let top = figures::quantity(highest, name);
    let sum = figures::quantity(month.sum, name);
    let title = &name.meter().title;
    Chart {
        label: format!("{title} by day: {} {} in all, at most {} a day", sum.text, sum.unit, top.text),
        width: all.len() * DAY_WIDTH,
        bars,
        first: look.first.strftime("%-d %b").to_string(),
        last: all.last().map_or_else(String::new, |day| day.strftime("%-d %b").to_string()),
        highest: format!("{} {}", top.text, top.unit),
    }
}

/// The meter's month as a chart with axes; days without usage have no bar.
fn large_chart(look: &Look, name: MeterName, month: &MeterMonth) -> String {
    let texts: Vec<(String, String, Option<f64>)> = days_of(look)
        .map(|day| {
            let label = day.strftime("%-d %b").to_string();
            let Some((quantity, _)) = month.days.get(&day) else {
                return (label, format!("{}: nothing", day_title(day)), None);
            };
            let shown = figures::quantity(*quantity, name);
            let tooltip = format!("{}: {} {}", day_title(day), shown.text, shown.unit);
            (label, tooltip, shown.text.replace(',', "").parse().ok())
        })
        .collect();
    let bars: Vec<reports::charts::Bar<'_>> = texts
        .iter()
        .map(|(label, tooltip, value)| reports::charts::Bar { label, value: *value, tooltip })
        .collect();
    let meter = name.meter();
    reports::charts::bars(&format!("{} by day", meter.title), &meter.priced_unit.symbol, &bars)
}

fn days_of(look: &Look) -> impl Iterator<Item = Date> {
    let next = look.next;
    look.first.series(1.day()).take_while(move |day| *day < next)
}

/// The table behind the charts: the days that have usage.
fn day_rows(look: &Look, months: &BTreeMap<usize, MeterMonth>) -> Vec<DayRow> {
    let cell = |position: &usize, day: Date| {
        let name = catalog().get(*position).map(metering::Meter::id);
        let quantity = months.get(position).and_then(|month| month.days.get(&day));
        match (name, quantity) {
            (Some(name), Some((quantity, _))) => figures::priced(*quantity, name),
            _ => "\u{2013}".to_owned(),
        }
    };
    days_of(look)
        .filter(|day| months.values().any(|month| month.days.contains_key(day)))
        .map(|day| DayRow {
            day: day_title(day),
            cells: months.keys().map(|position| cell(position, day)).collect(),
        })
        .collect()
}

fn meter_page(
    layout: Layout,
    tenants: Option<Vec<TenantChoice>>,
    look: &Look,
    meter: MeterName,
    months: &BTreeMap<usize, MeterMonth>,
    mut resources: Vec<ResourceDays>,
    from: usize,
) -> MeterPage {
    let nothing = MeterMonth::default();
    let month = months.get(&meter.position()).unwrap_or(&nothing);
    resources.sort_by(|one, other| other.quantity.cmp(&one.quantity).then_with(|| one.name.cmp(&other.name)));
    let all = resources.len();
    let from = from.min(all.saturating_sub(1)) / RESOURCES_SHOWN * RESOURCES_SHOWN;
    let shown = resources.get(from..all.min(from + RESOURCES_SHOWN)).unwrap_or_default();
    let elsewhere = month.sum.saturating_sub(shown.iter().map(|row| row.quantity).sum());
    let overview = Look { meter: None, ..look.clone() };
    let mut resources: Vec<ResourceRow> =
        shown.iter().map(|row| resource_row(look, row, meter, month.sum)).collect();
    let mut days: Vec<MeterDay> =
        month.days.iter().map(|(day, used)| meter_day(*day, *used, meter)).collect();
    let mut elsewhere = (shown.len() < all).then(|| figures::quantity(elsewhere, meter));
    let mut card = card(look, meter, month);
    let columns = resources.iter_mut().map(|row| &mut row.quantity);
    let columns = columns.chain(days.iter_mut().map(|row| &mut row.quantity)).chain(&mut elsewhere);
    figures::align(columns.chain([&mut card.sum]));
    let at = |from: usize| format!("{}&from={from}", path(look, look.first));
    MeterPage {
        layout,
        month: month_nav(look),
        tenants,
        meter: card,
        chart: large_chart(look, meter, month),
        overview: path(&overview, look.first),
        rows: days,
        resources,
        resources_all: all,
        resources_elsewhere: elsewhere,
        earlier: (0 < from).then(|| at(from.saturating_sub(RESOURCES_SHOWN))),
        later: (from + shown.len() < all).then(|| at(from + RESOURCES_SHOWN)),
    }
}

fn meter_day(day: Date, (quantity, coverage): (u128, Coverage), meter: MeterName) -> MeterDay {
    MeterDay {
        day: day_title(day),
        quantity: figures::quantity(quantity, meter),
        known: figures::known(coverage),
    }
}

fn resource_row(look: &Look, row: &ResourceDays, meter: MeterName, sum: u128) -> ResourceRow {
    let id = match &row.resource {
        Resource::Instance(id) | Resource::Disk(id, _) | Resource::Nic(id, _) => id.uuid(),
        Resource::Volume(id) => id.uuid(),
    };
    let alone = Look { meter: None, resource: Some(id), ..look.clone() };
    ResourceRow {
        name: row.name.clone(),
        device: row.resource.device().map(str::to_owned),
        path: path(&alone, look.first),
        quantity: figures::quantity(row.quantity, meter),
        known: figures::known(row.coverage),
        width: figures::permille(row.quantity, sum),
    }
}

fn month_nav(look: &Look) -> MonthNav {
    let step = |first: Result<Date, jiff::Error>| {
        let first = first.ok().filter(|first| YEARS.contains(&first.year()))?;
        Some(Step { path: path(look, first), title: first.strftime("%B %Y").to_string() })
    };
    MonthNav {
        value: look.first.strftime("%Y-%m").to_string(),
        title: look.first.strftime("%B %Y").to_string(),
        previous: step(look.first.checked_sub(1.month())),
        next: step(Ok(look.next)),
        meter: look.meter,
        resource: look.resource,
    }
}

/// The address of a look at the month that begins at `first`. Everything in it is safe in an address as it is.
fn path(look: &Look, first: Date) -> String {
    let mut path = format!("/usage?month={}", first.strftime("%Y-%m"));
    if let (true, Some(tenant)) = (look.is_provider, &look.tenant) {
        path.push_str(&format!("&tenant={}", tenant.name));
    }
    if let Some(meter) = look.meter {
        path.push_str(&format!("&meter={meter}"));
    }
    if let Some(resource) = look.resource {
        path.push_str(&format!("&resource={resource}"));
    }
    path
}

fn day_title(day: Date) -> String {
    day.strftime("%a %-d %b").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_that_is_none_is_refused() {
        for bad in ["", "2026", "2026-13", "2026-1", "1999-12", "2100-01", "2026-10-01", "2026-1\u{661}"] {
            assert_eq!(first_of(bad), None, "{bad}");
        }
        assert_eq!(first_of("2026-02").unwrap().to_string(), "2026-02-01");
    }
}
