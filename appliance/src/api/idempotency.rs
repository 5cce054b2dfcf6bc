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
                let kept = self.write(ANSWER, &[&i32::from(status), &location, &etag, &body, &now]).await;
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
                    &tenant,
                    &self.user,
                    &self.key,
                    &self.route,
                    &fingerprint,
                    &proposed,
                    &self.worker,
                    &silent,
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use actix_web::test::TestRequest;
    use migrations::testing::TestDatabase;

    use super::*;

    /// Short, so that a test need not wait long for one that died; long enough for a busy machine to renew.
    const LEASE: Duration = Duration::from_secs(2);

    /// The things that were made, by id: making one that is there already makes nothing.
    type Made = Rc<RefCell<Vec<Uuid>>>;

    struct World {
        database: TestDatabase,
        tenants: [TenantId; 2],
        user: Uuid,
    }

    async fn world() -> World {
        let database = migrations::testing::database().await;
        let owner = database.owner_client().await;
        let tenants = [Uuid::new_v4(), Uuid::new_v4()];
        for (tenant, name) in tenants.into_iter().zip(["acme", "other"]) {
            let insert = "INSERT INTO tenant (tenant_id, name, display_name) VALUES ($1, $2, $2)";
            owner.execute(insert, &[&tenant, &name]).await.unwrap();
        }
        World { database, tenants: tenants.map(TenantId::from_uuid), user: Uuid::new_v4() }
    }

    impl World {
        fn request(&self, tenant: usize, key: &str, body: &str) -> Request {
            let tenant = self.tenants[tenant];
            let request = TestRequest::post().uri("/v1/things").to_http_request();
            Request {
                database: self.database.database(),
                scope: Scope::Tenant(tenant.uuid()),
                tenant,
                user: self.user,
                key: key.to_owned(),
                route: "POST /v1/things".to_owned(),
                fingerprint: fingerprint(&request, body.as_bytes()),
                worker: Uuid::new_v4(),
                lease: LEASE,
            }
        }
    }

    /// Makes a thing, which takes a while.
    async fn make(made: Made, id: Uuid) -> Result<HttpResponse, Problem> {
        tokio::time::sleep(Duration::from_millis(300)).await;
        if !made.borrow().contains(&id) {
            made.borrow_mut().push(id);
        }
        let location = (header::LOCATION, format!("/v1/things/{id}"));
        Ok(HttpResponse::Created().insert_header(location).insert_header((header::ETAG, "\"1\"")).json(id))
    }

    async fn shown(answer: HttpResponse) -> (u16, String, bool, String) {
        let header = |name: &str| {
            answer.headers().get(name).map_or(String::new(), |value| value.to_str().unwrap().to_owned())
        };
        let head =
            (answer.status().as_u16(), header("location") + &header("etag"), !header(REPLAYED).is_empty());
        let body = to_bytes(answer.into_body()).await.unwrap();
        (head.0, head.1, head.2, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_same_key_from_four_at_once_makes_one_thing_and_gives_all_the_same_answer() {
        let (world, made) = (world().await, Made::default());
        let asked = (0..4).map(|_| {
            let (request, made) = (world.request(0, "k", "{}"), Rc::clone(&made));
            async move { shown(request.once(|id| make(made, id)).await.unwrap()).await }
        });
        let answers = futures_util::future::join_all(asked).await;
        let [id] = made.borrow()[..] else { panic!("{made:?}") };
        let first = (201, format!("/v1/things/{id}\"1\""), format!("\"{id}\""));
        for (status, head, _, body) in &answers {
            assert_eq!((*status, head.clone(), body.clone()), first);
        }
        assert_eq!(answers.iter().filter(|(_, _, is_again, _)| *is_again).count(), 3);
    }

    #[tokio::test]
    async fn another_body_another_user_and_another_tenant_are_told_apart() {
        let (world, made) = (world().await, Made::default());
        let ask = async |request: Request| {
            let made = Rc::clone(&made);
            request.once(|id| make(made, id)).await
        };
        ask(world.request(0, "k", "{}")).await.unwrap();
        let problem = ask(world.request(0, "k", "{\"a\":1}")).await.unwrap_err();
        assert_eq!(problem.kind(), Kind::Unprocessable);
        assert_eq!(made.borrow().len(), 1);
        // The same key of another tenant, or of another user, is another key.
        ask(world.request(1, "k", "{\"a\":1}")).await.unwrap();
        ask(Request { user: Uuid::new_v4(), ..world.request(0, "k", "{\"a\":1}") }).await.unwrap();
        ask(world.request(0, "l", "{}")).await.unwrap();
        assert_eq!(made.borrow().len(), 4);
    }

    #[tokio::test]
    async fn whoever_dies_between_making_and_answering_leaves_one_thing_and_its_answer() {
        let (world, made) = (world().await, Made::default());
        let request = world.request(0, "k", "{}");
        let begun = request.once(|id| {
            let made = Rc::clone(&made);
            async move {
                make(made, id).await?;
                std::future::pending().await
            }
        });
        // It made the thing, and then nobody heard of it again.
        let died = tokio::time::timeout(Duration::from_millis(1_500), begun).await;
        assert!(died.is_err());
        let answer = world.request(0, "k", "{}").once(|id| make(Rc::clone(&made), id)).await.unwrap();
        let [id] = made.borrow()[..] else { panic!("{made:?}") };
        assert_eq!(shown(answer).await, (201, format!("/v1/things/{id}\"1\""), false, format!("\"{id}\"")));
    }

    #[tokio::test]
    async fn a_refused_request_may_be_mended_and_a_failed_one_be_repeated_under_the_same_id() {
        let world = world().await;
        let refuse = async |kind, body: &str, ids: &RefCell<Vec<Uuid>>| {
            let answer = world.request(0, "k", body).once(|id| {
                ids.borrow_mut().push(id);
                async move { Err::<HttpResponse, _>(Problem::new(kind, "no")) }
            });
            assert_eq!(answer.await.unwrap_err().kind(), kind);
        };
        let ids = RefCell::default();
        refuse(Kind::Conflict, "{}", &ids).await;
        refuse(Kind::Unavailable, "{\"mended\":true}", &ids).await;
        refuse(Kind::Internal, "{\"mended\":true}", &ids).await;
        let made = Made::default();
        world.request(0, "k", "{\"mended\":true}").once(|id| make(Rc::clone(&made), id)).await.unwrap();
        let ids = ids.into_inner();
        assert_ne!(ids[0], ids[1], "a refused request made nothing");
        assert_eq!((ids[1], ids[1]), (ids[2], made.borrow()[0]), "a failed one may have");
    }

    #[tokio::test]
    async fn a_day_later_a_key_is_free_again() {
        let (world, made) = (world().await, Made::default());
        world.request(0, "k", "{}").once(|id| make(Rc::clone(&made), id)).await.unwrap();
        let owner = world.database.owner_client().await;
        owner.batch_execute("SET weir.scope = 'provider'; UPDATE idempotency_key SET created_at = created_at - interval '25 h'").await.unwrap();
        world.request(0, "k", "{\"other\":1}").once(|id| make(Rc::clone(&made), id)).await.unwrap();
        assert_eq!(made.borrow().len(), 2);
        assert_eq!(sweep(&world.database, Timestamp::now()).await.unwrap(), 0);
        let later = Timestamp::now() + SignedDuration::from_hours(25);
        assert_eq!(sweep(&world.database, later).await.unwrap(), 1);
    }

    #[test]
    fn a_key_is_some_printable_characters_with_or_without_quotes() {
        let check = |text: &str, expected: Option<&str>| {
            let request = TestRequest::default().insert_header((HEADER, text)).to_http_request();
            assert_eq!(key_of(&request).ok().flatten().as_deref(), expected, "{text:?}");
        };
        check("abc", Some("abc"));
        check("\"abc\"", Some("abc"));
        check(&"k".repeat(KEY_MAX), Some(&"k".repeat(KEY_MAX)));
        for odd in ["", "\"\"", "a b", "ä", &"k".repeat(KEY_MAX + 1)] {
            check(odd, None);
            let request = TestRequest::default().insert_header((HEADER, odd)).to_http_request();
            assert_eq!(key_of(&request).unwrap_err().kind(), Kind::InvalidHeader, "{odd:?}");
        }
        assert_eq!(key_of(&TestRequest::default().to_http_request()).unwrap(), None);
        let twice = TestRequest::default().append_header((HEADER, "a")).append_header((HEADER, "b"));
        assert!(key_of(&twice.to_http_request()).is_err());
    }

    #[tokio::test]
    async fn every_statement_fits_the_schema() {
        let database = migrations::testing::database().await;
        let mut session = database.session().await.unwrap();
        for sql in [CLAIM, GET, RENEW, ANSWER, FORGET, EXPIRE, SWEEP] {
            let transaction = session.begin(Scope::Provider).await.unwrap();
            transaction.prepare_cached(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        }
    }
}
