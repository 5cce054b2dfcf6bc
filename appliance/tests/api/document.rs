//! The document says what there is, and nothing else.

use reqwest::Method;
use serde_json::Value;

use crate::client::Cloud;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// A path of the document with something in the place of each parameter.
fn filled(path: &str) -> String {
    path.replace("{tenant}", "acme")
        .replace("{number}", "INV-2026-000001")
        .replace("{kind}", "stale")
        .replace("{n}", "1")
        .replace("{name}", "traffic")
        .replace("{id}", "7b3b8a52-6c7e-4a52-9d2b-0b8a3c1d2e4f")
        .replace("{payment_id}", "7b3b8a52-6c7e-4a52-9d2b-0b8a3c1d2e4f")
        .replace("{correction}", "7b3b8a52-6c7e-4a52-9d2b-0b8a3c1d2e4f")
        .replace("{webhook_id}", "7b3b8a52-6c7e-4a52-9d2b-0b8a3c1d2e4f")
        .replace("{token_id}", "7b3b8a52-6c7e-4a52-9d2b-0b8a3c1d2e4f")
}

#[test]
fn what_is_documented_is_there_and_what_is_there_is_documented() {
    let cloud = Cloud::start();
    let document = cloud.send(cloud.anonymous(Method::GET, "/openapi.json")).json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    assert!(25 < paths.len());
    for (path, item) in paths {
        for method in METHODS {
            let is_documented = item.get(method).is_some();
            let verb = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let answer = cloud.send(cloud.request(verb, &cloud.provider, &filled(path)));
            // A route that is not there is 405 here: the path is.
            assert_eq!(answer.status != 405, is_documented, "{method} {path}: {}", answer.text);
            if is_documented {
                check_operation(&cloud, method, path, &item[method], answer.status);
            } else {
                answer.refused(405, "method-not-allowed");
                assert!(!answer.header("allow").is_empty());
            }
        }
    }
    assert!(cloud.up.stop().success());
}

fn check_operation(cloud: &Cloud, method: &str, path: &str, operation: &Value, status: u16) {
    let responses = operation["responses"].as_object().unwrap();
    assert!(responses.contains_key(&status.to_string()), "{method} {path} answered {status}");
    let verb = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
    // Nothing that nobody documented is taken.
    let answer =
        cloud.send(cloud.request(verb.clone(), &cloud.provider, &format!("{}?surprise=1", filled(path))));
    if operation["security"][0].get("token").is_some() || operation["security"] == serde_json::json!([]) {
        answer.refused(400, "invalid-query");
    }
    // And nobody does anything without saying who they are.
    let answer = cloud.send(cloud.anonymous(verb, &filled(path)));
    if operation["security"] == serde_json::json!([]) {
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    } else {
        answer.refused(401, "not-signed-in");
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{path}");
    }
}

#[test]
fn every_kind_of_problem_leads_to_a_page_that_explains_it() {
    let cloud = Cloud::start();
    let problem = cloud.get(&cloud.provider, "/v1/nothing").refused(404, "not-found");
    let page = cloud.send(cloud.anonymous(Method::GET, problem["type"].as_str().unwrap())).json();
    assert_eq!((&page["type"], &page["title"]), (&problem["type"], &problem["title"]));
    // HEAD is GET without the body.
    let head = cloud.send(cloud.anonymous(Method::HEAD, "/v1/problems/stale"));
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    assert!(cloud.up.stop().success());
}
