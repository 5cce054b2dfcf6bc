//! Nodes, and how full they are.

use actix_web::HttpResponse;
use actix_web::http::Method;
use jiff::Timestamp;
use nodes::{NodesError, registry};
use usage::capacity;

use crate::api::call::Call;
use crate::api::identity::Access;
use crate::api::operation::{Operation, Tag};
use crate::api::problem::Problem;
use crate::api::wire::capacity::{CapacityBody, NodeBody};

pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::GET, "/v1/nodes", "listNodes", Tag::Capacity, "Nodes", list_nodes)
            .saying("How each is doing: whether it is heard, its clock, what waits on it, its certificate.")
            .access(Access::Operators)
            .lists::<NodeBody>("By name."),
        Operation::new(
            Method::GET,
            "/v1/capacity",
            "getCapacity",
            Tag::Capacity,
            "How full the nodes are",
            get_capacity,
        )
        .saying("Physical, allocated and used, by node and together, and days until full by trend.")
        .access(Access::Operators)
        .answers::<CapacityBody>("The nodes."),
    ]
}

async fn list_nodes(call: Call) -> Result<HttpResponse, Problem> {
    let nodes = registry::list(call.db(), false).await?;
    Ok(call.list(nodes.iter().map(NodeBody::from)))
}

async fn get_capacity(call: Call) -> Result<HttpResponse, Problem> {
    let nodes = capacity::nodes(call.db()).await?;
    Ok(call.ok(&CapacityBody::from(&reports::capacity::view(&nodes, Timestamp::now()))))
}

impl From<NodesError> for Problem {
    fn from(error: NodesError) -> Self {
        match &error {
            NodesError::NoNode { .. } => Self::not_found("node"),
            _ => Self::unavailable("the database", &error),
        }
    }
}
