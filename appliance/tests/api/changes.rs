//! Changes at once: revisions, quotas, and pages of lists that grow.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::json;

use crate::client::{Cloud, answer};

#[test]
fn of_two_admins_who_change_the_same_thing_the_second_is_told() {
    let cloud = Cloud::start();
    let path = "/v1/tenants/acme";
    let etag = cloud.get(&cloud.provider, path).etag();
    let (first, second) = (json!({ "display_name": "First" }), json!({ "tax_number": "DE2" }));
    let without = cloud.send(cloud.request(Method::PATCH, &cloud.provider, path).json(&first));
    without.refused(428, "precondition-required");
    let changed = cloud.change(Method::PATCH, &cloud.provider, path, &etag, &first);
    assert_eq!(changed.fine(200)["display_name"], "First");
    assert_ne!(changed.etag(), etag);
    let problem = cloud.change(Method::PATCH, &cloud.provider, path, &etag, &second).refused(412, "stale");
    assert!(problem["detail"].as_str().unwrap().contains(&changed.etag()), "{problem}");
    for odd in ["\"999999\"", "\"x\"", "\"\""] {
        cloud.change(Method::PATCH, &cloud.provider, path, odd, &second).refused(412, "stale");
    }
    for odd in ["3", "W/\"1\"", "\"1"] {
        cloud.change(Method::PATCH, &cloud.provider, path, odd, &second).refused(400, "invalid-header");
    }
    let changed = cloud.change(Method::PATCH, &cloud.provider, path, &changed.etag(), &second).fine(200);
    // What was left out stays; null takes away.
    assert_eq!((&changed["display_name"], &changed["tax_number"]), (&json!("First"), &json!("DE2")));
    let gone =
        cloud.change(Method::PATCH, &cloud.provider, path, "*", &json!({ "tax_number": null })).fine(200);
    assert_eq!((&gone["display_name"], &gone["tax_number"]), (&json!("First"), &json!(null)));
    cloud
        .change(Method::PATCH, &cloud.provider, path, "*", &json!({ "display_name": null }))
        .refused(400, "invalid-body");
    cloud
        .change(Method::PATCH, &cloud.provider, path, "*", &json!({ "name": "x" }))
        .refused(400, "invalid-body");
    cloud
        .change(Method::PATCH, &cloud.provider, path, "*", &json!({ "plan": "none" }))
        .refused(422, "unprocessable");
    cloud
        .change(Method::PATCH, &cloud.provider, path, "*", &json!({ "email": "a\r\nb@c" }))
        .refused(422, "unprocessable");
    assert!(cloud.up.stop().success());
}

#[test]
fn quotas_and_budgets_are_changed_at_a_revision_too() {
    let cloud = Cloud::start();
    let path = "/v1/tenants/acme/quota";
    let first = cloud.get(&cloud.provider, path);
    assert_eq!((first.etag().as_str(), &first.json()["limits"]["vcpus"]), ("\"0\"", &json!(null)));
    let body = json!({ "instances": 2, "vcpus": 4, "memory_kib": null });
    let set = cloud.change(Method::PUT, &cloud.provider, path, "\"0\"", &body);
    assert_eq!(set.fine(200)["limits"], body);
    cloud.change(Method::PUT, &cloud.provider, path, "\"0\"", &body).refused(412, "stale");
    cloud
        .send(cloud.request(Method::PUT, &cloud.provider, path).json(&body))
        .refused(428, "precondition-required");
    for odd in [
        json!({ "instances": -1 }),
        json!({ "instances": 1.5 }),
        json!({ "vcpus": 1_000_001 }),
        json!({ "gpus": 1 }),
    ] {
        cloud.change(Method::PUT, &cloud.provider, path, "*", &odd).refused(400, "invalid-body");
    }
    assert_eq!(cloud.get(&cloud.acme, path).fine(200)["limits"], body);
    // A tenant sets its own budget, in the currency of its plan.
    let path = "/v1/tenants/acme/budget";
    assert_eq!(cloud.get(&cloud.acme, path).fine(200)["budget"], json!(null));
    let budget =
        |amount: &str, currency: &str| json!({ "budget": { "amount": amount, "currency": currency } });
    let set = |etag: &str, body| cloud.change(Method::PUT, &cloud.acme, path, etag, &body);
    set("*", budget("10.00", "EUR")).refused(422, "unprocessable");
    apply_plan(&cloud);
    set("*", budget("10.00", "USD")).refused(422, "unprocessable");
    for odd in ["0.001", "0.00", "-5.00"] {
        set("*", budget(odd, "EUR")).refused(422, "unprocessable");
    }
    for odd in ["1e9", "1,00", "", ".5", "5.", "+1", "NaN", " 1", "123456789012345678901"] {
        set("*", budget(odd, "EUR")).refused(400, "invalid-body");
    }
    let answer = set("\"0\"", budget("10.00", "EUR"));
    assert_eq!(answer.fine(200)["budget"], budget("10.00", "EUR")["budget"]);
    set("\"0\"", budget("11.00", "EUR")).refused(412, "stale");
    let remove =
        |etag: &str| cloud.send(cloud.request(Method::DELETE, &cloud.acme, path).header("If-Match", etag));
    remove("\"77\"").refused(412, "stale");
    remove(&answer.etag()).fine(204);
    assert_eq!(cloud.get(&cloud.acme, path).fine(200)["budget"], json!(null));
    assert!(cloud.up.stop().success());
}

fn apply_plan(cloud: &Cloud) {
    let file = cloud.dir.path().join("plan.toml");
    std::fs::write(&file, include_str!("../../../billing/plans/standard.toml")).unwrap();
    cloud.up.ask(&["plan", "apply", file.to_str().unwrap()]);
    cloud.up.ask(&["tenant", "set-plan", "acme", "standard"]);
}

#[test]
fn fifty_instances_at_once_never_exceed_a_quota_of_eight() {
    let cloud = Cloud::start();
    let quota = json!({ "instances": 8, "vcpus": null, "memory_kib": null });
    cloud.change(Method::PUT, &cloud.provider, "/v1/tenants/acme/quota", "*", &quota).fine(200);
    let body = |n: u32| json!({ "name": format!("web-{n}"), "image": "tiny", "vcpus": 1, "memory_mib": 16, "start": false });
    let answers = cloud.runtime.block_on(async {
        let requests = (0..50).map(|n| {
            let request = cloud.request(Method::POST, &cloud.acme, "/v1/instances").json(&body(n));
            tokio::spawn(answer(request))
        });
        let mut answers = Vec::new();
        for request in requests.collect::<Vec<_>>() {
            answers.push(request.await.unwrap());
        }
        answers
    });
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(
        made,
        8,
        "{:?}",
        answers.iter().map(|answer| (answer.status, &answer.text)).collect::<Vec<_>>()
    );
    let refused = answers.iter().find(|answer| answer.status != 201).unwrap().refused(403, "quota-exceeded");
    let breach = json!({ "what": "instances", "used": 8, "asked": 1, "allowed": 8 });
    assert_eq!(refused["breaches"], json!([breach]));
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.refused(403, "quota-exceeded");
    }
    assert_eq!(cloud.get(&cloud.acme, "/v1/tenants/acme/quota").fine(200)["held"]["instances"], 8);
    assert_eq!(told_refusals(&cloud), 42, "each refusal is told");
    // What was made is there at once, for its tenant alone.
    let location = answers.iter().find(|answer| answer.status == 201).unwrap().header("location").to_owned();
    assert_eq!(cloud.get(&cloud.acme, &location).fine(200)["tenant"], "acme");
    cloud.get(&cloud.other, &location).refused(404, "not-found");
    let quota = json!({ "instances": 9, "vcpus": null, "memory_kib": null });
    cloud.change(Method::PUT, &cloud.provider, "/v1/tenants/acme/quota", "*", &quota).fine(200);
    cloud.post(&cloud.acme, "/v1/instances", &body(99)).fine(201);
    cloud.post(&cloud.acme, "/v1/instances", &body(100)).refused(403, "quota-exceeded");
    assert!(cloud.up.stop().success());
}

/// Events of refused quotas.
fn told_refusals(cloud: &Cloud) -> i64 {
    cloud.runtime.block_on(async {
        let owner = cloud.database.owner_client().await;
        let count = "SELECT count(*) FROM webhook_event WHERE type = 'quota.refused'";
        owner.query_one(count, &[]).await.unwrap().get(0)
    })
}

#[test]
fn an_instance_is_asked_for_in_words_that_cannot_reach_beyond_its_tenant() {
    let cloud = Cloud::start();
    let good = json!({ "name": "web", "image": "tiny", "vcpus": 1, "memory_mib": 16, "start": false });
    for (field, value, status) in [
        ("image", json!("/etc/passwd"), 422),
        ("image", json!("../tiny"), 422),
        ("network", json!("management"), 422),
        ("tenant", json!("other"), 422),
        ("vcpus", json!(0), 422),
        ("vcpus", json!(-1), 400),
        ("vcpus", json!(4_294_967_296_u64), 400),
        ("memory_mib", json!(u64::MAX), 422),
        ("disk_mib", json!(u64::MAX), 422),
        ("name", json!("a/b"), 422),
        ("name", json!("<b>"), 422),
        ("name", json!("7b3b8a52-6c7e-4a52-9d2b-0b8a3c1d2e4f"), 422),
        ("kernel", json!("/boot/vmlinuz"), 400),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let kind = if status == 400 { "invalid-body" } else { "unprocessable" };
        cloud.post(&cloud.acme, "/v1/instances", &body).refused(status, kind);
    }
    cloud.post(&cloud.provider, "/v1/instances", &good).refused(422, "unprocessable");
    assert_eq!(cloud.get(&cloud.acme, "/v1/tenants/acme/quota").fine(200)["held"]["instances"], 0);
    cloud.post(&cloud.acme, "/v1/instances", &good).fine(201);
    cloud.post(&cloud.acme, "/v1/instances", &good).refused(409, "conflict");
    assert_eq!(cloud.get(&cloud.acme, "/v1/tenants/acme/quota").fine(200)["held"]["instances"], 1);
    assert!(cloud.up.stop().success());
}

#[test]
fn a_list_that_grows_while_it_is_paged_shows_each_item_once() {
    let cloud = Cloud::start();
    let add = |name: String| cloud.post(&cloud.provider, "/v1/tenants", &json!({ "name": name })).fine(201);
    for n in 0..25 {
        add(format!("t-{n:03}"));
    }
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut path = Some("/v1/tenants?limit=4".to_owned());
    let mut pages = 0;
    while let Some(next) = path {
        let answer = cloud.get(&cloud.provider, &next);
        let page = answer.fine(200);
        for item in page["items"].as_array().unwrap() {
            *seen.entry(item["name"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        // Before, behind, and right where the page ended.
        for name in ["a", "t-005x", "zz"] {
            add(format!("{name}-{pages}"));
        }
        let link = answer.header("link");
        assert_eq!(link.is_empty(), page["next"].is_null(), "{link}");
        path = link.strip_prefix('<').and_then(|link| link.split('>').next()).map(str::to_owned);
        pages += 1;
        assert!(pages < 50, "it grows as fast as it is paged");
    }
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    for n in 0..25 {
        assert!(seen.contains_key(&format!("t-{n:03}")), "{n} was passed over");
    }
    assert!(cloud.up.stop().success());
}
