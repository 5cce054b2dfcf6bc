//! What becomes of invoices over HTTP: previewed, issued, approved, disputed, reminded of.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Cloud};
use crate::seed;

const LEVELS: &str = "[[billing.dunning]]\nafter_days = 0\ntitle = \"Payment reminder\"\ntext = \"Please pay.\"\n\
    [[billing.dunning]]\nafter_days = 10\ntitle = \"Second reminder\"\nfee = \"5.00 EUR\"\ntext = \"Please pay now.\"\n";
const UNMETERED: [(&str, &str); 1] = [("WEIR__COLLECTOR__ENABLED", "false")];

/// A cloud in which acme has an invoice of that number.
fn with_past(settings: &[(&str, &str)]) -> (Cloud, String) {
    let cloud = Cloud::start_configured(settings, LEVELS);
    let number = cloud.runtime.block_on(seed::past(&cloud.database));
    (cloud, number)
}

/// Lets the invoice have been due when it was issued, against the database's will.
fn overdue(cloud: &Cloud) {
    cloud.runtime.block_on(async {
        let owner = cloud.database.owner_client().await;
        let change = "SET weir.scope = 'provider'; ALTER TABLE invoice DISABLE TRIGGER USER; \
            UPDATE invoice SET due_at = issued_at + interval '1 us'; ALTER TABLE invoice ENABLE TRIGGER USER";
        owner.batch_execute(change).await.unwrap();
    });
}

fn keyed(cloud: &Cloud, path: &str, key: &str, body: Option<&Value>) -> Answer {
    let request = cloud.request(Method::POST, &cloud.provider, path).header("Idempotency-Key", key);
    cloud.send(match body {
        Some(body) => request.json(body),
        None => request,
    })
}

#[test]
fn a_letter_is_seen_coming_goes_out_once_and_not_about_what_is_disputed() {
    let (cloud, number) = with_past(&[]);
    let (due, rounds, dispute) =
        ("/v1/dunning/due", "/v1/dunning/rounds", format!("/v1/invoices/{number}/dispute"));
    let levels = cloud.get(&cloud.provider, "/v1/dunning/levels").fine(200);
    assert_eq!(levels["items"][1]["fee"], json!({ "amount": "5.00", "currency": "EUR" }), "{levels}");
    assert_eq!(cloud.get(&cloud.provider, due).fine(200)["items"], json!([]));
    overdue(&cloud);
    let why = json!({ "reason": "The hours are wrong." });
    let put = |token: &str, path: &str, body: &Value| {
        cloud.send(cloud.request(Method::PUT, token, path).json(body))
    };
    put(&cloud.provider, &dispute, &why).fine(204);
    assert_eq!(cloud.get(&cloud.provider, due).fine(200)["items"], json!([]), "it is disputed");
    let held = cloud.get(&cloud.acme, "/v1/dunning").fine(200);
    assert_eq!((&held["items"][0]["reason"], &held["items"][0]["level"]), (&why["reason"], &json!(null)));
    put(&cloud.provider, &dispute, &json!({ "reason": " " })).refused(422, "unprocessable");
    put(&cloud.provider, "/v1/invoices/INV-1999-000001/dispute", &why).refused(404, "not-found");
    let end = || cloud.send(cloud.request(Method::DELETE, &cloud.provider, &dispute)).fine(204);
    end();
    end();

    let coming = cloud.get(&cloud.provider, due).fine(200);
    let letter = &coming["items"][0];
    assert_eq!((&letter["invoice"], &letter["level"]), (&json!(number), &json!(1)), "{coming}");
    assert_eq!(cloud.get(&cloud.provider, due).fine(200), coming, "looking orders nothing");
    let round = keyed(&cloud, rounds, "r", None).fine(200);
    assert_eq!((&round["ordered"][0]["open"], &round["failed"]), (&letter["open"], &json!([])));
    let again = keyed(&cloud, rounds, "r", None);
    assert_eq!((again.fine(200), again.header("idempotent-replayed")), (round, "true"));
    assert_eq!(keyed(&cloud, rounds, "s", None).fine(200)["ordered"], json!([]), "each level once");
    assert_eq!(cloud.get(&cloud.provider, due).fine(200)["items"], json!([]));
    let history = cloud.get(&cloud.acme, "/v1/dunning").fine(200);
    assert_eq!((&history["items"][0]["invoice"], &history["items"][0]["level"]), (&json!(number), &json!(1)));
    assert_eq!(cloud.get(&cloud.provider, "/v1/dunning?tenant=acme").fine(200), history);

    // The letters of a tenant do not exist for others, and nobody else orders or holds any.
    assert_eq!(cloud.get(&cloud.other, "/v1/dunning").fine(200)["items"], json!([]));
    cloud.get(&cloud.other, "/v1/dunning?tenant=acme").refused(404, "not-found");
    assert_eq!(cloud.get(&cloud.provider, "/v1/dunning?tenant=other").fine(200)["items"], json!([]));
    for token in [&cloud.acme, &cloud.other, &cloud.planner] {
        cloud.get(token, due).refused(403, "forbidden");
        cloud.get(token, "/v1/dunning/levels").refused(403, "forbidden");
        cloud.send(cloud.request(Method::POST, token, rounds)).refused(403, "forbidden");
        put(token, &dispute, &why).refused(403, "forbidden");
        cloud.send(cloud.request(Method::DELETE, token, &dispute)).refused(403, "forbidden");
    }
    cloud.get(&cloud.planner, "/v1/dunning").refused(403, "forbidden");
    // What is paid is not disputed.
    let void = json!({ "reason": "a slip" });
    cloud.post(&cloud.provider, &format!("/v1/invoices/{number}/void"), &void).fine(200);
    put(&cloud.provider, &dispute, &why).refused(409, "conflict");
    assert!(cloud.up.stop().success());
}

#[test]
fn a_month_is_reviewed_sent_back_approved_and_issued_once() {
    let (cloud, _) = with_past(&UNMETERED);
    // A fee is due without usage, so that a month that is over has an invoice.
    let plan = "name = \"fees\"\ncurrency = \"EUR\"\ntime_zone = \"UTC\"\n[tax]\nname = \"VAT\"\nrate = \"0.19\"\n[[version]]\n\
        from = \"2026-01-01\"\n[[version.rate_card]]\nmeter = \"cpu_ns\"\nunit_price = \"0.5\"\n[[version.fee]]\n\
        name = \"support\"\ntitle = \"Support\"\namount = \"100.00\"\nevery = \"period\"\n";
    let put = |path: &str, body: Value| cloud.change(Method::PUT, &cloud.provider, path, "*", &body);
    put("/v1/plans/fees", json!({ "text": plan })).fine(200);
    cloud
        .change(
            Method::PATCH,
            &cloud.provider,
            "/v1/tenants/other",
            "*",
            &json!({ "plan": "fees", "plan_from": "2026-01-01" }),
        )
        .fine(200);
    let terms = json!({ "treatment": "taxable", "mode": "postpaid", "starts_on": "2026-01-01" });
    put("/v1/tenants/other/billing-account", terms).fine(200);
    check_preview(&cloud);
    let run = json!({ "period": "2026-02", "before_cutoff": true, "tenant": "other" });
    let begun = cloud.post(&cloud.provider, "/v1/billing-runs", &run);
    let begun = begun.header("location").to_owned();
    let wait = |path: &str| {
        cloud.up.wait_until("the run is over", || {
            !cloud.get(&cloud.provider, path).fine(200)["finished_at"].is_null()
        })
    };
    wait(&begun);
    let waiting = "/v1/waiting-invoices";
    let listed = cloud.get(&cloud.provider, &format!("{waiting}?tenant=other")).fine(200);
    let one =
        listed["items"].as_array().unwrap().iter().find(|one| one["total"]["amount"] == "119.00").unwrap();
    assert_eq!((&one["tenant"], &one["stage"]), (&json!("other"), &json!("review")), "{listed}");
    let chosen = json!({ "period": "2026-02" });
    let step = |word: &str, key: &str| keyed(&cloud, &format!("{waiting}/{word}"), key, Some(&chosen));
    assert_eq!(step("issue", "early").fine(200)["done"], json!([]), "nothing is approved yet");
    assert_eq!(step("send-back", "b").fine(200)["done"][0]["tenant"], "other");
    let approved = step("approve", "a").fine(200);
    assert_eq!(
        (&approved["waited"], &approved["done"][0]["number"]),
        (&json!(1), &json!(null)),
        "{approved}"
    );
    let issued = step("issue", "i").fine(200);
    let number = issued["done"][0]["number"].as_str().unwrap().to_owned();
    let again = step("issue", "i");
    assert_eq!((again.fine(200), again.header("idempotent-replayed")), (issued, "true"));
    assert_eq!(step("issue", "j").fine(200)["done"], json!([]));
    let history = cloud.get(&cloud.provider, &format!("/v1/invoices/{number}/history")).fine(200);
    let events = history["items"].as_array().unwrap();
    assert!(
        events.iter().any(|event| event["actor"] == "root" && event["action"] == "approved"),
        "{history}"
    );
    assert_eq!(cloud.get(&cloud.provider, "/v1/late-invoices").fine(200)["items"], json!([]));

    check_refusals(&cloud, &number, &chosen);
    assert!(cloud.up.stop().success());
}

/// What a month would cost is shown beforehand; what is no period is refused.
fn check_preview(cloud: &Cloud) {
    let preview = cloud.get(&cloud.provider, "/v1/tenants/other/preview?period=2026-02").fine(200);
    assert_eq!(
        (&preview["number"], &preview["total"]["amount"]),
        (&json!(null), &json!("119.00")),
        "{preview}"
    );
    for query in [
        "",
        "?period=2026-13",
        "?from=2026-02-01",
        "?from=1990-01-01&to=2026-02-02",
        "?period=2026-02&from=2026-02-01&to=2026-02-02",
    ] {
        cloud
            .get(&cloud.provider, &format!("/v1/tenants/other/preview{query}"))
            .refused(422, "unprocessable");
    }
    cloud.get(&cloud.provider, "/v1/tenants/nobody-known/preview?period=2026-02").refused(404, "not-found");
}

/// What is no month is refused, and everybody but the provider.
fn check_refusals(cloud: &Cloud, number: &str, chosen: &Value) {
    let waiting = "/v1/waiting-invoices";
    for (body, status, kind) in [
        (json!({ "period": "2026-13" }), 422, "unprocessable"),
        (json!({ "period": "2026-02", "tenant": "nobody-known" }), 404, "not-found"),
        (json!({}), 400, "invalid-body"),
    ] {
        cloud.post(&cloud.provider, &format!("{waiting}/approve"), &body).refused(status, kind);
    }
    for token in [&cloud.acme, &cloud.other, &cloud.planner] {
        for word in ["approve", "issue", "send-back"] {
            cloud.post(token, &format!("{waiting}/{word}"), chosen).refused(403, "forbidden");
        }
        for path in [waiting, "/v1/late-invoices", "/v1/tenants/other/preview?period=2026-02"] {
            cloud.get(token, path).refused(403, "forbidden");
        }
        cloud.get(token, &format!("/v1/invoices/{number}/history")).refused(403, "forbidden");
    }
}

#[test]
fn one_invoice_is_issued_at_once_for_a_period_that_is_over_and_only_then() {
    let (cloud, number) = with_past(&UNMETERED);
    let issue = |key: &str, body: &Value| keyed(&cloud, "/v1/invoices", key, Some(body));
    let period = &cloud.get(&cloud.provider, &format!("/v1/invoices/{number}")).fine(200)["service_period"];
    // The seed's invoice is there already: it is answered as it is.
    let body = json!({ "tenant": "acme", "from": period["from"], "to": period["to"] });
    let made = issue("k", &body);
    assert_eq!(made.header("location"), format!("/v1/invoices/{number}"));
    assert_eq!(made.fine(201)["number"], json!(number));
    assert_eq!(issue("k", &body).header("idempotent-replayed"), "true");
    for (body, status, kind) in [
        (json!({ "tenant": "acme", "from": "2999-01-01", "to": "2999-02-01" }), 409, "conflict"),
        (json!({ "tenant": "acme", "period": "2026-01" }), 409, "conflict"),
        (json!({ "tenant": "other", "period": "2026-01" }), 422, "unprocessable"),
        (json!({ "tenant": "nobody-known", "period": "2026-01" }), 404, "not-found"),
        (json!({ "tenant": "acme" }), 422, "unprocessable"),
        (json!({ "tenant": "acme", "period": "2026-1" }), 422, "unprocessable"),
        (json!({ "period": "2026-01" }), 400, "invalid-body"),
    ] {
        let answer = cloud.post(&cloud.provider, "/v1/invoices", &body);
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        answer.refused(status, kind);
    }
    cloud.post(&cloud.acme, "/v1/invoices", &body).refused(403, "forbidden");
    assert!(cloud.up.stop().success());
}
