//! Dunning: letters about what is overdue, and invoices about which none goes out because they are disputed. The levels are
//! the configuration's (`[[billing.dunning]]`).

use actix_web::HttpResponse;
use actix_web::http::Method;
use billing::books::dunning::{self, HoldError, Levels};
use jiff::Timestamp;
use migrations::Scope;

use super::{invoices, query_tenant};
use crate::api::call::Call;
use crate::api::identity::Access;
use crate::api::operation::{Operation, Tag, text};
use crate::api::problem::{Kind, Problem};
use crate::api::wire::dunning::{DisputeRequest, DueBody, EntryBody, LevelBody, RoundBody};

pub fn operations() -> Vec<Operation> {
    let get = |path, id, summary| match id {
        "listDunningLevels" => Operation::new(Method::GET, path, id, Tag::Invoices, summary, levels),
        _ => Operation::new(Method::GET, path, id, Tag::Invoices, summary, due),
    };
    [
        Operation::new(
            Method::GET,
            "/v1/dunning",
            "listDunning",
            Tag::Invoices,
            "Letters that were ordered, and disputes",
            history,
        )
        .saying("The newest first, 1,000 at most.")
        .access(Access::Money)
        .query(text("tenant", "Only this tenant's, by name or id."))
        .lists::<EntryBody>("The newest first.")
        .refuses(&[Kind::NotFound]),
        get("/v1/dunning/levels", "listDunningLevels", "The levels of dunning")
            .saying("As they are configured.")
            .access(Access::Provider)
            .lists::<LevelBody>("The first one first."),
        get("/v1/dunning/due", "listDunningDue", "Letters that are due")
            .saying("What a round would order now, 1,000 at most. Nothing is stored.")
            .access(Access::Provider)
            .lists::<DueBody>("Those first that have been due the longest."),
        Operation::new(
            Method::POST,
            "/v1/dunning/rounds",
            "runDunning",
            Tag::Invoices,
            "Order the letters that are due",
            run,
        )
        .saying(
            "Now, instead of at the next daily look. Each level goes out once for an invoice: a round right after another one \
             orders nothing.",
        )
        .access(Access::Provider)
        .answers::<RoundBody>("What was ordered.")
        .once(),
    ]
    .into_iter()
    .chain(of_disputes())
    .collect()
}

fn of_disputes() -> Vec<Operation> {
    const DISPUTE: &str = "/v1/invoices/{number}/dispute";
    vec![
        Operation::new(
            Method::PUT,
            DISPUTE,
            "disputeInvoice",
            Tag::Invoices,
            "Note that an invoice is disputed",
            hold,
        )
        .saying("No letter goes out about it until the dispute is over. Saying it again changes the reason.")
        .access(Access::Provider)
        .takes::<DisputeRequest>()
        .refuses(&[Kind::Conflict, Kind::Unprocessable]),
        Operation::new(
            Method::DELETE,
            DISPUTE,
            "endDispute",
            Tag::Invoices,
            "Note that a dispute is over",
            release,
        )
        .saying("Letters go out again. That there was none is no error.")
        .access(Access::Provider),
    ]
}

async fn history(call: Call) -> Result<HttpResponse, Problem> {
    let scope = match query_tenant(&call).await? {
        Some(tenant) => Scope::Tenant(tenant.id.uuid()),
        None => call.scope()?,
    };
    let found = dunning::list(call.db(), scope, dunning::MAX_LISTED).await?;
    Ok(call.list(found.iter().map(EntryBody::from)))
}

async fn levels(call: Call) -> Result<HttpResponse, Problem> {
    let levels = configured(&call)?;
    Ok(call.list((1..).zip(levels.all()).map(|(level, one)| LevelBody::new(level, one))))
}

async fn due(call: Call) -> Result<HttpResponse, Problem> {
    let found = dunning::due(call.db(), &configured(&call)?, Timestamp::now()).await?;
    Ok(call.list(found.iter().map(DueBody::from)))
}

async fn run(call: Call) -> Result<HttpResponse, Problem> {
    let round = dunning::run(call.db(), &configured(&call)?, Timestamp::now()).await?;
    call.parts.mail_due.notify_one();
    Ok(call.ok(&RoundBody::from(&round)))
}

async fn hold(call: Call) -> Result<HttpResponse, Problem> {
    let asked: DisputeRequest = call.body()?;
    let number = invoices::find(&call).await?.document.number.unwrap_or_default();
    let by = call.who()?.user.name.to_string();
    dunning::hold(call.db(), &number, &asked.reason, &by, Timestamp::now()).await?;
    Ok(call.done())
}

async fn release(call: Call) -> Result<HttpResponse, Problem> {
    let number = invoices::find(&call).await?.document.number.unwrap_or_default();
    dunning::release(call.db(), &number).await?;
    Ok(call.done())
}

/// The levels; the start has checked them.
fn configured(call: &Call) -> Result<Levels, Problem> {
    call.parts.config.billing.levels().map_err(|error| Problem::internal(error.as_ref()))
}

impl From<HoldError> for Problem {
    fn from(error: HoldError) -> Self {
        match error {
            HoldError::NoInvoice { .. } => Self::new(Kind::Conflict, error.to_string()),
            HoldError::NoReason => Self::new(Kind::Unprocessable, error.to_string()),
            HoldError::Store(source) => source.into(),
        }
    }
}
