//! A control plane that is away for days, while the collector is restarted and killed: everything arrives, oldest first.

#[path = "common/fleet.rs"]
mod fleet;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use collector::{Parcel, Receipt, Sink, SinkError, Spool};
use metering::{Batch, BatchSeq, wire};
use testbed::faults::{FaultProxy, Random, Weather};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, watch};

const CHILD: &str = "WEIR_TEST_OUTAGE_CHILD";
/// Fewer in the short variant: it is about the days, not about their size.
fn instances() -> u64 {
    u64::from(testbed::rounds(10, 50))
}

const LOOKS_PER_DAY: u64 = 86_400 / fleet::MINUTE_S;

/// Commits the next look, with the memory that the spool holds, as the runner does after each start.
fn commit(spool: &Spool, state: &mut collector::tracker::State, n: u64) {
    let batch = fleet::look(spool.node_id(), state, n, instances());
    spool.commit(batch, state).unwrap();
}

/// The number of the last look, by the memory.
fn memory(spool: &Spool) -> collector::tracker::State {
    spool.state().unwrap().unwrap_or_else(fleet::memory)
}

fn last_look(spool: &Spool) -> u64 {
    spool.summary().unwrap().last_committed.map_or(0, |seq| seq.0)
}

#[test]
fn child_that_looks_until_it_is_killed() {
    let Ok(dir) = std::env::var(CHILD) else {
        return;
    };
    let spool = Spool::open(Path::new(&dir)).unwrap();
    let mut state = memory(&spool);
    for n in last_look(&spool) + 1.. {
        commit(&spool, &mut state, n);
        println!("\ncommitted {n}");
        io::stdout().flush().unwrap();
    }
}

/// A collector that takes some looks and is killed in the middle of one.
fn killed_collector(dir: &Path, looks: usize) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_looks_until_it_is_killed", "--nocapture"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let told = output.lines().map_while(Result::ok).filter(|line| line.starts_with("committed "));
    assert_eq!(told.take(looks).count(), looks, "the collector ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A control plane that keeps what it is sent, once, and remembers in which order it came.
#[derive(Default)]
struct ControlPlane {
    batches: BTreeMap<u64, Batch>,
    order: Vec<u64>,
    again: u64,
    deliveries: u64,
}

impl ControlPlane {
    fn listen(plane: &Arc<Mutex<Self>>) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let plane = Arc::clone(plane);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A connection that ends early is the weather.
                let _ = Self::take(&plane, stream);
            }
        });
        address
    }

    /// Takes one batch in and answers; every 50th answer is lost.
    fn take(plane: &Mutex<Self>, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let mut number = || {
            let mut bytes = [0; 8];
            stream.read_exact(&mut bytes).map(|()| u64::from_le_bytes(bytes))
        };
        let (length, after) = (number()?, number()?);
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut bytes)?;
        let batch = wire::decode(&bytes).unwrap();
        let mut plane = plane.lock().unwrap();
        assert!(
            after == 0 || plane.batches.contains_key(&after),
            "it acknowledged {after} and does not have it"
        );
        plane.deliveries += 1;
        match plane.batches.get(&batch.seq.0) {
            Some(known) => {
                assert_eq!(*known, batch, "delivered twice, it is the same twice");
                plane.again += 1;
            }
            None => {
                plane.order.push(batch.seq.0);
                plane.batches.insert(batch.seq.0, batch);
            }
        }
        if plane.deliveries.is_multiple_of(50) {
            return Ok(());
        }
        let known_until = *plane.batches.last_key_value().unwrap().0;
        stream.write_all(&known_until.to_le_bytes())
    }
}

struct OverTcp(SocketAddr);

impl OverTcp {
    async fn send(&self, parcel: &Parcel) -> io::Result<u64> {
        let bytes = wire::encode(&parcel.batch).map_err(io::Error::other)?;
        let mut stream = tokio::net::TcpStream::connect(self.0).await?;
        stream.write_all(&(bytes.len() as u64).to_le_bytes()).await?;
        stream.write_all(&parcel.after.0.to_le_bytes()).await?;
        stream.write_all(&bytes).await?;
        stream.read_u64_le().await
    }
}

impl Sink for OverTcp {
    async fn deliver(&self, parcel: Parcel) -> Result<Receipt, SinkError> {
        let sent = tokio::time::timeout(Duration::from_secs(1), self.send(&parcel)).await;
        match sent.unwrap_or_else(|error| Err(error.into())) {
            Ok(known_until) => Ok(Receipt { known_until: BatchSeq(known_until), covered_until: BatchSeq(0) }),
            Err(error) => Err(SinkError::Away(Box::new(error))),
        }
    }
}

/// Ships for a while, or until nothing waits.
async fn ship(spool: &Spool, address: SocketAddr, at_most: Duration) {
    let (stop, stopped) = watch::channel(false);
    let task =
        tokio::spawn(collector::ship(spool.clone(), Arc::new(Notify::new()), OverTcp(address), stopped));
    let empty = async {
        while 0 < spool.backlog().unwrap().batches {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout(at_most, empty).await;
    stop.send_replace(true);
    task.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_that_was_away_for_days_gets_every_look_oldest_first_whatever_the_collector_went_through()
 {
    let mut random = Random::new(testbed::seed());
    // A kill loses nothing that the kernel has: no disk is needed, and the test is not about its speed.
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let plane = Arc::new(Mutex::new(ControlPlane::default()));
    let proxy = FaultProxy::start(ControlPlane::listen(&plane), random.below(u64::MAX)).unwrap();
    proxy.set(Weather::Down);
    let days = u64::from(testbed::rounds(1, 7));
    let mut node_id = None;
    while node_id.is_none() || last_look(&Spool::open(dir.path()).unwrap()) < days * LOOKS_PER_DAY {
        killed_collector(dir.path(), usize::try_from(20 + random.below(100)).unwrap());
        let spool = Spool::open(dir.path()).unwrap();
        assert_eq!(*node_id.get_or_insert(spool.node_id()), spool.node_id());
        let (mut state, last) = (memory(&spool), last_look(&spool));
        (last + 1..last + 20 + random.below(300)).for_each(|n| commit(&spool, &mut state, n));
        ship(&spool, proxy.address(), Duration::from_millis(50)).await;
    }
    assert!(plane.lock().unwrap().batches.is_empty() && 0 < proxy.connections(), "it was asked and was away");

    let mut spool = Spool::open(dir.path()).unwrap();
    let looks = last_look(&spool);
    println!("{looks} looks wait in {} bytes", spool.summary().unwrap().disk_bytes);
    for weather in
        [Weather::CutReply, Weather::Lossy { percent: 90 }, Weather::Hang, Weather::Lossy { percent: 97 }]
    {
        proxy.set(weather);
        ship(&spool, proxy.address(), Duration::from_millis(800)).await;
        drop(spool);
        spool = Spool::open(dir.path()).unwrap();
    }
    proxy.set(Weather::Fair);
    ship(&spool, proxy.address(), Duration::from_secs(600)).await;

    let plane = plane.lock().unwrap();
    assert_eq!(plane.order, (1..=looks).collect::<Vec<_>>(), "all of them, oldest first, each once");
    assert!(0 < plane.again, "no answer was lost: nothing was tested");
    for (n, batch) in &plane.batches {
        let written: Vec<u64> = batch.readings.disks.iter().map(|disk| disk.registers.write_bytes).collect();
        let expected: Vec<u64> = (0..instances()).map(|instance| fleet::written(*n, instance)).collect();
        assert_eq!(written.len(), expected.len());
        assert!(expected.iter().all(|figure| written.contains(figure)), "look {n}");
    }
    assert_eq!(spool.summary().unwrap().kept.batches, looks, "kept until a backup covers them");
}
