//! What is done with what nodes send: joining, renewing, batches, leaving.
//!
//! In this order, so that what is cheap to refuse costs little: who is it, may they now, how large is it, what is it.

use std::time::Duration;

use ::nodes::NodesError;
use ::nodes::access::{self, AccessError, Knock, Purpose, Visitor};
use ::nodes::alerts::{self, Alert};
use ::nodes::authority::Issued;
use ::nodes::certificates::{self, Joining};
use ::nodes::registry::{self, Heard};
use ::nodes::runs;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use jiff::Timestamp;
use metering::wire::WireError;
use metering::{Batch, BatchSeq, NodeId};
use usage::{Delivery, NodeClock};
use uuid::Uuid;

use super::listener::Peer;
use super::refusal::Refusal;
use super::wire::{self, Certified, JoinRequest, Kind, RenewRequest, Taken, micros};
use super::{intake, limits};
use crate::causes::chain;
use crate::nodes::door::Door;
use crate::parts::Parts;

/// A node joins. It has no certificate yet: its token speaks for it.
pub async fn join(parts: web::Data<Parts>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    answer(try_join(&parts, &request, body).await)
}

/// A node wants another certificate.
pub async fn renew(parts: web::Data<Parts>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    answer(try_renew(&parts, &request, body).await)
}

/// A node delivers a batch.
pub async fn batch(parts: web::Data<Parts>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    answer(try_batch(&parts, &request, body).await)
}

/// A collector ends in order: its next run need not wait.
pub async fn leave(parts: web::Data<Parts>, request: HttpRequest) -> HttpResponse {
    answer(try_leave(&parts, &request).await)
}

fn answer<T: serde::Serialize>(result: Result<T, Refusal>) -> HttpResponse {
    match result {
        Ok(body) => HttpResponse::Ok().json(body),
        Err(refusal) => refusal.response(),
    }
}

async fn try_join(parts: &Parts, request: &HttpRequest, body: web::Payload) -> Result<Certified, Refusal> {
    let asked: JoinRequest = json(&read(parts, request, body, limits::REQUEST_BYTES_MAX).await?)?;
    let joining = Joining {
        secret: asked.secret,
        node_id: NodeId::from_uuid(asked.node_id),
        name: asked.name,
        request: certificate_request(&asked.request)?,
        release: asked.release,
    };
    let (door, now) = (door(parts)?, Timestamp::now());
    let joined = certificates::join(&parts.database, &door.authority, &joining, door.life, now).await;
    let from = from(request);
    match &joined {
        Ok(_) => {
            tracing::info!(node = joining.name, id = %joining.node_id, from, "a node joined");
            over(parts, joining.node_id, now).await;
        }
        // A stranger must not be able to fill the log; who has a token that was good once is one to look at.
        Err(NodesError::NoToken | NodesError::TokenUnknown) => {
            tracing::debug!(from, "no token that is known")
        }
        Err(error) => tracing::warn!(from, "a node did not join: {}", chain(error)),
    }
    Ok(certified(door, joined?))
}

async fn try_renew(parts: &Parts, request: &HttpRequest, body: web::Payload) -> Result<Certified, Refusal> {
    let visitor = let_in(parts, request, Purpose::Renew).await?;
    let asked: RenewRequest = json(&read(parts, request, body, limits::REQUEST_BYTES_MAX).await?)?;
    let asked = certificate_request(&asked.request)?;
    let (door, now) = (door(parts)?, Timestamp::now());
    let issued =
        certificates::renew(&parts.database, &door.authority, &visitor, &asked, door.life, now).await?;
    tracing::info!(node = visitor.name, until = %issued.expires_at, "a node renewed its certificate");
    Ok(certified(door, issued))
}

async fn try_leave(parts: &Parts, request: &HttpRequest) -> Result<Taken, Refusal> {
    let visitor = let_in(parts, request, Purpose::Deliver).await?;
    access::leave(&parts.database, visitor.node_id, run_id(request)?).await?;
    Ok(Taken { known_until: 0, covered_until: 0, server_time_us: micros(Timestamp::now()) })
}

async fn try_batch(parts: &Parts, request: &HttpRequest, body: web::Payload) -> Result<Taken, Refusal> {
    let visitor = let_in(parts, request, Purpose::Deliver).await?;
    let delivery = delivery(request)?;
    let bytes = read(parts, request, body, limits::BATCH_BYTES_MAX).await?;
    let mut batch = decode(&bytes)?;
    drop(bytes);
    if batch.node_id != visitor.node_id {
        return Err(forged(parts, request, &visitor, batch.node_id).await);
    }
    // People gave it its name when it joined.
    batch.node_name.clone_from(&visitor.name);
    let received_at = Timestamp::now();
    let receipt = intake::take_in(parts, &batch, &delivery, received_at).await?;
    let heard = Heard {
        release: header(request, wire::RELEASE).map(str::to_owned),
        backlog_batches: number(request, wire::BACKLOG)?,
    };
    // The batch is in: that its node's line is a little old is no reason to say no.
    if let Err(error) = registry::heard(&parts.database, visitor.node_id, &heard, received_at).await {
        tracing::warn!("what a node says of itself was not noted: {}", chain(&error));
    }
    Ok(Taken {
        known_until: receipt.known_until.0,
        covered_until: receipt.covered_until.0,
        server_time_us: micros(Timestamp::now()),
    })
}

/// Who it is, and whether they may now. Asked of the database at every request: a revocation holds at once.
async fn let_in(parts: &Parts, request: &HttpRequest, purpose: Purpose) -> Result<Visitor, Refusal> {
    let peer = request.conn_data::<Peer>().copied().ok_or_else(|| {
        let reason = "this needs a node's certificate; join first: weir node join";
        Refusal::new(StatusCode::UNAUTHORIZED, Kind::Barred, reason).closing()
    })?;
    let interval = number(request, wire::INTERVAL)?.map_or(Duration::ZERO, Duration::from_millis);
    let knock =
        Knock { fingerprint: peer.0, run_id: run_id(request)?, lease: runs::lease(interval), purpose };
    let now = Timestamp::now();
    let known = access::knock(&parts.database, &knock, now).await;
    match &known {
        Ok(Visitor { copy: Some(copy), node_id, name, .. }) => {
            let detail = format!("two collectors deliver as node {name}; run {copy} is barred");
            raise(parts, Alert::of_node(alerts::Kind::NodeCopied, *node_id, detail), now).await;
        }
        Err(AccessError::Revoked { node_id, because }) => {
            let detail = format!("{because}; it still tries from {}", from(request));
            raise(parts, Alert::of_node(alerts::Kind::NodeBarred, *node_id, detail), now).await;
        }
        Err(AccessError::Barred { node_id, name }) => {
            let detail = format!("the copy of node {name} still tries from {}", from(request));
            raise(parts, Alert::of_node(alerts::Kind::NodeCopied, *node_id, detail), now).await;
        }
        _ => {}
    }
    known.map_err(|error| Refusal::from(error).closing())
}

/// A node that speaks for another one.
async fn forged(parts: &Parts, request: &HttpRequest, visitor: &Visitor, claimed: NodeId) -> Refusal {
    let name = &visitor.name;
    let detail = format!("node {name} sent a batch of node {claimed} from {}", from(request));
    raise(parts, Alert::of_node(alerts::Kind::NodeBarred, visitor.node_id, detail), Timestamp::now()).await;
    let reason = format!("this certificate is node {}'s, the batch is node {claimed}'s", visitor.node_id);
    Refusal::new(StatusCode::FORBIDDEN, Kind::Barred, reason)
}

/// An operator let the node in: what was wrong with its identity is over.
async fn over(parts: &Parts, node_id: NodeId, now: Timestamp) {
    let subject = alerts::node_subject(node_id);
    for kind in [alerts::Kind::NodeBarred, alerts::Kind::NodeCopied] {
        if let Err(error) = alerts::end(&parts.database, kind, &subject, now).await {
            tracing::error!("an alert was not ended: {}", chain(&error));
        }
    }
}

async fn raise(parts: &Parts, alert: Alert, now: Timestamp) {
    if let Err(error) = alerts::raise(&parts.database, &alert, now).await {
        tracing::error!("an alert was not kept: {}", chain(&error));
    }
}

fn decode(bytes: &[u8]) -> Result<Batch, Refusal> {
    metering::wire::decode(bytes).map_err(|error| match error {
        WireError::Schema { .. } => {
            let reason = format!("{error}: upgrade the control plane first; the node holds its readings");
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, Kind::Newer, reason)
        }
        error => Refusal::new(StatusCode::BAD_REQUEST, Kind::Refused, chain(&error)),
    })
}

/// A body within its limits: refused by its length before it is read, by counting while it is, and by the clock.
async fn read(
    parts: &Parts,
    request: &HttpRequest,
    mut body: web::Payload,
    bytes_max: usize,
) -> Result<web::Bytes, Refusal> {
    let too_large = || {
        let reason = format!("the body is larger than {bytes_max} bytes");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, Kind::Refused, reason).closing()
    };
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| u64::try_from(bytes_max).unwrap_or(u64::MAX) < length) {
        return Err(too_large());
    }
    let reading = async {
        let mut bytes = web::BytesMut::new();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| {
                Refusal::new(StatusCode::BAD_REQUEST, Kind::Away, format!("the body broke off: {error}"))
                    .closing()
            })?;
            if bytes_max.saturating_sub(bytes.len()) < chunk.len() {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    };
    let body_time = parts.config.nodes.body_time.0;
    match tokio::time::timeout(body_time, reading).await {
        Ok(read) => read,
        Err(_) => {
            let reason = format!("the body took longer than {body_time:?}");
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, Kind::Away, reason).closing())
        }
    }
}

fn json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| {
        let reason = format!("the request is not right: {error}");
        Refusal::new(StatusCode::BAD_REQUEST, Kind::Refused, reason)
    })
}

fn certificate_request(text: &str) -> Result<Vec<u8>, Refusal> {
    STANDARD.decode(text).map_err(|_| {
        Refusal::new(StatusCode::BAD_REQUEST, Kind::Refused, "the certificate request is no base64")
    })
}

fn certified(door: &Door, issued: Issued) -> Certified {
    Certified {
        certificate: issued.pem,
        authority: door.authority.pem().to_owned(),
        issued_at_us: micros(issued.issued_at),
        expires_at_us: micros(issued.expires_at),
        server_time_us: micros(Timestamp::now()),
    }
}

fn door(parts: &Parts) -> Result<&Door, Refusal> {
    let missing = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Kind::Away, "no node is let in now");
    parts.door.as_ref().ok_or_else(missing)
}

/// What the batch follows, and the node's clocks now.
fn delivery(request: &HttpRequest) -> Result<Delivery, Refusal> {
    let after = BatchSeq(number(request, wire::AFTER)?.ok_or_else(|| bad_header(wire::AFTER))?);
    let wall = header(request, wire::SENT_AT).and_then(|text| text.parse().ok());
    let wall = wall.and_then(|us| Timestamp::from_microsecond(us).ok());
    let boot = number(request, wire::BOOT)?.map(Duration::from_micros);
    let boot_id = header(request, wire::BOOT_ID).and_then(|text| text.parse().ok());
    match (wall, boot) {
        (Some(wall), Some(boot)) => Ok(Delivery { after, sent: Some(NodeClock { wall, boot, boot_id }) }),
        _ => Err(bad_header(wire::SENT_AT)),
    }
}

fn run_id(request: &HttpRequest) -> Result<Uuid, Refusal> {
    header(request, wire::RUN).and_then(|text| text.parse().ok()).ok_or_else(|| bad_header(wire::RUN))
}

fn number(request: &HttpRequest, name: &'static str) -> Result<Option<u64>, Refusal> {
    header(request, name).map(|text| text.parse().map_err(|_| bad_header(name))).transpose()
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

fn bad_header(name: &str) -> Refusal {
    let reason = format!("the header {name} is missing or not right");
    Refusal::new(StatusCode::BAD_REQUEST, Kind::Away, reason).closing()
}

fn from(request: &HttpRequest) -> String {
    request.peer_addr().map_or_else(|| "somewhere".to_owned(), |address| address.ip().to_string())
}
