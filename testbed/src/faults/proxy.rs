//! A TCP proxy whose weather changes: it passes, refuses, hangs, drips, resets, and cuts replies off.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::random::Random;

/// How often a quiet connection looks whether the weather changed.
const LOOK: Duration = Duration::from_millis(20);
/// Between two drips.
const DRIP: Duration = Duration::from_millis(10);

/// What the proxy does to connections, those that are open too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Everything goes through.
    Fair,
    /// Connections are reset as soon as they come: nobody is there.
    Down,
    /// Connections are taken and nothing goes through: half-open, a firewall that drops.
    Hang,
    /// Requests go through; the connection is reset at the first byte of the reply.
    CutReply,
    /// One byte every 10 ms, both ways.
    Drip,
    /// A piece of data is let through with this chance in 100, else its connection is reset.
    Lossy {
        /// The chance.
        percent: u8,
    },
}

/// The proxy; it ends when it is dropped.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    target: SocketAddr,
    weather: Mutex<Weather>,
    random: Mutex<Random>,
    connections: AtomicU64,
    is_over: AtomicBool,
}

impl FaultProxy {
    /// Listens on a port of its own on 127.0.0.1 for connections to `target`.
    ///
    /// # Errors
    /// No port can be had.
    pub fn start(target: SocketAddr, seed: u64) -> io::Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST, target, seed)
    }

    /// Like [`FaultProxy::start`], on another address of this machine.
    ///
    /// # Errors
    /// No port can be had there.
    pub fn start_at(address: Ipv4Addr, target: SocketAddr, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind((address, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target,
            weather: Mutex::new(Weather::Fair),
            random: Mutex::new(Random::new(seed)),
            connections: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        let thread = std::thread::spawn(move || accept(&listener, &accepting));
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather.
    pub fn set(&self, weather: Weather) {
        *self.shared.weather.lock().unwrap_or_else(PoisonError::into_inner) = weather;
    }

    /// How many connections came.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn weather(&self) -> Weather {
        *self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    fn is_lost(&self, percent: u8) -> bool {
        let drawn = self.random.lock().unwrap_or_else(PoisonError::into_inner).below(100);
        u64::from(percent) <= drawn
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming().flatten() {
        if shared.is_over() {
            return;
        }
        shared.connections.fetch_add(1, Ordering::Relaxed);
        if shared.weather() == Weather::Down {
            reset(&client);
            continue;
        }
        let Ok(server) = TcpStream::connect(shared.target) else {
            reset(&client);
            continue;
        };
        for (from, to, is_reply) in [(&client, &server, false), (&server, &client, true)] {
            if let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) {
                let shared = Arc::clone(shared);
                // Ends with its connection, which ends with the proxy.
                std::thread::spawn(move || pump(from, to, is_reply, &shared));
            }
        }
    }
}

/// Moves bytes one way until either side ends, or the weather ends it.
fn pump(mut from: TcpStream, mut to: TcpStream, is_reply: bool, shared: &Shared) {
    let mut buffer = [0; 16_384];
    if from.set_read_timeout(Some(LOOK)).is_err() {
        return;
    }
    loop {
        if shared.is_over() || shared.weather() == Weather::Down {
            break;
        }
        if shared.weather() == Weather::Hang {
            std::thread::sleep(LOOK);
            continue;
        }
        let length = match from.read(&mut buffer) {
            Ok(0) => {
                let _ = to.shutdown(Shutdown::Write);
                return;
            }
            Ok(length) => length,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                continue;
            }
            Err(_) => break,
        };
        if !pass(&mut to, &buffer[..length], is_reply, shared) {
            break;
        }
    }
    reset(&from);
    reset(&to);
}

/// Passes a piece on as the weather is now. False: the connection ends.
fn pass(to: &mut TcpStream, bytes: &[u8], is_reply: bool, shared: &Shared) -> bool {
    let mut weather = shared.weather();
    while weather == Weather::Hang && !shared.is_over() {
        std::thread::sleep(LOOK);
        weather = shared.weather();
    }
    match weather {
        Weather::Fair | Weather::Hang => to.write_all(bytes).is_ok(),
        Weather::Down => false,
        Weather::CutReply => !is_reply && to.write_all(bytes).is_ok(),
        Weather::Lossy { percent } => !shared.is_lost(percent) && to.write_all(bytes).is_ok(),
        Weather::Drip => bytes.iter().all(|byte| {
            std::thread::sleep(DRIP);
            !shared.is_over() && to.write_all(&[*byte]).is_ok()
        }),
    }
}

/// Ends a connection with a reset, as a peer that is gone does.
fn reset(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
    let _ = stream.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each byte with the next one, and counts them.
    fn server() -> (SocketAddr, Arc<AtomicU64>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                std::thread::spawn(move || answer(stream, &counter));
            }
        });
        (address, heard)
    }

    fn answer(mut stream: TcpStream, counter: &AtomicU64) {
        let mut byte = [0];
        while stream.read_exact(&mut byte).is_ok() {
            counter.fetch_add(1, Ordering::SeqCst);
            if stream.write_all(&[byte[0] + 1]).is_err() {
                return;
            }
        }
    }

    fn ask(proxy: &FaultProxy) -> io::Result<u8> {
        let mut stream = TcpStream::connect(proxy.address())?;
        stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        stream.write_all(&[7])?;
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    #[test]
    fn each_weather_does_what_it_says_and_fair_weather_comes_back() {
        let (address, heard) = server();
        let proxy = FaultProxy::start(address, 1).unwrap();
        assert_eq!(ask(&proxy).unwrap(), 8);
        proxy.set(Weather::Down);
        assert!(ask(&proxy).is_err());
        assert_eq!(heard.load(Ordering::SeqCst), 1, "nobody was there");
        proxy.set(Weather::Hang);
        assert!(ask(&proxy).is_err());
        proxy.set(Weather::CutReply);
        let before = heard.load(Ordering::SeqCst);
        assert!(ask(&proxy).is_err());
        assert!(before < heard.load(Ordering::SeqCst), "the request went through");
        proxy.set(Weather::Lossy { percent: 0 });
        assert!(ask(&proxy).is_err());
        proxy.set(Weather::Drip);
        assert_eq!(ask(&proxy).unwrap(), 8);
        proxy.set(Weather::Fair);
        assert_eq!(ask(&proxy).unwrap(), 8);
        assert_eq!(proxy.connections(), 7);
    }
}
