//! The node's end of the control channel: `weir status`, `weir reading take` and `weir inspect` on the node itself. All
//! else is asked of the control plane.

use std::path::Path;
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::{Context, Result, bail};
use collector::Collector;
use serde_json::{Value, json};

use super::role::Role;
use crate::control::request::Request;
use crate::control::server::{REQUEST_BYTES_MAX, control_socket, refuse};

/// Starts serving on the data directory's socket.
///
/// # Errors
/// The socket cannot be made.
pub fn start(role: &Arc<Role>, data_dir: &Path) -> Result<ServerHandle> {
    let shared = web::Data::from(Arc::clone(role));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(shared.clone())
            .app_data(web::PayloadConfig::new(REQUEST_BYTES_MAX))
            .route("/control", web::post().to(answer))
    })
    .workers(1)
    .shutdown_timeout(1)
    .disable_signals()
    .listen_uds(control_socket(data_dir)?)?
    .run();
    let handle = server.handle();
    tokio::spawn(server);
    Ok(handle)
}

async fn answer(role: web::Data<Role>, body: web::Bytes) -> HttpResponse {
    match serde_json::from_slice(&body) {
        Err(error) => refuse(StatusCode::BAD_REQUEST, format!("the request is not right: {error}")),
        Ok(request) => match value(&role, request).await {
            Ok(value) => HttpResponse::Ok().json(value),
            Err(error) => refuse(StatusCode::UNPROCESSABLE_ENTITY, format!("{error:#}")),
        },
    }
}

/// What a node answers by itself.
async fn value(role: &Role, request: Request) -> Result<Value> {
    match request {
        Request::Status {} => status(role).await,
        Request::ReadingTake {} => {
            let collector = role.collector.read().await;
            let seq = collector.as_ref().context("the node is being stopped")?.read_now().await?;
            Ok(json!({ "message": format!("Everything was read: batch {seq}."), "seq": seq }))
        }
        Request::InspectNode {} => {
            let collector = role.collector.read().await;
            let collector = collector.as_ref().context("the node is being stopped")?;
            crate::inspect::value(collector, &role.config, &role.link.home().name)
        }
        _ => bail!("this machine is a node; ask its control plane: {}", role.link.home().url),
    }
}

async fn status(role: &Role) -> Result<Value> {
    let collector = role.collector.read().await.as_ref().map(Collector::status).unwrap_or_default();
    let (home, seen) = (role.link.home(), role.link.seen());
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "role": "node",
        "node": home.name,
        "node_id": home.node_id,
        "control_plane": home.url,
        "metered": true,
        "libvirt_connected": collector.is_connected,
        "last_observed_at": collector.last_observed_at,
        "last_error": collector.last_error,
        "instances_seen": collector.instances,
        "batches_waiting": collector.backlog.batches,
        "last_delivered_at": seen.delivered_at,
        "last_delivery_problem": seen.problem,
        "clock_ahead_ms": seen.clock_error.map(|error| error.as_millis()),
        "certificate_expires_at": home.expires_at,
    }))
}
