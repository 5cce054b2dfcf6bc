//! What nobody should send.

use reqwest::Method;
use serde_json::json;

use crate::client::Cloud;

#[test]
fn malformed_huge_deep_and_surprising_bodies_are_refused_with_the_place() {
    let cloud = Cloud::start();
    let send = |body: String, media_type: &str| {
        let request = cloud.request(Method::POST, &cloud.provider, "/v1/tenants");
        cloud.send(request.header("Content-Type", media_type).body(body))
    };
    let deep = format!("{{\"name\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    for (body, kind) in [
        ("", "malformed-json"),
        ("{", "malformed-json"),
        ("{\"name\":\"a\"}}", "malformed-json"),
        ("{\"name\":\"a\",}", "malformed-json"),
        ("{\"name\":1e400}", "malformed-json"),
        (deep.as_str(), "invalid-body"),
        ("null", "invalid-body"),
        ("[]", "invalid-body"),
        ("[\"a\",\"b\",\"UTC\",null,[],null,null]", "invalid-body"),
        ("{}", "invalid-body"),
        ("{\"name\":7}", "invalid-body"),
        ("{\"name\":\"a\",\"name\":\"b\"}", "invalid-body"),
        ("{\"name\":\"a\",\"colour\":\"red\"}", "invalid-body"),
    ] {
        let problem = send(body.to_owned(), "application/json");
        assert_eq!(problem.status, 400, "{:.80}: {}", body, problem.text);
        problem.refused(400, kind);
    }
    let problem = send("{\n \"name\": \"a\",\n \"colour\": 1}".to_owned(), "application/json")
        .refused(400, "invalid-body");
    assert!(problem["detail"].as_str().unwrap().contains("`colour`"), "{problem}");
    assert_eq!((&problem["place"]["part"], &problem["place"]["line"]), (&json!("body"), &json!(3)));
    send("\u{fffd}".repeat(40_000), "application/json").refused(413, "too-large");
    for media_type in
        ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "json"]
    {
        send("{\"name\":\"a\"}".to_owned(), media_type).refused(415, "unsupported-media-type");
    }
    let bytes = cloud
        .request(Method::POST, &cloud.provider, "/v1/tenants")
        .header("Content-Type", "application/json");
    cloud.send(bytes.body(vec![b'"', 0xff, 0xfe, b'"'])).refused(400, "malformed-json");
    send("{\"name\":\"nul\",\"display_name\":\"a\\u0000b\"}".to_owned(), "application/json")
        .refused(422, "unprocessable");
    // Nothing of that was carried out.
    assert_eq!(cloud.get(&cloud.provider, "/v1/tenants").fine(200)["items"].as_array().unwrap().len(), 2);
    // Whoever takes no body is sent none.
    cloud
        .post(&cloud.provider, "/v1/instances/7b3b8a52-6c7e-4a52-9d2b-0b8a3c1d2e4f/start", &json!({}))
        .refused(400, "invalid-body");
    assert!(cloud.up.stop().success());
}

#[test]
fn odd_paths_and_parameters_are_refused_by_name() {
    let cloud = Cloud::start();
    for (path, name) in [
        ("/v1/instances?limit=0", "limit"),
        ("/v1/instances?limit=1000", "limit"),
        ("/v1/instances?limit=1&limit=2", "limit"),
        ("/v1/instances?state=asleep", "state"),
        ("/v1/instances?colour=red", "colour"),
        ("/v1/usage?from=2026-11-01", "to"),
        ("/v1/usage?from=20261101&to=2026-12-01", "from"),
        ("/v1/usage?from=2026-11-01&to=2026-12-01&group_by=colour", "group_by"),
        ("/v1/usage?from=2026-11-01&to=2026-12-01&meter=colour", "meter"),
    ] {
        let problem = cloud.get(&cloud.provider, path).refused(400, "invalid-query");
        assert_eq!(
            (&problem["place"]["part"], &problem["place"]["name"]),
            (&json!("query"), &json!(name)),
            "{path}"
        );
    }
    cloud.get(&cloud.provider, "/v1/instances?search=%00").refused(422, "unprocessable");
    assert_eq!(cloud.get(&cloud.provider, "/v1/instances?search=%ff").fine(200)["items"], json!([]));
    for path in ["/v1/usage?from=2026-11-01&to=2026-11-01", "/v1/usage?from=1026-11-01&to=2026-11-01"] {
        let problem = cloud.get(&cloud.provider, path).refused(422, "unprocessable");
        assert_eq!(problem["place"]["name"], "to", "{path}");
    }
    let long = format!("/v1/instances?search={}", "x".repeat(10_000));
    cloud.get(&cloud.provider, &long).refused(400, "invalid-query");
    for path in [
        "/v1/tenants/%00",
        "/v1/tenants/%ff",
        "/v1/tenants/..%2F..%2Fetc",
        "/v1/tenants/%3Cscript%3E",
        "/v1/tenants/00000000-0000-0000-0000-000000000000",
        "/v1/tenants/unassigned/quota",
        "/v1/instances/not-an-id",
        "/v1/invoices/%00",
        "/v1/invoices/%00.pdf",
        "/v1/invoices/INV-2026-000001/lines/99999999999999999999999/resources",
        "/v1/tenants/acme/",
        "/v1//tenants",
        "/v1/TENANTS",
        "/v1",
    ] {
        cloud.get(&cloud.provider, path).refused(404, "not-found");
    }
    assert!(cloud.up.stop().success());
}

#[test]
fn an_altered_cursor_is_refused_and_one_of_another_list_too() {
    let cloud = Cloud::start();
    let first = cloud.get(&cloud.provider, "/v1/tenants?limit=1").fine(200);
    let cursor = first["next"].as_str().unwrap().to_owned();
    let refused = |query: &str| {
        let problem = cloud.get(&cloud.provider, query).refused(400, "invalid-cursor");
        assert_eq!(problem["place"]["name"], "cursor");
    };
    let flipped = if cursor.ends_with('A') { "B" } else { "A" };
    refused(&format!("/v1/tenants?cursor={}{flipped}", &cursor[..cursor.len() - 1]));
    refused(&format!("/v1/tenants?cursor={}", &cursor[1..]));
    refused(&format!("/v1/instances?cursor={cursor}"));
    refused(&format!("/v1/tenants?search=acme&cursor={cursor}"));
    refused("/v1/tenants?cursor=");
    refused("/v1/tenants?cursor=AQ%3D%3D");
    refused("/v1/invoices?cursor=' OR 1=1");
    assert_eq!(cloud.get(&cloud.provider, &format!("/v1/tenants?cursor={cursor}")).status, 200);
    assert!(cloud.up.stop().success());
}

#[test]
fn markup_in_names_comes_back_as_it_was_sent() {
    let cloud = Cloud::start();
    let name = "<script>alert(1)</script>&\"'\u{1f600}";
    let made = cloud.post(&cloud.provider, "/v1/tenants", &json!({ "name": "mark", "display_name": name }));
    assert_eq!(made.fine(201)["display_name"], name);
    let found = cloud.get(&cloud.provider, "/v1/tenants?search=%3Cscript%3E");
    assert_eq!(found.fine(200)["items"][0]["display_name"], name);
    assert_eq!(
        (found.header("content-type"), found.header("x-content-type-options")),
        ("application/json", "nosniff")
    );
    for bad in ["a\nb", "a\u{202e}b", ""] {
        let body = json!({ "name": "bad", "display_name": bad });
        cloud.post(&cloud.provider, "/v1/tenants", &body).refused(422, "unprocessable");
    }
    assert!(cloud.up.stop().success());
}
