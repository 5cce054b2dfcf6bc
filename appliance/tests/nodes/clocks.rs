//! A node whose wall clock is wrong: TLS must not keep its readings away, or nobody would see its clock.

use std::path::Path;

use super::site::{Node, RUN, Site, wait_until, weir};

/// Debian's package faketime.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// A node that has joined delivers with its clock off by `offset`, which is shown as about `days`.
fn check(offset: &str, days: i64) {
    assert!(Path::new(LIBRARY).exists(), "apt-get install faketime");
    let site = Site::start(&[]);
    let data = site.join("kvm-2");
    let mut command = weir();
    command.env("LD_PRELOAD", LIBRARY).env("FAKETIME", offset).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command.args(RUN).arg(&data);
    let node = Node::run_as(&data, command);
    wait_until("batches arrive", || 2 < site.last_seq("kvm-2"));
    let off_ms = site.node("kvm-2")["clock_ahead_ms"].as_i64().unwrap();
    assert_eq!((off_ms + DAY_MS / 2).div_euclid(DAY_MS), days, "{off_ms} ms");
    assert!(node.problem().is_empty(), "{}", node.problem());
    let off_ms = node.status()["clock_ahead_ms"].as_i64().unwrap();
    assert_eq!((off_ms + DAY_MS / 2).div_euclid(DAY_MS), days, "{off_ms} ms, as the node sees it");
}

#[test]
fn a_node_a_year_ahead_delivers_and_is_told_so() {
    check("+400d", 400);
}

#[test]
fn a_node_that_lives_before_its_certificate_was_issued_delivers_and_is_told_so() {
    check("-2d", -2);
}
