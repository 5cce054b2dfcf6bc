//! Handshakes under way on the nodes' port, counted by where they come from: whoever opens sockets and says nothing keeps out
//! those beside them, and nobody else. It does NOT look into TLS; a place is given back when the handshake is done, or the
//! connection over.

use std::collections::HashMap;
use std::future::{Future, ready};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix_web::dev::{Service, ServiceFactory, forward_ready};
use actix_web::rt::net::TcpStream;

use super::limits::HANDSHAKES_PER_ORIGIN_MAX;

/// A refusal is logged once in so long: the metric counts them.
const LOG_INTERVAL: Duration = Duration::from_secs(600);

/// The bits of an IPv6 address that a site has of its own: one host may have as many addresses within them as it likes.
const SITE_BITS: u32 = 64;

/// All that are under way.
#[derive(Debug, Default)]
pub struct Handshakes {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// By the far end of the connection, with the number of its place: a port may be in use again already.
    under_way: HashMap<SocketAddr, u64>,
    by_origin: HashMap<IpAddr, usize>,
    places: u64,
    refused: u64,
    told_at: Option<Instant>,
}

/// A handshake that is under way. Dropping it gives the place back, if that has not happened yet.
struct Place {
    handshakes: Arc<Handshakes>,
    peer: SocketAddr,
    number: u64,
}

/// What serves connections, behind the limit.
pub struct Limited<F> {
    inner: F,
    handshakes: Arc<Handshakes>,
}

impl Handshakes {
    /// How many connections were refused so far.
    pub fn refused(&self) -> u64 {
        self.lock().refused
    }

    /// The handshake is done.
    pub fn done(&self, peer: SocketAddr) {
        let mut table = self.lock();
        if let Some(number) = table.under_way.get(&peer).copied() {
            table.give_back(peer, number);
        }
    }

    /// `None`: too many from there are under way.
    fn begin(self: &Arc<Self>, peer: SocketAddr) -> Option<Place> {
        let mut table = self.lock();
        let origin = origin(peer.ip());
        let there = table.by_origin.get(&origin).copied().unwrap_or(0);
        if HANDSHAKES_PER_ORIGIN_MAX <= there {
            table.refuse(origin);
            return None;
        }
        table.places += 1;
        let number = table.places;
        if table.under_way.insert(peer, number).is_none() {
            table.by_origin.insert(origin, there + 1);
        }
        drop(table);
        Some(Place { handshakes: Arc::clone(self), peer, number })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn give_back(&mut self, peer: SocketAddr, number: u64) {
        if self.under_way.get(&peer) != Some(&number) {
            return;
        }
        self.under_way.remove(&peer);
        let origin = origin(peer.ip());
        if let Some(there) = self.by_origin.get_mut(&origin) {
            *there -= 1;
            if *there == 0 {
                self.by_origin.remove(&origin);
            }
        }
    }

    fn refuse(&mut self, origin: IpAddr) {
        self.refused += 1;
        if self.told_at.is_none_or(|told_at| LOG_INTERVAL <= told_at.elapsed()) {
            self.told_at = Some(Instant::now());
            tracing::warn!(
                %origin,
                limit = HANDSHAKES_PER_ORIGIN_MAX,
                "connections to the nodes' port are refused: too many handshakes from one address are under way"
            );
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.handshakes.lock().give_back(self.peer, self.number);
    }
}

impl<F> Limited<F> {
    /// Before `inner`, which begins handshakes.
    pub fn new(inner: F, handshakes: Arc<Handshakes>) -> Self {
        Self { inner, handshakes }
    }
}

type Later<T> = Pin<Box<dyn Future<Output = T>>>;

impl<F> ServiceFactory<TcpStream> for Limited<F>
where
    F: ServiceFactory<TcpStream, Config = (), Response = ()>,
    F::Future: 'static,
    <F::Service as Service<TcpStream>>::Future: 'static,
    F::Error: 'static,
{
    type Response = ();
    type Error = F::Error;
    type Config = ();
    type Service = Limited<F::Service>;
    type InitError = F::InitError;
    type Future = Later<Result<Self::Service, F::InitError>>;

    fn new_service(&self, (): ()) -> Self::Future {
        let (inner, handshakes) = (self.inner.new_service(()), Arc::clone(&self.handshakes));
        Box::pin(async move { Ok(Limited { inner: inner.await?, handshakes }) })
    }
}

impl<S> Service<TcpStream> for Limited<S>
where
    S: Service<TcpStream, Response = ()>,
    S::Future: 'static,
    S::Error: 'static,
{
    type Response = ();
    type Error = S::Error;
    type Future = Later<Result<(), S::Error>>;

    forward_ready!(inner);

    fn call(&self, stream: TcpStream) -> Self::Future {
        let peer = stream.peer_addr().ok();
        // A connection without a far end has ended already.
        let Some(place) = peer.and_then(|peer| self.handshakes.begin(peer)) else {
            return Box::pin(ready(Ok(())));
        };
        let served = self.inner.call(stream);
        Box::pin(async move {
            let result = served.await;
            drop(place);
            result
        })
    }
}

/// Whose address it is.
fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let site = u128::MAX << (u128::BITS - SITE_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & site))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str, port: usize) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), u16::try_from(1_024 + port).unwrap())
    }

    #[test]
    fn who_fills_the_places_of_one_origin_keeps_out_that_origin_alone_until_a_handshake_ends() {
        for (one, same, other) in [
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.2"),
            ("2001:db8::1", "2001:db8::ffff:0:0:1", "2001:db8:0:1::1"),
        ] {
            let handshakes = Arc::new(Handshakes::default());
            let begin = |address, port| handshakes.begin(peer(address, port));
            let mut places: Vec<Place> =
                (0..HANDSHAKES_PER_ORIGIN_MAX).map(|port| begin(one, port).unwrap()).collect();
            assert!(begin(same, 5_000).is_none() && begin(one, 5_001).is_none());
            assert!(begin(other, 0).is_some(), "{other}");
            assert_eq!(handshakes.refused(), 2);
            handshakes.done(peer(one, 3));
            places.push(begin(same, 5_000).expect("a handshake is done"));
            assert!(begin(same, 5_002).is_none());
            // Its connection ends long after its handshake, when the same port has another one under way.
            drop(places.remove(0));
            let again = begin(one, 3).unwrap();
            drop(places.remove(2));
            assert!(begin(one, 5_003).is_none(), "the place of the new connection is still taken");
            drop((again, places));
            let table = handshakes.lock();
            assert_eq!((table.under_way.len(), table.by_origin.len()), (0, 0));
        }
    }
}
