//! What is wrong, for operators.

use actix_web::HttpResponse;
use actix_web::http::Method;
use nodes::alerts::{self, AlertError};

use crate::api::call::Call;
use crate::api::identity::Access;
use crate::api::operation::{Operation, Tag, one_of};
use crate::api::problem::Problem;
use crate::api::wire::alerts::AlertBody;

/// The words of the parameter `state`.
const STATES: [&str; 2] = ["open", "all"];
/// With those that are over: what somebody looks back at.
const LISTED: u32 = 200;

pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::GET, "/v1/alerts", "listAlerts", Tag::Capacity, "What is wrong", list)
            .saying("What nodes and the control plane want an operator to see.")
            .access(Access::Operators)
            .query(one_of("state", &STATES, "Only what is open, which is the default, or the latest 200."))
            .lists::<AlertBody>("The newest first."),
    ]
}

async fn list(call: Call) -> Result<HttpResponse, Problem> {
    let [open, all] = STATES;
    let entries = match call.one_of("state", &[(open, false), (all, true)])? {
        Some(true) => alerts::list(call.db(), LISTED).await?,
        _ => alerts::open(call.db()).await?,
    };
    Ok(call.list(entries.iter().map(AlertBody::from)))
}

impl From<AlertError> for Problem {
    fn from(error: AlertError) -> Self {
        Self::unavailable("the database", &error)
    }
}
