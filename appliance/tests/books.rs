//! The books on the command line of a real `weir up` on a real PostgreSQL: payments, wallets, statements, dunning, taxes,
//! exchange rates, terms and plans that are tried, and what is said to whoever types something wrong.

mod running;
#[path = "api/seed.rs"]
mod seed;

use migrations::testing::TestDatabase;
use running::Weir;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const ID: &str = "7b3b8a52-6c7e-4a52-9d2b-0b8a3c1d2e4f";
/// The prices of the seed's plan, with processor time at twice of it.
const DEARER: &str = "name = \"past\"\ncurrency = \"EUR\"\ntime_zone = \"UTC\"\n[tax]\nname = \"VAT\"\nrate = \"0.19\"\n\
    [[version]]\nfrom = \"2026-01-01\"\n[[version.rate_card]]\nmeter = \"cpu_ns\"\nunit_price = \"0.5\"\n\
    [[version.rate_card]]\nmeter = \"vcpu_ms\"\nunit_price = \"0.5\"\n";
const TAXES: &str = "[seller]\ncountry = \"DE\"\nnumber = \"DE123456789\"\n[[rate]]\ncountry = \"FR\"\nclass = \"standard\"\n\
    name = \"TVA\"\nrate = \"0.2\"\nfrom = \"2020-01-01\"\n";
const RATES: &str =
    "from,to,valid_from,rate,source\nEUR,JPY,2026-10-01,150,example\nEUR,JPY,2026-10-31,160,example\n";

/// Tenant acme with an invoice.
struct Desk {
    up: Weir,
    dir: TempDir,
    number: String,
    _database: TestDatabase,
    _runtime: Runtime,
}

impl Desk {
    fn open() -> Self {
        let runtime = Runtime::new().unwrap();
        let database = runtime.block_on(migrations::testing::database());
        let dir = tempfile::tempdir().unwrap();
        let settings = [("WEIR__COLLECTOR__ENABLED", "false")];
        let flags = ["--database-url", database.owner_url()];
        let up = Weir::start_with(&dir.path().join("data"), &flags, &settings);
        up.ask(&["tenant", "create", "acme"]);
        up.ask(&["tenant", "create", "other"]);
        let number = runtime.block_on(seed::past(&database));
        Self { up, dir, number, _database: database, _runtime: runtime }
    }

    /// A file of that name.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// It is refused with a sentence that has all of these words, and nothing on the standard output.
    #[track_caller]
    fn refused(&self, arguments: &[&str], words: &[&str]) {
        let output = self.up.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?} was taken");
        assert!(output.stdout.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        for word in words {
            assert!(said.contains(word), "{arguments:?}: {said:?} lacks {word:?}");
        }
    }

    fn status(&self) -> Value {
        self.up.ask(&["invoice", "history", &self.number])["status"].clone()
    }

    /// What the invoice comes to, such as `1.68 EUR`.
    fn total(&self) -> String {
        self.up.ask(&["invoice", "list"])["invoices"][0]["total_shown"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_payment_pays_its_invoice_once_and_bounces_once() {
    let desk = Desk::open();
    let (total, up) = (desk.total(), &desk.up);
    let record = [
        "payment",
        "record",
        "acme",
        &total,
        "--reference",
        "a transfer",
        "--invoice",
        &desk.number,
        "--id",
        ID,
    ];
    let made = up.ask(&record);
    assert_eq!((&made["payment_id"], &made["unused"]["amount"]), (&json!(ID), &json!("0.00")), "{made}");
    assert_eq!(desk.status(), "paid");
    let again = up.ask(&record);
    assert!(again["message"].as_str().unwrap().contains("recorded before"), "{again}");
    let twice = ["payment", "record", "acme", &total, "--reference", "a transfer"];
    desk.refused(&twice, &["recorded already", ID]);
    let listed = up.ask(&["payment", "list", "--tenant", "acme"]);
    assert_eq!(listed["payments"].as_array().unwrap().len(), 1);
    assert_eq!(up.ask(&["payment", "list", "--tenant", "other"])["payments"], json!([]));
    assert_eq!(up.ask(&["payment", "show", ID])["used"][0]["invoice"], json!(desk.number));
    let reverse = ["payment", "reverse", ID, "--reason", "Returned: account closed"];
    assert_eq!(up.ask(&reverse)["reversal"]["reason"], "Returned: account closed");
    desk.refused(&reverse, &["taken back already", "account closed"]);
    assert_eq!(desk.status(), "issued");

    // More than is owed is credit, and is given back once.
    up.ask(&["payment", "record", "acme", "100", "EUR", "--reference", "too much", "--on", "2026-11-01"]);
    assert_eq!(desk.status(), "paid");
    desk.refused(
        &["payment", "refund", "acme", "100.00", "EUR", "--reference", "x"],
        &["cannot be given back"],
    );
    let statement = up.ask(&["statement", "acme"]);
    let lines = statement["statements"][0]["lines"].as_array().unwrap();
    let kinds: Vec<&str> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["invoice", "payment", "reversal", "payment"], "{statement}");
    assert!(statement["statements"][0]["closing_shown"].as_str().unwrap().starts_with("-98."), "{statement}");
    assert!(desk.up.stop().success());
}

#[test]
fn what_is_no_payment_is_refused_with_what_to_write_instead() {
    let desk = Desk::open();
    for (arguments, words) in [
        (&["payment", "record", "acme", "1", "--reference", "x"][..], &["no amount", "119.00 EUR"][..]),
        (&["payment", "record", "acme", "1,00", "EUR", "--reference", "x"], &["1,00", "119.00 EUR"]),
        (
            &["payment", "record", "acme", "0", "EUR", "--reference", "x"],
            &["0.00 EUR", "weir payment reverse"],
        ),
        (&["payment", "record", "acme", "1.001", "EUR", "--reference", "x"], &["1.001"]),
        (&["payment", "record", "acme", "1", "XXY", "--reference", "x"], &["XXY"]),
        (&["payment", "record", "nobody", "1", "EUR", "--reference", "x"], &["nobody", "weir tenant list"]),
        (
            &["payment", "record", "acme", "1", "EUR", "--reference", "x", "--on", "2999-01-01"],
            &["still to come"],
        ),
        (&["payment", "record", "acme", "1", "EUR", "--reference", "x", "--on", "soon"], &["soon"]),
        (
            &["payment", "record", "acme", "1", "USD", "--reference", "x", "--invoice", &desk.number],
            &["EUR", "USD"],
        ),
        (
            &["payment", "record", "other", "1", "EUR", "--reference", "x", "--invoice", &desk.number],
            &[&desk.number, "weir invoice list"],
        ),
        (&["payment", "record", "acme", "1", "EUR", "--reference", ""], &["reference"]),
        (&["payment", "show", "7b3b8a52-6c7e-4a52-9d2b-000000000000"], &["weir payment list"]),
        (&["payment", "reverse", ID, "--reason", " "], &["reason"]),
        (&["payment", "reverse", ID, "--reason", "a slip"], &["weir payment list"]),
        (&["statement", "acme", "--from", "2026-11-02", "--to", "2026-11-01"], &["ends after it begins"]),
        (&["statement", "nobody"], &["nobody"]),
    ] {
        desk.refused(arguments, words);
    }
    assert!(desk.up.stop().success());
}

#[test]
fn a_tenant_pays_in_advance_and_disputes_an_invoice() {
    let desk = Desk::open();
    let up = &desk.up;
    let none = up.ask(&["wallet", "show", "other"]);
    assert!(none["message"].as_str().unwrap().contains("weir wallet top-up other"), "{none}");
    let set = [
        "tenant",
        "set-billing",
        "other",
        "--mode",
        "prepaid",
        "--currency",
        "EUR",
        "--low-balance",
        "20.00",
    ];
    let account = up.ask(&[&set[..], &["--payment-days", "7", "--country", "FR"]].concat());
    assert_eq!((&account["mode"], &account["payment_days"]), (&json!("prepaid"), &json!(7)), "{account}");
    up.ask(&["wallet", "top-up", "other", "50.00", "EUR", "--reference", "in advance"]);
    let wallet = up.ask(&["wallet", "show", "other"]);
    assert_eq!((&wallet["prepaid"], &wallet["left"]["amount"]), (&json!(true), &json!("50.00")), "{wallet}");
    // What is not named stays; `none` takes away.
    let account = up.ask(&["tenant", "set-billing", "other", "--country", "none"]);
    assert_eq!((&account["country"], &account["low_balance"]), (&Value::Null, &json!("20.00")), "{account}");

    assert_eq!(up.ask(&["dunning", "list"])["dunning"], json!([]));
    assert_eq!(up.ask(&["dunning", "run"])["ordered"], json!([]), "nothing is due yet");
    up.ask(&["dunning", "hold", &desk.number, "--reason", "The hours are wrong."]);
    let held = up.ask(&["dunning", "list"]);
    assert_eq!(
        (&held["dunning"][0]["number"], &held["dunning"][0]["reason"]),
        (&json!(desk.number), &json!("The hours are wrong.")),
        "{held}"
    );
    up.ask(&["dunning", "release", &desk.number]);
    assert_eq!(up.ask(&["dunning", "list"])["dunning"], json!([]));
    let over = up.ask(&["dunning", "release", &desk.number]);
    assert!(over["message"].as_str().unwrap().contains("not disputed"), "{over}");

    for (arguments, words) in [
        (
            &["tenant", "set-billing", "other", "--currency", "USD"][..],
            &["50.00 EUR", "weir payment refund"][..],
        ),
        (&["tenant", "set-billing", "other", "--currency", "XXY"], &["XXY"]),
        (&["tenant", "set-billing", "other", "--country", "XQ"], &["XQ"]),
        (&["tenant", "set-billing", "other", "--treatment", "reverse_charge"], &["weir tenant set-party"]),
        (&["tenant", "set-billing", "other", "--treatment", "exempt"], &["needs a reason"]),
        (&["tenant", "set-billing", "other", "--treatment", "free"], &["free", "reverse_charge"]),
        (&["tenant", "set-billing", "other", "--payment-days", "400"], &["400", "365"]),
        (&["tenant", "set-billing", "other", "--starts-on", "soon"], &["--starts-on", "2026-11-01"]),
        (&["tenant", "set-billing", "other", "--low-balance", "little"], &["--low-balance", "20.00"]),
        (&["wallet", "top-up", "other", "fifty", "EUR", "--reference", "x"], &["fifty", "119.00 EUR"]),
        (&["wallet", "show", "nobody"], &["nobody"]),
        (&["dunning", "hold", "INV-1999-000001", "--reason", "x"], &["INV-1999-000001", "weir invoice list"]),
        (&["dunning", "hold", &desk.number, "--reason", " "], &["what is disputed"]),
    ] {
        desk.refused(arguments, words);
    }
    assert!(desk.up.stop().success());
}

#[test]
fn tables_are_checked_with_their_line_before_they_hold() {
    let desk = Desk::open();
    let up = &desk.up;
    desk.refused(&["tax", "show"], &["weir tax apply"]);
    let (taxes, odd) =
        (desk.file("t.toml", TAXES), desk.file("odd.toml", &TAXES.replace("\"0.2\"", "\"20 %\"")));
    assert_eq!(up.ask(&["tax", "validate", &taxes])["valid"], true);
    for step in ["validate", "apply"] {
        desk.refused(&["tax", step, &odd], &["odd.toml:8", "20 %"]);
        desk.refused(&["tax", step, "nowhere.toml"], &["nowhere.toml"]);
    }
    assert_eq!(up.ask(&["tax", "apply", &taxes])["revision"], 1);
    let again = up.ask(&["tax", "apply", &taxes]);
    assert!(again["message"].as_str().unwrap().contains("already"), "{again}");
    assert_eq!(up.ask(&["tax", "show"])["content"], TAXES);

    let rates = desk.file("r.csv", RATES);
    assert_eq!(up.ask(&["exchange", "load", &rates])["new"], 2);
    assert_eq!(up.ask(&["exchange", "load", &rates])["already"], 2);
    let listed = up.ask(&["exchange", "list", "--from", "EUR", "--to", "JPY"]);
    assert_eq!(listed["rates"][0]["rate"], "160", "{listed}");
    assert_eq!(up.ask(&["exchange", "list", "--from", "USD"])["rates"], json!([]));
    for (text, words) in [
        (RATES.replace(",150,", ",-150,"), ["odd.csv:2", "-150"]),
        (RATES.replace("2026-10-31", "2026-10-32"), ["odd.csv:3", "2026-10-32"]),
        (RATES.replace("JPY,2026-10-31", "XXY,2026-10-31"), ["odd.csv:3", "XXY"]),
        (RATES.replace("valid_from", "day"), ["odd.csv:1", "valid_from"]),
        // What was loaded is kept for ever.
        (RATES.replace(",160,", ",161,"), ["160", "161"]),
    ] {
        desk.refused(&["exchange", "load", &desk.file("odd.csv", &text)], &words);
    }
    desk.refused(&["exchange", "list", "--from", "XXY"], &["XXY"]);
    assert_eq!(up.ask(&["exchange", "list"])["rates"].as_array().unwrap().len(), 2, "all or nothing");
    assert!(desk.up.stop().success());
}

#[test]
fn terms_and_plans_are_tried_before_they_hold() {
    let desk = Desk::open();
    let up = &desk.up;
    let terms =
        "[[terms]]\nfrom = \"2026-01-01\"\n[[terms.rate_card]]\nname = \"vcpu_ms\"\nunit_price = \"0.125\"\n";
    let file = desk.file("terms.toml", terms);
    assert_eq!(up.ask(&["terms", "apply", "acme", &file])["revision"], 1);
    let again = up.ask(&["terms", "apply", "acme", &file]);
    assert!(again["message"].as_str().unwrap().contains("already"), "{again}");
    assert_eq!(up.ask(&["terms", "show", "acme"])["text"], terms);
    let effective = up.ask(&["terms", "show", "acme", "--plan"]);
    assert!(effective["effective"].as_str().unwrap().contains("0.125"), "{effective}");
    let none = up.ask(&["terms", "show", "other"]);
    assert!(none["revision"].is_null(), "{none}");
    desk.refused(&["terms", "apply", "other", &file], &["other", "weir tenant set-plan other PLAN"]);
    let odd = desk.file("odd.toml", &terms.replace("vcpu_ms", "no_card"));
    desk.refused(&["terms", "apply", "acme", &odd], &["no_card", "weir terms apply"]);
    let odd = desk.file("odd.toml", &terms.replace("\"0.125\"", "0.125"));
    desk.refused(&["terms", "apply", "acme", &odd], &["odd.toml:5"]);

    let dearer = desk.file("dearer.toml", DEARER);
    let changes = up.ask(&["plan", "diff", "past", &dearer]);
    assert_eq!(changes["changes"].as_array().unwrap().len(), 1, "{changes}");
    desk.refused(&["plan", "diff", "past", "nowhere.toml"], &["there is no file nowhere.toml"]);
    desk.refused(&["plan", "diff", "past", "nowhere"], &["nowhere", "weir plan list"]);
    let (first, next) = months();
    let simulate = ["plan", "simulate", &dearer, "--from", &first, "--to", &next];
    let tried = up.ask(&simulate);
    let row = &tried["tenants"][0];
    assert_eq!((&row["tenant"], tried["tenants"].as_array().unwrap().len()), (&json!("acme"), 1), "{tried}");
    assert!(row["difference"]["amount"].is_string() && row["changes"] == 1, "{tried}");
    desk.refused(&["plan", "simulate", &dearer, "--period", "2026-13"], &["2026-13", "such as"]);
    desk.refused(&["plan", "simulate", "nowhere.toml", "--period", "2026-10"], &["nowhere.toml"]);
    let odd = up.run(&["plan", "simulate", &dearer, "--period", "2026-10", "--tenant", "nobody"]);
    assert!(!odd.status.success() && String::from_utf8_lossy(&odd.stdout).contains("nobody"));
    // Nothing of it holds, and nothing that was shown to somebody is changed by accident.
    desk.refused(&["plan", "apply", &dearer], &["a version that has begun", "--rewrite-past"]);
    assert_eq!(up.ask(&["plan", "diff", "past", "past"])["changes"], json!([]));
    assert!(desk.up.stop().success());
}

/// The first days of this month and of the next one.
fn months() -> (String, String) {
    let first = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().first_of_month();
    (first.to_string(), first.checked_add(jiff::Span::new().months(1)).unwrap().to_string())
}
