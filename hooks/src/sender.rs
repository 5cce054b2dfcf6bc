//! The way to a receiver: one client for all, which connects to nobody that the guard refuses, follows no redirect, asks no
//! proxy, and waits no longer than it was told. It does NOT decide what follows from an answer.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Client, Response};

use crate::deliveries::{Outcome, Taken};
use crate::guard::Guard;

/// The specification recommends 15 to 30 s for an answer.
pub const TIMEOUT: Duration = Duration::from_secs(15);
/// Who does not take a connection by then is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// So much of an answer is kept, for people.
const ANSWER_BYTES: usize = 1_024;
/// The longest `Retry-After` that is heeded: a day.
const RETRY_AFTER_MAX: u64 = 86_400;

/// Sends events.
#[derive(Clone, Debug)]
pub struct Sender {
    client: Client,
    guard: Guard,
    timeout: Duration,
}

/// The client could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the client for webhooks cannot be set up")]
pub struct SenderError(#[from] reqwest::Error);

/// What came back.
pub(crate) struct Sent {
    pub outcome: Outcome,
    /// The receiver asks to be left alone for so long.
    pub retry_after: Option<Duration>,
}

impl Sender {
    /// One that waits [`TIMEOUT`] for an answer.
    ///
    /// # Errors
    /// The machine has no certificates of authorities, or no TLS.
    pub fn new(guard: Guard) -> Result<Self, SenderError> {
        Self::with_timeout(guard, TIMEOUT)
    }

    /// One that waits so long for an answer.
    ///
    /// # Errors
    /// As [`Sender::new`].
    pub fn with_timeout(guard: Guard, timeout: Duration) -> Result<Self, SenderError> {
        // That somebody was first is no failure: there is one provider of TLS in this house.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(timeout)
            .user_agent(concat!("Weir/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Resolver(guard))
            .build()?;
        Ok(Self { client, guard, timeout })
    }

    /// What it may speak to.
    #[must_use]
    pub const fn guard(&self) -> Guard {
        self.guard
    }

    /// The longest that one attempt takes.
    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sends it once. `timestamp`: now, in seconds since 1970.
    pub(crate) async fn send(&self, taken: &Taken, timestamp: i64) -> Sent {
        let failed = |error: String| Sent {
            outcome: Outcome { error: Some(error), ..Outcome::default() },
            retry_after: None,
        };
        // What was allowed when it was added may not be any more.
        let url = match self.guard.check(&taken.url) {
            Ok(url) => url,
            Err(error) => return failed(error.to_string()),
        };
        let id = taken.event_id.to_string();
        let signatures: Vec<String> =
            taken.secrets.iter().map(|secret| secret.sign(&id, timestamp, &taken.payload)).collect();
        let request = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp.to_string())
            .header("webhook-signature", signatures.join(" "))
            .body(taken.payload.clone());
        match request.send().await {
            Ok(response) => answer(response).await,
            Err(error) => failed(sentence(&error)),
        }
    }
}

async fn answer(mut response: Response) -> Sent {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok())
        .map(|seconds| Duration::from_secs(seconds.min(RETRY_AFTER_MAX)));
    let mut body = Vec::new();
    // The status is the answer; that the text breaks off changes nothing.
    while body.len() < ANSWER_BYTES
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk[..chunk.len().min(ANSWER_BYTES - body.len())]);
    }
    let error = match status.as_u16() {
        200..=299 => None,
        300..=399 => {
            Some(format!("it answered {status}: redirects are not followed; change the endpoint's address"))
        }
        410 => Some("it answered 410 Gone: it wants no more events".to_owned()),
        _ => Some(format!("it answered {status}")),
    };
    let text = String::from_utf8_lossy(&body).replace('\0', "\u{fffd}");
    Sent { outcome: Outcome { status: Some(status.as_u16()), answer: Some(text), error }, retry_after }
}

/// An error with its causes, without the address, which the reader knows.
fn sentence(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it did not answer in time".to_owned();
    }
    let mut text = String::from("it could not be reached");
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

/// Resolves names to the addresses that the guard allows. The connection is made to one of these and to no other.
struct Resolver(Guard);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> =
                found.iter().copied().filter(|address| guard.allows(address.ip())).collect();
            if allowed.is_empty() && !found.is_empty() {
                let why = format!(
                    "{} leads to a private, local or reserved address, which is not spoken to ([webhooks] allow_private)",
                    name.as_str()
                );
                return Err(why.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_leads_to_allowed_addresses_alone() {
        let resolve = async |allow_private| {
            let name = "localhost".parse().unwrap();
            Resolver(Guard { allow_private })
                .resolve(name)
                .await
                .map(Iterator::count)
                .map_err(|error| error.to_string())
        };
        let refused = resolve(false).await.unwrap_err();
        assert!(refused.contains("localhost leads to a private, local or reserved address"), "{refused}");
        assert!(0 < resolve(true).await.unwrap());
    }
}
