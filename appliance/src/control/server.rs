//! The server's end of the control channel, and the servers of pages and figures: all stop with the same handle.
//!
//! It decodes, limits and encodes; [`crate::answers`] does what was asked.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use actix_web::dev::{Server, ServerHandle};
use actix_web::http::StatusCode;
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::{Context, Result};
use tokio::task::JoinHandle;
use tracing::warn;

use super::request::{Refusal, Request};
use super::socket_path;
use crate::answers::{self, Answer};
use crate::api;
use crate::parts::Parts;
use crate::up::Listeners;

/// The largest request: a plan file of its limit (1 MiB), escaped as JSON.
pub const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The largest request to a page; pages take none with a body.
const PAGE_BODY_BYTES_MAX: usize = 16 * 1024;
/// One thread each is plenty for people and commands; the work is the database's.
const WORKERS: usize = 1;
/// How long open requests may take once Weir is to stop. A guest's shutdown is not waited for.
const SHUTDOWN_SECONDS: u64 = 5;

/// The servers.
pub struct Front {
    handles: Vec<ServerHandle>,
    tasks: Vec<JoinHandle<std::io::Result<()>>>,
}

/// Starts serving.
///
/// # Errors
/// The control socket cannot be made.
pub fn start(parts: &Arc<Parts>, data_dir: &Path, listeners: Listeners) -> Result<Front> {
    let control = web::Data::from(Arc::clone(parts));
    let control = HttpServer::new(move || {
        App::new()
            .app_data(control.clone())
            .app_data(web::PayloadConfig::new(REQUEST_BYTES_MAX))
            .route("/control", web::post().to(answer))
    })
    .workers(WORKERS)
    .shutdown_timeout(SHUTDOWN_SECONDS)
    .disable_signals()
    .listen_uds(control_socket(data_dir)?)?
    .run();
    let shared = web::Data::from(Arc::clone(parts));
    let (database, live, portal) = (parts.database.clone(), Arc::clone(parts), portal(parts));
    let api = Arc::clone(parts);
    let pages = HttpServer::new(move || {
        let live: Arc<dyn dashboards::Live> = live.clone();
        App::new()
            .app_data(web::PayloadConfig::new(PAGE_BODY_BYTES_MAX))
            .wrap(dashboards::headers())
            .configure(api::configure(Arc::clone(&api)))
            .app_data(shared.clone())
            .configure(crate::metrics::configure)
            .configure(dashboards::configure(database.clone(), live, portal))
    })
    .workers(WORKERS)
    .shutdown_timeout(SHUTDOWN_SECONDS)
    .disable_signals()
    .listen(listeners.pages)?
    .run();
    let mut front = Front { handles: Vec::new(), tasks: Vec::new() };
    front.add(control);
    front.add(pages);
    if let Some(listener) = listeners.metrics {
        front.add(open_metrics(parts, listener)?);
    }
    if let Some(listener) = listeners.nodes {
        front.add(crate::nodes::listener::start(parts, listener)?);
    }
    Ok(front)
}

impl Front {
    fn add(&mut self, server: Server) {
        self.handles.push(server.handle());
        self.tasks.push(tokio::spawn(server));
    }

    /// Waits until a server ends by itself, which none should.
    pub async fn ended(&mut self) -> Result<()> {
        let (ended, _, _) = futures_util::future::select_all(&mut self.tasks).await;
        ended??;
        anyhow::bail!("it stopped serving")
    }

    /// Lets open requests end, within limits, and stops.
    pub async fn stop(self) {
        for handle in self.handles {
            handle.stop(true).await;
        }
    }
}

/// The figures for Prometheus at an address of their own.
fn open_metrics(parts: &Arc<Parts>, listener: TcpListener) -> Result<Server> {
    let shared = web::Data::from(Arc::clone(parts));
    let server = HttpServer::new(move || {
        App::new().app_data(shared.clone()).configure(crate::metrics::configure_open)
    });
    Ok(server.workers(WORKERS).shutdown_timeout(SHUTDOWN_SECONDS).disable_signals().listen(listener)?.run())
}

/// What the portal must be told.
fn portal(parts: &Parts) -> dashboards::Portal {
    let public_url = parts.config.server.public_url.as_deref();
    dashboards::Portal {
        secure_cookies: public_url.is_some_and(|url| url.starts_with("https://")),
        usage: parts.usage,
    }
}

/// The socket, only for whoever runs Weir.
///
/// # Errors
/// It cannot be made.
pub fn control_socket(data_dir: &Path) -> Result<UnixListener> {
    let path = socket_path(data_dir);
    // The directory's lock is ours, so a socket that lies there is a dead one.
    if path.exists() {
        std::fs::remove_file(&path)
            .with_context(|| format!("failed to remove the old {}", path.display()))?;
    }
    let listener = UnixListener::bind(&path).with_context(|| {
        format!("the control socket {} cannot be made (its path may have 107 bytes at most)", path.display())
    })?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn answer(parts: web::Data<Parts>, body: web::Bytes) -> HttpResponse {
    let request: Request = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => {
            return refuse(StatusCode::BAD_REQUEST, format!("the request is not right: {error}"));
        }
    };
    // In a task of its own: a command that is interrupted at the keyboard does not leave half an action behind.
    let parts = parts.into_inner();
    match tokio::spawn(async move { answers::answer(&parts, request).await }).await {
        Ok(Ok(Answer::Json(value))) => HttpResponse::Ok().json(value),
        Ok(Ok(Answer::Document { bytes, content_type })) => {
            HttpResponse::Ok().content_type(content_type).body(bytes)
        }
        Ok(Err(error)) => refuse(StatusCode::UNPROCESSABLE_ENTITY, format!("{error:#}")),
        Err(panic) => {
            warn!("a request failed: {panic}");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "Weir failed at this request; see its log".to_owned())
        }
    }
}

/// A no, in one sentence.
pub fn refuse(status: StatusCode, error: String) -> HttpResponse {
    HttpResponse::build(status).json(Refusal { error })
}
