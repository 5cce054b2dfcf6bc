//! A small HTTP/1.1 server that gives guests exactly as many bytes as they ask for, and counts what they send.
//!
//! `GET /bytes/N` gives N zero bytes, `POST /sink` takes a body, `GET /mark/NAME` notes that a guest came that far, `GET /gate/NAME`
//! has it wait until it is let through.
//! It is bound to one address (a test bridge's) and is no general web server: one request per connection.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

/// A guest that says nothing for so long is gone.
const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// Longest request head; a guest's wget sends some 150 bytes.
const HEAD_LIMIT: u64 = 16 * 1024;
/// Largest body asked for or sent, so that a typing error does not run for an hour.
const BODY_LIMIT: u64 = 1 << 30;
/// Between two looks for a new connection: unnoticed by a guest, and cheap.
const ACCEPT_INTERVAL: Duration = Duration::from_millis(20);
const CHUNK: usize = 64 * 1024;

/// One answered request for bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The guest's address.
    pub to: SocketAddr,
    /// Bytes of body that were handed to the kernel.
    pub bytes: u64,
    /// Whether that is all that was asked for.
    pub complete: bool,
}

#[derive(Debug, Default)]
struct Log {
    served: Mutex<Vec<Served>>,
    marks: Mutex<BTreeMap<String, u64>>,
    gates: Mutex<BTreeMap<String, Gate>>,
    opened: Condvar,
    received_bytes: AtomicU64,
    stopping: AtomicBool,
}

/// How many came to it, and how many were let through.
#[derive(Debug, Default)]
struct Gate {
    arrived: u64,
    passed: u64,
}

/// The running server; dropping it stops it.
#[derive(Debug)]
pub struct FileServer {
    address: SocketAddr,
    log: Arc<Log>,
    listener: Option<JoinHandle<()>>,
}

impl FileServer {
    /// Listens on a free port of `address`.
    pub fn start(address: Ipv4Addr) -> Result<Self> {
        let listener =
            TcpListener::bind((address, 0)).with_context(|| format!("cannot listen on {address}"))?;
        // It looks at the flag between two tries; to wake it by a connection would hang where the bridge is gone.
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let log = Arc::new(Log::default());
        let for_thread = Arc::clone(&log);
        let thread = std::thread::Builder::new()
            .name("file-server".into())
            .spawn(move || accept(&listener, &for_thread))
            .context("cannot start the file server's thread")?;
        Ok(Self { address, log, listener: Some(thread) })
    }

    /// `http://ADDRESS:PORT/bytes/N`.
    #[must_use]
    pub fn bytes_url(&self, bytes: u64) -> String {
        format!("http://{}/bytes/{bytes}", self.address)
    }

    /// `http://ADDRESS:PORT/sink`.
    #[must_use]
    pub fn sink_url(&self) -> String {
        format!("http://{}/sink", self.address)
    }

    /// `http://ADDRESS:PORT/mark/NAME`; the name is letters, digits and dashes.
    #[must_use]
    pub fn mark_url(&self, name: &str) -> String {
        format!("http://{}/mark/{name}", self.address)
    }

    /// `http://ADDRESS:PORT/gate/NAME`: whoever asks for it waits. The name is letters, digits and dashes.
    #[must_use]
    pub fn gate_url(&self, name: &str) -> String {
        format!("http://{}/gate/{name}", self.address)
    }

    /// How many have come to `/gate/NAME`.
    #[must_use]
    pub fn arrived(&self, name: &str) -> u64 {
        lock(&self.log.gates).get(name).map_or(0, |gate| gate.arrived)
    }

    /// Lets one more through `/gate/NAME`, whether it has come or not.
    pub fn let_through(&self, name: &str) {
        lock(&self.log.gates).entry(name.to_owned()).or_default().passed += 1;
        self.log.opened.notify_all();
    }

    /// What was given out, in the order of finishing.
    #[must_use]
    pub fn served(&self) -> Vec<Served> {
        lock(&self.log.served).clone()
    }

    /// Bytes of body that guests sent to `/sink`.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.log.received_bytes.load(Ordering::Relaxed)
    }

    /// How often `/mark/NAME` was asked for.
    #[must_use]
    pub fn marks(&self, name: &str) -> u64 {
        lock(&self.log.marks).get(name).copied().unwrap_or(0)
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        self.log.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.listener.take() {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked leaves whole entries: they are pushed in one step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, log: &Arc<Log>) {
    while !log.stopping.load(Ordering::Relaxed) {
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(ACCEPT_INTERVAL);
            continue;
        };
        let log = Arc::clone(log);
        // A guest that goes away in the middle is for the log of what was served, not for the console.
        let _ = std::thread::Builder::new().name("file-server-guest".into()).spawn(move || {
            let _ = answer(stream, &log);
        });
    }
}

fn answer(mut stream: TcpStream, log: &Log) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(IDLE_LIMIT))?;
    stream.set_write_timeout(Some(IDLE_LIMIT))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let Some(request) = read_head(&mut reader)? else {
        return refuse(&mut stream, "400 Bad Request");
    };
    match (request.method.as_str(), request.path.split('/').skip(1).collect::<Vec<_>>().as_slice()) {
        ("GET", ["bytes", count]) => match count.parse() {
            Ok(count) if count <= BODY_LIMIT => serve(&mut stream, log, count),
            _ => refuse(&mut stream, "400 Bad Request"),
        },
        ("GET", ["mark", name]) => {
            *lock(&log.marks).entry((*name).to_owned()).or_default() += 1;
            refuse(&mut stream, "200 OK")
        }
        ("GET", ["gate", name]) => {
            wait_at(name, log);
            refuse(&mut stream, "200 OK")
        }
        ("POST", ["sink"]) if request.length <= BODY_LIMIT => {
            let taken = io::copy(&mut reader.take(request.length), &mut io::sink())?;
            log.received_bytes.fetch_add(taken, Ordering::Relaxed);
            refuse(&mut stream, "200 OK")
        }
        _ => refuse(&mut stream, "404 Not Found"),
    }
}

/// Until the gate was opened for as many as have come, or the server stops.
fn wait_at(name: &str, log: &Log) {
    let mut gates = lock(&log.gates);
    let number = {
        let gate = gates.entry(name.to_owned()).or_default();
        gate.arrived += 1;
        gate.arrived
    };
    while gates.get(name).is_some_and(|gate| gate.passed < number) && !log.stopping.load(Ordering::Relaxed) {
        let waited = log.opened.wait_timeout(gates, ACCEPT_INTERVAL);
        gates = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}

struct Request {
    method: String,
    path: String,
    length: u64,
}

fn read_head(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut head = reader.take(HEAD_LIMIT);
    let mut line = String::new();
    head.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Ok(None);
    };
    let (method, path) = (method.to_owned(), path.to_owned());
    let mut length = 0;
    loop {
        line.clear();
        if head.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let header = line.trim_end();
        if header.is_empty() {
            return Ok(Some(Request { method, path, length }));
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            match value.trim().parse() {
                Ok(value) => length = value,
                Err(_) => return Ok(None),
            }
        }
    }
}

fn serve(stream: &mut TcpStream, log: &Log, count: u64) -> io::Result<()> {
    let to = stream.peer_addr()?;
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {count}\r\nConnection: close\r\n\r\n")?;
    let mut left = count;
    let zeros = [0; CHUNK];
    let mut result = Ok(());
    while left > 0 {
        let step = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        result = stream.write_all(&zeros[..step]);
        if result.is_err() {
            break;
        }
        left -= step as u64;
    }
    lock(&log.served).push(Served { to, bytes: count - left, complete: left == 0 });
    result
}

/// An answer without a body; also for the good ones that need none.
fn refuse(stream: &mut TcpStream, status: &str) -> io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(server: &FileServer, request: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // A refused body may reset the connection after the answer; what came before counts.
        let _ = stream.read_to_end(&mut answer);
        answer
    }

    fn body(answer: &[u8]) -> usize {
        answer.len() - answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() - 4
    }

    #[test]
    fn exactly_the_bytes_asked_for_are_served_and_logged() {
        let server = FileServer::start(Ipv4Addr::LOCALHOST).unwrap();
        for count in [0, 1, 65_535, 65_536, 1_000_003] {
            assert_eq!(body(&ask(&server, &format!("GET /bytes/{count} HTTP/1.1\r\n\r\n"))), count);
        }
        let served: u64 = server.served().iter().map(|served| served.bytes).sum();
        assert_eq!(served, 1 + 65_535 + 65_536 + 1_000_003);
        assert!(server.served().iter().all(|served| served.complete));
    }

    #[test]
    fn sent_bytes_are_counted_and_marks_remembered() {
        let server = FileServer::start(Ipv4Addr::LOCALHOST).unwrap();
        let sent = ask(&server, "POST /sink HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello");
        assert!(sent.starts_with(b"HTTP/1.1 200"));
        assert_eq!(server.received_bytes(), 5);
        for count in 0..3 {
            assert_eq!(server.marks("one"), count);
            ask(&server, "GET /mark/one HTTP/1.1\r\n\r\n");
        }
    }

    #[test]
    fn whoever_comes_to_a_gate_waits_until_it_is_let_through() {
        let server = FileServer::start(Ipv4Addr::LOCALHOST).unwrap();
        std::thread::scope(|scope| {
            let guest = scope.spawn(|| ask(&server, "GET /gate/one HTTP/1.1\r\n\r\n"));
            while server.arrived("one") == 0 {
                std::thread::sleep(ACCEPT_INTERVAL);
            }
            assert!(!guest.is_finished());
            server.let_through("one");
            assert!(guest.join().unwrap().starts_with(b"HTTP/1.1 200"));
        });
    }

    #[test]
    fn nonsense_is_refused() {
        let server = FileServer::start(Ipv4Addr::LOCALHOST).unwrap();
        let check = |request: &str, status: &str| {
            let answer = ask(&server, request);
            assert!(answer.starts_with(format!("HTTP/1.1 {status}").as_bytes()), "{request:?}: {answer:?}");
        };
        check("\r\n\r\n", "400");
        check("GET /bytes/-1 HTTP/1.1\r\n\r\n", "400");
        check("GET /bytes/99999999999999999999 HTTP/1.1\r\n\r\n", "400");
        check("GET /bytes/2000000000 HTTP/1.1\r\n\r\n", "400");
        check("GET /../etc/passwd HTTP/1.1\r\n\r\n", "404");
        check("POST /sink HTTP/1.1\r\nContent-Length: many\r\n\r\n", "400");
        check("DELETE /sink HTTP/1.1\r\n\r\n", "404");
    }
}
