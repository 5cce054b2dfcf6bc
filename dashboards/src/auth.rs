//! Who asks: a session's cookie or an API token becomes a [`Principal`], for pages and for the API alike. It does NOT say
//! what they may see: the principal's scope does, in the database.
//!
//! A browser sends cookies along with requests that other sites make it send. So whatever changes something and comes with
//! a cookie must also come from a page of this origin (RFC 6454): that is checked here, where the cookie is read, and
//! cannot be forgotten.

use std::pin::Pin;

use accounts::{Principal, sessions, tokens};
use actix_web::cookie::{Cookie, SameSite, time};
use actix_web::http::{StatusCode, header};
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError, dev, web};

use crate::error::{causes, error_page};
use crate::settings::Portal;
use crate::site::{NO_STORE, Site, now};

/// The name of the session's cookie.
pub const COOKIE: &str = "weir_session";

/// As long as a session can last at all: 7 days.
const COOKIE_MAX_AGE: time::Duration = time::Duration::days(7);

/// The longest path that the log-in leads back to.
const NEXT_BYTES_MAX: usize = 1_024;

/// Somebody, by the cookie `weir_session` or `Authorization: Bearer weir_...`. Everybody else gets 401, or is sent to the
/// log-in page.
pub struct SignedIn(pub Principal);

/// Somebody who may change things: a session (not the planner's), or an API token made for it. Everybody else gets 403.
pub struct Writer(pub Principal);

/// Somebody at a browser: an API token is not enough, so that a token cannot make further ones.
pub struct InPerson(pub Principal);

/// How somebody proved who they are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    Session,
    Token,
}

/// In which form an answer is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A person's: pages. To where the log-in leads back, and whether htmx asks.
    Page { next: Option<String>, is_htmx: bool },
    /// A program's: `application/problem+json`.
    Problem,
}

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
#[error("the request was not let in")]
pub struct AuthError {
    why: Refusal,
    form: Form,
}

#[derive(Debug)]
enum Refusal {
    NobodySignedIn,
    CrossOrigin,
    ReadOnly,
    NotInPerson,
    Unavailable(String),
}

impl FromRequest for SignedIn {
    type Error = AuthError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, AuthError>>>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let found = identify(request);
        Box::pin(async move { Ok(Self(found.await?.0)) })
    }
}

impl FromRequest for Writer {
    type Error = AuthError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, AuthError>>>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let (found, form) = (identify(request), Form::of(request));
        Box::pin(async move {
            match found.await? {
                (principal, _) if principal.may_write => Ok(Self(principal)),
                _ => Err(AuthError { why: Refusal::ReadOnly, form }),
            }
        })
    }
}

impl FromRequest for InPerson {
    type Error = AuthError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, AuthError>>>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let (found, form) = (identify(request), Form::of(request));
        Box::pin(async move {
            match found.await? {
                (principal, Proof::Session) => Ok(Self(principal)),
                (_, Proof::Token) => Err(AuthError { why: Refusal::NotInPerson, form }),
            }
        })
    }
}

impl Form {
    /// What the asker understands: paths of the API, tokens and `Accept: application/json` are programs'.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let path = request.path();
        let accepts = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let is_program = path == "/v1"
            || path.starts_with("/v1/")
            || request.headers().contains_key(header::AUTHORIZATION)
            || accepts.is_some_and(|kinds| kinds.contains("json") && !kinds.contains("html"));
        if is_program {
            return Self::Problem;
        }
        let is_read = request.method().is_safe();
        let next = request.uri().path_and_query().map(ToString::to_string).filter(|_| is_read);
        Self::Page { next, is_htmx: request.headers().contains_key("HX-Request") }
    }
}

impl ResponseError for AuthError {
    fn status_code(&self) -> StatusCode {
        match self.why {
            Refusal::NobodySignedIn => StatusCode::UNAUTHORIZED,
            Refusal::CrossOrigin | Refusal::ReadOnly | Refusal::NotInPerson => StatusCode::FORBIDDEN,
            Refusal::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        if let Refusal::Unavailable(causes) = &self.why {
            tracing::error!(causes, "nobody could be identified");
        }
        let (status, (heading, sentence)) = (self.status_code(), self.why.words());
        match (&self.why, &self.form) {
            (Refusal::NobodySignedIn, Form::Page { next, is_htmx }) => to_log_in(next.as_deref(), *is_htmx),
            (_, Form::Page { .. }) => error_page(status, heading, sentence.to_owned()),
            (why, Form::Problem) => {
                let mut answer = problem(status, sentence);
                if matches!(why, Refusal::NobodySignedIn) {
                    let scheme = header::HeaderValue::from_static("Bearer");
                    answer.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
                }
                answer
            }
        }
    }
}

impl Refusal {
    const fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::NobodySignedIn => (
                "Log in first",
                "Log in, or send an API token: `Authorization: Bearer weir_...`. This one is missing, wrong, expired or revoked.",
            ),
            Self::CrossOrigin => (
                "From another site",
                "The request did not come from a page of this site, so it was not carried out. Open the page here and try again.",
            ),
            Self::ReadOnly => {
                ("Not for this account", "This account or token may read and not change anything.")
            }
            Self::NotInPerson => (
                "Not with a token",
                "This is done in the portal by somebody who has logged in, not with an API token.",
            ),
            Self::Unavailable(_) => {
                ("The database does not answer", "Readings are kept meanwhile. Try again in a moment.")
            }
        }
    }
}

/// Whether a request that changes something comes from a page of this origin, as far as the browser says. One that says
/// nothing about it comes from no browser of this decade; with a cookie it is refused all the same.
///
/// Behind a proxy `Host` must be the one that the browser sees.
///
/// # Errors
/// It comes from elsewhere.
pub fn check_same_origin(request: &HttpRequest) -> Result<(), AuthError> {
    let is_fine = request.method().is_safe() || is_same_origin(request);
    if is_fine { Ok(()) } else { Err(AuthError { why: Refusal::CrossOrigin, form: Form::of(request) }) }
}

/// The cookie that carries a session's secret.
pub(crate) fn cookie(secret: &str, settings: Portal) -> Cookie<'static> {
    Cookie::build(COOKIE, secret.to_owned())
        .http_only(true)
        .same_site(SameSite::Strict)
        .path("/")
        .secure(settings.secure_cookies)
        .max_age(COOKIE_MAX_AGE)
        .finish()
}

/// The cookie that takes it away.
pub(crate) fn no_cookie(settings: Portal) -> Cookie<'static> {
    let mut cookie = cookie("", settings);
    cookie.make_removal();
    cookie
}

/// A path of this site that the log-in may lead back to. Anything that a browser could read as another site is none:
/// `//evil`, `/\evil`, and what becomes one when tabs and line ends are dropped.
pub(crate) fn local_path(next: &str) -> Option<&str> {
    let is_plain =
        next.len() <= NEXT_BYTES_MAX && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let is_local = next.starts_with('/') && !next.starts_with("//");
    let leads_on = !next.starts_with("/login") && !next.starts_with("/logout");
    (is_plain && is_local && leads_on).then_some(next)
}

/// An answer for programs (RFC 9457).
#[must_use]
pub fn problem(status: StatusCode, detail: &str) -> HttpResponse {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = serde_json::json!({
        "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail,
    });
    HttpResponse::build(status)
        .content_type("application/problem+json")
        .insert_header((header::CACHE_CONTROL, NO_STORE))
        .body(body.to_string())
}

/// The same as an error.
pub(crate) fn problem_error(status: StatusCode, detail: &str) -> actix_web::Error {
    actix_web::error::InternalError::from_response(detail.to_owned(), problem(status, detail)).into()
}

fn identify(request: &HttpRequest) -> impl Future<Output = Result<(Principal, Proof), AuthError>> + use<> {
    let form = Form::of(request);
    let site = request.app_data::<web::Data<Site>>().cloned();
    let bearer = request.headers().get(header::AUTHORIZATION).map(|value| bearer(value).map(str::to_owned));
    let session = request.cookie(COOKIE).map(|cookie| cookie.value().to_owned());
    let origin = check_same_origin(request);
    async move {
        let refuse = |why| AuthError { why, form: form.clone() };
        let unavailable = |error: &dyn std::error::Error| {
            refuse(Refusal::Unavailable(format!("{error}: {}", causes(error))))
        };
        let site =
            site.ok_or_else(|| refuse(Refusal::Unavailable("the application has no site".to_owned())))?;
        // Whoever sends a token means the token, even where a cookie comes along.
        if let Some(bearer) = bearer {
            let token = bearer.ok_or_else(|| refuse(Refusal::NobodySignedIn))?;
            let found = tokens::authenticate(&site.database, &token, now()).await;
            let found = found.map_err(|error| unavailable(&error))?;
            return found
                .map(|principal| (principal, Proof::Token))
                .ok_or_else(|| refuse(Refusal::NobodySignedIn));
        }
        let secret = session.ok_or_else(|| refuse(Refusal::NobodySignedIn))?;
        origin?;
        let found = sessions::find(&site.database, &secret, now()).await;
        let found = found.map_err(|error| unavailable(&error))?;
        found.map(|principal| (principal, Proof::Session)).ok_or_else(|| refuse(Refusal::NobodySignedIn))
    }
}

/// The token of `Authorization: Bearer <token>`.
fn bearer(value: &header::HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn is_same_origin(request: &HttpRequest) -> bool {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap_or(""));
    // What browsers of today say, and pages cannot forge. "none": the person's own doing.
    if let Some(site) = header("Sec-Fetch-Site") {
        return site == "same-origin" || site == "none";
    }
    match (header("Origin"), header("Host")) {
        (Some(origin), Some(host)) => {
            let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
        }
        _ => false,
    }
}

/// Sends a person to the log-in page, and afterwards back.
fn to_log_in(next: Option<&str>, is_htmx: bool) -> HttpResponse {
    let next = next.and_then(local_path).filter(|next| *next != "/");
    let path = next.map_or_else(|| "/login".to_owned(), |next| format!("/login?next={}", query_value(next)));
    let mut answer = match is_htmx {
        // htmx follows a redirection by itself and would put the log-in page into the list.
        true => HttpResponse::Unauthorized(),
        false => HttpResponse::SeeOther(),
    };
    answer.insert_header((header::CACHE_CONTROL, NO_STORE));
    match is_htmx {
        true => answer.insert_header(("HX-Redirect", path)).finish(),
        false => answer.insert_header((header::LOCATION, path)).finish(),
    }
}

/// `text` as the value of a parameter: whatever is not plainly itself in a query, encoded (RFC 3986).
pub(crate) fn query_value(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte))
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_in_never_leads_to_another_site() {
        for fine in
            ["/", "/instances?state=running&after=x%2Fy", "/tenants/acme/invoices/INV-2026-000001.pdf"]
        {
            assert_eq!(local_path(fine), Some(fine));
        }
        let long = format!("/{}", "a".repeat(NEXT_BYTES_MAX));
        for bad in [
            "",
            "instances",
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "\\\\evil.example",
            "/login?next=/",
            "/logout",
            "/ü",
            &long,
        ] {
            assert_eq!(local_path(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_path_is_one_value_of_a_query() {
        assert_eq!(query_value("/a?b=c&d=%2F+#e"), "/a%3Fb%3Dc%26d%3D%252F%2B%23e");
    }

    fn check(headers: &[(&str, &str)], is_fine: bool) {
        let mut request = actix_web::test::TestRequest::post().uri("/budget");
        for header in headers {
            request = request.insert_header(*header);
        }
        assert_eq!(check_same_origin(&request.to_http_request()).is_ok(), is_fine, "{headers:?}");
    }

    #[test]
    fn what_another_site_makes_a_browser_send_is_refused() {
        let host = ("Host", "weir.example:8080");
        check(&[host, ("Origin", "http://weir.example:8080")], true);
        check(&[host, ("Origin", "https://WEIR.example:8080")], true);
        check(&[host, ("Sec-Fetch-Site", "same-origin")], true);
        check(&[host, ("Sec-Fetch-Site", "none")], true);
        check(&[host], false);
        check(&[("Origin", "http://weir.example")], false);
        check(&[host, ("Origin", "null")], false);
        check(&[host, ("Origin", "http://weir.example")], false);
        check(&[host, ("Origin", "http://weir.example:8080.evil.example")], false);
        check(&[host, ("Origin", "http://evil.example")], false);
        check(&[host, ("Sec-Fetch-Site", "cross-site"), ("Origin", "http://weir.example:8080")], false);
        check(&[host, ("Sec-Fetch-Site", "same-site"), ("Origin", "http://weir.example:8080")], false);
    }

    #[test]
    fn reading_needs_no_origin() {
        let request = actix_web::test::TestRequest::get().uri("/").to_http_request();
        assert!(check_same_origin(&request).is_ok());
    }
}
