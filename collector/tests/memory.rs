//! What a look leaves in the allocator's heaps goes back to the kernel. Alone in its process, whose memory it measures.

use std::sync::Barrier;
use std::time::Duration;

use collector::Settings;

/// Threads that allocate at once, so that each has a heap of its own.
const THREADS: usize = 4;
/// Pieces of 1 KiB each, which the allocator keeps when they are freed: far more than all else here.
const PIECES: usize = 16 << 10;

fn anonymous_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// What is left of work on several threads: pieces that are freed under one that stays in use.
fn leave_holes() -> Vec<Vec<u8>> {
    let all_have_theirs = Barrier::new(THREADS);
    let work = || {
        let pieces: Vec<Vec<u8>> = (0..PIECES).map(|_| vec![1; 1_024]).collect();
        let stays = vec![1; 1_024];
        all_have_theirs.wait();
        drop(pieces);
        stays
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn what_a_look_leaves_in_the_heaps_of_its_threads_does_not_stay_with_the_process() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let in_use = leave_holes();
    let left_kib = anonymous_kib();
    let freed_kib = THREADS * PIECES;
    assert!(freed_kib / 2 < left_kib, "{left_kib} KiB: the allocator keeps what was freed");
    // libvirt's own test driver: no machine is needed.
    let collector = collector::start(Settings {
        libvirt_uri: "test:///default".to_owned(),
        reading_interval: Duration::from_secs(3_600),
        sample_interval: collector::DEFAULT_SAMPLE_INTERVAL,
        cross_check_interval: collector::DEFAULT_CROSS_CHECK_INTERVAL,
        state_dir: dir.path().to_owned(),
        node_name: "memory".to_owned(),
    })
    .unwrap();
    // It begins when everything that belongs to the first look is done.
    runtime.block_on(collector.read_now()).unwrap();
    let kept_kib = anonymous_kib();
    assert!(kept_kib < left_kib - freed_kib / 2, "{kept_kib} KiB of {left_kib} KiB: nothing was given back");
    runtime.block_on(collector.stop()).unwrap();
    drop(in_use);
}
