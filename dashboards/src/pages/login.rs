//! Logging in and out. Who is wrong is told the same whether the name or the password is; who is wrong too often is told
//! when to try again. It does NOT check passwords: `accounts` does, and slows down whoever guesses.

use accounts::sessions::{self, LogInError};
use accounts::users;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::auth::{self, SignedIn};
use crate::site::{Layout, NO_STORE, PageError, Site, now};

/// What everybody who is wrong is told.
const WRONG: &str = "User name and password do not go together.";

/// `templates/login.html`
#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    layout: Layout,
    /// What went wrong.
    problem: Option<String>,
    /// Whether there is no user at all yet.
    is_first: bool,
    name: String,
    next: String,
}

/// `/login?next=...`
#[derive(Deserialize)]
struct Asked {
    next: Option<String>,
}

/// What the form sends.
#[derive(Deserialize)]
struct Entered {
    name: String,
    password: String,
    next: Option<String>,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/login")
                .route(web::get().to(show))
                .route(web::head().to(show))
                .route(web::post().to(log_in)),
        )
        .service(web::resource("/logout").route(web::post().to(log_out)));
}

async fn show(
    site: web::Data<Site>,
    asked: web::Query<Asked>,
    signed_in: Option<SignedIn>,
) -> Result<HttpResponse, PageError> {
    let next = local(asked.into_inner().next);
    if signed_in.is_some() {
        return Ok(lead_to(&next).finish());
    }
    let is_first = !users::any_exist(&site.database).await?;
    page(
        StatusCode::OK,
        LoginPage { layout: Layout::bare(), problem: None, is_first, name: String::new(), next },
    )
}

async fn log_in(
    site: web::Data<Site>,
    request: HttpRequest,
    entered: web::Form<Entered>,
) -> Result<HttpResponse, actix_web::Error> {
    // Another site could log its visitor in as somebody else and read what they enter afterwards.
    auth::check_same_origin(&request)?;
    let Entered { name, password, next } = entered.into_inner();
    let next = local(next);
    // Not what `X-Forwarded-For` says: whoever guesses could write a new one each time.
    let address = request.peer_addr().map(|peer| peer.ip().to_string()).unwrap_or_default();
    let now = now();
    let (status, problem, retry_after) =
        match sessions::log_in(&site.database, &name, &password, &address, now).await {
            Ok((secret, _)) => {
                let cookie = auth::cookie(secret.expose(), site.settings);
                return Ok(lead_to(&next).cookie(cookie).finish());
            }
            Err(LogInError::Wrong) => (StatusCode::FORBIDDEN, WRONG.to_owned(), None),
            Err(LogInError::TooMany { retry_after }) => {
                (StatusCode::TOO_MANY_REQUESTS, too_many(retry_after, now), Some(retry_after))
            }
            Err(LogInError::Database(error)) => return Err(PageError::database(error).into()),
        };
    let page_data = LoginPage { layout: Layout::bare(), problem: Some(problem), is_first: false, name, next };
    let mut answer = page(status, page_data)?;
    if let Some(retry_after) = retry_after {
        answer
            .headers_mut()
            .insert(header::RETRY_AFTER, header::HeaderValue::from(retry_after.as_secs().max(1)));
    }
    Ok(answer)
}

/// Ends the session, whether or not there is one.
async fn log_out(site: web::Data<Site>, request: HttpRequest) -> Result<HttpResponse, actix_web::Error> {
    auth::check_same_origin(&request)?;
    if let Some(cookie) = request.cookie(auth::COOKIE) {
        sessions::log_out(&site.database, cookie.value()).await.map_err(PageError::from)?;
    }
    Ok(lead_to("/login").cookie(auth::no_cookie(site.settings)).finish())
}

fn page(status: StatusCode, page: LoginPage) -> Result<HttpResponse, PageError> {
    let mut answer = HttpResponse::build(status);
    answer.content_type("text/html; charset=utf-8").insert_header((header::CACHE_CONTROL, NO_STORE));
    Ok(answer.body(page.render()?))
}

fn lead_to(path: &str) -> actix_web::HttpResponseBuilder {
    let mut answer = HttpResponse::SeeOther();
    answer.insert_header((header::LOCATION, path)).insert_header((header::CACHE_CONTROL, NO_STORE));
    answer
}

/// Where the log-in leads: to a page of this site in any case.
fn local(next: Option<String>) -> String {
    next.as_deref().and_then(auth::local_path).unwrap_or("/").to_owned()
}

fn too_many(retry_after: std::time::Duration, now: Timestamp) -> String {
    let wait = SignedDuration::try_from(retry_after).unwrap_or(SignedDuration::from_mins(15));
    let minutes = retry_after.as_secs().div_ceil(60).max(1);
    let at = now.checked_add(wait).unwrap_or(now).strftime("%H:%M");
    let unit = if minutes == 1 { "minute" } else { "minutes" };
    format!(
        "Too many wrong passwords for this name from here. Try again in {minutes} {unit}, after {at} UTC."
    )
}
