//! What is said when two change the same thing at once: both values side by side, and the choice. It decides nothing and
//! stores nothing.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use askama::Template;

use crate::site::{Layout, NO_STORE, PageError};

/// `templates/conflict.html`, with status 409.
#[derive(Template)]
#[template(path = "conflict.html")]
pub(crate) struct ConflictPage {
    pub layout: Layout,
    /// What was changed: `The quota of acme`.
    pub what: String,
    pub rows: Vec<Difference>,
    /// Where the form goes that insists.
    pub action: String,
    /// What it sends: what was typed, and the revision that it was not typed for.
    pub fields: Vec<(&'static str, String)>,
    /// Where to go to let the other's change stand.
    pub back: String,
}

/// One figure of both.
pub(crate) struct Difference {
    pub label: &'static str,
    pub theirs: String,
    pub mine: String,
}

impl Difference {
    /// Whether they differ.
    pub(crate) fn differs(&self) -> bool {
        self.theirs != self.mine
    }
}

/// The page as an answer.
pub(crate) fn answer(page: &ConflictPage) -> Result<HttpResponse, PageError> {
    with_status(StatusCode::CONFLICT, page)
}

/// A page that says that something is not right.
pub(crate) fn with_status(status: StatusCode, page: &impl Template) -> Result<HttpResponse, PageError> {
    let mut answer = HttpResponse::build(status);
    answer.content_type("text/html; charset=utf-8").insert_header((header::CACHE_CONTROL, NO_STORE));
    Ok(answer.body(page.render()?))
}

/// Leads to another page after a change, so that loading it again changes nothing again.
pub(crate) fn lead_to(path: &str) -> HttpResponse {
    let mut answer = HttpResponse::SeeOther();
    answer.insert_header((header::LOCATION, path)).insert_header((header::CACHE_CONTROL, NO_STORE));
    answer.finish()
}
