//! Requests that are sent twice, webhooks, allowances and wallets, as programs use them.

use std::io::{Read, Write};
use std::net::TcpListener;

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Cloud, answer};

const INSTANCE: &str = "/v1/instances";

/// `POST`, with a key.
fn post_once(cloud: &Cloud, token: &str, path: &str, key: &str, body: &Value) -> Answer {
    cloud.send(cloud.request(Method::POST, token, path).header("Idempotency-Key", key).json(body))
}

#[test]
fn a_request_that_is_sent_twice_with_its_key_makes_one_instance() {
    let cloud = Cloud::start();
    let new = json!({ "name": "web", "vcpus": 1, "memory_mib": 64, "image": "tiny", "start": false });
    let (left, right) = std::thread::scope(|scope| {
        // Each with a client of its own: the shared one has one runtime.
        let send = || {
            cloud.up.request(
                cloud.up.address(),
                "POST",
                INSTANCE,
                &[
                    ("Authorization", &format!("Bearer {}", cloud.acme)),
                    ("Content-Type", "application/json"),
                    ("Idempotency-Key", "twice"),
                ],
                &new.to_string(),
            )
        };
        let other = scope.spawn(send);
        (send(), other.join().unwrap())
    });
    assert_eq!(left.body, right.body, "{} {}", left.text(), right.text());
    let again = post_once(&cloud, &cloud.acme, INSTANCE, "twice", &new);
    assert_eq!(
        again.fine(201)["instance_id"].as_str().unwrap(),
        left.header("location").rsplit('/').next().unwrap()
    );
    assert_eq!(again.header("idempotent-replayed"), "true");
    let listed = cloud.up.ask(&["instance", "list", "--tenant", "acme"]);
    assert!(listed["instances"].as_array().is_none_or(|all| all.len() <= 1), "{listed}");

    let other = json!({ "name": "other", "vcpus": 1, "memory_mib": 64, "image": "tiny", "start": false });
    post_once(&cloud, &cloud.acme, INSTANCE, "twice", &other).refused(422, "unprocessable");
    // Another tenant's key is another key, and an odd one is none.
    post_once(&cloud, &cloud.other, INSTANCE, "twice", &other).fine(201);
    for odd in ["", "a b", &"k".repeat(256)] {
        post_once(&cloud, &cloud.acme, INSTANCE, odd, &other).refused(400, "invalid-header");
    }
    // What was refused may be mended and sent with its key.
    let tenant = |zone: &str| json!({ "name": "new", "time_zone": zone });
    post_once(&cloud, &cloud.provider, "/v1/tenants", "t", &tenant("Nowhere/Land"))
        .refused(422, "unprocessable");
    post_once(&cloud, &cloud.provider, "/v1/tenants", "t", &tenant("UTC")).fine(201);
    assert!(post_once(&cloud, &cloud.provider, "/v1/tenants", "t", &tenant("UTC")).etag().starts_with('"'));
    assert!(cloud.up.stop().success());
}

#[test]
fn a_tenant_adds_an_endpoint_tests_it_and_sees_what_it_answered() {
    let cloud = Cloud::start_with(&[("WEIR__WEBHOOKS__ALLOW_PRIVATE", "true")]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let receiver = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut text = vec![0; 4_096];
        let mut length = 0;
        while !text[..length].windows(1).any(|_| text[..length].ends_with(b"}")) {
            length += socket.read(&mut text[length..]).unwrap();
        }
        socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    });
    let made = post_once(&cloud, &cloud.acme, "/v1/webhooks", "w", &json!({ "url": url }));
    let body = made.fine(201);
    assert!(body["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(body["webhook"]["tenant"], "acme");
    let path = made.header("location").to_owned();
    assert_eq!(post_once(&cloud, &cloud.acme, "/v1/webhooks", "w", &json!({ "url": url })).fine(201), body);
    cloud.get(&cloud.other, &path).refused(404, "not-found");
    cloud.get(&cloud.planner, &path).refused(403, "forbidden");
    let event = cloud.send(cloud.request(Method::POST, &cloud.acme, &format!("{path}/test"))).fine(200);
    let heard = receiver.join().unwrap();
    assert!(heard.contains(event["event_id"].as_str().unwrap()) && heard.contains("webhook.test"), "{heard}");
    let delivered = || cloud.get(&cloud.acme, &format!("{path}/deliveries")).fine(200)["items"][0].clone();
    cloud.up.wait_until("the delivery is written down", || delivered()["state"] == "delivered");
    assert_eq!(delivered()["last_status"], 204);
    for (body, status, kind) in [
        (json!({}), 422, "unprocessable"),
        (json!({ "event_id": event["event_id"], "since": "2026-01-01T00:00:00Z" }), 422, "unprocessable"),
        (json!({ "event_id": "00000000-0000-0000-0000-000000000000" }), 404, "not-found"),
    ] {
        cloud.post(&cloud.acme, &format!("{path}/replay"), &body).refused(status, kind);
    }
    let off = json!({ "url": url, "enabled": false });
    cloud.change(Method::PUT, &cloud.acme, &path, "\"9\"", &off).refused(412, "stale");
    assert_eq!(cloud.change(Method::PUT, &cloud.acme, &path, "\"1\"", &off).fine(200)["enabled"], false);
    for (odd, status) in
        [(json!({ "url": "ftp://x.example/" }), 422), (json!({ "url": url, "types": ["x.y"] }), 422)]
    {
        cloud.post(&cloud.acme, "/v1/webhooks", &odd).refused(status, "unprocessable");
    }
    let gone = cloud.send(cloud.request(Method::DELETE, &cloud.acme, &path).header("If-Match", "*"));
    gone.fine(204);
    cloud.get(&cloud.acme, &path).refused(404, "not-found");
    assert!(cloud.up.stop().success());
}

#[test]
fn the_providers_allowance_acts_and_the_tenants_own_only_tells() {
    let cloud = Cloud::start();
    let path = |name: &str| format!("/v1/tenants/acme/allowances/{name}");
    let body = |action: &str| {
        json!({ "meter": "net_tx_bytes", "quantity": "500",
                "thresholds": [{ "basis": "actual", "percent": 100, "action": action }] })
    };
    let put = |token: &str, name: &str, etag: &str, body: &Value| {
        cloud.change(Method::PUT, token, &path(name), etag, body)
    };
    let set = put(&cloud.provider, "traffic", "\"0\"", &body("stop"));
    assert_eq!((set.fine(200)["unit"].clone(), set.etag()), (json!("GiB"), "\"1\"".to_owned()));
    put(&cloud.provider, "traffic", "\"0\"", &body("stop")).refused(412, "stale");
    put(&cloud.acme, "traffic", "*", &body("notify")).refused(403, "forbidden");
    put(&cloud.acme, "own", "\"0\"", &body("stop")).refused(403, "forbidden");
    assert_eq!(put(&cloud.acme, "own", "\"0\"", &body("notify")).fine(200)["owner"], "tenant");
    put(&cloud.provider, "traffic", "*", &body("explode")).refused(422, "unprocessable");
    put(&cloud.acme, "own", "*", &body("throttle")).refused(403, "forbidden");
    let forecast = |action: &str| {
        json!({ "meter": "net_tx_bytes", "quantity": "500",
                "thresholds": [{ "basis": "forecast", "percent": 120, "action": action }] })
    };
    put(&cloud.provider, "traffic", "*", &forecast("stop")).refused(422, "unprocessable");
    put(&cloud.provider, "traffic", "*", &forecast("throttle")).fine(200);
    put(&cloud.provider, "traffic", "*", &body("throttle")).fine(200);
    for (odd, status, kind) in [
        (json!({ "thresholds": [] }), 422, "unprocessable"),
        (json!({ "meter": "x", "quantity": "1", "thresholds": [] }), 422, "unprocessable"),
        (json!({ "meter": "cpu_ns", "quantity": "1", "thresholds": [] }), 422, "unprocessable"),
        (json!({ "meter": "cpu_ns", "quantity": "-1", "thresholds": [] }), 400, "invalid-body"),
        (
            json!({ "amount": { "amount": "1.00", "currency": "EUR" }, "thresholds": [] }),
            422,
            "unprocessable",
        ),
    ] {
        put(&cloud.provider, "odd", "\"0\"", &odd).refused(status, kind);
    }
    put(&cloud.provider, "Odd", "\"0\"", &body("stop")).refused(422, "unprocessable");
    let listed = cloud.get(&cloud.acme, "/v1/tenants/acme/allowances").fine(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    cloud.get(&cloud.other, "/v1/tenants/acme/allowances").refused(404, "not-found");
    assert_eq!(cloud.get(&cloud.acme, "/v1/tenants/acme/allowance-crossings").fine(200)["items"], json!([]));
    cloud
        .send(cloud.request(Method::DELETE, &cloud.acme, &path("own")).header("If-Match", "\"1\""))
        .fine(204);
    cloud.get(&cloud.acme, &path("own")).refused(404, "not-found");
    assert!(cloud.up.stop().success());
}

/// An hour of a vCPU is a euro, and nothing else costs anything.
const EURO_PLAN: &str = "name = \"euro\"\ncurrency = \"EUR\"\ntime_zone = \"UTC\"\n[tax]\nname = \"VAT\"\nrate = \"0\"\n\
    [[version]]\nfrom = \"2026-01-01\"\n[[version.rate_card]]\nmeter = \"vcpu_ms\"\nunit_price = \"1\"\n";

#[test]
fn fifty_instances_at_once_never_reserve_more_than_a_prepaid_wallet_has() {
    let cloud = Cloud::start();
    let file = cloud.dir.path().join("euro.toml");
    std::fs::write(&file, EURO_PLAN).unwrap();
    let up = &cloud.up;
    up.ask(&["tenant", "set-billing", "acme", "--mode", "prepaid", "--currency", "EUR"]);
    let body = |n: u32, vcpus: u32| json!({ "name": format!("web-{n}"), "image": "tiny", "vcpus": vcpus, "memory_mib": 16, "start": true });
    cloud.post(&cloud.acme, INSTANCE, &body(0, 1)).refused(409, "conflict");
    up.ask(&["plan", "apply", file.to_str().unwrap()]);
    up.ask(&["tenant", "set-plan", "acme", "euro"]);
    cloud.post(&cloud.acme, INSTANCE, &body(0, 1)).refused(402, "wallet-too-low");
    // What is metered while the test runs is less than the half.
    up.ask(&["wallet", "top-up", "acme", "8.50", "EUR", "--reference", "A"]);
    let answers = cloud.runtime.block_on(async {
        let requests = (0..50).map(|n| {
            let request = cloud.request(Method::POST, &cloud.acme, INSTANCE).json(&body(n, 1));
            tokio::spawn(answer(request))
        });
        let mut answers = Vec::new();
        for request in requests.collect::<Vec<_>>() {
            answers.push(request.await.unwrap());
        }
        answers
    });
    let made: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(made.len(), 8, "{:?}", answers.iter().map(|one| (one.status, &one.text)).collect::<Vec<_>>());
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        let detail = answer.refused(402, "wallet-too-low")["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("the first hour costs 1.00 EUR"), "{detail}");
    }
    let held = || cloud.get(&cloud.acme, "/v1/tenants/acme/wallet").fine(200)["held"]["amount"].clone();
    assert_eq!(held(), "8.00");
    // What was refused holds nothing of the quota either, and what is stopped gives back what it held.
    assert_eq!(cloud.get(&cloud.acme, "/v1/tenants/acme/quota").fine(200)["held"]["instances"], 8);
    let path = made[0].header("location").to_owned();
    let stop = || cloud.post(&cloud.acme, &format!("{path}/stop"), &json!({ "grace_seconds": 0 })).fine(200);
    let start = || cloud.send(cloud.request(Method::POST, &cloud.acme, &format!("{path}/start")));
    stop();
    assert_eq!(held(), "7.00");
    cloud.post(&cloud.acme, INSTANCE, &body(99, 2)).refused(402, "wallet-too-low");
    cloud.post(&cloud.acme, INSTANCE, &body(99, 1)).fine(201);
    start().refused(402, "wallet-too-low");
    up.ask(&["wallet", "top-up", "acme", "1.00", "EUR", "--reference", "B"]);
    start().fine(200);
    assert_eq!(held(), "9.00");
    stop();
    assert_eq!(held(), "8.00");
    assert!(cloud.up.stop().success());
}
