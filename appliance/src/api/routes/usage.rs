//! Usage by day, resource or meter, and the meters.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::http::Method;
use jiff::civil::Date;
use metering::{MeterName, catalog};
use usage::days::{self, DayQuery};
use uuid::Uuid;

use super::query_tenant;
use crate::api::call::Call;
use crate::api::operation::{Operation, Tag, day, id, one_of, text};
use crate::api::problem::{Kind, Problem};
use crate::api::wire::usage::{MeterBody, UsageItem};

/// The most days that one answer covers: a year and a day, so that this day a year ago is in.
const DAYS_MAX: i32 = 366;

/// How usage is put together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GroupBy {
    Day,
    Resource,
    Meter,
}

const GROUPS: [(&str, GroupBy); 3] =
    [("day", GroupBy::Day), ("resource", GroupBy::Resource), ("meter", GroupBy::Meter)];

pub fn operations() -> Vec<Operation> {
    let meters: Vec<&str> = catalog().iter().map(|meter| meter.name.as_str()).collect();
    vec![
        Operation::new(Method::GET, "/v1/usage", "getUsage", Tag::Usage, "What was used", get)
            .saying(
                "From the beginning of `from` to the beginning of `to`, in days of each tenant's own zone. A tenant's user sees its own tenant's usage.",
            )
            .query(text("tenant", "Only this tenant's, by name or id."))
            .query(id("resource", "Only this instance's (with its devices) or volume's."))
            .query(one_of("meter", &meters, "Only this meter."))
            .query(day("from", "The first day.").required(utoipa::openapi::Required::True))
            .query(day("to", "The day after the last; at most 366 days after `from`.").required(utoipa::openapi::Required::True))
            .query(one_of("group_by", &GROUPS.map(|(word, _)| word), "By what; by meter, if it is left out."))
            .lists::<UsageItem>("What was used; what was not used is left out.")
            .refuses(&[Kind::NotFound, Kind::Unprocessable]),
        Operation::new(Method::GET, "/v1/meters", "listMeters", Tag::Usage, "The meters", list_meters)
            .lists::<MeterBody>("Those that you may see, in the order of an invoice."),
    ]
}

async fn get(call: Call) -> Result<HttpResponse, Problem> {
    let group_by = call.one_of("group_by", &GROUPS)?.unwrap_or(GroupBy::Meter);
    let (from, to) = span(&call)?;
    let meter = match call.text("meter") {
        None => None,
        Some(name) => {
            Some(MeterName::parse(name).map_err(|error| Problem::query("meter", error.to_string()))?)
        }
    };
    let resource: Option<Uuid> = call.parsed("resource", "7b3b8a52-6c7e-4a52-9d2b-0b8a3c1d2e4f")?;
    let tenant = query_tenant(&call).await?.map(|tenant| tenant.id);
    let query = DayQuery { tenant, resource, from, to };
    let may_see = |of: &MeterName| sees(&call, *of) && meter.is_none_or(|asked| asked == *of);
    let items = match group_by {
        GroupBy::Day => days::by_day(call.db(), call.scope()?, &query)
            .await?
            .iter()
            .filter(|usage| may_see(&usage.meter))
            .map(UsageItem::from)
            .collect(),
        GroupBy::Meter => by_meter(&call, &query)
            .await?
            .into_iter()
            .filter(|(of, _)| may_see(of))
            .map(|(_, item)| item)
            .collect(),
        GroupBy::Resource => {
            let mut items = Vec::new();
            for of in catalog().iter().map(metering::Meter::id).filter(may_see) {
                let found = days::by_resource(call.db(), call.scope()?, &query, of).await?;
                items.extend(found.iter().map(|usage| UsageItem::of_resource(usage, of)));
            }
            items
        }
    };
    Ok(call.list(items.into_iter()))
}

/// The sums over all days, in the order of an invoice.
async fn by_meter(call: &Call, query: &DayQuery) -> Result<Vec<(MeterName, UsageItem)>, Problem> {
    let mut sums: BTreeMap<usize, (MeterName, u128, metering::Coverage)> = BTreeMap::new();
    for day in days::by_day(call.db(), call.scope()?, query).await? {
        let sum = sums.entry(day.meter.position()).or_insert((day.meter, 0, metering::Coverage::default()));
        sum.1 = sum.1.saturating_add(day.quantity);
        sum.2.measured_us += day.coverage.measured_us;
        sum.2.estimated_us += day.coverage.estimated_us;
        sum.2.missing_us += day.coverage.missing_us;
    }
    Ok(sums
        .into_values()
        .map(|(meter, sum, known)| (meter, UsageItem::of_meter(meter, sum, known)))
        .collect())
}

fn span(call: &Call) -> Result<(Date, Date), Problem> {
    let day = |name: &str| {
        call.required(name)?;
        call.day(name)?.ok_or_else(|| Problem::query(name, "say a day, such as 2026-11-01"))
    };
    let (from, to) = (day("from")?, day("to")?);
    if to <= from {
        let detail = format!("to is {to}; it must be after from, {from}");
        return Err(Problem::new(Kind::Unprocessable, detail).at("query", "to"));
    }
    let days = from.until(to).map_or(i32::MAX, |span| span.get_days());
    if DAYS_MAX < days {
        let detail = format!("that is {days} days; ask for {DAYS_MAX} at once at most");
        return Err(Problem::new(Kind::Unprocessable, detail).at("query", "to"));
    }
    Ok((from, to))
}

async fn list_meters(call: Call) -> Result<HttpResponse, Problem> {
    let meters = catalog().iter().filter(|meter| sees(&call, meter.id()));
    Ok(call.list(meters.map(MeterBody::from)))
}

/// Whether the caller may see that meter.
fn sees(call: &Call, meter: MeterName) -> bool {
    let is_tenant = call.who().map_or(true, |who| who.tenant_id().is_some());
    !is_tenant || meter.meter().visible_to == metering::meter::Visibility::Tenant
}
