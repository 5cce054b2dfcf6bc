//! Why a line of a bill is what it is, in three steps: the resources of the line, the windows of a resource, the readings
//! at the edges of a window. Every page has a sum that is the figure of the page before. It computes no usage:
//! `usage::why` does, in the tenant's own scope, so that another tenant's resource is nothing.

pub(in crate::pages) mod addresses;
pub(in crate::pages) mod corrections;

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use askama::Template;
use billing::plan::LineUsage;
use billing::{InvoiceLine, LineKind};
use jiff::civil::Date;
use metering::{Coverage, MeterName, Resource, UsagePart, UsageRecord, Window};
use rust_decimal::Decimal;
use serde::Deserialize;
use usage::why::{self, CorrectedUsage, Explanation, Part, Point, PointKind, ResourceUsage};

use self::addresses::{resource_code, resource_of, window_code, window_of};
use self::corrections::CorrectionsView;
use super::bill::{self, Bill, Which};
use super::figures::{self, Known, Quantity};
use crate::auth::query_value;
use crate::show::{self, Clock};
use crate::site::{Layout, PageError, Site, Viewer, html, now};

/// Resources on one page: as many as on that of a meter.
const RESOURCES_SHOWN: usize = 100;

/// Decimals that a decimal holds.
const DECIMALS_MAX: u32 = 28;

/// `/tenants/{tenant}/invoices/{number}/lines/{line}`, or the same of the draft, which has no number.
#[derive(Deserialize)]
struct LinePath {
    tenant: String,
    number: Option<String>,
    line: usize,
}

/// What the addresses of the steps say.
#[derive(Deserialize)]
struct Asked {
    resource: Option<String>,
    day: Option<String>,
    window: Option<String>,
    /// How many resources are passed over.
    from: Option<usize>,
}

/// A line of a bill, with the way to it.
struct Line {
    bill: Bill,
    number: usize,
    line: InvoiceLine,
    /// Which usage it is a part of, or all; `None`: nothing was metered for it.
    usage: Option<LineUsage>,
    /// Where its pages begin.
    path: String,
}

/// What stands over each step.
struct Head {
    bill_name: String,
    bill_path: String,
    is_draft: bool,
    line_title: String,
    line_path: String,
    amount: String,
    period: String,
}

/// The first step.
#[derive(Template)]
#[template(path = "why_line.html")]
struct LinePage {
    layout: Layout,
    head: Head,
    sentence: String,
    steps: Vec<Step>,
    rows: Vec<ResourceRow>,
    resources: usize,
    /// Whether their windows were counted.
    has_windows: bool,
    /// To which usage the price applies, where it is not all: `storage_class: ssd`, `in the hours of night`.
    which: Vec<String>,
    are_hours_known: bool,
    elsewhere: Option<Quantity>,
    earlier: Option<String>,
    later: Option<String>,
    sum: Quantity,
    known: Known,
    corrections: Option<CorrectionsView>,
    /// The lines that share the sum, when there are several.
    shares: Vec<ShareRow>,
    changed: Option<Changed>,
}

/// The only step of a line that nothing was metered for.
#[derive(Template)]
#[template(path = "why_charge.html")]
struct ChargePage {
    layout: Layout,
    head: Head,
    sentence: String,
}

/// One step of the arithmetic.
struct Step {
    title: &'static str,
    figure: String,
    note: String,
}

struct ResourceRow {
    name: String,
    kind: &'static str,
    device: Option<String>,
    path: String,
    windows: Option<String>,
    quantity: Quantity,
    known: Known,
}

/// A line of the same meter and time.
struct ShareRow {
    title: String,
    path: Option<String>,
    quantity: Quantity,
}

/// What is known now is not what was billed.
struct Changed {
    then: Quantity,
    now: Quantity,
    difference: String,
    as_of: String,
}

/// The second step.
#[derive(Template)]
#[template(path = "why_windows.html")]
struct WindowsPage {
    layout: Layout,
    head: Head,
    name: String,
    what: String,
    day: String,
    previous: Option<(String, String)>,
    next: Option<(String, String)>,
    rows: Vec<WindowRow>,
    day_sum: Quantity,
    day_known: Known,
    days: Vec<DayRow>,
    sum: Quantity,
    known: Known,
    /// Where the provider corrects what is shown.
    correct: Option<String>,
}

struct WindowRow {
    title: String,
    path: String,
    quantity: Quantity,
    known: Known,
}

struct DayRow {
    title: String,
    path: String,
    is_here: bool,
    quantity: Quantity,
    known: Known,
}

/// The third step.
#[derive(Template)]
#[template(path = "why_readings.html")]
struct ReadingsPage {
    layout: Layout,
    head: Head,
    name: String,
    what: String,
    resource_path: String,
    window: String,
    register: &'static str,
    parts: Vec<PartView>,
    sum: Quantity,
    known: Known,
}

/// One life of the register within the window.
struct PartView {
    epoch: String,
    born: String,
    start: EdgeView,
    end: EdgeView,
    difference: String,
    /// Whether it is only a piece of the window.
    span: String,
}

/// The register at an edge.
struct EdgeView {
    at: String,
    value: String,
    kind: &'static str,
    how: String,
}

/// A day of a resource.
#[derive(Default)]
struct Day {
    quantity: u128,
    coverage: Coverage,
    windows: Vec<(Window, u64, Coverage)>,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    for bill in ["/tenants/{tenant}/invoices/{number}", "/tenants/{tenant}/draft"] {
        let resource = |step: &str| web::resource(format!("{bill}/lines/{{line}}{step}"));
        config
            .service(resource("").route(web::get().to(line)).route(web::head().to(line)))
            .service(resource("/windows").route(web::get().to(windows)).route(web::head().to(windows)))
            .service(resource("/readings").route(web::get().to(readings)).route(web::head().to(readings)));
    }
}

/// Step 1: the resources of a line.
async fn line(
    site: web::Data<Site>,
    viewer: Viewer,
    path: web::Path<LinePath>,
    asked: web::Query<Asked>,
) -> Result<HttpResponse, PageError> {
    let line = Line::find(&site, &viewer, &path).await?;
    let Some(usage) = &line.usage else {
        let (head, sentence) = (line.head(), line.line.why.clone());
        return html(&ChargePage { layout: line.layout(&viewer), head, sentence });
    };
    let (scope, tenant, settings) = (line.bill.scope(), line.bill.tenant.id, site.settings.usage);
    let found = why::resources_of(&site.database, scope, tenant, &usage.part, settings, now()).await?;
    let corrections =
        why::corrections_of(&site.database, scope, tenant, &usage.part, settings, now()).await?;
    let names = why::names_of(&site.database, scope, corrections.iter().map(|one| &one.correction.resource));
    let found = Found { names: names.await?, resources: found, corrections };
    html(&line_page(line.layout(&viewer), &line, usage, &found, asked.from.unwrap_or(0)))
}

/// Step 2: the windows of one resource, a day at a time.
async fn windows(
    site: web::Data<Site>,
    viewer: Viewer,
    path: web::Path<LinePath>,
    asked: web::Query<Asked>,
) -> Result<HttpResponse, PageError> {
    let line = Line::find(&site, &viewer, &path).await?;
    let resource = asked.resource.as_deref().and_then(resource_of).ok_or(PageError::NotFound)?;
    let records = why::windows_of(
        &site.database,
        line.bill.scope(),
        line.bill.tenant.id,
        &resource,
        line.part()?,
        site.settings.usage,
        now(),
    )
    .await?;
    let day = asked.day.as_deref().map(day_of).transpose()?;
    let page = windows_page(line.layout(&viewer), &line, &resource, &records, day);
    let mut page = page.ok_or(PageError::NotFound)?;
    page.correct = page.correct.filter(|_| viewer.principal.is_provider());
    html(&page)
}

/// Step 3: the readings at the edges of one window.
async fn readings(
    site: web::Data<Site>,
    viewer: Viewer,
    path: web::Path<LinePath>,
    asked: web::Query<Asked>,
) -> Result<HttpResponse, PageError> {
    let line = Line::find(&site, &viewer, &path).await?;
    let resource = asked.resource.as_deref().and_then(resource_of).ok_or(PageError::NotFound)?;
    let window = asked.window.as_deref().and_then(window_of).ok_or(PageError::NotFound)?;
    let explanation = why::explain(
        &site.database,
        line.bill.scope(),
        line.bill.tenant.id,
        &resource,
        line.part()?,
        window,
        site.settings.usage,
        now(),
    )
    .await?;
    let explanation = explanation.ok_or(PageError::NotFound)?;
    html(&readings_page(line.layout(&viewer), &line, &explanation))
}

impl Line {
    async fn find(site: &Site, viewer: &Viewer, path: &LinePath) -> Result<Self, PageError> {
        let which = path.number.as_deref().map_or(Which::Draft, Which::Number);
        let bill = bill::find(site, viewer, &path.tenant, &which).await?.ok_or(PageError::NotFound)?;
        let at = path.line.checked_sub(1).ok_or(PageError::NotFound)?;
        let line = bill.document.lines.get(at).cloned().ok_or(PageError::NotFound)?;
        let path = format!("{}/lines/{}", bill.path, at + 1);
        let usage = match line.meter {
            Some(_) => bill.document.usage_of(&line, bill::plan(site, &bill).await?.as_ref()),
            None => None,
        };
        Ok(Self { bill, number: at + 1, line, usage, path })
    }

    /// Which usage: resources, windows and readings are there for metered lines only.
    fn part(&self) -> Result<&UsagePart, PageError> {
        self.usage.as_ref().map(|usage| &usage.part).ok_or(PageError::NotFound)
    }

    fn clock(&self) -> &Clock {
        &self.bill.clock
    }

    fn layout(&self, viewer: &Viewer) -> Layout {
        Layout { zone: self.clock().zone_name().to_owned(), ..viewer.layout("/invoices") }
    }

    fn head(&self) -> Head {
        Head {
            bill_name: self.bill.name(),
            bill_path: self.bill.path.clone(),
            is_draft: self.bill.is_draft(),
            line_title: reports::full_title(&self.line),
            line_path: self.path.clone(),
            amount: show::money(self.line.amount),
            period: figures::period(self.line.service_period, self.clock().zone()),
        }
    }

    fn windows_path(&self, resource: &Resource) -> String {
        format!("{}/windows?resource={}", self.path, query_value(&resource_code(resource)))
    }
}

/// What was found of a line.
struct Found {
    resources: Vec<ResourceUsage>,
    corrections: Vec<CorrectedUsage>,
    /// Of corrected resources.
    names: BTreeMap<Resource, String>,
}

fn line_page(layout: Layout, line: &Line, usage: &LineUsage, found: &Found, from: usize) -> LinePage {
    let meter = usage.part.meter();
    let Found { resources, corrections, names } = found;
    let recorded: u128 = resources.iter().map(|usage| u128::from(usage.quantity)).sum();
    let coverage = resources.iter().fold(Coverage::default(), |sum, usage| figures::add(sum, usage.coverage));
    let all = resources.len();
    let from = from.min(all.saturating_sub(1)) / RESOURCES_SHOWN * RESOURCES_SHOWN;
    let shown = resources.get(from..all.min(from + RESOURCES_SHOWN)).unwrap_or_default();
    let elsewhere = recorded - shown.iter().map(|usage| u128::from(usage.quantity)).sum::<u128>();
    let at = |from: usize| format!("{}?from={from}", line.path);
    let siblings = || line.bill.document.sharing(&line.line, usage);
    let shares: Vec<ShareRow> = siblings().map(|(n, sibling)| share(line, meter, n + 1, sibling)).collect();
    let mut rows: Vec<ResourceRow> = shown.iter().map(|usage| resource_row(line, meter, usage)).collect();
    let mut elsewhere = (shown.len() < all).then(|| figures::quantity(elsewhere, meter));
    let mut sum = figures::quantity(recorded, meter);
    figures::align(rows.iter_mut().map(|row| &mut row.quantity).chain(&mut elsewhere).chain([&mut sum]));
    let name_of = |correction: &usage::corrections::Correction| {
        names.get(&correction.resource).cloned().unwrap_or_default()
    };
    LinePage {
        layout,
        head: line.head(),
        sentence: line.line.why.clone(),
        steps: steps(&line.line, meter),
        rows,
        resources: all,
        has_windows: resources.iter().any(|usage| usage.windows.is_some()),
        which: which(&line.line),
        are_hours_known: usage.are_hours_known,
        elsewhere,
        earlier: (0 < from).then(|| at(from.saturating_sub(RESOURCES_SHOWN))),
        later: (from + shown.len() < all).then(|| at(from + RESOURCES_SHOWN)),
        sum,
        known: figures::known(coverage),
        corrections: corrections::view(corrections, recorded, meter, line.clock(), name_of),
        shares: if shares.len() < 2 { Vec::new() } else { shares },
        changed: changed(
            line,
            meter,
            siblings().map(|(_, line)| line.base_quantity).sum(),
            why::corrected(recorded, corrections),
        ),
    }
}

/// What is known now, where it is not what was billed.
fn changed(line: &Line, meter: MeterName, billed: u128, now: u128) -> Option<Changed> {
    (now != billed).then(|| Changed {
        then: figures::quantity(billed, meter),
        now: figures::quantity(now, meter),
        difference: figures::difference(now, billed),
        as_of: line.clock().moment_with_zone(line.bill.as_of).shown,
    })
}

/// To which usage the line's price applies.
fn which(line: &InvoiceLine) -> Vec<String> {
    let dimension = |(name, values): (&String, &String)| format!("{name}: {}", values.replace(", ", " or "));
    let band = line.band.iter().map(|band| format!("the hours of {band}"));
    line.dimensions.iter().map(dimension).chain(band).collect()
}

/// From what was read to what is charged.
fn steps(line: &InvoiceLine, meter: MeterName) -> Vec<Step> {
    let units = meter.meter().priced_unit.base_units;
    let back = line.quantity.checked_mul(Decimal::from(units));
    let is_exact = back.is_some_and(|back| back.normalize().to_string() == line.base_quantity.to_string());
    let quantity = reports::figures::grouped(line.quantity, 0);
    let currency = line.amount.currency();
    let price = reports::figures::grouped(line.unit_price, currency.exponent());
    let has_room = line.quantity.scale() + line.unit_price.scale() <= DECIMALS_MAX;
    let product = line.quantity.checked_mul(line.unit_price).filter(|_| has_room);
    let rounding = match product {
        Some(product) if product == line.amount.amount() => "Exactly; nothing is rounded.".to_owned(),
        Some(product) => {
            let product = reports::figures::grouped(product, 0);
            format!("{product} {currency}, rounded once to whole coins, a half away from zero.")
        }
        None => "Rounded once to whole coins, a half away from zero.".to_owned(),
    };
    vec![
        Step {
            title: "Metered",
            figure: format!("{} {}", show::whole(line.base_quantity), line.base_unit),
            note: "What the registers rose by: the sum of the resources below, or its part on this line."
                .to_owned(),
        },
        Step {
            title: "In the unit that is priced",
            figure: format!("{quantity} {}", line.unit),
            note: format!(
                "{} {} are one {}.{}",
                show::whole(units.into()),
                line.base_unit,
                line.unit,
                if is_exact { "" } else { " Rounded to 6 decimals, a half to the even digit." },
            ),
        },
        Step {
            title: "Times the price",
            figure: format!("{price} {currency} for one {}", line.unit),
            note: match line.kind {
                LineKind::Included => "Within what each period includes, so it costs nothing.".to_owned(),
                _ => "As the plan says for this time.".to_owned(),
            },
        },
        Step { title: "Amount", figure: show::money(line.amount), note: rounding },
    ]
}

fn resource_row(line: &Line, meter: MeterName, usage: &ResourceUsage) -> ResourceRow {
    ResourceRow {
        name: usage.name.clone(),
        kind: meter.meter().resource.as_str(),
        device: usage.resource.device().map(str::to_owned),
        path: line.windows_path(&usage.resource),
        windows: usage.windows.map(|windows| show::whole(windows.into())),
        quantity: figures::quantity(usage.quantity.into(), meter),
        known: figures::known(usage.coverage),
    }
}

fn share(line: &Line, meter: MeterName, number: usize, sibling: &InvoiceLine) -> ShareRow {
    ShareRow {
        title: format!("Line {number}: {}", reports::full_title(sibling)),
        path: (number != line.number).then(|| format!("{}/lines/{number}", line.bill.path)),
        quantity: figures::quantity(sibling.base_quantity, meter),
    }
}

/// `None`: the tenant has no such resource on this line.
fn windows_page(
    layout: Layout,
    line: &Line,
    resource: &Resource,
    records: &[UsageRecord],
    asked: Option<Date>,
) -> Option<WindowsPage> {
    let (meter, clock) = (line.line.meter?, line.clock());
    let name = records.first()?.resource_name.clone();
    let mut days = BTreeMap::<Date, Day>::new();
    for record in records {
        let day = days.entry(clock.date(record.window.start())).or_default();
        day.quantity += u128::from(record.quantity);
        day.coverage = figures::add(day.coverage, record.coverage);
        day.windows.push((record.window, record.quantity, record.coverage));
    }
    let first_used = days.iter().find(|(_, day)| 0 < day.quantity).or_else(|| days.iter().next());
    let here = asked.or(first_used.map(|(day, _)| *day))?;
    let base = line.windows_path(resource);
    let step = |day: &Date| (format!("{base}&day={day}"), day_title(*day));
    let nothing = Day::default();
    let day = days.get(&here).unwrap_or(&nothing);
    let sum: u128 = days.values().map(|day| day.quantity).sum();
    let coverage = days.values().fold(Coverage::default(), |sum, day| figures::add(sum, day.coverage));
    let mut rows: Vec<WindowRow> =
        day.windows.iter().map(|window| window_row(line, meter, resource, *window)).collect();
    let mut day_rows: Vec<DayRow> = days
        .iter()
        .map(|(date, day)| DayRow {
            title: date.strftime("%a %-d %b").to_string(),
            path: step(date).0,
            is_here: *date == here,
            quantity: figures::quantity(day.quantity, meter),
            known: figures::known(day.coverage),
        })
        .collect();
    let (mut sum, mut day_sum) = (figures::quantity(sum, meter), figures::quantity(day.quantity, meter));
    let columns =
        rows.iter_mut().map(|row| &mut row.quantity).chain(day_rows.iter_mut().map(|row| &mut row.quantity));
    figures::align(columns.chain([&mut sum, &mut day_sum]));
    Some(WindowsPage {
        layout,
        head: line.head(),
        what: what(resource, meter),
        name,
        day: day_title(here),
        previous: days.range(..here).next_back().map(|(day, _)| step(day)),
        next: days.range(here..).find(|(day, _)| **day != here).map(|(day, _)| step(day)),
        rows,
        day_sum,
        day_known: figures::known(day.coverage),
        days: day_rows,
        sum,
        known: figures::known(coverage),
        correct: Some(correct_path(resource, meter, &day.windows)),
    })
}

/// The form of a correction of the windows of a day.
fn correct_path(resource: &Resource, meter: MeterName, windows: &[(Window, u64, Coverage)]) -> String {
    let ends = windows.first().zip(windows.last());
    let span = ends.and_then(|(first, last)| Window::new(first.0.start(), last.0.end()).ok());
    let window = span.map(|span| format!("&window={}", query_value(&window_code(span)))).unwrap_or_default();
    let resource = query_value(&resource_code(resource));
    format!("/usage/corrections?resource={resource}&meter={meter}{window}#new")
}

fn window_row(
    line: &Line,
    meter: MeterName,
    resource: &Resource,
    (window, quantity, coverage): (Window, u64, Coverage),
) -> WindowRow {
    let resource = query_value(&resource_code(resource));
    WindowRow {
        title: span(window, line.clock()),
        path: format!(
            "{}/readings?resource={resource}&window={}",
            line.path,
            query_value(&window_code(window))
        ),
        quantity: figures::quantity(quantity.into(), meter),
        known: figures::known(coverage),
    }
}

fn readings_page(layout: Layout, line: &Line, explanation: &Explanation) -> ReadingsPage {
    let (clock, meter) = (line.clock(), explanation.meter);
    let day = clock.date(explanation.window.start());
    let unit = meter.meter().unit.symbol();
    let part = |part: &Part| PartView {
        epoch: part.epoch.id.to_string(),
        born: match part.epoch.born_at {
            Some(at) => format!("stood at zero at {}", figures::instant(at, clock.zone())),
            None => {
                "had begun before anybody looked, so its first reading is where counting starts".to_owned()
            }
        },
        span: Window::new(part.from, part.to).map_or_else(|_| String::new(), |window| span(window, clock)),
        start: edge(&part.at_start, clock, unit),
        end: edge(&part.at_end, clock, unit),
        difference: show::whole(part.quantity.into()),
    };
    ReadingsPage {
        layout,
        head: line.head(),
        name: explanation.name.clone(),
        what: what(&explanation.resource, meter),
        resource_path: format!("{}&day={day}", line.windows_path(&explanation.resource)),
        window: format!("{}, {}", day_title(day), span(explanation.window, clock)),
        register: &meter.meter().register,
        parts: explanation.parts.iter().map(part).collect(),
        sum: figures::quantity(explanation.quantity.into(), meter),
        known: figures::known(explanation.coverage),
    }
}

/// How the register's value at an edge is known, in words.
fn edge(point: &Point, clock: &Clock, unit: &'static str) -> EdgeView {
    let told = |(at, value): (jiff::Timestamp, u64)| {
        format!("{} {unit} at {}", show::whole(value.into()), figures::instant(at, clock.zone()))
    };
    let how = match (point.kind, point.before, point.after) {
        (PointKind::Exact, ..) => "A reading was taken at this very instant.".to_owned(),
        (PointKind::Born, ..) => "The register began here, at zero.".to_owned(),
        (PointKind::Ended, ..) => "The last reading of this life.".to_owned(),
        (PointKind::Interpolated, Some(before), Some(after)) => {
            format!("In proportion to the time between {} and {}, rounded down.", told(before), told(after))
        }
        (PointKind::Interpolated, Some(one), None) | (PointKind::Interpolated, None, Some(one)) => {
            format!("In proportion to the time between {} and a reading that was not yours.", told(one))
        }
        (PointKind::Interpolated, None, None) => "Between two readings that were not yours.".to_owned(),
    };
    EdgeView {
        at: figures::instant(point.at, clock.zone()),
        value: show::whole(point.value.into()),
        kind: point.kind.as_str(),
        how,
    }
}

/// `CPU time of the instance`, `Disk, read of the disk vda`.
fn what(resource: &Resource, meter: MeterName) -> String {
    let kind = meter.meter().resource.as_str();
    match resource.device() {
        Some(device) => format!("{} of its {kind} {device}", meter.meter().title),
        None => meter.meter().title.clone(),
    }
}

/// `14:00 to 15:00`, with the zone's sign in the night in which the clock is changed.
fn span(window: Window, clock: &Clock) -> String {
    let zone = clock.zone();
    let (start, end) = (window.start().to_zoned(zone.clone()), window.end().to_zoned(zone.clone()));
    let text = format!("{} to {}", figures::clock(window.start(), zone), figures::clock(window.end(), zone));
    let (day, next) = (start.start_of_day(), start.tomorrow().and_then(|next| next.start_of_day()));
    let is_changed = match (day, next) {
        (Ok(day), Ok(next)) => day.offset() != next.offset(),
        _ => false,
    };
    if is_changed { format!("{text} {}", end.strftime("%Z")) } else { text }
}

fn day_of(text: &str) -> Result<Date, PageError> {
    let is_shaped = text.len() == "2026-10-01".len() && text.is_ascii();
    let day = is_shaped.then(|| text.parse().ok()).flatten();
    day.ok_or_else(|| PageError::BadRequest("Write the day as 2026-10-01.".to_owned()))
}

fn day_title(day: Date) -> String {
    day.strftime("%A, %-d %B %Y").to_string()
}
