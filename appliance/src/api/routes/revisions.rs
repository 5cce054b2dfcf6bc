//! The texts of price plans, tenants' own terms and tax tables that were in force, to be read.
//! Which one is in force, and how another one takes its place, is `prices`' and `tables`' matter.

use actix_web::HttpResponse;
use actix_web::http::Method;
use billing::store::revisions::{self, Of};

use super::path_tenant;
use crate::api::call::Call;
use crate::api::identity::Access;
use crate::api::operation::{Operation, Tag};
use crate::api::problem::Problem;
use crate::api::wire::prices::{RevisionBody, RevisionTextBody};

pub fn operations() -> Vec<Operation> {
    const PLAN: &str = "/v1/plans/{name}/revisions";
    const ONE_OF_PLAN: &str = "/v1/plans/{name}/revisions/{revision}";
    const TERMS: &str = "/v1/tenants/{tenant}/terms/revisions";
    const ONE_OF_TERMS: &str = "/v1/tenants/{tenant}/terms/revisions/{revision}";
    const TABLE: &str = "/v1/tax-table/revisions";
    const ONE_OF_TABLE: &str = "/v1/tax-table/revisions/{revision}";
    let lists = |operation: Operation| {
        operation.saying("The newest first. What was in force is kept for ever.").pages::<RevisionBody>()
    };
    let shows = |operation: Operation| operation.answers::<RevisionTextBody>("The text, as it was sent.");
    let get = Method::GET;
    vec![
        lists(Operation::new(
            get.clone(),
            PLAN,
            "listPlanRevisions",
            Tag::Prices,
            "A price plan's texts",
            list_of_plan,
        ))
        .access(Access::Provider),
        shows(Operation::new(
            get.clone(),
            ONE_OF_PLAN,
            "getPlanRevision",
            Tag::Prices,
            "One of a price plan's texts",
            plan,
        ))
        .access(Access::Provider),
        lists(Operation::new(
            get.clone(),
            TERMS,
            "listTermsRevisions",
            Tag::Prices,
            "A tenant's terms so far",
            list_of_terms,
        ))
        .access(Access::Money),
        shows(Operation::new(
            get.clone(),
            ONE_OF_TERMS,
            "getTermsRevision",
            Tag::Prices,
            "One text of a tenant's terms",
            terms,
        ))
        .access(Access::Money),
        lists(Operation::new(
            get.clone(),
            TABLE,
            "listTaxTableRevisions",
            Tag::Prices,
            "The tax tables so far",
            list_of_tables,
        ))
        .access(Access::Provider),
        shows(Operation::new(
            get,
            ONE_OF_TABLE,
            "getTaxTableRevision",
            Tag::Prices,
            "One of the tax tables",
            table,
        ))
        .access(Access::Provider),
    ]
}

async fn list_of_plan(call: Call) -> Result<HttpResponse, Problem> {
    let of = Of::Plan(call.path("name").to_owned());
    list(&call, "plan-revisions", &of).await
}

async fn list_of_terms(call: Call) -> Result<HttpResponse, Problem> {
    let of = Of::Terms(path_tenant(&call).await?.id);
    list(&call, "terms-revisions", &of).await
}

async fn list_of_tables(call: Call) -> Result<HttpResponse, Problem> {
    list(&call, "tax-table-revisions", &Of::TaxTable).await
}

async fn plan(call: Call) -> Result<HttpResponse, Problem> {
    let of = Of::Plan(call.path("name").to_owned());
    one(&call, &of).await
}

async fn terms(call: Call) -> Result<HttpResponse, Problem> {
    let of = Of::Terms(path_tenant(&call).await?.id);
    one(&call, &of).await
}

async fn table(call: Call) -> Result<HttpResponse, Problem> {
    one(&call, &Of::TaxTable).await
}

/// A page; its cursor is the last revision on it.
async fn list(call: &Call, name: &'static str, of: &Of) -> Result<HttpResponse, Problem> {
    let paging = call.paging(name)?;
    let last = paging.after::<i32>()?.map_or(i32::MAX, |before| before.saturating_sub(1));
    let mut found = revisions::list(call.db(), call.scope()?, of, last, paging.limit + 1).await?;
    // A plan has a text from the beginning, and no cursor leads behind the first one.
    if let (true, Of::Plan(_)) = (found.is_empty(), of) {
        return Err(Problem::not_found("price plan"));
    }
    let limit = usize::try_from(paging.limit).unwrap_or(usize::MAX);
    let has_more = limit < found.len();
    found.truncate(limit);
    let last = found.last().filter(|_| has_more).map(|last| last.revision);
    Ok(paging.answer(found.into_iter().map(RevisionBody::from).collect(), last.as_ref()))
}

async fn one(call: &Call, of: &Of) -> Result<HttpResponse, Problem> {
    const WHAT: &str = "revision";
    let asked: i32 = call.id(WHAT, WHAT)?;
    let found = revisions::find(call.db(), call.scope()?, of, asked).await?;
    let (revision, text) = found.ok_or_else(|| Problem::not_found(WHAT))?;
    Ok(call.ok(&RevisionTextBody { revision: revision.into(), text }))
}
