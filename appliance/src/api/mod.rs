//! The REST API: `/v1`, and the document that describes it at `/openapi.json`.
//!
//! It turns requests into calls of the other rooms, and their values into the API's own forms (`wire`). It decides
//! nothing about money, usage or guests, and who may see what is decided by the scope that the database is asked in.

mod call;
mod cursor;
mod document;
pub mod idempotency;
mod identity;
mod operation;
mod page;
mod problem;
mod revision;
mod routes;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::{HttpRequest, Resource, web};

use self::operation::Operation;
use self::problem::Problem;
use crate::parts::Parts;

/// Adds the API's routes to an application. Below `/v1` everything is answered in the API's way, what does not exist
/// included.
pub fn configure(parts: Arc<Parts>) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        config.app_data(web::Data::from(parts));
        let mut by_path: BTreeMap<&'static str, Vec<Operation>> = BTreeMap::new();
        for operation in routes::operations() {
            by_path.entry(operation.path).or_default().push(operation);
        }
        for (path, operations) in by_path {
            config.service(resource(path, &operations));
        }
        // After all others: whatever else lies below /v1.
        config.service(web::resource(["/v1", "/v1/{nothing:.*}"]).to(nothing));
    }
}

/// A path with its methods; all others are refused with a list of these.
fn resource(path: &str, operations: &[Operation]) -> Resource {
    let mut allowed: Vec<&str> = operations.iter().map(|operation| operation.method.as_str()).collect();
    if allowed.contains(&"GET") {
        allowed.push("HEAD");
    }
    allowed.sort_unstable();
    let allowed = allowed.join(", ");
    // So that NUMBER.pdf is no number.
    let path = path.replace("{number}", "{number:[^{}/.]+}");
    operations
        .iter()
        .fold(web::resource(path), |resource, operation| resource.route(operation.route()))
        .default_service(web::to(move || {
            let problem = Problem::method(&allowed);
            async move { Err::<web::Bytes, _>(problem) }
        }))
}

async fn nothing(request: HttpRequest) -> Result<web::Bytes, Problem> {
    let path: String = request.path().chars().take(80).collect();
    Err(Problem::new(
        problem::Kind::NotFound,
        format!("there is nothing at {path:?}; /openapi.json lists what there is"),
    ))
}
