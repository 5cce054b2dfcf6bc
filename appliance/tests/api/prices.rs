//! Prices over HTTP: plans, tenants' own terms, taxes and exchange rates, put in force, checked, compared and tried.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Cloud};
use crate::seed;

const PLAN: &str = "name = \"past\"\ncurrency = \"EUR\"\ntime_zone = \"UTC\"\n[tax]\nname = \"VAT\"\nrate = \"0.19\"\n\
    [[version]]\nfrom = \"2026-01-01\"\n[[version.rate_card]]\nmeter = \"cpu_ns\"\nunit_price = \"0.5\"\n\
    [[version.rate_card]]\nmeter = \"vcpu_ms\"\nunit_price = \"0.25\"\n";
const TERMS: &str =
    "[[terms]]\nfrom = \"2026-01-01\"\n[[terms.rate_card]]\nname = \"vcpu_ms\"\nunit_price = \"0.125\"\n";
const TAXES: &str = "[seller]\ncountry = \"DE\"\nnumber = \"DE123456789\"\n[[rate]]\ncountry = \"FR\"\nclass = \"standard\"\n\
    name = \"TVA\"\nrate = \"0.2\"\nfrom = \"2020-01-01\"\n";
const TENANT_TERMS: &str = "/v1/tenants/acme/terms";
const RATES: &str = "/v1/exchange-rates";

fn with_past() -> Cloud {
    let cloud = Cloud::start();
    cloud.runtime.block_on(seed::past(&cloud.database));
    cloud
}

fn put(cloud: &Cloud, path: &str, etag: &str, body: &Value) -> Answer {
    cloud.change(Method::PUT, &cloud.provider, path, etag, body)
}

/// The plan with processor time at another price.
fn at(price: &str) -> String {
    PLAN.replace("unit_price = \"0.25\"", &format!("unit_price = \"{price}\""))
}

#[test]
fn a_plan_takes_the_place_of_the_one_that_was_looked_at_and_of_no_other() {
    let cloud = Cloud::start();
    let path = "/v1/plans/past";
    cloud.get(&cloud.provider, path).refused(404, "not-found");
    assert_eq!(cloud.get(&cloud.provider, "/v1/plans").fine(200)["items"], json!([]));
    let text = |text: &str| json!({ "text": text });
    let without = cloud.send(cloud.request(Method::PUT, &cloud.provider, path).json(&text(PLAN)));
    without.refused(428, "precondition-required");
    put(&cloud, path, "\"1\"", &text(PLAN)).refused(412, "stale");
    let set = put(&cloud, path, "\"0\"", &text(PLAN));
    assert_eq!(set.etag(), "\"1\"");
    let body = set.fine(200);
    assert_eq!((&body["text"], &body["facts"]["versions"]), (&json!(PLAN), &json!(["2026-01-01"])));
    assert_eq!(cloud.get(&cloud.provider, path).fine(200), body);
    assert_eq!(cloud.get(&cloud.provider, "/v1/plans").fine(200)["items"][0]["name"], "past");
    // The same text again is the same revision; another one that changes what was is refused until it is meant.
    assert_eq!(put(&cloud, path, "\"1\"", &text(PLAN)).etag(), "\"1\"");
    let dearer = at("0.5");
    let refused = put(&cloud, path, "\"1\"", &text(&dearer)).refused(409, "conflict");
    assert!(refused["detail"].as_str().unwrap().contains("rewrite_past"), "{refused}");
    let meant = json!({ "text": dearer, "rewrite_past": true });
    assert_eq!(put(&cloud, path, "\"1\"", &meant).etag(), "\"2\"");
    put(&cloud, path, "\"1\"", &meant).refused(412, "stale");
    put(&cloud, path, "\"99999999999\"", &meant).refused(412, "stale");
    put(&cloud, "/v1/plans/another", "\"0\"", &text(PLAN)).refused(422, "unprocessable");
    // What was in force stays to be read, page by page and on the command line.
    let revisions = format!("{path}/revisions");
    let first = cloud.get(&cloud.provider, &format!("{revisions}?limit=1")).fine(200);
    assert_eq!((&first["items"][0]["revision"], first["items"].as_array().unwrap().len()), (&json!(2), 1));
    let next = format!("{revisions}?limit=1&cursor={}", first["next"].as_str().unwrap());
    let second = cloud.get(&cloud.provider, &next).fine(200);
    assert_eq!((&second["items"][0]["revision"], &second["next"]), (&json!(1), &json!(null)), "{second}");
    let old = cloud.get(&cloud.provider, &format!("{revisions}/1")).fine(200);
    assert_eq!((&old["text"], &old["revision"]), (&json!(PLAN), &second["items"][0]));
    for gone in ["3", "0", "-1", "one", "99999999999"] {
        cloud.get(&cloud.provider, &format!("{revisions}/{gone}")).refused(404, "not-found");
    }
    cloud.get(&cloud.provider, "/v1/plans/nowhere/revisions").refused(404, "not-found");
    let told = cloud.up.ask(&["plan", "revisions", "past"]);
    assert_eq!(told["revisions"].as_array().unwrap().len(), 2, "{told}");
    assert_eq!(cloud.up.ask(&["plan", "revisions", "past", "--show", "2"])["text"], json!(dearer));
    assert!(cloud.up.stop().success());
}

#[test]
fn what_is_wrong_with_a_plan_is_listed_line_by_line_and_nothing_is_stored() {
    let cloud = Cloud::start();
    let odd = PLAN.replace("currency = \"EUR\"", "currency = \"EURO\"").replace("cpu_ns", "cpu_eons");
    for path in ["/v1/plan-checks", "/v1/plans/past"] {
        let answer = match path {
            "/v1/plan-checks" => cloud.post(&cloud.provider, path, &json!({ "text": odd })),
            _ => put(&cloud, path, "*", &json!({ "text": odd })),
        };
        let problem = answer.refused(422, "unprocessable");
        assert_eq!((&problem["place"]["name"], &problem["place"]["line"]), (&json!("text"), &json!(2)));
        let errors = problem["errors"].as_array().unwrap();
        let lines: Vec<_> = errors.iter().map(|error| error["line"].as_u64().unwrap()).collect();
        assert_eq!(lines, [2, 10], "{problem}");
        assert!(errors[1]["what"].as_str().unwrap().contains("cpu_eons"), "{problem}");
        assert!(errors.iter().all(|error| error["mend"].as_str().is_some_and(|text| !text.is_empty())));
    }
    let right = cloud.post(&cloud.provider, "/v1/plan-checks", &json!({ "text": PLAN })).fine(200);
    assert_eq!((&right["name"], &right["currency"]), (&json!("past"), &json!("EUR")));
    assert_eq!(cloud.get(&cloud.provider, "/v1/plans").fine(200)["items"], json!([]));
    // A text of the largest size is read; a larger one is not.
    let padded = |bytes: usize| json!({ "text": format!("{PLAN}#{}", "x".repeat(bytes - PLAN.len() - 1)) });
    cloud.post(&cloud.provider, "/v1/plan-checks", &padded(1_048_576)).fine(200);
    cloud.post(&cloud.provider, "/v1/plan-checks", &padded(1_048_577)).refused(422, "unprocessable");
    cloud.post(&cloud.provider, "/v1/plan-checks", &padded(2_200_000)).refused(413, "too-large");
    assert!(cloud.up.stop().success());
}

#[test]
fn the_texts_that_the_document_shows_are_right() {
    let cloud = with_past();
    let document = cloud.send(cloud.anonymous(Method::GET, "/openapi.json")).json();
    let shown = |schema: &str| {
        let text = &document["components"]["schemas"][schema]["properties"]["text"]["example"];
        json!({ "text": text.as_str().unwrap() })
    };
    cloud.post(&cloud.provider, "/v1/plan-checks", &shown("PlanText")).fine(200);
    cloud.post(&cloud.provider, "/v1/tax-table-checks", &shown("TaxTableText")).fine(200);
    put(&cloud, TENANT_TERMS, "*", &shown("TermsText")).fine(200);
    assert!(cloud.up.stop().success());
}

#[test]
fn two_plans_are_compared_by_name_and_by_text() {
    let cloud = with_past();
    let compare = |old: Value, new: Value| {
        cloud.post(&cloud.provider, "/v1/plan-comparisons", &json!({ "old": old, "new": new }))
    };
    let dearer = at("0.5");
    let changes = compare(json!({ "name": "past" }), json!({ "text": dearer })).fine(200);
    let change = &changes["changes"][0];
    assert_eq!(
        (&change["from"], &change["part"]),
        (&json!("2026-01-01"), &json!("card vcpu_ms")),
        "{changes}"
    );
    assert!(change["shown"].as_str().unwrap().contains("0.25"), "{changes}");
    assert_eq!(compare(json!({ "name": "past" }), json!({ "text": PLAN })).fine(200)["changes"], json!([]));
    for (old, member) in [
        (json!({}), "old"),
        (json!({ "name": "past", "text": PLAN }), "old"),
        (json!({ "name": "nowhere" }), "old.name"),
        (json!({ "text": "nonsense" }), "old.text"),
    ] {
        let problem = compare(old, json!({ "name": "past" })).refused(422, "unprocessable");
        assert_eq!(problem["place"]["name"], member, "{problem}");
    }
    compare(json!({ "name": null }), json!({ "name": "past" })).refused(400, "invalid-body");
    assert!(cloud.up.stop().success());
}

#[test]
fn a_plan_is_tried_on_what_tenants_used_tenant_by_tenant() {
    let cloud = with_past();
    cloud.up.ask(&["tenant", "set-plan", "other", "past"]);
    let month = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m").to_string();
    let ask = |query: &str, more: Value| {
        let mut body = json!({ "plan": { "text": at("0.5") }, "period": month });
        for (field, value) in more.as_object().unwrap() {
            body[field] = value.clone();
        }
        cloud.post(&cloud.provider, &format!("/v1/plan-simulations{query}"), &body)
    };
    let one = ask("", json!({ "tenant": "acme" })).fine(200);
    let tried = &one["items"][0];
    let number = |value: &Value| value["amount"].as_str().unwrap().parse::<f64>().unwrap();
    assert_eq!(
        (&tried["tenant"], &tried["error"], &tried["changes"]),
        (&json!("acme"), &json!(null), &json!(1))
    );
    assert!(0.0 < number(&tried["difference"]), "{one}");
    let sum = number(&tried["old_total"]) + number(&tried["difference"]);
    assert!((sum - number(&tried["new_total"])).abs() < 0.001, "{one}");
    // Page by page, by name; nothing is stored.
    let first = ask("?limit=1", json!({})).fine(200);
    assert_eq!((&first["items"][0], first["items"].as_array().unwrap().len()), (tried, 1));
    let next = format!("?limit=1&cursor={}", first["next"].as_str().unwrap());
    let second = ask(&next, json!({})).fine(200);
    assert_eq!((&second["items"][0]["tenant"], &second["next"]), (&json!("other"), &json!(null)), "{second}");
    assert_eq!(cloud.get(&cloud.provider, "/v1/plans/past").etag(), "\"1\"");
    for (more, status, kind) in [
        (json!({ "tenant": "nobody-known" }), 404, "not-found"),
        (json!({ "period": "2026-13" }), 422, "unprocessable"),
        (json!({ "from": "2026-10-01" }), 422, "unprocessable"),
        (json!({ "as_of": "soon" }), 400, "invalid-body"),
        (json!({ "plan": { "text": "nonsense" } }), 422, "unprocessable"),
        (json!({ "plan": { "name": "nowhere" } }), 422, "unprocessable"),
        (json!({ "surprise": 1 }), 400, "invalid-body"),
    ] {
        let answer = ask("", more.clone());
        assert_eq!(answer.status, status, "{more}: {}", answer.text);
        answer.refused(status, kind);
    }
    // What cannot be rated says why, and stops nobody.
    let early = ask("", json!({ "tenant": "acme", "as_of": "2020-01-01" })).fine(200);
    assert!(early["items"][0]["error"].as_str().unwrap().contains("no prices on 2020-01-01"), "{early}");
    assert!(cloud.up.stop().success());
}

#[test]
fn a_tenant_sees_its_own_terms_and_prices_and_the_provider_sets_them_once() {
    let cloud = with_past();
    let none = cloud.get(&cloud.acme, TENANT_TERMS);
    assert_eq!(none.etag(), "\"0\"");
    let none = none.fine(200);
    assert_eq!((&none["text"], &none["plan"]), (&json!(""), &json!("past")));
    assert!(none["effective"].as_str().unwrap().contains("0.25"), "{none}");
    let body = json!({ "text": TERMS });
    let set = put(&cloud, TENANT_TERMS, "\"0\"", &body);
    assert_eq!(set.etag(), "\"1\"");
    let shown = cloud.get(&cloud.acme, TENANT_TERMS).fine(200);
    assert_eq!(shown, set.fine(200));
    assert!(shown["effective"].as_str().unwrap().contains("0.125"), "{shown}");
    put(&cloud, TENANT_TERMS, "\"0\"", &body).refused(412, "stale");
    assert_eq!(put(&cloud, TENANT_TERMS, "\"1\"", &body).etag(), "\"1\"", "the same again changes nothing");
    let odd = json!({ "text": TERMS.replace("unit_price", "unit_prize") });
    let problem = put(&cloud, TENANT_TERMS, "*", &odd).refused(422, "unprocessable");
    assert!(problem["errors"].as_array().unwrap().iter().any(|error| error["line"] == 5), "{problem}");
    let broken = json!({ "text": TERMS.replace("vcpu_ms", "net_tx_bytes") });
    put(&cloud, TENANT_TERMS, "*", &broken).refused(409, "conflict");
    // Without a plan there is nothing that terms could change.
    put(&cloud, "/v1/tenants/other/terms", "*", &body).refused(409, "conflict");
    assert_eq!(put(&cloud, TENANT_TERMS, "\"1\"", &json!({ "text": "" })).etag(), "\"2\"");
    // A tenant reads what it was billed by then.
    let revisions = cloud.get(&cloud.acme, &format!("{TENANT_TERMS}/revisions")).fine(200);
    assert_eq!(revisions["items"].as_array().unwrap().len(), 2, "{revisions}");
    assert_eq!(cloud.get(&cloud.acme, &format!("{TENANT_TERMS}/revisions/1")).fine(200)["text"], TERMS);
    assert_eq!(cloud.up.ask(&["terms", "revisions", "acme", "--show", "2"])["text"], "");
    assert!(cloud.up.stop().success());
}

#[test]
fn a_tax_table_is_checked_and_takes_the_place_of_the_one_that_was_looked_at() {
    let cloud = Cloud::start();
    let path = "/v1/tax-table";
    let none = cloud.get(&cloud.provider, path);
    assert_eq!((none.etag(), &none.fine(200)["text"]), ("\"0\"".to_owned(), &json!(null)));
    let checked = cloud.post(&cloud.provider, "/v1/tax-table-checks", &json!({ "text": TAXES })).fine(200);
    assert_eq!(checked, json!({ "seller_country": "DE", "rates": 1 }));
    assert_eq!(cloud.get(&cloud.provider, path).etag(), "\"0\"", "a check stores nothing");
    let body = json!({ "text": TAXES });
    assert_eq!(put(&cloud, path, "\"0\"", &body).etag(), "\"1\"");
    put(&cloud, path, "\"0\"", &body).refused(412, "stale");
    assert_eq!(cloud.get(&cloud.provider, path).fine(200)["text"], TAXES);
    assert_eq!(cloud.get(&cloud.provider, &format!("{path}/revisions/1")).fine(200)["text"], TAXES);
    assert_eq!(cloud.up.ask(&["tax", "revisions"])["revisions"].as_array().unwrap().len(), 1);
    let odd = json!({ "text": TAXES.replace("\"0.2\"", "\"twenty\"") });
    for answer in [put(&cloud, path, "*", &odd), cloud.post(&cloud.provider, "/v1/tax-table-checks", &odd)] {
        let problem = answer.refused(422, "unprocessable");
        assert_eq!(problem["errors"][0]["line"], 8, "{problem}");
    }
    assert!(cloud.up.stop().success());
}

#[test]
fn exchange_rates_are_loaded_once_all_or_none_and_never_changed() {
    let cloud = Cloud::start();
    let rate = |day: &str, rate: &str| json!({ "from": "EUR", "to": "USD", "valid_from": day, "rate": rate, "source": "test" });
    let load = |key: Option<&str>, rates: Value| {
        let mut request = cloud.request(Method::POST, &cloud.provider, RATES);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        cloud.send(request.json(&json!({ "rates": rates })))
    };
    let first = json!([rate("2026-10-01", "1.1"), rate("2026-11-01", "1.2")]);
    let loaded = load(Some("k"), first.clone()).fine(200);
    assert_eq!(loaded, json!({ "new": 2, "already": 0 }));
    let again = load(Some("k"), first.clone());
    assert_eq!((again.fine(200), again.header("idempotent-replayed")), (loaded, "true"));
    load(Some("k"), json!([rate("2026-12-01", "1.3")])).refused(422, "unprocessable");
    assert_eq!(load(None, first).fine(200), json!({ "new": 0, "already": 2 }));
    let other = load(None, json!([rate("2026-12-01", "1.3"), rate("2026-10-01", "1.15")]));
    assert!(other.refused(409, "conflict")["detail"].as_str().unwrap().contains("never changed"));
    for (rates, status, kind, place) in [
        (json!([]), 400, "invalid-body", "rates"),
        (json!([rate("2026-12-01", "1.3"), rate("2026-12-01", "1.3")]), 422, "unprocessable", "rates[1]"),
        (json!([rate("2026-02-30", "1.3")]), 422, "unprocessable", "rates[0]"),
        (json!([rate("2026-12-01", "-1")]), 422, "unprocessable", "rates[0]"),
    ] {
        let problem = load(None, rates).refused(status, kind);
        assert_eq!((&problem["place"]["part"], &problem["place"]["name"]), (&json!("body"), &json!(place)));
    }
    let many: Vec<Value> = (0..1_001).map(|_| rate("2026-12-01", "1.3")).collect();
    load(None, json!(many)).refused(400, "invalid-body");
    assert_eq!(cloud.get(&cloud.acme, RATES).fine(200)["items"].as_array().unwrap().len(), 2);
    assert!(cloud.up.stop().success());
}

#[test]
fn prices_are_the_providers_alone_and_a_tenants_terms_do_not_exist_for_others() {
    let cloud = with_past();
    put(&cloud, TENANT_TERMS, "*", &json!({ "text": TERMS })).fine(200);
    let acme = cloud.get(&cloud.acme, "/v1/tenants/acme").fine(200)["tenant_id"].as_str().unwrap().to_owned();
    let texts = ["revisions", "revisions/1"].map(|text| format!("{TENANT_TERMS}/{text}"));
    for path in [TENANT_TERMS.to_owned(), format!("/v1/tenants/{acme}/terms")].into_iter().chain(texts) {
        cloud.get(&cloud.other, &path).refused(404, "not-found");
        cloud.get(&cloud.planner, &path).refused(403, "forbidden");
    }
    let text = json!({ "text": PLAN });
    let rates = json!({ "rates": [] });
    for token in [&cloud.acme, &cloud.other, &cloud.reader, &cloud.planner] {
        let kept = [
            "/v1/plans/past/revisions",
            "/v1/plans/past/revisions/1",
            "/v1/tax-table/revisions",
            "/v1/tax-table/revisions/1",
        ];
        for path in ["/v1/plans", "/v1/plans/past", "/v1/tax-table"].into_iter().chain(kept) {
            cloud.get(token, path).refused(403, "forbidden");
        }
        for path in ["/v1/plans/past", TENANT_TERMS, "/v1/tax-table"] {
            cloud.change(Method::PUT, token, path, "*", &text).refused(403, "forbidden");
        }
        for (path, body) in [
            ("/v1/plan-checks", &text),
            ("/v1/plan-comparisons", &text),
            ("/v1/plan-simulations", &text),
            ("/v1/tax-table-checks", &text),
            (RATES, &rates),
        ] {
            cloud.post(token, path, body).refused(403, "forbidden");
        }
    }
    // A key is its user's own: the provider's opens nothing to a tenant.
    let keyed = |token: &str| {
        let request = cloud.request(Method::POST, token, RATES).header("Idempotency-Key", "shared");
        let rate = json!({ "from": "EUR", "to": "USD", "valid_from": "2026-10-01", "rate": "1.1", "source": "test" });
        cloud.send(request.json(&json!({ "rates": [rate] })))
    };
    keyed(&cloud.provider).fine(200);
    keyed(&cloud.acme).refused(403, "forbidden");
    assert!(cloud.up.stop().success());
}
