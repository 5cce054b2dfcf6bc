//! The API about itself: its document, and what its problems mean.

use actix_web::HttpResponse;
use actix_web::http::{Method, header};

use crate::api::call::Call;
use crate::api::document;
use crate::api::identity::Access;
use crate::api::operation::{Operation, Tag};
use crate::api::problem::{Kind, Problem};
use crate::api::wire::ProblemPage;

/// How long the document may be kept: it changes only with the program.
const DOCUMENT_MAX_AGE: &str = "public, max-age=300";

pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::GET, "/openapi.json", "getDocument", Tag::Api, "This document", the_document)
            .access(Access::Public)
            .answers_object("The OpenAPI 3.1 document."),
        Operation::new(
            Method::GET,
            "/v1/problems/{kind}",
            "getProblem",
            Tag::Api,
            "What a kind of problem means",
            problem,
        )
        .saying("The `type` of a problem leads here.")
        .access(Access::Public)
        .answers::<ProblemPage>("What it means, and how it is mended."),
    ]
}

async fn the_document(_: Call) -> Result<HttpResponse, Problem> {
    let mut answer = HttpResponse::Ok();
    answer.content_type("application/json").insert_header((header::CACHE_CONTROL, DOCUMENT_MAX_AGE));
    Ok(answer.body(document::TEXT.as_str()))
}

async fn problem(call: Call) -> Result<HttpResponse, Problem> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.slug() == call.path("kind"));
    let kind = kind.ok_or_else(|| Problem::not_found("kind of problem"))?;
    Ok(call.ok(&ProblemPage {
        kind: kind.reference(),
        title: kind.title().to_owned(),
        status: kind.status().as_u16(),
        remedy: kind.remedy().to_owned(),
    }))
}
