//! docs/billing.md is read by people who write plans: what it shows is right, and no key is missing in it.

use std::collections::BTreeSet;

use billing::PricePlan;
use billing::tax::TaxTable;
use billing::terms::TenantTerms;

const DOCUMENT: &str = include_str!("../../../docs/billing.md");
const HEAD: &str = "name = \"p\"\ncurrency = \"EUR\"\ntime_zone = \"UTC\"\n";
const VERSION: &str = "[[version]]\nfrom = \"2026-01-01\"\n";

fn toml_blocks() -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in DOCUMENT.lines() {
        match (&mut open, line) {
            (None, "```toml") => open = Some(String::new()),
            (Some(_), "```") => blocks.extend(open.take()),
            (Some(text), line) => *text += &format!("{line}\n"),
            (None, _) => {}
        }
    }
    blocks
}

/// The text as a whole plan: examples of one price leave out what is the same in all of them.
fn whole(block: &str) -> String {
    let (top, rest) = block.split_at(block.find('[').unwrap_or(block.len()));
    let says = |text: &str, key: &str| text.lines().any(|line| line.split([' ', '=']).next() == Some(key));
    let version = if says(block, "[[version]]") { "" } else { VERSION };
    let has_keys_of_version = ["minimum", "maximum", "sponsor"].iter().any(|key| says(top, key));
    let left_out = HEAD.lines().filter(|line| !says(top, line.split(' ').next().unwrap_or_default()));
    let head: String = left_out.map(|line| format!("{line}\n")).collect();
    if has_keys_of_version {
        format!("{head}{version}{top}{rest}")
    } else {
        format!("{head}{top}{version}{rest}")
    }
}

#[test]
fn everything_in_toml_in_the_document_is_right() {
    let blocks = toml_blocks();
    for block in &blocks {
        if block.starts_with("[[terms]]") {
            TenantTerms::parse("terms.toml", block.as_bytes())
                .unwrap_or_else(|errors| panic!("{errors}\n{block}"));
        } else if block.contains("[seller]") || block.contains("[[rate]]") {
            TaxTable::parse("taxes.toml", block.as_bytes())
                .unwrap_or_else(|errors| panic!("{errors}\n{block}"));
        } else {
            let text = whole(block);
            PricePlan::parse("plan.toml", text.as_bytes())
                .unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        }
    }
    assert!(20 <= blocks.len(), "only {} blocks", blocks.len());
}

#[test]
fn the_terms_of_the_document_go_with_its_plan() {
    let blocks = toml_blocks();
    let find = |start: &str| blocks.iter().find(|block| block.starts_with(start)).unwrap().as_bytes();
    let plan = PricePlan::parse("plan.toml", find("name = \"example\"")).unwrap();
    let terms = TenantTerms::parse("terms.toml", find("[[terms]]")).unwrap();
    assert_eq!(plan.for_tenant(&terms).unwrap().versions().len(), 3);
}

#[test]
fn no_key_of_a_plan_is_missing_in_the_document() {
    let odd = "qqqqqqqqqqqq = \"1\"\n";
    let tables = "[version.trial]\nQ[[version.rate_card]]\nQ[[version.rate_card.time_of_use]]\nQ[[version.rate_card]]\nvolume = [{ R }]\n\
                  [[version.rate_card]]\npackage = { R }\n[[version.rate_card]]\npercentile = { R }\n[[version.pool]]\nQ\
                  [[version.commitment]]\nQ[[version.fee]]\nQ[[version.discount]]\nQ";
    let tables = tables.replace('Q', odd).replace('R', odd.trim_end());
    let text = format!("{odd}[tax]\n{odd}[[version]]\n{odd}{tables}");
    let errors = PricePlan::parse("plan.toml", text.as_bytes()).unwrap_err().to_string();
    let lists =
        errors.lines().filter_map(|line| Some(line.split_once("the keys of ")?.1.split_once(" are ")?.1));
    let keys: BTreeSet<&str> = lists.flat_map(|list| list.split(", ")).collect();
    assert!(45 < keys.len(), "{keys:?}");
    let (_, reference) = DOCUMENT.split_once("## The plan file").unwrap();
    for key in keys {
        let is_there = reference.contains(&format!("`{key}`"))
            || reference.contains(&format!("version.{key}]"))
            || ["size", "price", "percent", "interval", "version"].contains(&key) && reference.contains(key)
            || key == "tax";
        assert!(is_there, "docs/billing.md does not explain `{key}`");
    }
}
