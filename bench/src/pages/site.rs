//! The portal as the appliance serves it, on a loopback port, and somebody who asks it over HTTP with a session's cookie.

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer};
use anyhow::{Context, Result, ensure};
use dashboards::{Live, Portal};
use migrations::Database;
use reqwest::Client;

/// As many threads as the appliance gives them.
const WORKERS: usize = 1;

/// A process that is fine.
struct Fine;

/// The running portal.
pub struct Site {
    handle: ServerHandle,
    address: String,
    client: Client,
}

/// An answer, read to its end.
pub struct Answer {
    pub status: u16,
    pub body: String,
    pub took: Duration,
}

impl Live for Fine {
    fn waiting_batches(&self) -> u64 {
        0
    }

    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Site {
    /// Serves pages over `database`.
    ///
    /// # Errors
    /// No port is free.
    pub fn serve(database: Database, portal: Portal) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = format!("http://{}", listener.local_addr()?);
        let server = HttpServer::new(move || {
            let live: Arc<dyn Live> = Arc::new(Fine);
            let pages = dashboards::configure(database.clone(), live, portal);
            App::new().wrap(dashboards::headers()).configure(pages)
        })
        .workers(WORKERS)
        .disable_signals()
        .listen(listener)?
        .run();
        let handle = server.handle();
        tokio::spawn(server);
        // HTTP alone is spoken here, but the client library wants to be ready for TLS.
        nodes::tls::install();
        // Pages answer with what they are; where they lead to is asked for as such.
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build()?;
        Ok(Self { handle, address, client })
    }

    /// Asks for a page, with a session's cookie or without.
    ///
    /// # Errors
    /// No whole answer came.
    pub async fn get(&self, session: Option<&str>, path: &str) -> Result<Answer> {
        let mut request = self.client.get(format!("{}{path}", self.address)).header("Accept", "text/html");
        if let Some(session) = session {
            request = request.header("Cookie", format!("weir_session={session}"));
        }
        let request = request.build()?;
        let started = Instant::now();
        let answer = self.client.execute(request).await?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await?;
        let took = started.elapsed();
        let body = String::from_utf8(body.into()).with_context(|| format!("{path} is no text"))?;
        Ok(Answer { status, body, took })
    }

    /// The same of a page that must be there.
    ///
    /// # Errors
    /// It is not.
    pub async fn page(&self, session: Option<&str>, path: &str) -> Result<String> {
        let answer = self.get(session, path).await?;
        ensure!(answer.status == 200, "{path} answers {}: {}", answer.status, first_words(&answer.body));
        Ok(answer.body)
    }

    /// Bytes of the scripts and styles that a page asks for, each once.
    ///
    /// # Errors
    /// One of them is not there.
    pub async fn assets(&self, page: &str, known: &mut HashMap<String, usize>) -> Result<usize> {
        let mut paths: Vec<String> = addresses(page).filter(|path| path.starts_with("/static/")).collect();
        paths.sort();
        paths.dedup();
        let mut sum = 0;
        for path in paths {
            sum += match known.get(&path) {
                Some(bytes) => *bytes,
                None => {
                    let bytes = self.page(None, &path).await?.len();
                    known.insert(path, bytes);
                    bytes
                }
            };
        }
        Ok(sum)
    }

    /// Stops serving.
    pub async fn stop(self) {
        self.handle.stop(false).await;
    }
}

/// What a page leads to or loads.
pub fn addresses(page: &str) -> impl Iterator<Item = String> {
    let of = |mark: &'static str| {
        page.split(mark)
            .skip(1)
            .filter_map(|rest| rest.split_once('"'))
            .map(|(address, _)| unescaped(address))
    };
    of(" href=\"").chain(of(" src=\""))
}

fn unescaped(address: &str) -> String {
    address.replace("&#38;", "&").replace("&amp;", "&")
}

fn first_words(body: &str) -> String {
    let text = body.split("<main").nth(1).unwrap_or(body);
    text.chars().take(400).collect()
}
