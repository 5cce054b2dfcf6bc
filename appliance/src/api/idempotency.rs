//! `Idempotency-Key`: what makes something is done once, however often the request is sent, by whomever it is sent at the
//! same moment, and whatever dies in between.
//!
//! The key is claimed before anything is done, together with the id of what will be made ([`Call::thing_id`]). Whoever
//! comes with the same key waits for the answer and gets the same one. If nobody works on it any more, the next one does
//! it again *with the same id*, so a handler that finds its id taken answers with what is there. It does NOT know what any
//! request does, and it keeps no answer that refuses: a refused request may be mended and sent again with its key.

use std::future::Future;
use std::time::Duration;

use actix_web::body::{BoxBody, to_bytes};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use jiff::{SignedDuration, Timestamp};
use metering::{TenantId, micros};
use migrations::{Database, DbError, Scope};
use sha2::{Digest, Sha256};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::call::{Call, NO_STORE};
use super::problem::{Kind, Problem};

/// The header.
pub const HEADER: &str = "Idempotency-Key";
/// On an answer that was given before.
const REPLAYED: &str = "Idempotent-Replayed";
/// The longest key: others allow as much.
pub const KEY_MAX: usize = 255;
/// Answers are kept so long: whoever repeats a request does so within minutes, or after a night.
pub const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// Whoever works on a request says so at least this often; three misses, and it is anybody's.
const LEASE: Duration = Duration::from_secs(15);
const RENEWALS: u32 = 5;
/// How often it is looked whether the answer is there.
const LOOK: Duration = Duration::from_millis(100);
/// How long is waited for it: proxies give up after a minute.
const WAIT_MAX: Duration = Duration::from_secs(40);

const CLAIM: &str = include_str!("../../sql/idempotency_claim.sql");
const GET: &str = include_str!("../../sql/idempotency_get.sql");
const RENEW: &str = include_str!("../../sql/idempotency_renew.sql");
const ANSWER: &str = include_str!("../../sql/idempotency_answer.sql");
const FORGET: &str = include_str!("../../sql/idempotency_forget.sql");
const EXPIRE: &str = include_str!("../../sql/idempotency_expire.sql");
const SWEEP: &str = include_str!("../../sql/idempotency_sweep.sql");

/// Does what `handler` does, once for each key that the caller sends. Without a key, each time.
///
/// # Errors
/// The handler's; the key is none, stands for another request, or somebody still works on it.
pub async fn once<F, R>(mut call: Call, handler: F) -> Result<HttpResponse, Problem>
where
    F: FnOnce(Call) -> R,
    R: Future<Output = Result<HttpResponse, Problem>>,
{
    let Some(key) = key_of(call.request())? else { return handler(call).await };
    let request = Request {
        database: call.db().clone(),
        scope: call.scope()?,
        tenant: call.who()?.tenant_id().unwrap_or(TenantId::UNASSIGNED),
        user: call.who()?.user.id.uuid(),
        key,
        route: format!("{} {}", call.request().method(), call.request().path()),
        fingerprint: call.fingerprint(),
        worker: Uuid::new_v4(),
        lease: LEASE,
    };
    let work = |thing_id| {
        call.set_thing_id(thing_id);
        handler(call)
    };
    request.once(work).await
}

/// Forgets answers that are older than [`KEPT`]; how many there were.
///
/// # Errors
/// The database does not answer.
pub async fn sweep(database: &Database, now: Timestamp) -> Result<u64, DbError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let swept = transaction.execute(SWEEP, &[&expired(now)]).await?;
    transaction.commit().await?;
    Ok(swept)
}

/// A request with a key, and who works on it.
struct Request {
    database: Database,
    scope: Scope,
    tenant: TenantId,
    user: Uuid,
    key: String,
    route: String,
    fingerprint: [u8; 32],
    worker: Uuid,
    lease: Duration,
}

/// What is known of a key.
enum Found {
    /// It is ours to do. Whether somebody began it before.
    Ours { thing_id: Uuid, is_first: bool },
    /// It was done.
    Answered(Answer),
    /// Somebody does it now.
    Busy,
    /// It is the key of something else.
    Other,
}

/// An answer, as it is kept.
struct Answer {
    status: u16,
    location: Option<String>,
    etag: Option<String>,
    body: Vec<u8>,
}

impl Request {
    async fn once<F, R>(self, work: F) -> Result<HttpResponse, Problem>
    where
        F: FnOnce(Uuid) -> R,
        R: Future<Output = Result<HttpResponse, Problem>>,
    {
        let give_up = tokio::time::Instant::now() + WAIT_MAX;
        let (thing_id, is_first) = loop {
            match self.claim(Timestamp::now()).await.map_err(|error| unavailable(&error))? {
                Found::Ours { thing_id, is_first } => break (thing_id, is_first),
                Found::Answered(answer) => return Ok(answer.again()),
                Found::Other => return Err(other_request()),
                Found::Busy if tokio::time::Instant::now() < give_up => tokio::time::sleep(LOOK).await,
                Found::Busy => return Err(busy()),
            }
        };
        let done = self.work(work(thing_id)).await;
        self.keep(done, is_first).await
    }

    /// Works, and says meanwhile that it does.
    async fn work(
        &self,
        work: impl Future<Output = Result<HttpResponse, Problem>>,
    ) -> Result<HttpResponse, Problem> {
        let mut work = std::pin::pin!(work);
        let mut renewals = tokio::time::interval(self.lease / RENEWALS);
        renewals.tick().await;
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = renewals.tick() => {
                    // If it fails, somebody else may do it too, with the same id.
                    let renewed = self.write(RENEW, &[&micros(Timestamp::now())]).await;
                    if let Err(error) = renewed {
                        tracing::warn!("an idempotency key was not renewed: {error}");
                    }
                }
            }
        }
    }

    async fn keep(
        &self,
        done: Result<HttpResponse, Problem>,
        is_first: bool,
    ) -> Result<HttpResponse, Problem> {
        let (kept, answered) = match done {
            Ok(response) => {
                let (answer, response) = Answer::of(response).await?;
                let Answer { status, location, etag, body } = answer;
                let now = micros(Timestamp::now());
                let kept =
                    self.write(ANSWER, &[&i32::from(status), &location, &etag, &body, &now]).await;
                (kept, Ok(response))
            }
            // Nothing was made. It may be mended and sent again, or something else be sent with the key.
            Err(problem) if is_first && problem.kind().status().is_client_error() => {
                (self.write(FORGET, &[]).await, Err(problem))
            }
            // Something may have been made: whoever comes next does it again, with the same id.
            Err(problem) => (self.write(RENEW, &[&Timestamp::UNIX_EPOCH]).await, Err(problem)),
        };
        if let Err(error) = kept {
            tracing::warn!("what became of a request with an idempotency key was not kept: {error}");
        }
        answered
    }

    async fn claim(&self, now: Timestamp) -> Result<Found, DbError> {
        let now = micros(now);
        let lease = SignedDuration::try_from(self.lease).unwrap_or(SignedDuration::ZERO);
        let silent = now.checked_sub(lease).unwrap_or(Timestamp::UNIX_EPOCH);
        let proposed = Uuid::now_v7();
        let (tenant, fingerprint) = (self.tenant.uuid(), &self.fingerprint[..]);
        let mut session = self.database.session().await?;
        let transaction = session.begin(self.scope).await?;
        transaction.execute(EXPIRE, &[&tenant, &self.user, &self.key, &expired(now)]).await?;
        let claimed = transaction
            .query_opt(
                CLAIM,
                &[
                    &tenant, &self.user, &self.key, &self.route, &fingerprint, &proposed, &self.worker, &silent,
                    &now,
                ],
            )
            .await?;
        let found = match claimed {
            Some(row) => {
                let thing_id = row.try_get("thing_id")?;
                Found::Ours { thing_id, is_first: thing_id == proposed }
            }
            None => {
                let row = transaction.query_opt(GET, &[&tenant, &self.user, &self.key]).await?;
                match row {
                    // It was refused, and forgotten, in this very moment.
                    None => Found::Busy,
                    Some(row) if row.try_get::<_, &[u8]>("fingerprint")? != fingerprint => Found::Other,
                    Some(row) => match row.try_get::<_, Option<i32>>("status")? {
                        None => Found::Busy,
                        Some(status) => Found::Answered(Answer {
                            status: u16::try_from(status).unwrap_or(500),
                            location: row.try_get("location")?,
                            etag: row.try_get("etag")?,
                            body: row.try_get::<_, Option<Vec<u8>>>("body")?.unwrap_or_default(),
                        }),
                    },
                }
            }
        };
        transaction.commit().await?;
        Ok(found)
    }

    /// A statement about this key as long as it is this worker's; `more` follows the four that say so.
    async fn write(&self, statement: &str, more: &[&(dyn ToSql + Sync)]) -> Result<(), DbError> {
        let tenant = self.tenant.uuid();
        let own: [&(dyn ToSql + Sync); 4] = [&tenant, &self.user, &self.key, &self.worker];
        let mut session = self.database.session().await?;
        let transaction = session.begin(self.scope).await?;
        transaction.execute(statement, &[&own[..], more].concat()).await?;
        transaction.commit().await?;
        Ok(())
    }
}

impl Answer {
    /// Takes an answer down, and gives it back.
    async fn of(response: HttpResponse) -> Result<(Self, HttpResponse), Problem> {
        let header = |name: header::HeaderName| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let (location, etag) = (header(header::LOCATION), header(header::ETAG));
        let status = response.status().as_u16();
        let (head, body) = response.into_parts();
        let body = to_bytes(body)
            .await
            .map_err(|_| Problem::new(Kind::Internal, "Weir failed at this request; its log says why"))?;
        let answer = Self { status, location, etag, body: body.to_vec() };
        Ok((answer, head.set_body(BoxBody::new(body))))
    }

    /// The same answer, which says that it is.
    fn again(self) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::build(status);
        response.insert_header(NO_STORE).insert_header((REPLAYED, "true"));
        for (name, value) in [(header::LOCATION, self.location), (header::ETAG, self.etag)] {
            if let Some(value) = value {
                response.insert_header((name, value));
            }
        }
        if !self.body.is_empty() {
            response.content_type(super::operation::JSON);
        }
        response.body(self.body)
    }
}

/// The key that a request carries, with or without the quotes of a structured header.
fn key_of(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let mut all = request.headers().get_all(HEADER);
    let Some(value) = all.next() else { return Ok(None) };
    let refused = |detail: String| Problem::new(Kind::InvalidHeader, detail).at("header", HEADER);
    if all.next().is_some() {
        return Err(refused(format!("{HEADER} is given twice; give it once")));
    }
    let text = value.to_str().unwrap_or_default().trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    if text.is_empty() || KEY_MAX < text.len() || !is_plain {
        return Err(refused(format!(
            "{HEADER} is 1 to {KEY_MAX} printable ASCII characters without blanks: a random UUID for each thing that is to be made"
        )));
    }
    Ok(Some(text.to_owned()))
}

/// What tells one request from another: SHA-256 over its method, path, query and body.
#[must_use]
pub fn fingerprint(request: &HttpRequest, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [request.method().as_str(), request.path(), request.query_string()] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.update(body);
    hash.finalize().into()
}

fn expired(now: Timestamp) -> Timestamp {
    micros(now.checked_sub(KEPT).unwrap_or(Timestamp::UNIX_EPOCH))
}

fn unavailable(error: &DbError) -> Problem {
    Problem::unavailable("the database", error)
}

fn other_request() -> Problem {
    Problem::new(
        Kind::Unprocessable,
        format!("this {HEADER} was sent with another request before; use a new key for each thing that is to be made"),
    )
    .at("header", HEADER)
}

fn busy() -> Problem {
    Problem::new(
        Kind::Conflict,
        format!("a request with this {HEADER} is still being worked on; send it again in a moment, with the same key"),
    )
    .at("header", HEADER)
}
