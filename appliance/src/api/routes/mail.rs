//! The outbox.

use actix_web::HttpResponse;
use actix_web::http::Method;
use mail::outbox;

use crate::api::call::Call;
use crate::api::identity::Access;
use crate::api::operation::{Operation, Tag};
use crate::api::problem::Problem;
use crate::api::wire::mail::MailBody;

/// The mails of an answer: the latest, as an operator looks for.
const LISTED_MAX: u32 = 200;

pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::GET,
            "/v1/mail",
            "listMail",
            Tag::Mail,
            "Mail that was or is to be sent",
            list,
        )
        .access(Access::Provider)
        .lists::<MailBody>("The latest 200, the newest first."),
    ]
}

async fn list(call: Call) -> Result<HttpResponse, Problem> {
    let entries = outbox::list(call.db(), LISTED_MAX).await.map_err(|error| match error {
        outbox::MailError::UnknownKind(_) => Problem::internal(&error),
        _ => Problem::unavailable("the database", &error),
    })?;
    Ok(call.list(entries.iter().map(MailBody::from)))
}
