//! Somebody has a node's certificate, or none, and means harm.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use metering::NodeId;
use uuid::Uuid;

use super::member::{Member, answer, bytes, client};
use super::site::Site;

#[test]
fn a_node_that_speaks_for_another_one_is_refused_and_its_operator_is_told() {
    let site = Site::start(&[]);
    let member = Member::of(&site.join("kvm-2"), &site);
    site.runtime.block_on(async {
        let mut batch = member.batch(1);
        batch.node_id = NodeId::from_uuid(Uuid::from_u128(0xBAD));
        let (status, problem) = answer(member.deliver(0, bytes(&batch))).await;
        assert_eq!((status, problem["kind"].as_str()), (403, Some("barred")), "{problem}");
        let (status, taken) = answer(member.deliver(0, bytes(&member.batch(1)))).await;
        assert_eq!((status, taken["known_until"].as_u64()), (200, Some(1)), "{taken}");
    });
    assert_eq!(site.alerts("node_barred"), 1);
    assert_eq!(site.count("SELECT count(*) FROM batch_ledger"), 1);
    assert_eq!(site.node("kvm-2")["name"], "kvm-2", "a node renamed itself");
}

#[test]
fn a_revocation_holds_on_a_connection_that_is_open() {
    let site = Site::start(&[]);
    let member = Member::of(&site.join("kvm-2"), &site);
    site.runtime.block_on(async {
        assert_eq!(answer(member.deliver(0, bytes(&member.batch(1)))).await.0, 200);
        site.up().ask(&["node", "remove", "kvm-2"]);
        for request in [member.deliver(1, bytes(&member.batch(2))), member.post("/node/v1/renew")] {
            let (status, problem) = answer(request).await;
            assert_eq!((status, problem["kind"].as_str()), (403, Some("barred")), "{problem}");
        }
    });
    assert_eq!(site.count("SELECT count(*) FROM batch_ledger"), 1);
}

#[test]
fn without_a_certificate_there_is_nothing_but_the_door_for_tokens() {
    let site = Site::start(&[]);
    let pem = std::fs::read_to_string(site.dir.path().join("control/authority/ca.pem")).unwrap();
    let authority = nodes::tls::certificate(&pem).unwrap();
    let pinned = nodes::tls::joining(nodes::authority::fingerprint(&authority)).unwrap();
    let stranger = client(pinned);
    site.runtime.block_on(async {
        for path in ["batches", "renew", "leave"] {
            let url = format!("{}/node/v1/{path}", site.url());
            let (status, problem) = answer(stranger.post(url).body("x")).await;
            assert_eq!((status, problem["kind"].as_str()), (401, Some("barred")), "{path}: {problem}");
        }
        for (path, body, expected) in [
            ("/node/v1/join", "{}", 400),
            ("/node/v1/join", "garbage", 400),
            ("/", "", 404),
            ("/v1/tenants", "", 404),
            ("/control", "{}", 404),
        ] {
            let (status, _) = answer(stranger.post(format!("{}{path}", site.url())).body(body)).await;
            assert_eq!(status, expected, "{path}");
        }
    });
}

#[test]
fn a_certificate_of_another_authority_is_refused_in_the_handshake() {
    let (site, other) = (Site::start(&[]), Site::start(&[]));
    let data = other.join("kvm-2");
    let path = data.join("node.json");
    let home = std::fs::read_to_string(&path).unwrap();
    // The right authority to believe in, and a certificate of the wrong one.
    let mut home: serde_json::Value = serde_json::from_str(&home).unwrap();
    let pem = std::fs::read_to_string(site.dir.path().join("control/authority/ca.pem")).unwrap();
    home["authority"] = pem.into();
    std::fs::write(&path, home.to_string()).unwrap();
    let member = Member::of(&data, &site);
    site.runtime.block_on(async {
        assert!(member.deliver(0, bytes(&member.batch(1))).send().await.is_err());
    });
    assert_eq!(site.count("SELECT count(*) FROM batch_ledger"), 0);
}

#[test]
fn plain_http_on_the_port_for_tls_gets_nothing_and_disturbs_nobody() {
    let site = Site::start(&[]);
    let member = Member::of(&site.join("kvm-2"), &site);
    let mut socket = TcpStream::connect(("127.0.0.1", site.port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    socket.write_all(b"POST /node/v1/join HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}").unwrap();
    let mut heard = Vec::new();
    // A reset is an end, too.
    let _ = socket.read_to_end(&mut heard);
    assert!(!heard.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&heard));
    site.runtime.block_on(async {
        assert_eq!(answer(member.deliver(0, bytes(&member.batch(1)))).await.0, 200);
    });
}
