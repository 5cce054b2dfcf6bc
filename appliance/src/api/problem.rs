//! Refusals as RFC 9457 problem details: one list of kinds, from which the answers, their documentation and the
//! pages below `/v1/problems` are made. It does not decide who is refused.
//!
//! `detail` is for people: what is wrong, where, and how to mend it. Programs look at `type` and `status`.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use billing::PlanErrors;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::causes::chain;

/// The media type of RFC 9457.
pub const MEDIA_TYPE: &str = "application/problem+json";
/// The longest `detail`, in characters: what somebody sent may be repeated in it, but not whole.
const DETAIL_MAX: usize = 600;

/// The kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The body is no JSON.
    MalformedJson,
    /// The body is JSON, but not of the documented shape.
    InvalidBody,
    /// A query parameter is unknown, given twice, or no value of its kind.
    InvalidQuery,
    /// A header cannot be read.
    InvalidHeader,
    /// The cursor is not one that this list gave out.
    InvalidCursor,
    /// Nobody is signed in.
    NotSignedIn,
    /// The tenant is prepaid, and its wallet does not cover it.
    WalletTooLow,
    /// The role or the token does not allow it.
    Forbidden,
    /// More than the tenant's quota.
    QuotaExceeded,
    /// There is no such thing, or it is not the caller's.
    NotFound,
    /// The path does not take the method.
    MethodNotAllowed,
    /// The body took too long to arrive.
    TooSlow,
    /// It exists already, or its state does not allow this.
    Conflict,
    /// Somebody else changed it meanwhile.
    Stale,
    /// The body is too large.
    TooLarge,
    /// The body is of another media type.
    UnsupportedMediaType,
    /// Well formed, but it cannot be had as asked.
    Unprocessable,
    /// The change does not say which state it is a change of.
    PreconditionRequired,
    /// Our fault.
    Internal,
    /// The database or the hypervisor does not answer.
    Unavailable,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 20] = [
        Self::MalformedJson,
        Self::InvalidBody,
        Self::InvalidQuery,
        Self::InvalidHeader,
        Self::InvalidCursor,
        Self::NotSignedIn,
        Self::WalletTooLow,
        Self::Forbidden,
        Self::QuotaExceeded,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::TooSlow,
        Self::Conflict,
        Self::Stale,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::Unprocessable,
        Self::PreconditionRequired,
        Self::Internal,
        Self::Unavailable,
    ];

    /// Its last part of `type`, its status and its title.
    const fn facts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::MalformedJson => ("malformed-json", StatusCode::BAD_REQUEST, "The body is not JSON"),
            Self::InvalidBody => {
                ("invalid-body", StatusCode::BAD_REQUEST, "The body is not of the documented shape")
            }
            Self::InvalidQuery => {
                ("invalid-query", StatusCode::BAD_REQUEST, "A query parameter is not right")
            }
            Self::InvalidHeader => ("invalid-header", StatusCode::BAD_REQUEST, "A header is not right"),
            Self::InvalidCursor => {
                ("invalid-cursor", StatusCode::BAD_REQUEST, "The cursor is not one of this list")
            }
            Self::NotSignedIn => ("not-signed-in", StatusCode::UNAUTHORIZED, "Nobody is signed in"),
            Self::WalletTooLow => {
                ("wallet-too-low", StatusCode::PAYMENT_REQUIRED, "The prepaid wallet does not cover that")
            }
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "This is not allowed to you"),
            Self::QuotaExceeded => {
                ("quota-exceeded", StatusCode::FORBIDDEN, "That is more than the quota allows")
            }
            Self::NotFound => {
                ("not-found", StatusCode::NOT_FOUND, "There is no such thing, or it is not yours")
            }
            Self::MethodNotAllowed => {
                ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "This path does not take that method")
            }
            Self::TooSlow => ("too-slow", StatusCode::REQUEST_TIMEOUT, "The body took too long to arrive"),
            Self::Conflict => ("conflict", StatusCode::CONFLICT, "This cannot be done in the present state"),
            Self::Stale => ("stale", StatusCode::PRECONDITION_FAILED, "It was changed meanwhile"),
            Self::TooLarge => ("too-large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body is of a media type that is not taken here",
            ),
            Self::Unprocessable => {
                ("unprocessable", StatusCode::UNPROCESSABLE_ENTITY, "This cannot be had as asked")
            }
            Self::PreconditionRequired => (
                "precondition-required",
                StatusCode::PRECONDITION_REQUIRED,
                "A change must say of what it is a change",
            ),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "Weir failed at this request"),
            Self::Unavailable => {
                ("unavailable", StatusCode::SERVICE_UNAVAILABLE, "A part of Weir does not answer")
            }
        }
    }

    /// The last part of its `type`.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        self.facts().0
    }

    /// The status that it is answered with.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.facts().1
    }

    /// What it means, the same for every occurrence.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.facts().2
    }

    /// The `type`: a reference to the page that explains it.
    #[must_use]
    pub fn reference(self) -> String {
        format!("/v1/problems/{}", self.slug())
    }

    /// How it is mended, for the page that explains it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::MalformedJson => "Mend the JSON at the place that the detail names, and send it again.",
            Self::InvalidBody => "Compare the body with its schema in /openapi.json.",
            Self::InvalidQuery => "Compare the parameters with those in /openapi.json.",
            Self::InvalidHeader => "Write the header as the detail shows.",
            Self::InvalidCursor => {
                "Begin the list anew without a cursor, with the same filters on each page."
            }
            Self::NotSignedIn => "Send an API token (Authorization: Bearer weir_...), or log in at /login.",
            Self::WalletTooLow => "Top the wallet up, or stop what is not needed.",
            Self::Forbidden => "Ask the provider for another role, or use a token that may write.",
            Self::QuotaExceeded => "Delete what is not needed, ask for less, or ask the provider for more.",
            Self::NotFound => "Check the name or id; the lists show what there is for you.",
            Self::MethodNotAllowed => "Use one of the methods in the Allow header.",
            Self::TooSlow => "Send the whole body at once.",
            Self::Conflict => "Bring it into the state that the detail names, and try again.",
            Self::Stale => "Get it again, look at what has changed, and send the change with the new ETag.",
            Self::TooLarge => "Send less at once.",
            Self::UnsupportedMediaType => "Send JSON, with Content-Type: application/json.",
            Self::Unprocessable => "Change what the detail names.",
            Self::PreconditionRequired => "Get it first, and send its ETag with the change, in If-Match.",
            Self::Internal => "Try again; if it stays, the provider finds the reason in the log of weir up.",
            Self::Unavailable => "Nothing is lost. Try again in a moment.",
        }
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: Kind,
    /// Apart: most results hold none, and should not have to make room for one.
    more: Box<More>,
}

/// What there is to say beyond the kind.
#[derive(Clone, Debug, PartialEq, Eq)]
struct More {
    detail: String,
    place: Option<Place>,
    breaches: Vec<Breach>,
    errors: Vec<TextError>,
    allow: Option<String>,
}

/// What a refusal looks like to others (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Shown {
    /// What kind of problem it is: a reference to a page that explains it.
    #[serde(rename = "type")]
    #[schema(format = "uri-reference", example = "/v1/problems/not-found")]
    kind: String,
    /// What the kind means.
    title: String,
    /// The status code.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong this time, and how to mend it.
    detail: String,
    /// Where in the request it is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    place: Option<Place>,
    /// Which limits of a quota would be exceeded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    breaches: Vec<Breach>,
    /// What is wrong with a text of prices or taxes, in its order; a hundred at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<TextError>,
}

/// A place in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Place {
    /// `body`, `query` or `header`.
    pub part: String,
    /// The parameter, the header, or the member of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// The line of the body, or of the text in that member, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub line: Option<usize>,
    /// The column of the line: of the body from 0, of a text from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub column: Option<usize>,
}

/// One limit of a quota that would be exceeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Breach {
    /// `instances`, `vcpus` or `memory_kib`.
    #[schema(example = "vcpus")]
    pub what: String,
    /// What the tenant holds.
    pub used: u64,
    /// What was asked for on top.
    pub asked: u64,
    /// The limit.
    pub allowed: u64,
}

/// One thing that is wrong with a text of prices or taxes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TextError {
    /// The line, from 1.
    #[schema(example = 3)]
    pub line: usize,
    /// The column in characters, from 1.
    #[schema(example = 14)]
    pub column: usize,
    /// What is wrong.
    #[schema(example = "there is no currency \"EURO\"")]
    pub what: String,
    /// How to mend it.
    #[schema(example = "write its three letters, such as EUR")]
    pub mend: String,
}

impl Problem {
    /// A refusal of that kind.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let detail: String = detail.into();
        let detail = if DETAIL_MAX < detail.chars().count() {
            detail.chars().take(DETAIL_MAX).chain(std::iter::once('\u{2026}')).collect()
        } else {
            detail
        };
        let more = More { detail, place: None, breaches: Vec::new(), errors: Vec::new(), allow: None };
        Self { kind, more: Box::new(more) }
    }

    /// There is no such thing, or it is not the caller's: nobody learns which.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, format!("there is no such {what}, or it is not yours to see"))
    }

    /// The role does not allow it.
    #[must_use]
    pub fn forbidden(detail: &str) -> Self {
        Self::new(Kind::Forbidden, detail)
    }

    /// A failure whose cause is for the log, not for the caller.
    pub fn internal(source: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!("a request to the API failed: {}", chain(source));
        Self::new(Kind::Internal, "Weir failed at this request; its log says why")
    }

    /// The database or the hypervisor does not answer.
    pub fn unavailable(what: &str, source: &(dyn std::error::Error + 'static)) -> Self {
        tracing::warn!("a request to the API failed: {}", chain(source));
        Self::new(Kind::Unavailable, format!("{what} does not answer; try again in a moment"))
    }

    /// A query parameter that is not right.
    pub fn query(name: &str, detail: impl Into<String>) -> Self {
        Self::new(Kind::InvalidQuery, detail).at("query", name)
    }

    /// A problem that lies at that place.
    #[must_use]
    pub fn at(mut self, part: &str, name: &str) -> Self {
        let name = name.chars().take(80).collect();
        self.more.place = Some(Place { part: part.to_owned(), name: Some(name), line: None, column: None });
        self
    }

    /// A problem that lies there in the body.
    #[must_use]
    pub fn in_body(mut self, line: usize, column: usize) -> Self {
        let place = Place { part: "body".to_owned(), name: None, line: Some(line), column: Some(column) };
        self.more.place = Some(place);
        self
    }

    /// A text in that member of the body that is wrong there, and there.
    pub fn text(member: &str, errors: &PlanErrors) -> Self {
        let mut problem = Self::new(Kind::Unprocessable, errors.to_string());
        let first = errors.problems().first();
        problem.more.place = Some(Place {
            part: "body".to_owned(),
            name: Some(member.to_owned()),
            line: first.map(|error| error.line),
            column: first.map(|error| error.column),
        });
        let each = errors.problems().iter().map(|error| TextError {
            line: error.line,
            column: error.column,
            what: error.what.clone(),
            mend: error.mend.clone(),
        });
        problem.more.errors = each.collect();
        problem
    }

    /// A quota that would be exceeded so.
    #[must_use]
    pub fn with_breaches(mut self, breaches: Vec<Breach>) -> Self {
        self.more.breaches = breaches;
        self
    }

    /// A path that takes those methods only.
    #[must_use]
    pub fn method(allow: &str) -> Self {
        let detail = format!("use one of: {allow}");
        let mut problem = Self::new(Kind::MethodNotAllowed, detail);
        problem.more.allow = Some(allow.to_owned());
        problem
    }

    /// What kind it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    fn shown(&self) -> Shown {
        Shown {
            kind: self.kind.reference(),
            title: self.kind.title().to_owned(),
            status: self.kind.status().as_u16(),
            detail: self.more.detail.clone(),
            place: self.more.place.clone(),
            breaches: self.more.breaches.clone(),
            errors: self.more.errors.clone(),
        }
    }

    /// An example of a refusal of that kind, for the document.
    #[must_use]
    pub fn example(kind: Kind) -> Value {
        let mut problem = Self::new(kind, kind.remedy());
        if kind == Kind::QuotaExceeded {
            problem.more.breaches = vec![Breach { what: "vcpus".to_owned(), used: 6, asked: 4, allowed: 8 }];
        }
        serde_json::to_value(problem.shown()).unwrap_or_default()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.more.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.kind.status()
    }

    fn error_response(&self) -> HttpResponse {
        let body = serde_json::to_string(&self.shown()).unwrap_or_default();
        let mut answer = HttpResponse::build(self.kind.status());
        answer.content_type(MEDIA_TYPE).insert_header((header::CACHE_CONTROL, "no-store"));
        if self.kind == Kind::NotSignedIn {
            answer.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"Weir\""));
        }
        if let Some(allow) = self.more.allow.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
            answer.insert_header((header::ALLOW, allow));
        }
        answer.body(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_never_repeats_a_huge_request() {
        let problem = Problem::new(Kind::InvalidBody, "x".repeat(100_000));
        assert!(problem.more.detail.len() < 1_000);
    }

    #[test]
    fn every_kind_is_listed_once_and_has_a_page_of_its_own() {
        let mut slugs: Vec<_> = Kind::ALL.iter().map(|kind| kind.slug()).collect();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), Kind::ALL.len());
    }
}
