//! Bodies that are too large, too slow, or nothing that can be read.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::stream;
use reqwest::Body;

use super::member::{Member, answer, bytes};
use super::site::Site;

/// A hundred megabytes.
const HUGE: u64 = 100 * 1024 * 1024;

#[test]
fn a_hundred_megabytes_are_refused_by_their_length_before_they_are_sent() {
    let site = Site::start(&[]);
    let member = Member::of(&site.join("kvm-2"), &site);
    site.runtime.block_on(async {
        // Announced, and never sent: only the announcement can be what is refused.
        let never = Body::wrap_stream(stream::pending::<Result<Vec<u8>, Infallible>>());
        let request = member.deliver(0, never).header("Content-Length", HUGE);
        let (status, problem) = answer(request).await;
        assert_eq!((status, problem["kind"].as_str()), (413, Some("refused")), "{problem}");
        assert_eq!(answer(member.deliver(0, bytes(&member.batch(1)))).await.0, 200);
    });
}

#[test]
fn a_hundred_megabytes_that_do_not_say_so_are_counted_and_cut_off() {
    let site = Site::start(&[]);
    let member = Member::of(&site.join("kvm-2"), &site);
    site.runtime.block_on(async {
        let piece = vec![0_u8; 1024 * 1024];
        let pieces = (0..HUGE / 1024 / 1024).map(move |_| Ok::<_, Infallible>(piece.clone()));
        let sent = member.deliver(0, Body::wrap_stream(stream::iter(pieces))).send().await;
        // The answer may be lost when the connection is closed under what is still being sent.
        if let Ok(response) = sent {
            assert_eq!(response.status().as_u16(), 413);
        }
        assert_eq!(answer(member.deliver(0, bytes(&member.batch(1)))).await.0, 200);
    });
    assert_eq!(site.count("SELECT count(*) FROM batch_ledger"), 1);
}

#[test]
fn a_body_that_trickles_is_cut_off_and_others_are_served_meanwhile() {
    let site = Site::start(&[("WEIR__NODES__BODY_TIME", "2s")]);
    let member = Member::of(&site.join("kvm-2"), &site);
    site.runtime.block_on(async {
        let drip = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Some((Ok::<_, Infallible>(vec![0_u8]), ()))
        });
        let slow = answer(member.deliver(0, Body::wrap_stream(drip)));
        let quick = async { answer(member.deliver(0, bytes(&member.batch(1)))).await };
        let (slow, quick) = tokio::join!(slow, quick);
        assert_eq!((slow.0, slow.1["kind"].as_str()), (408, Some("away")), "{}", slow.1);
        assert_eq!(quick.0, 200);
    });
}

#[test]
fn garbage_is_refused_and_what_is_newer_than_the_control_plane_is_to_be_held() {
    let site = Site::start(&[]);
    let member = Member::of(&site.join("kvm-2"), &site);
    site.runtime.block_on(async {
        for garbage in [Vec::new(), vec![0xff; 1_000], b"{\"schema\":2}".to_vec(), vec![0x81; 100_000]] {
            let (status, problem) = answer(member.deliver(0, garbage)).await;
            assert_eq!((status, problem["kind"].as_str()), (400, Some("refused")), "{problem}");
        }
        let mut newer = bytes(&member.batch(1));
        let schema = newer.windows(6).position(|bytes| bytes == b"schema").unwrap() + 6;
        assert_eq!(newer[schema], 2, "the schema is a small number behind its name");
        newer[schema] = 99;
        let (status, problem) = answer(member.deliver(0, newer)).await;
        assert_eq!((status, problem["kind"].as_str()), (422, Some("newer")), "{problem}");
        assert!(problem["reason"].as_str().unwrap().contains("schema 99"), "{problem}");
    });
    assert_eq!(site.count("SELECT count(*) FROM batch_ledger"), 0);
}

#[test]
fn headers_that_are_missing_or_wrong_are_no_reason_to_drop_a_batch() {
    let site = Site::start(&[]);
    let member = Member::of(&site.join("kvm-2"), &site);
    site.runtime.block_on(async {
        let batch = bytes(&member.batch(1));
        let bare = member.post("/node/v1/batches").body(batch.clone());
        let odd = member.post("/node/v1/batches").header("Weir-After", "-1").body(batch);
        for request in [bare, odd] {
            let (status, problem) = answer(request).await;
            assert_eq!((status, problem["kind"].as_str()), (400, Some("away")), "{problem}");
        }
    });
}
