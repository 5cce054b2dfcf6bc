//! What a collector's memory does while it works on this node's libvirt, in KiB by the half minute, and what the allocator
//! says of it: `cargo run -p collector --example memory [MINUTES] [READING_S] [away|taken|covered]`.
//!
//! With `WEIR_ONE_HEAP` set as in the process of a node, otherwise as in `weir up`. `away`: no control plane, all batches
//! wait. `taken`: one acknowledges each. `covered`: and has a backup of each. It makes no guests.

use std::time::{Duration, Instant};

use collector::{Parcel, Receipt, Settings, Sink, SinkError};
use metering::BatchSeq;

const LINE: Duration = Duration::from_secs(30);

/// A control plane that takes everything in.
struct Takes {
    is_covered: bool,
}

impl Sink for Takes {
    async fn deliver(&self, parcel: Parcel) -> Result<Receipt, SinkError> {
        let known_until = parcel.batch.seq;
        let covered_until = if self.is_covered { known_until } else { BatchSeq(0) };
        Ok(Receipt { known_until, covered_until })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::var_os("WEIR_ONE_HEAP").is_some() {
        collector::keep_one_heap();
    }
    let mut arguments = std::env::args().skip(1);
    let minutes: u64 = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let reading_s: u64 = arguments.next().map_or(Ok(60), |text| text.parse())?;
    let control_plane = arguments.next().unwrap_or_else(|| "away".to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(watch(minutes, reading_s, &control_plane))
}

async fn watch(minutes: u64, reading_s: u64, control_plane: &str) -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("weir-memory-{}", std::process::id()));
    show("before", 0);
    let collector = collector::start(Settings {
        libvirt_uri: "qemu:///system".to_owned(),
        reading_interval: Duration::from_secs(reading_s),
        sample_interval: collector::DEFAULT_SAMPLE_INTERVAL,
        cross_check_interval: collector::DEFAULT_CROSS_CHECK_INTERVAL,
        state_dir: dir.clone(),
        node_name: "memory".to_owned(),
    })?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let shipping = (control_plane != "away").then(|| {
        let sink = Takes { is_covered: control_plane == "covered" };
        tokio::spawn(collector::ship(collector.spool().clone(), collector.notify(), sink, stopped))
    });
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(minutes * 60) {
        tokio::time::sleep(LINE).await;
        let status = collector.status();
        let instances = status.instances;
        show(&format!("{instances} instances"), status.last_seq.map_or(0, |seq| seq.0));
    }
    collector.stop().await?;
    stop.send_replace(true);
    if let Some(shipping) = shipping {
        shipping.await?;
    }
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

/// One line: memory by the kernel, and what of it is in use by the allocator's books.
fn show(what: &str, batches: u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0 kB");
        line.trim().trim_end_matches("kB").trim().to_owned()
    };
    // SAFETY: it only reads the allocator's books.
    let books = unsafe { libc::mallinfo2() };
    println!(
        "{what}, {batches} batches: anonymous {}, of files {}; allocated {}, free in the heap {}, mapped {}",
        kib("RssAnon:"),
        kib("RssFile:"),
        books.uordblks / 1_024,
        books.fordblks / 1_024,
        books.hblkhd / 1_024,
    );
}
