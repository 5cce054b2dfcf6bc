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
