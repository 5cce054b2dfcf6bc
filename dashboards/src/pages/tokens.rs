//! `/tokens`: the API tokens of whoever is logged in. A new token's secret is in the answer to the form and nowhere else,
//! so that answer is a page of its own and not a redirection: what would be led to could not have the secret. It does NOT
//! make secrets: `accounts` does.

use accounts::AccountsError;
use accounts::tokens::{self, NewToken, Token, TokenId};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, web};
use askama::Template;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::figures;
use crate::auth::InPerson;
use crate::show::Moment;
use crate::site::{Layout, NO_STORE, PageError, Site, Viewer, html, now};

/// How long a token may live, in days, as the form offers it; the first is suggested.
const LIFETIMES: [(&str, &str, i64); 3] =
    [("90", "90 days", 90), ("30", "30 days", 30), ("365", "1 year", 365)];

/// The choice of a token that does not end by itself.
const NEVER: &str = "never";

/// `templates/tokens.html`
#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    layout: Layout,
    /// The secret of the token that was just made.
    made: Option<Made>,
    /// Whether this user's tokens can change anything.
    may_write: bool,
    name: String,
    asks_to_write: bool,
    lifetimes: Vec<Lifetime>,
    problem: Option<String>,
    tokens: Vec<Row>,
}

struct Made {
    name: String,
    secret: String,
}

struct Lifetime {
    value: &'static str,
    title: &'static str,
    is_chosen: bool,
}

struct Row {
    id: String,
    name: String,
    prefix: String,
    access: &'static str,
    created_at: Moment,
    last_used_at: Option<Moment>,
    expires_at: Option<Moment>,
    /// `live`, `expired` or `revoked`.
    state: &'static str,
    is_live: bool,
}

/// What the form sends.
#[derive(Deserialize)]
struct Entered {
    name: String,
    access: Option<String>,
    lifetime: Option<String>,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/tokens")
                .route(web::get().to(list))
                .route(web::head().to(list))
                .route(web::post().to(create)),
        )
        .service(web::resource("/tokens/{token}/revoke").route(web::post().to(revoke)));
}

async fn list(site: web::Data<Site>, viewer: Viewer) -> Result<HttpResponse, PageError> {
    html(&page(&site, &viewer, &Entered { name: String::new(), access: None, lifetime: None }).await?)
}

async fn create(
    site: web::Data<Site>,
    viewer: Viewer,
    who: InPerson,
    entered: web::Form<Entered>,
) -> Result<HttpResponse, PageError> {
    let now = now();
    let name = entered.name.trim();
    let expires_at = match entered.lifetime.as_deref() {
        Some(NEVER) => None,
        asked => Some(ends_at(asked, now)?),
    };
    let may_write = entered.access.as_deref() == Some("write") && viewer.principal.may_write;
    let new = NewToken { user_id: who.0.user.id, name, may_write, expires_at };
    let (status, made, problem) = match tokens::create(&site.database, &new, now).await {
        Ok((secret, token)) => {
            let secret = secret.expose().to_owned();
            (StatusCode::CREATED, Some(Made { name: token.name, secret }), None)
        }
        Err(error @ (AccountsError::TokenName | AccountsError::TooManyTokens)) => {
            (StatusCode::UNPROCESSABLE_ENTITY, None, Some(figures::sentence(&error)))
        }
        Err(error) => return Err(error.into()),
    };
    let nothing = Entered { name: String::new(), access: None, lifetime: None };
    let kept = if made.is_some() { &nothing } else { &entered.0 };
    let page = TokensPage { made, problem, ..page(&site, &viewer, kept).await? };
    let mut answer = HttpResponse::build(status);
    answer.content_type("text/html; charset=utf-8").insert_header((header::CACHE_CONTROL, NO_STORE));
    Ok(answer.body(page.render()?))
}

async fn revoke(
    site: web::Data<Site>,
    who: InPerson,
    path: web::Path<String>,
) -> Result<HttpResponse, PageError> {
    let token: TokenId = path.parse().map_err(|_| PageError::NotFound)?;
    // One that was revoked already, perhaps by a second click, is as it should be.
    let is_new = tokens::revoke(&site.database, who.0.user.id, token, now()).await?;
    if !is_new && !tokens::list(&site.database, who.0.user.id).await?.iter().any(|known| known.id == token) {
        return Err(PageError::NotFound);
    }
    Ok(HttpResponse::SeeOther().insert_header((header::LOCATION, "/tokens")).finish())
}

async fn page(site: &Site, viewer: &Viewer, kept: &Entered) -> Result<TokensPage, PageError> {
    let now = now();
    let found = tokens::list(&site.database, viewer.principal.user.id).await?;
    let chosen = kept.lifetime.as_deref().unwrap_or(LIFETIMES[0].0);
    let mut lifetimes: Vec<Lifetime> = LIFETIMES
        .iter()
        .map(|&(value, title, _)| Lifetime { value, title, is_chosen: value == chosen })
        .collect();
    lifetimes.push(Lifetime { value: NEVER, title: "Until it is revoked", is_chosen: chosen == NEVER });
    Ok(TokensPage {
        layout: viewer.layout("/tokens"),
        made: None,
        may_write: viewer.principal.may_write,
        name: kept.name.clone(),
        asks_to_write: kept.access.as_deref() == Some("write"),
        lifetimes,
        problem: None,
        tokens: found.into_iter().map(|token| row(viewer, token, now)).collect(),
    })
}

fn row(viewer: &Viewer, token: Token, now: Timestamp) -> Row {
    let is_live = token.is_live(now);
    let state = match (token.revoked_at, is_live) {
        (Some(_), _) => "revoked",
        (None, true) => "live",
        (None, false) => "expired",
    };
    let clock = &viewer.clock;
    Row {
        id: token.id.to_string(),
        name: token.name,
        prefix: token.prefix,
        access: if token.may_write { "read and change" } else { "read" },
        created_at: clock.moment(token.created_at),
        last_used_at: token.last_used_at.map(|at| clock.moment(at)),
        expires_at: token.expires_at.map(|at| clock.moment(at)),
        state,
        is_live,
    }
}

/// When a token ends that lives as long as the form says.
fn ends_at(asked: Option<&str>, now: Timestamp) -> Result<Timestamp, PageError> {
    let asked = asked.unwrap_or(LIFETIMES[0].0);
    let days = LIFETIMES.iter().find(|(value, ..)| *value == asked).map(|(.., days)| *days);
    let no_choice = || PageError::BadRequest("Choose one of the lifetimes that the form offers.".to_owned());
    let days = days.ok_or_else(no_choice)?;
    now.checked_add(SignedDuration::from_hours(24 * days)).map_err(|_| no_choice())
}
