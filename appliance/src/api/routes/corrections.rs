//! Corrections of usage: made and withdrawn by the provider, seen by whoever pays.

use actix_web::HttpResponse;
use actix_web::http::Method;
use jiff::Timestamp;
use metering::{InstanceId, MeterName, Resource, ResourceKind, VolumeId, Window};
use usage::corrections::{self, Action, CorrectionError, NewCorrection};
use uuid::Uuid;

use super::query_tenant;
use crate::api::call::Call;
use crate::api::identity::Access;
use crate::api::operation::{Operation, Tag, instant, text};
use crate::api::problem::{Kind, Problem};
use crate::api::wire::corrections::{ActionName, CorrectionBody, NewCorrectionBody, NewWithdrawalBody};

/// The cursor's list.
const LIST: &str = "usage-corrections";

pub fn operations() -> Vec<Operation> {
    const ALL: &str = "/v1/usage-corrections";
    const ONE: &str = "/v1/usage-corrections/{correction}";
    let list =
        Operation::new(Method::GET, ALL, "listUsageCorrections", Tag::Usage, "Corrections of usage", list)
            .saying("The latest first, those that were withdrawn too. A tenant's user sees its own tenant's.")
            .access(Access::Money)
            .query(text("tenant", "Only this tenant's, by name or id."))
            .query(instant("from", "Only those that hold after this instant; with `to`."))
            .query(instant("to", "Only those that hold before this instant; with `from`."))
            .pages::<CorrectionBody>()
            .refuses(&[Kind::NotFound, Kind::Unprocessable]);
    let make = Operation::new(
        Method::POST,
        ALL,
        "correctUsage",
        Tag::Usage,
        "Annotate, exclude or add usage",
        make,
    )
    .saying(
        "What is billed is what is recorded and what is corrected: records are never rewritten. An invoice that was \
         issued does not change by itself.",
    )
    .access(Access::Provider)
    .takes::<NewCorrectionBody>()
    .creates::<CorrectionBody>("The correction.")
    .once()
    .refuses(&[Kind::NotFound]);
    let show =
        Operation::new(Method::GET, ONE, "getUsageCorrection", Tag::Usage, "A correction of usage", show)
            .access(Access::Money)
            .answers::<CorrectionBody>("The correction.");
    let withdraw = Operation::new(
        Method::POST,
        "/v1/usage-corrections/{correction}/withdrawal",
        "withdrawUsageCorrection",
        Tag::Usage,
        "Withdraw a correction",
        withdraw,
    )
    .saying("It does nothing from then on, and stays to be seen.")
    .access(Access::Provider)
    .takes::<NewWithdrawalBody>()
    .answers::<CorrectionBody>("As it is now.")
    .once();
    vec![list, make, show, withdraw]
}

async fn list(call: Call) -> Result<HttpResponse, Problem> {
    let paging = call.paging(LIST)?;
    let after: Option<Uuid> = paging.after()?;
    let span = match (call.instant("from")?, call.instant("to")?) {
        (None, None) => None,
        (Some(from), Some(to)) => Some(
            Window::new(from, to).map_err(|error| Problem::new(Kind::Unprocessable, error.to_string()))?,
        ),
        _ => return Err(Problem::new(Kind::Unprocessable, "say both from and to, or none of them")),
    };
    let tenant = query_tenant(&call).await?.map(|tenant| tenant.id);
    // One more than asked for shows whether there is another page.
    let limit = i64::from(paging.limit);
    let mut found = corrections::list(call.db(), call.scope()?, tenant, span, after, limit + 1).await?;
    let has_more = usize::try_from(limit).is_ok_and(|limit| limit < found.len());
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let last = found.last().map(|correction| correction.id).filter(|_| has_more);
    Ok(paging.answer(found.iter().map(CorrectionBody::from).collect(), last.as_ref()))
}

async fn make(call: Call) -> Result<HttpResponse, Problem> {
    let asked: NewCorrectionBody = call.body()?;
    let unprocessable = |detail: String| Problem::new(Kind::Unprocessable, detail);
    let meter = MeterName::parse(&asked.meter).map_err(|error| unprocessable(error.to_string()))?;
    let resource = resource_of(meter, asked.resource_id, asked.device)?;
    let author = call.who()?.user.name.to_string();
    let new = NewCorrection {
        id: call.thing_id(),
        resource: &resource,
        meter,
        window: Window::new(asked.from, asked.to).map_err(|error| unprocessable(error.to_string()))?,
        action: action_of(asked.action, asked.quantity.as_deref())?,
        reason: &asked.reason,
        author: &author,
    };
    let made = corrections::correct(call.db(), &new, call.parts.usage, Timestamp::now()).await?;
    Ok(call.created(format!("/v1/usage-corrections/{}", made.id), &CorrectionBody::from(&made)))
}

async fn show(call: Call) -> Result<HttpResponse, Problem> {
    let id: Uuid = call.id("correction", "correction")?;
    let found = corrections::find(call.db(), call.scope()?, id).await?;
    Ok(call.ok(&CorrectionBody::from(&found.ok_or_else(|| Problem::not_found("correction"))?)))
}

async fn withdraw(call: Call) -> Result<HttpResponse, Problem> {
    let id: Uuid = call.id("correction", "correction")?;
    let asked: NewWithdrawalBody = call.body()?;
    let author = call.who()?.user.name.to_string();
    let said = (call.thing_id(), asked.reason.as_str(), author.as_str());
    let withdrawn = corrections::withdraw(call.db(), id, said, Timestamp::now()).await?;
    Ok(call.ok(&CorrectionBody::from(&withdrawn)))
}

/// The resource of that id, of the kind that the meter is measured on.
fn resource_of(meter: MeterName, id: Uuid, device: Option<String>) -> Result<Resource, Problem> {
    let instance = InstanceId::from_uuid(id);
    match (meter.meter().resource, device) {
        (ResourceKind::Instance, None) => Ok(Resource::Instance(instance)),
        (ResourceKind::Volume, None) => Ok(Resource::Volume(VolumeId::from_uuid(id))),
        (ResourceKind::Disk, Some(device)) => Ok(Resource::Disk(instance, device)),
        (ResourceKind::Nic, Some(device)) => Ok(Resource::Nic(instance, device)),
        (kind @ (ResourceKind::Disk | ResourceKind::Nic), None) => Err(Problem::new(
            Kind::Unprocessable,
            format!("{meter} is measured on a {}: name it by device", kind.as_str()),
        )),
        (kind, Some(_)) => Err(Problem::new(
            Kind::Unprocessable,
            format!("{meter} is measured on the {} itself: leave device out", kind.as_str()),
        )),
    }
}

fn action_of(action: ActionName, quantity: Option<&str>) -> Result<Action, Problem> {
    let unprocessable = |detail: &str| Problem::new(Kind::Unprocessable, detail);
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match (action, quantity) {
        (ActionName::Annotate, None) => Ok(Action::Annotate),
        (ActionName::Exclude, None) => Ok(Action::Exclude),
        (ActionName::Add, Some(text)) => {
            let quantity = text.parse().ok().filter(|_| digits(text));
            let wrong =
                "quantity is a whole number of the meter's base unit in a string, such as \"3600000\"";
            Ok(Action::Add(quantity.ok_or_else(|| unprocessable(wrong))?))
        }
        (ActionName::Add, None) => Err(unprocessable("say by quantity how much is to be added")),
        (_, Some(_)) => Err(unprocessable("quantity goes with the action add alone: leave it out")),
    }
}

impl From<CorrectionError> for Problem {
    fn from(error: CorrectionError) -> Self {
        match error {
            CorrectionError::NoResource { .. } => Self::not_found("resource"),
            CorrectionError::NoCorrection(_) => Self::not_found("correction"),
            CorrectionError::Withdrawn(_) => Self::new(Kind::Conflict, error.to_string()),
            CorrectionError::Usage(source) => source.into(),
            other => Self::new(Kind::Unprocessable, other.to_string()),
        }
    }
}
