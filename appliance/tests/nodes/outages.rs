//! The control plane is away, is killed, or forgets to answer.

use std::io::Write;
use std::time::Duration;

use super::member::{Member, answer, bytes};
use super::site::{Node, Site, wait_until};

#[test]
fn a_certificate_that_expires_while_the_control_plane_is_away_is_renewed_and_all_is_delivered() {
    let mut site = Site::start(&[("WEIR__NODES__CERTIFICATE_LIFE", "5s")]);
    let node = Node::run(&site.join("kvm-2"));
    wait_until("readings arrive", || 1 < site.last_seq("kvm-2"));
    site.kill();
    std::thread::sleep(Duration::from_secs(7));
    let held = node.status()["batches_waiting"].as_u64().unwrap();
    assert!(3 < held, "{held}");
    site.start_again();
    wait_until("the backlog is delivered", || {
        node.status()["batches_waiting"].as_u64().is_some_and(|waiting| waiting <= 1)
    });
    wait_until("the node goes on", || held + 2 < site.last_seq("kvm-2"));
    assert!(1 < site.count("SELECT count(*) FROM node_certificate"));
    node.stop();
    site.assert_ledger_is_whole();
}

#[test]
fn an_authority_that_is_gone_is_missed_before_another_one_locks_all_nodes_out() {
    let mut site = Site::start(&[]);
    Node::run(&site.join("kvm-2")).stop();
    site.kill();
    let authority = site.dir.path().join("control/authority");
    let aside = site.dir.path().join("aside");
    std::fs::rename(&authority, &aside).unwrap();
    let said = site.refused_start();
    assert!(said.contains("kvm-2") && said.contains("from a backup"), "{said}");
    assert!(!authority.join("ca.key").exists());
    std::fs::rename(&aside, &authority).unwrap();
    site.start_again();
}

#[test]
fn certificates_are_renewed_long_before_they_end_without_a_batch_that_waits() {
    let site = Site::start(&[("WEIR__NODES__CERTIFICATE_LIFE", "6s")]);
    let node = Node::run(&site.join("kvm-2"));
    wait_until("the third certificate", || 2 < site.count("SELECT count(*) FROM node_certificate"));
    assert!(node.problem().is_empty(), "{}", node.problem());
    node.stop();
    site.assert_ledger_is_whole();
}

#[test]
fn an_answer_that_is_lost_after_the_commit_makes_the_retry_a_duplicate() {
    let site = Site::start(&[]);
    let member = Member::of(&site.join("kvm-2"), &site);
    site.runtime.block_on(async {
        let batch = bytes(&member.batch(1));
        for _ in 0..3 {
            // Sent, and the line cut before anything was heard.
            let sent = member.deliver(0, batch.clone()).timeout(Duration::from_millis(30)).send();
            let _ = sent.await;
        }
        let (status, taken) = answer(member.deliver(0, batch)).await;
        assert_eq!((status, taken["known_until"].as_u64()), (200, Some(1)), "{taken}");
    });
    assert_eq!(site.count("SELECT count(*) FROM batch_ledger"), 1);
    assert_eq!(site.count("SELECT count(*) FROM node_reading"), 1);
}

#[test]
fn kill_9_of_both_ends_again_and_again_loses_and_doubles_nothing() {
    let seed = testbed::seed();
    let mut site = Site::start(&[]);
    let data = site.join("kvm-2");
    let mut node = Node::run(&data);
    for round in 0..testbed::rounds(3, 100) {
        let pause = Duration::from_millis(500 + (seed >> (round % 32)) % 1_500);
        std::thread::sleep(pause);
        if (seed >> (round % 64)) & 1 == 0 {
            site.kill();
            site.start_again();
        } else {
            node.kill();
            node = Node::run(&data);
        }
    }
    let taken = node.status();
    let begun = site.last_seq("kvm-2");
    wait_until("all is delivered", || {
        let status = node.status();
        begun < site.last_seq("kvm-2") && status["batches_waiting"].as_u64().is_some_and(|count| count <= 1)
    });
    assert_eq!(taken["role"], "node");
    node.stop();
    site.assert_ledger_is_whole();
    assert_eq!(site.count("SELECT count(*) FROM quarantine"), 0);
}

/// The first bytes of handshakes that never go on, so many, from an address of this machine.
fn half_open(from: [u8; 4], port: u16, count: usize) -> Vec<std::net::TcpStream> {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let address = |ip: [u8; 4], port| std::net::SocketAddrV4::new(ip.into(), port);
    let open = |_| {
        let fd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&fd, &address(from, 0)).unwrap();
        connect(&fd, &address([127, 0, 0, 1], port)).unwrap();
        let mut socket = std::net::TcpStream::from(fd);
        // One that was refused may be closed already.
        let _ = socket.write_all(&[0x16, 0x03, 0x01]);
        socket
    };
    (0..count).map(open).collect()
}

#[test]
fn half_open_connections_of_one_address_do_not_keep_nodes_out_however_many() {
    let metrics = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    // Settings live as long as the test's process.
    let metrics: &'static str = metrics.leak();
    let site = Site::start(&[("WEIR__METRICS__LISTEN", metrics)]);
    let data = site.join("kvm-2");
    // More than may be under way in all.
    let open = half_open([127, 0, 0, 2], site.port, 1_100);
    let node = Node::run(&data);
    wait_until("readings arrive", || 1 < site.last_seq("kvm-2"));
    let page = site.up().request(metrics, "GET", "/metrics", &[], "").text();
    let refused = page.lines().find(|line| line.starts_with("weir_node_handshakes_refused_total"));
    assert!(refused.is_some_and(|line| !line.ends_with(" 0")), "{page}");
    drop(open);
    node.stop();
}
