//! A node's disk is copied, its certificate and its spool with it.

use super::site::{Node, Site, copy, wait_until};

#[test]
fn a_copied_disk_is_kept_out_and_told_while_the_original_goes_on() {
    let site = Site::start(&[]);
    let data = site.join("kvm-2");
    let twin = site.dir.path().join("twin");
    let first = Node::run(&data);
    wait_until("readings arrive", || 1 < site.last_seq("kvm-2"));
    first.stop();
    copy(&data, &twin);
    let original = Node::run(&data);
    let begun = site.last_seq("kvm-2");
    wait_until("the original delivers", || begun + 1 < site.last_seq("kvm-2"));
    let copied = Node::run(&twin);
    wait_until("the copy is barred", || copied.problem().contains("copy of its data directory"));
    assert_eq!(site.alerts("node_copied"), 1);
    let begun = site.last_seq("kvm-2");
    wait_until("the original goes on", || begun + 3 < site.last_seq("kvm-2"));
    assert!(original.problem().is_empty(), "{}", original.problem());
    wait_until("the copy holds its readings", || copied.status()["batches_waiting"].as_u64() > Some(2));
    assert_eq!(site.count("SELECT count(*) FROM node_run_barred"), 1);
    site.assert_ledger_is_whole();
}

#[test]
fn a_node_that_was_killed_is_let_in_again_and_no_copy_is_suspected() {
    let site = Site::start(&[]);
    let data = site.join("kvm-2");
    for _ in 0..testbed::rounds(2, 30) {
        let node = Node::run(&data);
        let begun = site.last_seq("kvm-2");
        wait_until("readings arrive", || begun + 1 < site.last_seq("kvm-2"));
        node.kill();
    }
    assert_eq!(site.alerts("node_copied"), 0);
    assert_eq!(site.count("SELECT count(*) FROM node_run_barred"), 0);
    site.assert_ledger_is_whole();
}
