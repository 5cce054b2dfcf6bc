//! The listener for nodes: TLS, limits and routes. What is done stands in [`super::handlers`].

use std::net::TcpListener;
use std::sync::Arc;

use ::nodes::authority::fingerprint;
use ::nodes::tls;
use actix_http::{HttpService, TlsAcceptorConfig};
use actix_service::map_config;
use actix_tls::accept::max_concurrent_tls_connect;
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::{AppConfig, Extensions, Server};
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpResponse, web};
use anyhow::{Context, Result};

use super::handshakes::{Handshakes, Limited};
use super::{handlers, limits, wire};
use crate::parts::Parts;

/// One thread is plenty: the work is the database's.
const WORKERS: usize = 1;
/// How long open deliveries may take once Weir is to stop; what is cut off is sent again.
const SHUTDOWN_SECONDS: u64 = 5;

/// Whose certificate a connection came with: its SHA-256. The key was proven in the handshake.
#[derive(Clone, Copy)]
pub struct Peer(pub [u8; 32]);

/// Starts serving.
///
/// # Errors
/// TLS cannot be set up.
pub fn start(parts: &Arc<Parts>, listener: TcpListener) -> Result<Server> {
    let door = parts.door.as_ref().context("there is no door for nodes")?;
    let config = tls::server(&door.authority, door.names.clone()).context("[nodes] names are not right")?;
    let handshakes = Arc::clone(&door.handshakes);
    let parts = web::Data::from(Arc::clone(parts));
    max_concurrent_tls_connect(limits::HANDSHAKES_MAX);
    let builder = Server::build()
        .workers(WORKERS)
        .max_concurrent_connections(limits::CONNECTIONS_MAX)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals();
    let stop = builder.graceful_shutdown_signal();
    let service = move || {
        let app = App::new()
            .app_data(parts.clone())
            .route(wire::JOIN, web::post().to(handlers::join))
            .route(wire::RENEW, web::post().to(handlers::renew))
            .route(wire::BATCHES, web::post().to(handlers::batch))
            .route(wire::LEAVE, web::post().to(handlers::leave))
            .default_service(web::to(HttpResponse::NotFound));
        let (stop, through) = (stop.clone(), Arc::clone(&handshakes));
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stop = stop.clone();
                async move { stop.notified().await }
            })
            .keep_alive(limits::KEEP_ALIVE)
            .client_request_timeout(limits::HEAD_TIME_MAX)
            .on_connect_ext(move |stream: &TlsStream<TcpStream>, extensions: &mut Extensions| {
                come_in(stream, &through, extensions);
            })
            .finish(map_config(app, |()| AppConfig::default()));
        let handshake = TlsAcceptorConfig::default().handshake_timeout(limits::HANDSHAKE_TIME_MAX);
        Limited::new(http.rustls_0_23_with_config(config.clone(), handshake), Arc::clone(&handshakes))
    };
    Ok(builder.listen("nodes", listener, service)?.run())
}

/// The handshake is done: its place is free, and whose certificate it was is remembered.
fn come_in(stream: &TlsStream<TcpStream>, handshakes: &Handshakes, extensions: &mut Extensions) {
    let (socket, session) = stream.get_ref();
    if let Ok(peer) = socket.peer_addr() {
        handshakes.done(peer);
    }
    if let Some(certificate) = session.peer_certificates().and_then(|chain| chain.first()) {
        extensions.insert(Peer(fingerprint(certificate)));
    }
}
