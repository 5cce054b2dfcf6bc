//! Who may see and do what.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::Cloud;

#[test]
fn what_is_another_tenants_does_not_exist() {
    let cloud = Cloud::start();
    let id = cloud.get(&cloud.acme, "/v1/tenants/acme").fine(200)["tenant_id"].as_str().unwrap().to_owned();
    for tenant in ["acme", &id] {
        for path in ["", "/quota", "/budget", "/budget/crossings", "/draft"] {
            let path = format!("/v1/tenants/{tenant}{path}");
            cloud.get(&cloud.other, &path).refused(404, "not-found");
            assert_eq!(
                cloud.get(&cloud.other, &path).json()["title"],
                cloud.get(&cloud.other, "/v1/tenants/no-such-tenant").json()["title"]
            );
        }
        cloud.get(&cloud.other, &format!("/v1/instances?tenant={tenant}")).refused(404, "not-found");
        cloud.get(&cloud.other, &format!("/v1/invoices?tenant={tenant}")).refused(404, "not-found");
        let usage = format!("/v1/usage?from=2026-11-01&to=2026-12-01&tenant={tenant}");
        cloud.get(&cloud.other, &usage).refused(404, "not-found");
        let budget = json!({ "budget": { "amount": "1.00", "currency": "EUR" } });
        let path = format!("/v1/tenants/{tenant}/budget");
        cloud.change(Method::PUT, &cloud.other, &path, "*", &budget).refused(404, "not-found");
    }
    let names = |token: &str| -> Vec<String> {
        let page = cloud.get(token, "/v1/tenants").fine(200);
        page["items"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&cloud.other), ["other"]);
    assert_eq!(names(&cloud.provider), ["acme", "other"]);
    assert!(cloud.up.stop().success());
}

#[test]
fn an_instance_is_seen_and_moved_by_its_own_tenant_alone() {
    let cloud = Cloud::start();
    cloud.up.wait_until("the instance is known", || {
        cloud.get(&cloud.provider, "/v1/instances").json()["items"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    });
    cloud.up.ask(&["instance", "assign", "test", "--tenant", "acme"]);
    let page = cloud.get(&cloud.acme, "/v1/instances").fine(200);
    let id = page["items"][0]["instance_id"].as_str().unwrap().to_owned();
    assert_eq!(cloud.get(&cloud.acme, &format!("/v1/instances/{id}")).fine(200)["tenant"], "acme");
    assert_eq!(cloud.get(&cloud.other, "/v1/instances").fine(200)["items"], json!([]));
    for path in ["", "/chart"] {
        cloud.get(&cloud.other, &format!("/v1/instances/{id}{path}")).refused(404, "not-found");
    }
    for path in ["/start", "/stop"] {
        let request = |token: &str| {
            cloud.send(cloud.request(Method::POST, token, &format!("/v1/instances/{id}{path}")))
        };
        request(&cloud.other).refused(404, "not-found");
        request(&cloud.reader).refused(403, "forbidden");
        request(&cloud.planner).refused(403, "forbidden");
    }
    cloud
        .send(cloud.request(Method::DELETE, &cloud.other, &format!("/v1/instances/{id}")))
        .refused(404, "not-found");
    // Weir did not make it, so it does not delete it.
    cloud.send(cloud.request(Method::POST, &cloud.acme, &format!("/v1/instances/{id}/stop"))).fine(200);
    cloud
        .send(cloud.request(Method::DELETE, &cloud.acme, &format!("/v1/instances/{id}")))
        .refused(409, "conflict");
    let started =
        cloud.send(cloud.request(Method::POST, &cloud.acme, &format!("/v1/instances/{id}/start"))).fine(200);
    assert_eq!(started["state"], "running");
    assert!(cloud.up.stop().success());
}

#[test]
fn roles_reach_as_far_as_they_should_and_no_further() {
    let cloud = Cloud::start();
    let check = |path: &str, expected: [u16; 3]| {
        let tokens = [&cloud.provider, &cloud.planner, &cloud.acme];
        let found = tokens.map(|token| cloud.get(token, path).status);
        assert_eq!(found, expected, "{path}");
    };
    check("/v1/me", [200, 200, 200]);
    check("/v1/tenants", [200, 200, 200]);
    check("/v1/tenants/acme/quota", [200, 200, 200]);
    check("/v1/instances", [200, 200, 200]);
    check("/v1/images", [200, 200, 200]);
    check("/v1/usage?from=2026-11-01&to=2026-12-01", [200, 200, 200]);
    check("/v1/meters", [200, 200, 200]);
    check("/v1/tokens", [200, 200, 200]);
    check("/v1/nodes", [200, 200, 403]);
    check("/v1/capacity", [200, 200, 403]);
    // Money is not for planners, whether it is there or not.
    check("/v1/invoices", [200, 403, 200]);
    check("/v1/invoices/INV-2026-000001", [404, 403, 404]);
    check("/v1/invoices/INV-2026-000001.pdf", [404, 403, 404]);
    check("/v1/invoices/INV-2026-000001/lines/1/resources", [404, 403, 404]);
    check("/v1/tenants/acme/budget", [200, 403, 200]);
    check("/v1/tenants/acme/budget/crossings", [200, 403, 200]);
    check("/v1/tenants/acme/draft", [404, 403, 404]);
    check("/v1/tenants/acme/wallet", [404, 403, 404]);
    check("/v1/tenants/acme/statement", [200, 403, 200]);
    check("/v1/tenants/acme/billing-account", [200, 403, 200]);
    check("/v1/tenants/acme/allowances", [200, 403, 200]);
    check("/v1/payments", [200, 403, 200]);
    check("/v1/exchange-rates", [200, 403, 200]);
    check("/v1/usage-corrections", [200, 403, 200]);
    check("/v1/webhooks", [200, 403, 200]);
    check("/v1/billing-runs", [200, 403, 403]);
    check("/v1/users", [200, 403, 403]);
    check("/v1/mail", [200, 403, 403]);
    let tenant = json!({ "name": "mine" });
    for token in [&cloud.planner, &cloud.acme, &cloud.reader] {
        cloud.post(token, "/v1/tenants", &tenant).refused(403, "forbidden");
        let quota = json!({ "instances": 1000 });
        let path = "/v1/tenants/acme/quota";
        cloud.change(Method::PUT, token, path, "*", &quota).refused(403, "forbidden");
    }
    for token in [&cloud.planner, &cloud.reader] {
        let budget = json!({ "budget": { "amount": "1.00", "currency": "EUR" } });
        let path = "/v1/tenants/acme/budget";
        cloud.change(Method::PUT, token, path, "*", &budget).refused(403, "forbidden");
        cloud.post(token, "/v1/instances", &json!({})).refused(403, "forbidden");
    }
    assert!(cloud.up.stop().success());
}

#[test]
fn a_session_opens_the_api_until_it_is_logged_out_and_only_from_our_own_pages() {
    let cloud = Cloud::start();
    let cookie = cloud.log_in("ann");
    let with = |method: Method, path: &str, site: &str| {
        cloud.anonymous(method, path).header("Cookie", &cookie).header("Sec-Fetch-Site", site)
    };
    assert_eq!(cloud.send(with(Method::GET, "/v1/me", "same-origin")).fine(200)["user"]["name"], "ann");
    // A token is made by a person, from a page of ours.
    let body = json!({ "name": "made by hand", "may_write": true });
    let forged = cloud.send(with(Method::POST, "/v1/tokens", "cross-site").json(&body));
    forged.refused(403, "forbidden");
    let made = cloud.send(with(Method::POST, "/v1/tokens", "same-origin").json(&body)).fine(201);
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert_eq!(cloud.get(&secret, "/v1/me").fine(200)["may_write"], true);
    cloud.post(&secret, "/v1/tokens", &body).refused(403, "forbidden");
    // Revoked, it opens nothing, at once; by its owner, and by nobody's token.
    let path = format!("/v1/tokens/{}", made["token"]["token_id"].as_str().unwrap());
    for token in [&cloud.other, &cloud.reader, &secret] {
        cloud.send(cloud.request(Method::DELETE, token, &path)).refused(403, "forbidden");
    }
    let stranger = cloud.anonymous(Method::DELETE, &path).header("Cookie", cloud.log_in("bob"));
    cloud.send(stranger.header("Sec-Fetch-Site", "same-origin")).refused(404, "not-found");
    assert_eq!(cloud.get(&secret, "/v1/me").status, 200);
    cloud.send(with(Method::DELETE, &path, "same-origin")).fine(204);
    cloud.get(&secret, "/v1/me").refused(401, "not-signed-in");
    let logged_out = cloud.send(with(Method::POST, "/logout", "same-origin"));
    assert!(logged_out.status < 400, "{}", logged_out.text);
    cloud.send(with(Method::GET, "/v1/me", "same-origin")).refused(401, "not-signed-in");
    assert!(cloud.up.stop().success());
}

#[test]
fn a_token_makes_no_account_that_outlives_it() {
    let cloud = Cloud::start();
    let user = |role: &str| json!({ "name": "mole", "role": role, "password": crate::client::PASSWORD });
    for role in ["provider", "planner"] {
        cloud.post(&cloud.provider, "/v1/users", &user(role)).refused(403, "forbidden");
    }
    let users: Value = cloud.get(&cloud.provider, "/v1/users").fine(200);
    assert!(!users.to_string().contains("mole"), "{users}");
    assert!(cloud.up.stop().success());
}

#[test]
fn wrong_tokens_are_nobodys() {
    let cloud = Cloud::start();
    let altered = format!("{}x", &cloud.provider[..cloud.provider.len() - 1]);
    for token in ["", "weir_", "x", &altered, &cloud.provider[1..], &"x".repeat(5_000)] {
        cloud.get(token, "/v1/me").refused(401, "not-signed-in");
    }
    let basic = cloud.anonymous(Method::GET, "/v1/me").basic_auth("root", Some(crate::client::PASSWORD));
    cloud.send(basic).refused(401, "not-signed-in");
    let users: Value = cloud.get(&cloud.provider, "/v1/users").fine(200);
    assert!(!users.to_string().contains("argon2") && !users.to_string().contains("password"), "{users}");
    assert!(cloud.up.stop().success());
}
