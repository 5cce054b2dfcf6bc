//! The node's line to its control plane: HTTPS with both ends certified. A sink for the collector's shipping, and the
//! renewal of the node's certificate. It does NOT decide when to ship (`collector::ship`) and drops nothing.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ::nodes::request::NewKey;
use ::nodes::tls;
use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use collector::{Parcel, Receipt, Sink, SinkError, Spool};
use jiff::{SignedDuration, Timestamp};
use metering::BatchSeq;
use reqwest::{RequestBuilder, Response};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use uuid::Uuid;

use super::home::Home;
use super::limits;
use super::wire::{self, Certified, Kind, Problem, RenewRequest, Taken, duration_us, micros};
use crate::causes::chain;

/// A renewal that failed is tried again after this part of a certificate's life, and whether it is time is looked at as
/// often: some ten tries before it ends.
const LOOKS_IN_A_LIFE: u32 = 30;
const LOOK_MIN: Duration = Duration::from_millis(500);
const LOOK_MAX: Duration = Duration::from_secs(600);

/// The line. Shared by shipping, renewal and `weir status`.
pub struct Link {
    data_dir: PathBuf,
    spool: Spool,
    /// This run of the collector: a copy of the node's disk has another one.
    run_id: Uuid,
    interval: Duration,
    /// This life of the kernel; empty: it does not tell.
    boot_id: String,
    member: RwLock<Member>,
    /// The control plane's clock less this node's, in microseconds, as last heard.
    offset_us: AtomicI64,
    seen: RwLock<Seen>,
    renewing: tokio::sync::Mutex<()>,
}

/// What the control plane said last.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// When a batch was last taken.
    pub delivered_at: Option<Timestamp>,
    /// What was last refused, since then.
    pub problem: Option<String>,
    /// How far this node's wall clock is ahead of the control plane's; `None`: it was not heard yet.
    pub clock_error: Option<SignedDuration>,
}

struct Member {
    home: Home,
    client: reqwest::Client,
}

/// The sink that ships over a link.
pub struct OverLink(pub Arc<Link>);

impl Sink for OverLink {
    async fn deliver(&self, parcel: Parcel) -> Result<Receipt, SinkError> {
        let outcome = self.0.deliver(&parcel).await;
        self.0.note(&outcome);
        outcome
    }
}

impl Link {
    /// With what the node keeps.
    ///
    /// # Errors
    /// Its certificate or key cannot be used.
    pub fn new(data_dir: PathBuf, home: Home, spool: Spool, interval: Duration) -> Result<Self> {
        let member = RwLock::new(Member::new(home)?);
        Ok(Self {
            data_dir,
            spool,
            run_id: Uuid::new_v4(),
            interval,
            boot_id: collector::clock::boot_id().map(|id| id.to_string()).unwrap_or_default(),
            member,
            offset_us: AtomicI64::new(0),
            seen: RwLock::default(),
            renewing: tokio::sync::Mutex::new(()),
        })
    }

    /// What the node keeps.
    pub fn home(&self) -> Home {
        self.member.read().unwrap_or_else(PoisonError::into_inner).home.clone()
    }

    /// What the control plane said last.
    pub fn seen(&self) -> Seen {
        self.seen.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Renews the certificate when two thirds of its life are over, until `stop` turns true. What fails is tried again.
    pub async fn keep_certified(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow_and_update() {
            let home = self.home();
            let life = Duration::try_from(home.expires_at.duration_since(home.issued_at)).unwrap_or_default();
            let due = home.issued_at.checked_add(life * 2 / 3).unwrap_or(Timestamp::MIN);
            if due <= self.server_now()
                && let Err(error) = self.renew(&home).await
            {
                tracing::warn!("the certificate was not renewed: {}", chain(&*error));
            }
            let wait = (life / LOOKS_IN_A_LIFE).clamp(LOOK_MIN, LOOK_MAX);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stop.changed() => return,
            }
        }
    }

    /// Says that this run ends, so that the next one need not wait for its lease. If it is not heard, the next one waits.
    pub async fn leave(&self) {
        let (client, home) = self.member();
        let request = self.signed(client.post(home.route(wire::LEAVE)));
        if let Err(error) = request.send().await {
            tracing::debug!("the control plane was not told that this node stops: {}", chain(&error));
        }
    }

    async fn deliver(&self, parcel: &Parcel) -> Result<Receipt, SinkError> {
        let bytes = metering::wire::encode(&parcel.batch)
            .map_err(|error| SinkError::Refused { reason: chain(&error) })?;
        let (spool, bytes) = (self.spool.clone(), bytes::Bytes::from(bytes));
        // What waits beside this one.
        let backlog = tokio::task::spawn_blocking(move || spool.backlog()).await;
        let backlog =
            backlog.ok().and_then(Result::ok).map_or(0, |backlog| backlog.batches.saturating_sub(1));
        let (_, home) = self.member();
        match self.send(parcel, &bytes, backlog).await? {
            Err(problem) if problem.kind == Kind::Expired => {
                self.renew(&home).await.map_err(|error| SinkError::Away(error.into()))?;
                self.send(parcel, &bytes, backlog).await?.map_err(sink_error)
            }
            outcome => outcome.map_err(sink_error),
        }
    }

    /// Sends a batch once.
    async fn send(
        &self,
        parcel: &Parcel,
        bytes: &bytes::Bytes,
        backlog: u64,
    ) -> Result<Result<Receipt, Problem>, SinkError> {
        let (client, home) = self.member();
        let request = self
            .signed(client.post(home.route(wire::BATCHES)))
            .header(wire::AFTER, parcel.after.0)
            .header(wire::SENT_AT, micros(parcel.now.wall))
            .header(wire::BOOT, duration_us(parcel.now.boot))
            .header(wire::BOOT_ID, self.boot_id.as_str())
            .header(wire::BACKLOG, backlog)
            .body(bytes.clone());
        let response = request.send().await.map_err(|error| SinkError::Away(error.into()))?;
        let answered: Result<Taken, Problem> =
            answer(response).await.map_err(|error| SinkError::Away(error.into()))?;
        let server_time = match &answered {
            Ok(taken) => Some(taken.server_time_us),
            Err(problem) => problem.server_time_us,
        };
        if let Some(server_time_us) = server_time {
            self.note_time(server_time_us);
        }
        Ok(answered.map(|taken| Receipt {
            known_until: BatchSeq(taken.known_until),
            covered_until: BatchSeq(taken.covered_until),
        }))
    }

    /// Gets another certificate, for a new key. `held`: the one that is too old; who finds another one has nothing to do.
    async fn renew(&self, held: &Home) -> Result<()> {
        let _one_at_a_time = self.renewing.lock().await;
        let (client, home) = self.member();
        if home.certificate != held.certificate {
            return Ok(());
        }
        let key = NewKey::generate()?;
        let request = RenewRequest { request: STANDARD.encode(key.request()?) };
        let sent = self.signed(client.post(home.route(wire::RENEW))).json(&request).send().await;
        let response = sent.context("the control plane cannot be reached")?;
        let certified: Certified = match answer(response).await? {
            Ok(certified) => certified,
            Err(problem) => {
                anyhow::bail!("the control plane refuses another certificate: {}", problem.reason)
            }
        };
        self.note_time(certified.server_time_us);
        let home = home.with_certificate(certified, key.pem())?;
        let member = Member::new(home.clone())?;
        // On the disk first: a certificate that is used must be there after a crash.
        home.store(&self.data_dir)?;
        tracing::info!(until = %home.expires_at, "the certificate was renewed");
        *self.member.write().unwrap_or_else(PoisonError::into_inner) = member;
        Ok(())
    }

    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        request
            .header(wire::RUN, self.run_id.to_string())
            .header(wire::INTERVAL, u64::try_from(self.interval.as_millis()).unwrap_or(u64::MAX))
            .header(wire::RELEASE, env!("CARGO_PKG_VERSION"))
    }

    fn member(&self) -> (reqwest::Client, Home) {
        let member = self.member.read().unwrap_or_else(PoisonError::into_inner);
        (member.client.clone(), member.home.clone())
    }

    fn note(&self, outcome: &Result<Receipt, SinkError>) {
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(_) => {
                seen.delivered_at = Some(Timestamp::now());
                seen.problem = None;
            }
            Err(error) => seen.problem = Some(chain(error)),
        }
    }

    fn note_time(&self, server_time_us: i64) {
        let offset_us = server_time_us.saturating_sub(Timestamp::now().as_microsecond());
        self.offset_us.store(offset_us, Ordering::Relaxed);
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        seen.clock_error = Some(SignedDuration::from_micros(offset_us.saturating_neg()));
    }

    /// The control plane's clock, as far as it is known here.
    fn server_now(&self) -> Timestamp {
        let offset = SignedDuration::from_micros(self.offset_us.load(Ordering::Relaxed));
        let now = Timestamp::now();
        now.checked_add(offset).unwrap_or(now)
    }
}

impl Member {
    fn new(home: Home) -> Result<Self> {
        let client = client(tls::client(&home.authority, &home.certificate, &home.key)?)?;
        Ok(Self { home, client })
    }
}

/// A client with the limits of this line, past every proxy.
///
/// # Errors
/// None in practice.
pub fn client(tls: impl std::any::Any) -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(limits::CONNECT_TIME_MAX)
        .timeout(limits::ANSWER_TIME_MAX)
        .pool_idle_timeout(limits::KEEP_ALIVE / 2)
        .tcp_keepalive(limits::KEEP_ALIVE / 4)
        .build()?)
}

/// What an answer says: what was asked for, or a problem.
///
/// # Errors
/// It is neither, or broke off.
pub async fn answer<T: DeserializeOwned>(mut response: Response) -> Result<Result<T, Problem>> {
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.context("the answer broke off")? {
        anyhow::ensure!(body.len() + chunk.len() <= limits::ANSWER_BYTES_MAX, "the answer is too long");
        body.extend_from_slice(&chunk);
    }
    if status.is_success() {
        return Ok(Ok(serde_json::from_slice(&body).context("the answer is not understood")?));
    }
    match serde_json::from_slice(&body) {
        Ok(problem) => Ok(Err(problem)),
        Err(_) => anyhow::bail!("the control plane answers {status}"),
    }
}

fn sink_error(problem: Problem) -> SinkError {
    match (problem.kind, problem.known_until) {
        (Kind::Behind, Some(known_until)) => SinkError::Behind { known_until: BatchSeq(known_until) },
        (Kind::Refused, _) => SinkError::Refused { reason: problem.reason },
        (Kind::Barred, _) => SinkError::Barred { reason: problem.reason },
        (Kind::Away | Kind::Wait | Kind::Newer | Kind::Expired | Kind::Unknown | Kind::Behind, _) => {
            SinkError::Away(problem.reason.into())
        }
    }
}
