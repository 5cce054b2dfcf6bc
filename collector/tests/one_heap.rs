//! The process of a node has one heap, however many connections it has opened. Alone in its process, whose heaps it counts.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::sync::Barrier;

/// More than the node's process has, and each of them allocates.
const THREADS: usize = 12;

/// The allocator's heaps, by its own account.
fn heaps() -> usize {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("heaps.xml");
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: both are strings that end with zero and live through the call; the file is closed once, after it was written.
    unsafe {
        let file = libc::fopen(name.as_ptr(), c"w".as_ptr());
        assert!(!file.is_null());
        assert_eq!(libc::malloc_info(0, file), 0);
        assert_eq!(libc::fclose(file), 0);
    }
    std::fs::read_to_string(path).unwrap().matches("<heap ").count()
}

#[test]
fn a_connection_that_is_opened_because_a_call_hung_does_not_bring_a_heap_of_its_own() {
    collector::keep_one_heap();
    // This test's own thread may have got one before.
    let before = heaps();
    let all_have_allocated = Barrier::new(THREADS);
    let work = || {
        let piece = std::hint::black_box(vec![1; 100_000]);
        all_have_allocated.wait();
        piece.len()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), 100_000));
    });
    assert_eq!(heaps(), before);
}
