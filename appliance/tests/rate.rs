//! `weir rate`, `weir plan validate` and `weir config`: files in, figures or clear sentences out, nothing running.

use std::path::Path;
use std::process::{Command, Output};

const USAGE: &str = "\
resource,instance_id,name,device,meter,window_start,window_end,quantity
instance,00000000-0000-0000-0000-000000000001,web,,cpu_ns,2026-10-01T00:00:00Z,2026-10-01T01:00:00Z,3600000000000
disk,00000000-0000-0000-0000-000000000001,web,vda,disk_write_bytes,2026-10-01T00:00:00Z,2026-10-01T01:00:00Z,33554432
";

/// A plan with one card for each of the two meters.
fn plan(currency: &str, cpu: &str, written: &str) -> String {
    format!(
        "name = \"p\"\ncurrency = \"{currency}\"\ntime_zone = \"UTC\"\n[tax]\nname = \"VAT\"\nrate = \"0.1\"\n\
         [[version]]\nfrom = \"2026-01-01\"\n\
         [[version.rate_card]]\nmeter = \"cpu_ns\"\nunit_price = \"{cpu}\"\nincluded = \"0.25\"\n\
         [[version.rate_card]]\nmeter = \"disk_write_bytes\"\nunit_price = \"{written}\"\n"
    )
}

fn weir(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir")).current_dir(dir).args(arguments).output().unwrap()
}

fn rate(plan: &str, usage: &str, period: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("p.toml"), plan).unwrap();
    std::fs::write(dir.path().join("u.csv"), usage).unwrap();
    weir(dir.path(), &[&["rate", "--plan", "p.toml", "--usage", "u.csv", "--json"], period].concat())
}

/// What each line comes to, then the total.
fn amounts(output: &Output) -> Vec<String> {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let invoice: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let amount = |money: &serde_json::Value| money["amount"].as_str().unwrap().to_owned();
    let mut amounts: Vec<String> =
        invoice["lines"].as_array().unwrap().iter().map(|line| amount(&line["amount"])).collect();
    amounts.push(amount(&invoice["total"]));
    amounts
}

#[test]
fn a_usage_file_is_rated_in_currencies_with_no_two_and_three_decimals() {
    let month = ["--period", "2026-10"];
    // 1 CPU·h with 0.25 free, and 0.031250 GiB; 10 % tax.
    assert_eq!(amounts(&rate(&plan("EUR", "2", "8"), USAGE, &month)), ["0.00", "1.50", "0.25", "1.93"]);
    assert_eq!(amounts(&rate(&plan("JPY", "200", "800"), USAGE, &month)), ["0", "150", "25", "193"]);
    assert_eq!(amounts(&rate(&plan("BHD", "2", "8"), USAGE, &month)), ["0.000", "1.500", "0.250", "1.925"]);
}

#[test]
fn a_custom_period_is_rated_like_a_month() {
    let span = ["--from", "2026-10-01", "--to", "2026-10-02T00:00:00Z"];
    assert_eq!(amounts(&rate(&plan("EUR", "2", "8"), USAGE, &span)), ["0.00", "1.50", "0.25", "1.93"]);
}

#[test]
fn whatever_is_wrong_with_the_files_is_told_with_its_place() {
    let good = plan("EUR", "2", "8");
    let month: &[&str] = &["--period", "2026-10"];
    for (plan, usage, period, words) in [
        (plan("EURO", "2", "8"), USAGE.to_owned(), month, vec!["p.toml:2", "EURO"]),
        (plan("EUR", "-2", "8"), USAGE.to_owned(), month, vec!["p.toml:11", "negative"]),
        (good.replace("\"2\"", "2.0"), USAGE.to_owned(), month, vec!["p.toml:11", "\"2.0\""]),
        (good.replace("included", "inclded"), USAGE.to_owned(), month, vec!["p.toml:12", "included"]),
        (good.clone(), USAGE.replace("cpu_ns", "cpu"), month, vec!["u.csv:2", "cpu_ns"]),
        (good.clone(), USAGE.replace("33554432", "-1"), month, vec!["u.csv:3", "-1"]),
        (good.clone(), USAGE.replace("quantity\n", "amount\n"), month, vec!["u.csv:1", "quantity"]),
        (good.clone(), USAGE.to_owned(), &["--period", "2026-13"], vec!["2026-13"]),
        (good.clone(), USAGE.to_owned(), &["--from", "2026-11-01", "--to", "2026-10-01"], vec!["2026-10-01"]),
    ] {
        let output = rate(&plan, &usage, period);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        for word in words {
            assert!(error.contains(word), "{error:?} lacks {word:?}");
        }
    }
}

#[test]
fn a_missing_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let output = weir(dir.path(), &["plan", "validate", "none.toml"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("none.toml"), "{error}");
}

#[test]
fn the_plans_that_come_with_weir_are_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for plan in ["billing/plans/demo.toml", "billing/plans/standard.toml"] {
        let output = weir(root, &["plan", "validate", plan]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_environment_goes_over_the_file_and_flags_go_over_both() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("weir.toml"),
        "[server]\nlisten = \"127.0.0.1:1\"\n[metering]\nwindow = \"15m\"\n",
    )
    .unwrap();
    let show = |environment: Option<&str>, flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.args(["config", "show", "--data"]).arg(dir.path()).args(flags);
        if let Some(listen) = environment {
            command.env("WEIR__SERVER__LISTEN", listen);
        }
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(show(None, &[]).contains("listen = \"127.0.0.1:1\""));
    assert!(show(Some("127.0.0.1:2"), &[]).contains("listen = \"127.0.0.1:2\""));
    assert!(show(Some("127.0.0.1:2"), &["--listen", "127.0.0.1:3"]).contains("listen = \"127.0.0.1:3\""));
    assert!(show(None, &[]).contains("window = \"15m\""));
}

#[test]
fn a_wrong_configuration_is_refused_by_its_check() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("weir.toml"), "[metering]\nwindow = \"7m\"\n").unwrap();
    let output = weir(dir.path(), &["config", "check", "--data", "."]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("metering.window"), "{error}");
}

/// Rates with files of more kinds beside plan and usage.
fn rate_with(plan: &str, usage: &str, files: &[(&str, &str)], flags: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [("p.toml", plan), ("u.csv", usage)].iter().chain(files) {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let fixed = ["rate", "--plan", "p.toml", "--usage", "u.csv", "--json", "--period", "2026-10"];
    weir(dir.path(), &[&fixed, flags].concat())
}

#[test]
fn every_model_of_price_is_rated_from_files_alone() {
    let head = "name = \"p\"\ncurrency = \"EUR\"\ntime_zone = \"UTC\"\n[tax]\nname = \"VAT\"\nrate = \"0\"\n";
    let header = "resource,instance_id,name,device,meter,window_start,window_end,quantity,dim:network\n";
    let nic = "nic,00000000-0000-0000-0000-000000000001,web,52:54:00:00:00:01,net_tx_bytes";
    // 2 GiB to the internet, 10 GiB within.
    let hours = "2026-10-01T00:00:00Z,2026-10-01T01:00:00Z";
    let usage = format!(
        "{header}{nic},{hours},2147483648,internet\n{nic},2026-10-01T01:00:00Z,2026-10-01T02:00:00Z,10737418240,internal\n"
    );
    let card = "[[version]]\nfrom = \"2026-01-01\"\n[[version.rate_card]]\nmeter = \"net_tx_bytes\"\n";
    let rows: String = (0..12)
        .map(|n| {
            format!(
                "{nic},2026-10-01T00:{:02}:00Z,2026-10-01T{:02}:{:02}:00Z,375000000,\n",
                n * 5,
                (n + 1) / 12,
                (n + 1) * 5 % 60
            )
        })
        .collect();
    let samples = format!("{header}{rows}");
    for (price, usage, expected) in [
        ("unit_price = \"1\"", &usage, &["12.00", "12.00"][..]),
        ("flat = \"3\"", &usage, &["3.00", "3.00"]),
        (
            "graduated = [{ up_to = \"5\", unit_price = \"1\" }, { unit_price = \"0.5\" }]",
            &usage,
            &["5.00", "3.50", "8.50"],
        ),
        (
            "volume = [{ up_to = \"5\", unit_price = \"1\" }, { unit_price = \"0.5\" }]",
            &usage,
            &["6.00", "6.00"],
        ),
        ("package = { size = \"5\", price = \"2\" }", &usage, &["6.00", "6.00"]),
        (
            "percentile = { percent = 100, interval = \"5m\", unit_price = \"2\" }",
            &samples,
            &["20.00", "20.00"],
        ),
        ("unit_price = \"1\"\nonly = { network = \"internet\" }", &usage, &["2.00", "2.00"]),
        (
            "unit_price = \"1\"\ntime_of_use = [{ name = \"n\", from = \"00:00\", to = \"01:00\", unit_price = \"3\" }]",
            &usage,
            &["6.00", "10.00", "16.00"],
        ),
    ] {
        let output = rate_with(&format!("{head}{card}{price}\n"), usage, &[], &[]);
        assert_eq!(amounts(&output), expected, "{price}");
    }
}

#[test]
fn terms_taxes_and_exchange_rates_come_from_files_too() {
    let own = plan("EUR", "2", "8");
    let terms =
        "[[terms]]\nfrom = \"2026-01-01\"\n[[terms.rate_card]]\nname = \"cpu_ns\"\nunit_price = \"1\"\n";
    let taxes = "[seller]\ncountry = \"DE\"\nnumber = \"DE123456789\"\n[[rate]]\ncountry = \"FR\"\nclass = \"standard\"\nname = \"TVA\"\nrate = \"0.2\"\nfrom = \"2020-01-01\"\n";
    let rates =
        "from,to,valid_from,rate,source\nEUR,JPY,2026-10-01,150,example\nEUR,JPY,2026-10-31,160,example\n";
    let files = [("t.toml", terms), ("x.toml", taxes), ("r.csv", rates)];
    let no_tax = own.replace("[tax]\nname = \"VAT\"\nrate = \"0.1\"\n", "");
    for (plan, flags, expected) in [
        (&own, &["--terms", "t.toml"][..], &["1.00", "0.25", "1.38"][..]),
        (&no_tax, &["--taxes", "x.toml", "--country", "FR"], &["0.00", "1.50", "0.25", "2.10"]),
        (
            &no_tax,
            &["--taxes", "x.toml", "--country", "FR", "--treatment", "reverse_charge", "--tax-number", "FR1"],
            &["0.00", "1.50", "0.25", "1.75"],
        ),
        (&own, &["--exchange", "r.csv", "--currency", "JPY"], &["0", "240", "40", "308"]),
    ] {
        assert_eq!(amounts(&rate_with(plan, USAGE, &files, flags)), expected, "{flags:?}");
    }
    for (plan, flags, expected) in [
        (&no_tax, &[][..], "--taxes"),
        (&own, &["--exchange", "r.csv", "--currency", "USD"], "EUR,USD,2026-10-31,RATE,SOURCE"),
        (&no_tax, &["--taxes", "x.toml", "--country", "FR", "--treatment", "reverse_charge"], "--tax-number"),
    ] {
        let output = rate_with(plan, USAGE, &files, flags);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(expected), "{error}");
    }
}

#[test]
fn what_changes_between_two_files_is_told_in_words() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("old.toml"), plan("EUR", "2", "8")).unwrap();
    std::fs::write(dir.path().join("new.toml"), plan("EUR", "3", "8")).unwrap();
    let told = |new: &str| {
        let output = weir(dir.path(), &["plan", "diff", "old.toml", new]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(
        told("new.toml"),
        "from 2026-01-01: card cpu_ns: 2 per CPU·h, 0.25 included -> 3 per CPU·h, 0.25 included\n"
    );
    assert_eq!(told("old.toml"), "Nothing changes.\n");
}
