//! Payments, wallets, statements, billing accounts, invoices and runs, as programs and those who attack them use them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Cloud};
use crate::seed;

const PAYMENTS: &str = "/v1/payments";
/// Rates the running months every five seconds.
const SOON: [(&str, &str); 1] = [("WEIR__COLLECTOR__READING_INTERVAL", "5s")];
const NOWHERE: &str = "7b3b8a52-6c7e-4a52-9d2b-0b8a3c1d2e4f";
const DOLLARS: &str = "name = \"dollars\"\ncurrency = \"USD\"\ntime_zone = \"UTC\"\n[tax]\nname = \"VAT\"\nrate = \"0.19\"\n\
    [[version]]\nfrom = \"2026-01-01\"\n[[version.rate_card]]\nmeter = \"cpu_ns\"\nunit_price = \"0.5\"\n";

/// A cloud with a past: acme has an invoice of that number.
fn with_past(settings: &[(&str, &str)]) -> (Cloud, String) {
    let cloud = Cloud::start_with(settings);
    let number = cloud.runtime.block_on(seed::past(&cloud.database));
    (cloud, number)
}

fn euros(amount: &str) -> Value {
    json!({ "amount": amount, "currency": "EUR" })
}

fn paid(amount: &str, reference: &str) -> Value {
    json!({ "tenant": "acme", "reference": reference, "amount": euros(amount) })
}

/// `POST`, with a key.
fn once(cloud: &Cloud, path: &str, key: &str, body: &Value) -> Answer {
    cloud.send(cloud.request(Method::POST, &cloud.provider, path).header("Idempotency-Key", key).json(body))
}

fn apply_plan(cloud: &Cloud, text: &str) {
    let file = cloud.dir.path().join("plan.toml");
    std::fs::write(&file, text).unwrap();
    cloud.up.ask(&["plan", "apply", file.to_str().unwrap()]);
}

#[test]
fn a_payment_that_is_sent_twice_is_recorded_once_and_one_that_bounced_opens_its_invoice_again() {
    let (cloud, number) = with_past(&[]);
    let invoice = format!("/v1/invoices/{number}");
    let total = cloud.get(&cloud.acme, &invoice).fine(200)["total"]["amount"].as_str().unwrap().to_owned();
    let mut body = paid(&total, "a transfer");
    body["invoice"] = json!(number);

    let first = once(&cloud, PAYMENTS, "p", &body);
    let made = first.fine(201);
    assert_eq!(made["used"], json!([{ "invoice": number, "amount": euros(&total) }]));
    assert_eq!(cloud.get(&cloud.acme, &invoice).fine(200)["status"], "paid");
    let again = once(&cloud, PAYMENTS, "p", &body);
    assert_eq!((again.fine(201), again.header("idempotent-replayed")), (made.clone(), "true"));
    once(&cloud, PAYMENTS, "p", &paid("1.00", "another")).refused(422, "unprocessable");
    // Without a key the reference says that it is the same transfer.
    let twice = cloud.post(&cloud.provider, PAYMENTS, &body).refused(409, "conflict");
    assert!(twice["detail"].as_str().unwrap().contains("recorded already"), "{twice}");
    let listed = cloud.get(&cloud.acme, PAYMENTS).fine(200);
    assert_eq!(listed["items"], json!([made["payment"]]));

    let one = first.header("location").to_owned();
    assert_eq!(cloud.get(&cloud.acme, &one).fine(200), made);
    let (reverse, why) = (format!("{one}/reverse"), json!({ "reason": "Returned: account closed" }));
    let reversed = once(&cloud, &reverse, "r", &why).fine(200);
    assert_eq!(reversed["reversed_because"], why["reason"]);
    assert_eq!(once(&cloud, &reverse, "r", &why).fine(200), reversed);
    once(&cloud, &reverse, "r", &json!({ "reason": "another" })).refused(422, "unprocessable");
    cloud.post(&cloud.provider, &reverse, &why).refused(409, "conflict");
    cloud.post(&cloud.provider, &reverse, &json!({ "reason": " " })).refused(422, "unprocessable");
    cloud.post(&cloud.provider, &format!("{PAYMENTS}/{NOWHERE}/reverse"), &why).refused(404, "not-found");
    assert_eq!(cloud.get(&cloud.acme, &invoice).fine(200)["status"], "issued");

    let statement = cloud.get(&cloud.acme, "/v1/tenants/acme/statement").fine(200);
    let lines = statement["items"][0]["lines"].as_array().unwrap();
    let kinds: Vec<&str> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["invoice", "payment", "reversal"], "{statement}");
    assert_eq!(statement["items"][0]["closing"], euros(&total));
    let paper = cloud.get(&cloud.acme, "/v1/tenants/acme/statement.pdf");
    assert_eq!((paper.status, paper.header("content-type")), (200, "application/pdf"), "{}", paper.text);
    assert!(
        paper.text.starts_with("%PDF-") && paper.header("content-disposition").contains("statement-acme.pdf")
    );
    cloud
        .get(&cloud.acme, "/v1/tenants/acme/statement.pdf?from=2026-11-01T00:00:00Z&to=2026-10-01T00:00:00Z")
        .refused(422, "unprocessable");
    let odd = "/v1/tenants/acme/statement?from=2026-11-01T00:00:00Z&to=2026-10-01T00:00:00Z";
    cloud.get(&cloud.acme, odd).refused(422, "unprocessable");
    assert!(cloud.up.stop().success());
}

#[test]
fn what_is_no_payment_is_refused_with_its_reason_and_more_than_is_owed_is_credit() {
    let (cloud, number) = with_past(&[]);
    let with = |change: Value| {
        let mut body = paid("10.00", "odd");
        for (field, value) in change.as_object().unwrap() {
            body[field] = value.clone();
        }
        body
    };
    let dollars = json!({ "amount": "10.00", "currency": "USD" });
    for (change, status, kind) in [
        (json!({ "amount": euros("0.00") }), 422, "unprocessable"),
        (json!({ "amount": euros("-1.00") }), 422, "unprocessable"),
        (json!({ "amount": euros("1.001") }), 422, "unprocessable"),
        (json!({ "amount": euros("999999999999999999999.00") }), 400, "invalid-body"),
        (json!({ "amount": euros("1e3") }), 400, "invalid-body"),
        (json!({ "amount": { "amount": 1, "currency": "EUR" } }), 400, "invalid-body"),
        (json!({ "amount": { "amount": "1.00", "currency": "XXY" } }), 422, "unprocessable"),
        (json!({ "amount": dollars, "invoice": number }), 422, "unprocessable"),
        (json!({ "invoice": "INV-1999-000001" }), 422, "unprocessable"),
        (json!({ "invoice": "INV\u{0}" }), 422, "unprocessable"),
        (json!({ "paid_at": "2999-01-01T00:00:00Z" }), 422, "unprocessable"),
        (json!({ "method": "Bank!" }), 422, "unprocessable"),
        (json!({ "reference": "" }), 422, "unprocessable"),
        (json!({ "reference": "two\nlines" }), 422, "unprocessable"),
        (json!({ "kind": "gift" }), 400, "invalid-body"),
        (json!({ "kind": "refund" }), 422, "unprocessable"),
        (json!({ "surprise": 1 }), 400, "invalid-body"),
        (json!({ "tenant": "nobody-known" }), 404, "not-found"),
        // Another tenant's invoice is none.
        (json!({ "tenant": "other", "invoice": number }), 422, "unprocessable"),
    ] {
        let answer = cloud.post(&cloud.provider, PAYMENTS, &with(change.clone()));
        assert_eq!(answer.status, status, "{change}: {}", answer.text);
        answer.refused(status, kind);
    }
    assert_eq!(cloud.get(&cloud.provider, PAYMENTS).fine(200)["items"], json!([]));

    let more = cloud.post(&cloud.provider, PAYMENTS, &paid("1000.00", "too much")).fine(201);
    let (unused, used) = (&more["payment"]["unused"]["amount"], more["used"].as_array().unwrap());
    assert!(unused.as_str().unwrap().starts_with("99"), "{more}");
    assert_eq!((used.len(), &used[0]["invoice"]), (1, &json!(number)));
    // What is credit may be given back, once.
    let mut refund = paid(unused.as_str().unwrap(), "given back");
    refund["kind"] = json!("refund");
    cloud.post(&cloud.provider, PAYMENTS, &refund).fine(201);
    refund["reference"] = json!("given back again");
    cloud.post(&cloud.provider, PAYMENTS, &refund).refused(422, "unprocessable");
    let void = json!({ "reason": "a slip" });
    cloud.post(&cloud.provider, &format!("/v1/invoices/{number}/void"), &void).refused(409, "conflict");
    assert!(cloud.up.stop().success());
}

#[test]
fn a_wallet_is_filled_and_whoever_pays_in_advance_is_told_what_is_left() {
    let cloud = Cloud::start();
    let wallet = "/v1/tenants/acme/wallet";
    cloud.get(&cloud.acme, wallet).refused(404, "not-found");
    let account = "/v1/tenants/acme/billing-account";
    let first = cloud.get(&cloud.acme, account);
    assert_eq!((first.etag(), &first.fine(200)["terms"]["mode"]), ("\"0\"".to_owned(), &json!("postpaid")));
    let prepaid = json!({ "treatment": "taxable", "mode": "prepaid", "currency": "EUR", "payment_days": 0, "low_balance": "20.00" });
    let put = |etag: &str, body: &Value| cloud.change(Method::PUT, &cloud.provider, account, etag, body);
    let without = cloud.send(cloud.request(Method::PUT, &cloud.provider, account).json(&prepaid));
    without.refused(428, "precondition-required");
    let set = put("\"0\"", &prepaid);
    assert_eq!((set.etag(), &set.fine(200)["terms"]["mode"]), ("\"1\"".to_owned(), &json!("prepaid")));
    put("\"0\"", &prepaid).refused(412, "stale");
    for (field, value, status, kind) in [
        ("country", json!("XQ"), 422, "unprocessable"),
        ("currency", json!("XXY"), 422, "unprocessable"),
        ("treatment", json!("reverse_charge"), 422, "unprocessable"),
        ("treatment", json!("exempt"), 422, "unprocessable"),
        ("treatment", json!("free"), 400, "invalid-body"),
        ("tax_reason", json!("needless"), 422, "unprocessable"),
        ("payment_days", json!(366), 422, "unprocessable"),
        ("payment_days", json!(-1), 400, "invalid-body"),
        ("starts_on", json!("2026-13-01"), 400, "invalid-body"),
        ("low_balance", json!("-1"), 422, "unprocessable"),
        ("low_balance", json!("a lot"), 400, "invalid-body"),
    ] {
        let mut body = prepaid.clone();
        body[field] = value.clone();
        let answer = put("*", &body);
        assert_eq!(answer.status, status, "{field} {value}: {}", answer.text);
        answer.refused(status, kind);
    }
    let mut top_up = paid("50.00", "in advance");
    top_up["kind"] = json!("top_up");
    once(&cloud, PAYMENTS, "t", &top_up).fine(201);
    once(&cloud, PAYMENTS, "t", &top_up).fine(201);
    let shown = cloud.get(&cloud.acme, wallet).fine(200);
    assert_eq!(
        (&shown["prepaid"], &shown["paid"], &shown["left"]),
        (&json!(true), &euros("50.00"), &euros("50.00"))
    );
    let mut dollars = prepaid.clone();
    dollars["currency"] = json!("USD");
    put("*", &dollars).refused(422, "unprocessable");
    assert!(cloud.up.stop().success());
}

#[test]
fn what_the_books_have_of_a_tenant_does_not_exist_for_others_and_is_changed_by_the_provider_alone() {
    let (cloud, number) = with_past(&[]);
    let made = cloud.post(&cloud.provider, PAYMENTS, &paid("1.00", "a part"));
    let payment = made.header("location").to_owned();
    made.fine(201);
    let invoice = format!("/v1/invoices/{number}");
    let acme = cloud.get(&cloud.acme, "/v1/tenants/acme").fine(200)["tenant_id"].as_str().unwrap().to_owned();
    for path in [
        payment.clone(),
        format!("{PAYMENTS}?tenant=acme"),
        format!("{PAYMENTS}?tenant={acme}"),
        "/v1/tenants/acme/wallet".to_owned(),
        "/v1/tenants/acme/statement".to_owned(),
        "/v1/tenants/acme/statement.pdf".to_owned(),
        format!("/v1/tenants/{acme}/statement"),
        "/v1/tenants/acme/billing-account".to_owned(),
        "/v1/tenants/acme/allowances".to_owned(),
        "/v1/usage-corrections?tenant=acme".to_owned(),
        invoice.clone(),
        format!("{invoice}.pdf"),
        format!("{invoice}/lines/1/resources"),
    ] {
        cloud.get(&cloud.other, &path).refused(404, "not-found");
        cloud.get(&cloud.planner, &path).refused(403, "forbidden");
    }
    assert_eq!(cloud.get(&cloud.other, PAYMENTS).fine(200)["items"], json!([]));
    let reason = json!({ "reason": "mine" });
    let run = json!({ "period": "2026-10" });
    for token in [&cloud.acme, &cloud.other, &cloud.reader, &cloud.planner] {
        for (path, body) in [
            (PAYMENTS.to_owned(), &paid("1000.00", "mine")),
            (format!("{payment}/reverse"), &reason),
            (format!("{invoice}/void"), &reason),
            (format!("{invoice}/rerate"), &reason),
            ("/v1/billing-runs".to_owned(), &run),
            ("/v1/usage-corrections".to_owned(), &json!({})),
        ] {
            cloud.post(token, &path, body).refused(403, "forbidden");
        }
        let sent = cloud.send(cloud.request(Method::POST, token, &format!("{invoice}/send")));
        sent.refused(403, "forbidden");
        cloud.get(token, &format!("{invoice}/rerate")).refused(403, "forbidden");
        cloud.get(token, "/v1/billing-runs").refused(403, "forbidden");
        let terms = json!({ "treatment": "taxable", "mode": "postpaid", "payment_days": 365 });
        let path = "/v1/tenants/acme/billing-account";
        cloud.change(Method::PUT, token, path, "*", &terms).refused(403, "forbidden");
    }
    assert!(cloud.up.stop().success());
}

#[test]
fn an_invoice_is_sent_rated_again_corrected_and_withdrawn_once() {
    let (cloud, number) = with_past(&[]);
    let path = |number: &str, step: &str| format!("/v1/invoices/{number}{step}");
    let send = || cloud.send(cloud.request(Method::POST, &cloud.provider, &path(&number, "/send"))).fine(200);
    let sent = send();
    assert!(sent["sent_at"].is_string());
    assert_eq!(send(), sent, "what was noted before stays");
    let rerated = cloud.get(&cloud.provider, &path(&number, "/rerate")).fine(200);
    assert_eq!((&rerated["is_changed"], &rerated["lines"]), (&json!(false), &json!([])), "{rerated}");
    // What was not used is not paid for: the correction of an exclusion is a credit note.
    let instance = seed::instance_id().to_string();
    let period = &sent["service_period"];
    let hour = |text: &Value| format!("{}:00:00Z", &text.as_str().unwrap()[..13]);
    let exclusion = json!({ "resource_id": instance, "meter": "vcpu_ms", "from": hour(&period["from"]),
        "to": hour(&period["to"]), "action": "exclude", "reason": "The clock was wrong." });
    let key = once(&cloud, "/v1/usage-corrections", "c", &exclusion).fine(201);
    assert_eq!(once(&cloud, "/v1/usage-corrections", "c", &exclusion).fine(201), key);
    assert_eq!(cloud.get(&cloud.acme, "/v1/usage-corrections").fine(200)["items"], json!([key]));
    assert_eq!(cloud.get(&cloud.other, "/v1/usage-corrections").fine(200)["items"], json!([]));
    let one = format!("/v1/usage-corrections/{}", key["correction_id"].as_str().unwrap());
    cloud.get(&cloud.other, &one).refused(404, "not-found");
    assert_eq!(cloud.get(&cloud.provider, &path(&number, "/rerate")).fine(200)["is_changed"], true);

    let why = json!({ "reason": "A clock was wrong." });
    let corrected = once(&cloud, &path(&number, "/rerate"), "k", &why).fine(201);
    assert_eq!(once(&cloud, &path(&number, "/rerate"), "k", &why).fine(201), corrected);
    assert_eq!(corrected["credit_note"]["kind"], "credit_note");
    let new = corrected["corrected"]["number"].as_str().unwrap().to_owned();
    assert_eq!(cloud.get(&cloud.acme, &path(&number, "")).fine(200)["replaced_by"], json!(new));
    cloud.post(&cloud.provider, &path(&number, "/rerate"), &why).refused(409, "conflict");
    cloud.post(&cloud.provider, &path(&number, "/void"), &why).refused(409, "conflict");
    let odd = json!({ "reason": "" });
    cloud.post(&cloud.provider, &path(&new, "/void"), &odd).refused(422, "unprocessable");
    let void = cloud.post(&cloud.provider, &path(&new, "/void"), &why).fine(200);
    assert_eq!(void["status"], "void");
    assert_eq!(cloud.post(&cloud.provider, &path(&new, "/void"), &why).fine(200), void, "once is enough");
    let mut late = paid("1.00", "for a void one");
    late["invoice"] = json!(new);
    cloud.post(&cloud.provider, PAYMENTS, &late).refused(422, "unprocessable");

    let withdrawal = format!("{one}/withdrawal");
    once(&cloud, &withdrawal, "w", &why).fine(200);
    once(&cloud, &withdrawal, "w", &why).fine(200);
    cloud.post(&cloud.provider, &withdrawal, &why).refused(409, "conflict");
    assert!(cloud.up.stop().success());
}

#[test]
fn a_billing_run_is_begun_once_and_says_of_every_tenant_what_came_of_it() {
    let cloud = Cloud::start();
    apply_plan(&cloud, DOLLARS);
    cloud.up.ask(&["tenant", "set-plan", "acme", "dollars", "--from", "2026-01-01"]);
    let runs = "/v1/billing-runs";
    let body = json!({ "period": "2026-01", "before_cutoff": true });
    let begun = once(&cloud, runs, "run", &body);
    let path = begun.header("location").to_owned();
    let id = begun.fine(201)["run_id"].clone();
    assert_eq!(once(&cloud, runs, "run", &body).fine(201)["run_id"], id);
    once(&cloud, runs, "run", &json!({ "period": "2026-02" })).refused(422, "unprocessable");
    cloud.up.wait_until("the run is over", || {
        !cloud.get(&cloud.provider, &path).fine(200)["finished_at"].is_null()
    });
    let listed = cloud.get(&cloud.provider, runs).fine(200);
    assert!(listed["items"].as_array().unwrap().iter().any(|run| run["run_id"] == id), "{listed}");
    let items = cloud.get(&cloud.provider, &format!("{path}/items")).fine(200);
    assert_eq!(items["items"][0]["tenant"], "acme", "{items}");
    for (odd, status, kind) in [
        (json!({ "period": "2026-13" }), 422, "unprocessable"),
        (json!({ "period": "2026-01", "tenant": "nobody-known" }), 404, "not-found"),
        (json!({ "period": "2026-01", "goal": "pay" }), 400, "invalid-body"),
    ] {
        cloud.post(&cloud.provider, runs, &odd).refused(status, kind);
    }
    cloud.get(&cloud.provider, &format!("{runs}/{NOWHERE}")).refused(404, "not-found");

    let file = cloud.dir.path().join("rates.csv");
    let rates =
        "from,to,valid_from,rate,source\nEUR,USD,2026-01-01,1.10,test\nEUR,USD,2026-02-01,1.20,test\n";
    std::fs::write(&file, rates).unwrap();
    cloud.up.ask(&["exchange", "load", file.to_str().unwrap()]);
    let first = cloud.get(&cloud.acme, "/v1/exchange-rates?limit=1").fine(200);
    assert_eq!(first["items"][0]["valid_from"], "2026-02-01", "{first}");
    let next = format!("/v1/exchange-rates?limit=1&cursor={}", first["next"].as_str().unwrap());
    assert_eq!(cloud.get(&cloud.acme, &next).fine(200)["items"][0]["valid_from"], "2026-01-01");
    cloud.get(&cloud.acme, "/v1/exchange-rates?from=EURO").refused(400, "invalid-query");
    cloud.get(&cloud.planner, "/v1/exchange-rates").refused(403, "forbidden");
    assert!(cloud.up.stop().success());
}

#[test]
fn a_month_that_runs_in_one_currency_is_not_moved_to_a_plan_in_another() {
    let (cloud, number) = with_past(&SOON);
    apply_plan(&cloud, DOLLARS);
    let tenant = "/v1/tenants/acme";
    let patch = |body: &Value| cloud.change(Method::PATCH, &cloud.provider, tenant, "*", body);
    // What was issued of the month stays with its plan, until it is taken back.
    let running = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().first_of_month();
    let issued = patch(&json!({ "plan": "dollars", "plan_from": running })).refused(409, "conflict");
    assert!(issued["detail"].as_str().unwrap().contains(number.as_str()), "{issued}");
    patch(&json!({ "plan": "dollars", "plan_from": "2027-01-15" })).refused(422, "unprocessable");
    patch(&json!({ "plan_from": "2027-01-01" })).refused(422, "unprocessable");
    cloud.up.ask(&["invoice", "void", number.as_str(), "--reason", "a slip"]);
    cloud.up.wait_until("the month is rated", || {
        cloud.get(&cloud.acme, &format!("{tenant}/draft")).status == 200
    });
    let refused = patch(&json!({ "plan": "dollars" })).refused(409, "conflict");
    assert!(refused["detail"].as_str().unwrap().contains("set-billing"), "{refused}");
    assert_eq!(cloud.get(&cloud.provider, tenant).fine(200)["plan"], "past");
    // What changes nothing of it is still taken, and a tenant that pays in euros may have prices in dollars.
    patch(&json!({ "plan": "past", "display_name": "Acme" })).fine(200);
    let euros = json!({ "treatment": "taxable", "mode": "postpaid", "currency": "EUR" });
    let account = format!("{tenant}/billing-account");
    cloud.change(Method::PUT, &cloud.provider, &account, "*", &euros).fine(200);
    let changed = patch(&json!({ "plan": "dollars" })).fine(200);
    let said = changed["plan_assignments"].as_array().unwrap().last().unwrap();
    assert_eq!((&changed["plan"], &said["from"]), (&json!("dollars"), &json!(running)), "{changed}");
    assert!(cloud.up.stop().success());
}

#[test]
fn a_secret_that_is_changed_twice_with_one_key_is_changed_once() {
    let cloud = Cloud::start();
    let made = cloud.post(&cloud.acme, "/v1/webhooks", &json!({ "url": "https://hooks.example.org/w" }));
    let (path, old) = (format!("{}/rotate", made.header("location")), made.fine(201)["secret"].clone());
    let rotate = |token: &str, key: &str| {
        cloud.send(cloud.request(Method::POST, token, &path).header("Idempotency-Key", key))
    };
    let new = rotate(&cloud.acme, "r").fine(200);
    assert_ne!(new["secret"], old);
    assert_eq!(rotate(&cloud.acme, "r").fine(200), new);
    assert_ne!(rotate(&cloud.acme, "s").fine(200)["secret"], new["secret"]);
    rotate(&cloud.other, "r").refused(404, "not-found");
    assert!(cloud.up.stop().success());
}

#[test]
fn a_dimension_is_said_by_the_provider_and_seen_by_whoever_holds_the_instance() {
    let (cloud, _) = with_past(&[]);
    let path = format!("/v1/instances/{}/dimensions", seed::instance_id());
    assert_eq!(cloud.get(&cloud.acme, &path).fine(200)["items"], json!([]));
    let put = |token: &str, name: &str, body: &Value| {
        cloud.send(cloud.request(Method::PUT, token, &format!("{path}/{name}")).json(body))
    };
    let said = put(&cloud.provider, "licence", &json!({ "value": "standard" })).fine(200);
    assert_eq!(
        (&said["name"], &said["value"], &said["device"]),
        (&json!("licence"), &json!("standard"), &json!(null))
    );
    assert_eq!(put(&cloud.provider, "licence", &json!({ "value": "standard" })).fine(200), said);
    assert_eq!(cloud.get(&cloud.acme, &path).fine(200)["items"], json!([said]));
    for (name, body) in [
        ("Licence", json!({ "value": "standard" })),
        ("licence", json!({ "value": "<b>" })),
        ("licence", json!({ "value": "standard", "device": "vdz" })),
    ] {
        put(&cloud.provider, name, &body).refused(422, "unprocessable");
    }
    put(&cloud.acme, "licence", &json!({ "value": "free" })).refused(403, "forbidden");
    cloud.get(&cloud.other, &path).refused(404, "not-found");
    cloud.get(&cloud.provider, &format!("/v1/instances/{NOWHERE}/dimensions")).refused(404, "not-found");
    assert!(cloud.up.stop().success());
}
