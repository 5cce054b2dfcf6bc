//! A request to the API, read and checked: who asks, which parameters, which body. What is not documented is refused:
//! unknown parameters and fields, other media types, bodies that are too large or too slow.
//!
//! It does not know what any request does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use accounts::Principal;
use actix_web::http::Method;
use actix_web::http::header;
use actix_web::web::{self, Bytes};
use actix_web::{FromRequest, HttpRequest, HttpResponse, dev};
use jiff::Timestamp;
use jiff::civil::Date;
use migrations::{Database, Scope};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::idempotency;
use super::identity::{self, Access, Caller};
use super::page::Paging;
use super::problem::{Kind, Problem};
use super::revision::{self, Expected};
use crate::parts::Parts;

/// The largest body, where an operation says nothing else: every other documented one fits into a tenth of it.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// The largest body with a text of prices or taxes: the largest text, of which every character may be escaped.
pub const TEXT_BYTES_MAX: usize = 2 * billing::plan::MAX_PLAN_BYTES + 1_024;
/// How long a body may take: 64 KiB at the speed of a telephone line. A client that is slower ties up a connection.
const BODY_WAIT: Duration = Duration::from_secs(15);
/// The longest query string: a cursor and some filters.
const QUERY_BYTES_MAX: usize = 4 * 1024;

/// What belongs to a user is kept by no cache on the way.
pub const NO_STORE: (header::HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

/// A request.
pub struct Call {
    /// What answers it.
    pub parts: Arc<Parts>,
    caller: Option<Caller>,
    request: HttpRequest,
    path: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
    body: Bytes,
    thing_id: Uuid,
}

/// What is known of an operation before its request is read.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Who may.
    pub access: Access,
    /// The query parameters that there are.
    pub query: Vec<String>,
    /// The media types of the body that there may be.
    pub media_types: &'static [&'static str],
    /// Whether the body may be left out.
    pub body_is_optional: bool,
    /// The largest body.
    pub body_bytes_max: usize,
    /// Whether it is done once for each key that the caller sends.
    pub is_once: bool,
}

impl Call {
    /// Reads a request, in this order: who asks, whether they may, the parameters, the body.
    ///
    /// # Errors
    /// The first thing that is not right.
    pub async fn read(request: HttpRequest, payload: web::Payload, rules: &Rules) -> Result<Self, Problem> {
        let parts = request.app_data::<web::Data<Parts>>().map(|parts| Arc::clone(parts));
        let parts = parts.ok_or_else(|| Problem::new(Kind::Internal, "the API is not wired"))?;
        let mut payload = payload.into_inner();
        let caller = match rules.access {
            Access::Public => None,
            _ => Some(identity::find(&request, &mut payload).await?),
        };
        if let Some(caller) = &caller {
            rules.access.check(caller, !request.method().is_safe())?;
        }
        let path = path_of(&request)?;
        let query = query_of(&request, &rules.query)?;
        let body = match *request.method() {
            Method::GET | Method::HEAD => Bytes::new(),
            _ => body_of(&request, payload, rules).await?,
        };
        Ok(Self { parts, caller, request, path, query, body, thing_id: Uuid::now_v7() })
    }

    /// Who asks.
    ///
    /// # Errors
    /// The operation is for everybody, so nobody was looked for.
    pub fn who(&self) -> Result<&Principal, Problem> {
        let caller = self.caller.as_ref();
        caller.map(|caller| &caller.who).ok_or_else(|| Problem::new(Kind::NotSignedIn, "sign in first"))
    }

    /// Whether they have logged in, and do not send a token.
    #[must_use]
    pub fn is_in_person(&self) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.is_in_person)
    }

    /// What they may see.
    ///
    /// # Errors
    /// As [`Call::who`].
    pub fn scope(&self) -> Result<Scope, Problem> {
        Ok(self.who()?.scope())
    }

    /// The database.
    #[must_use]
    pub fn db(&self) -> &Database {
        &self.parts.database
    }

    /// The id of what is to be made. It is the same one when the request is sent again with its idempotency key, so a
    /// handler that finds it taken answers with what is there.
    #[must_use]
    pub const fn thing_id(&self) -> Uuid {
        self.thing_id
    }

    pub(super) const fn set_thing_id(&mut self, id: Uuid) {
        self.thing_id = id;
    }

    /// Whether it was sent with an idempotency key, so that it may be sent again.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.request.headers().contains_key(idempotency::HEADER)
    }

    pub(super) const fn request(&self) -> &HttpRequest {
        &self.request
    }

    /// What tells this request from others.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        idempotency::fingerprint(&self.request, &self.body)
    }

    /// A part of the path.
    #[must_use]
    pub fn path(&self, name: &str) -> &str {
        self.path.get(name).map_or("", String::as_str)
    }

    /// A part of the path that is an id.
    ///
    /// # Errors
    /// It is none, so there is no such thing.
    pub fn id<T: std::str::FromStr>(&self, name: &str, what: &str) -> Result<T, Problem> {
        self.path(name).parse().map_err(|_| Problem::not_found(what))
    }

    /// A query parameter, if it was given.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// A query parameter that must be given.
    ///
    /// # Errors
    /// It was not.
    pub fn required(&self, name: &str) -> Result<&str, Problem> {
        self.text(name).ok_or_else(|| Problem::query(name, format!("say {name}: it must be given")))
    }

    /// A query parameter that is of some type.
    ///
    /// # Errors
    /// It is not.
    pub fn parsed<T: std::str::FromStr>(&self, name: &str, like: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let refused = || Problem::query(name, format!("{name} is {:?}; write it like {like}", cut(text)));
        text.parse().map(Some).map_err(|_| refused())
    }

    /// A query parameter that is one of some words.
    ///
    /// # Errors
    /// It is none of them.
    pub fn one_of<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let refused =
            || Problem::query(name, format!("{name} is {:?}; it is one of: {}", cut(text), known.join(", ")));
        found.map(Some).ok_or_else(refused)
    }

    /// An instant.
    ///
    /// # Errors
    /// It is none.
    pub fn instant(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        self.parsed(name, "2026-11-01T00:00:00Z")
    }

    /// A day, exactly as ISO 8601 writes it with dashes.
    ///
    /// # Errors
    /// It is none.
    pub fn day(&self, name: &str) -> Result<Option<Date>, Problem> {
        let day = self.parsed::<Date>(name, "2026-11-01")?;
        if let Some(day) = day
            && self.text(name) != Some(day.to_string().as_str())
        {
            return Err(Problem::query(name, format!("{name} is no day; write it like 2026-11-01")));
        }
        Ok(day)
    }

    /// Which page of the list of that name is asked for.
    ///
    /// # Errors
    /// The limit or the cursor is not right.
    pub fn paging(&self, list: &'static str) -> Result<Paging, Problem> {
        Paging::read(list, self.request.path(), &self.query)
    }

    /// Which revision the change is a change of.
    ///
    /// # Errors
    /// The request does not say, or it is no revision.
    pub fn expected(&self) -> Result<Expected, Problem> {
        revision::expected(&self.request)
    }

    /// Answers with a value.
    #[must_use]
    pub fn ok(&self, value: &impl Serialize) -> HttpResponse {
        HttpResponse::Ok().insert_header(NO_STORE).json(value)
    }

    /// Answers with a value that may be changed, at its revision.
    #[must_use]
    pub fn versioned(&self, revision: u64, value: &impl Serialize) -> HttpResponse {
        HttpResponse::Ok().insert_header(NO_STORE).insert_header(revision::etag(revision)).json(value)
    }

    /// Answers with a list, whole.
    #[must_use]
    pub fn list<T: Serialize>(&self, items: impl Iterator<Item = T>) -> HttpResponse {
        self.ok(&ListBody { items: items.collect() })
    }

    /// Answers that it was done.
    #[must_use]
    pub fn done(&self) -> HttpResponse {
        HttpResponse::NoContent().insert_header(NO_STORE).finish()
    }

    /// Answers that something was made, and where it is.
    #[must_use]
    pub fn created(&self, location: String, value: &impl Serialize) -> HttpResponse {
        HttpResponse::Created()
            .insert_header(NO_STORE)
            .insert_header((header::LOCATION, location))
            .json(value)
    }

    /// The body.
    ///
    /// # Errors
    /// It is no JSON, or not of this shape.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        // Serde takes the fields in their order from an array as well; nobody has documented that.
        if self.body.trim_ascii_start().starts_with(b"[") {
            return Err(Problem::new(Kind::InvalidBody, "the body is a JSON object, not an array"));
        }
        let value = serde_json::from_slice(&self.body).map_err(|error| refused_json(&error))?;
        check_no_nul(&self.body)?;
        Ok(value)
    }

    /// The body, or what is meant when there is none.
    ///
    /// # Errors
    /// As [`Call::body`].
    pub fn body_or_default<T: DeserializeOwned + Default>(&self) -> Result<T, Problem> {
        if self.body.is_empty() { Ok(T::default()) } else { self.body() }
    }
}

/// The body of a list.
#[derive(Serialize)]
struct ListBody<T> {
    items: Vec<T>,
}

/// The first characters, for a sentence.
#[must_use]
pub fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

fn refused_json(error: &serde_json::Error) -> Problem {
    let kind = match error.classify() {
        serde_json::error::Category::Data => Kind::InvalidBody,
        _ => Kind::MalformedJson,
    };
    Problem::new(kind, error.to_string()).in_body(error.line(), error.column())
}

/// PostgreSQL's text cannot hold NUL, and nothing of ours has one.
fn check_no_nul(body: &[u8]) -> Result<(), Problem> {
    // JSON can only write it so; what looks like it may still be an escaped backslash.
    if !body.windows(5).any(|bytes| bytes == b"u0000") {
        return Ok(());
    }
    let value: serde_json::Value = serde_json::from_slice(body).map_err(|error| refused_json(&error))?;
    if has_nul(&value) {
        return Err(Problem::new(Kind::Unprocessable, "a text holds the character U+0000: leave it out"));
    }
    Ok(())
}

fn has_nul(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::String(text) => text.contains('\0'),
        serde_json::Value::Array(items) => items.iter().any(has_nul),
        serde_json::Value::Object(fields) => {
            fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value))
        }
        _ => false,
    }
}

/// The parts of the path that the route names, decoded.
fn path_of(request: &HttpRequest) -> Result<BTreeMap<String, String>, Problem> {
    // The router has decoded all but these, so that a slash in a name is no border; the sign itself comes last.
    let decoded = |part: &str| {
        [("%2F", "/"), ("%2f", "/"), ("%2B", "+"), ("%2b", "+"), ("%25", "%")]
            .iter()
            .fold(part.to_owned(), |part, (code, sign)| part.replace(code, sign))
    };
    let path: BTreeMap<String, String> =
        request.match_info().iter().map(|(name, part)| (name.to_owned(), decoded(part))).collect();
    if path.values().any(|part| part.contains('\0')) {
        return Err(Problem::not_found("thing"));
    }
    Ok(path)
}

fn query_of(request: &HttpRequest, known: &[String]) -> Result<BTreeMap<String, String>, Problem> {
    let text = request.query_string();
    let refused = |detail: &str| Problem::new(Kind::InvalidQuery, detail.to_owned());
    if QUERY_BYTES_MAX < text.len() {
        return Err(refused(&format!("the query has {} bytes; {QUERY_BYTES_MAX} are enough", text.len())));
    }
    let pairs = web::Query::<Vec<(String, String)>>::from_query(text)
        .map_err(|_| refused("the query cannot be read; write it like ?limit=50"))?
        .into_inner();
    let mut query = BTreeMap::new();
    for (name, value) in pairs {
        if !known.contains(&name) {
            let known = if known.is_empty() { "there are none here".to_owned() } else { known.join(", ") };
            let detail = format!("there is no parameter {:?} (known: {known})", cut(&name));
            return Err(Problem::query(&name, detail));
        }
        if value.contains('\0') {
            let detail = format!("{name} holds the character U+0000: leave it out");
            return Err(Problem::new(Kind::Unprocessable, detail).at("query", &name));
        }
        if query.insert(name.clone(), value).is_some() {
            return Err(Problem::query(&name, format!("{name} is given twice; give it once")));
        }
    }
    Ok(query)
}

async fn body_of(request: &HttpRequest, payload: dev::Payload, rules: &Rules) -> Result<Bytes, Problem> {
    let mut payload = payload;
    let payload = web::Payload::from_request(request, &mut payload)
        .await
        .map_err(|_| Problem::new(Kind::MalformedJson, "the body cannot be read"))?;
    let reading = payload.to_bytes_limited(rules.body_bytes_max);
    let body = match tokio::time::timeout(BODY_WAIT, reading).await {
        Err(_) => {
            let detail = format!("the body was not here after {} s; send it at once", BODY_WAIT.as_secs());
            return Err(Problem::new(Kind::TooSlow, detail));
        }
        Ok(Err(_)) => {
            let detail = format!("the body may have {} bytes at most", rules.body_bytes_max);
            return Err(Problem::new(Kind::TooLarge, detail));
        }
        Ok(Ok(Err(_))) => return Err(Problem::new(Kind::MalformedJson, "the body broke off")),
        Ok(Ok(Ok(body))) => body,
    };
    if rules.media_types.is_empty() {
        return match body.is_empty() {
            true => Ok(body),
            false => Err(Problem::new(Kind::InvalidBody, "this takes no body; leave it out")),
        };
    }
    if body.is_empty() && rules.body_is_optional {
        return Ok(body);
    }
    check_media_type(request, rules.media_types)?;
    Ok(body)
}

fn check_media_type(request: &HttpRequest, media_types: &[&str]) -> Result<(), Problem> {
    let given = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mut words = given.unwrap_or_default().split(';').map(str::trim);
    let essence = words.next().unwrap_or_default().to_ascii_lowercase();
    let is_text =
        words.all(|word| word.is_empty() || word.to_ascii_lowercase().replace('"', "") == "charset=utf-8");
    if media_types.contains(&essence.as_str()) && is_text {
        return Ok(());
    }
    let detail = format!("send it as Content-Type: {}", media_types.join(" or "));
    Err(Problem::new(Kind::UnsupportedMediaType, detail).at("header", "Content-Type"))
}
