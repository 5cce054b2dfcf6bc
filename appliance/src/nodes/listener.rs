//! The listener for nodes: TLS, limits and routes. What is done stands in [`super::handlers`].

use std::any::Any;
use std::net::TcpListener;
use std::sync::Arc;

use ::nodes::authority::fingerprint;
use ::nodes::tls;
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::{Extensions, Server};
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::{Context, Result};

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
    let parts = web::Data::from(Arc::clone(parts));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(parts.clone())
            .route(wire::JOIN, web::post().to(handlers::join))
            .route(wire::RENEW, web::post().to(handlers::renew))
            .route(wire::BATCHES, web::post().to(handlers::batch))
            .route(wire::LEAVE, web::post().to(handlers::leave))
            .default_service(web::to(HttpResponse::NotFound))
    })
    .on_connect(remember_peer)
    .workers(WORKERS)
    .keep_alive(limits::KEEP_ALIVE)
    .client_request_timeout(limits::HEAD_TIME_MAX)
    .tls_handshake_timeout(limits::HANDSHAKE_TIME_MAX)
    .max_connections(limits::CONNECTIONS_MAX)
    .max_connection_rate(limits::HANDSHAKES_MAX)
    .shutdown_timeout(SHUTDOWN_SECONDS)
    .disable_signals()
    .listen_rustls_0_23(listener, config)?;
    Ok(server.run())
}

fn remember_peer(connection: &dyn Any, extensions: &mut Extensions) {
    let stream = connection.downcast_ref::<TlsStream<TcpStream>>();
    let certificate = stream.and_then(|stream| stream.get_ref().1.peer_certificates()?.first());
    if let Some(certificate) = certificate {
        extensions.insert(Peer(fingerprint(certificate)));
    }
}
