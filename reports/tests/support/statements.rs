//! Statements of account to be read back and looked at.

use billing::books::statement::{Statement, StatementLine};
use billing::{Currency, Money, Party};
use jiff::{SignedDuration, Timestamp};
use metering::Window;
use rust_decimal::Decimal;

use reports::StatementDocument;

/// All of them, by name.
pub fn all() -> Vec<(&'static str, StatementDocument)> {
    vec![
        ("empty", empty()),
        ("quiet", of(vec![statement("EUR", "-20.00", &[])])),
        ("small", small()),
        ("crowded", crowded(60)),
        ("long", crowded(1_000)),
        ("currencies", currencies()),
        ("hostile", hostile()),
    ]
}

/// Nothing was ever booked.
pub fn empty() -> StatementDocument {
    of(Vec::new())
}

/// An invoice, half of it paid, a letter about the rest, and a payment that bounced.
pub fn small() -> StatementDocument {
    of(vec![statement(
        "EUR",
        "0.00",
        &[
            ("invoice", "INV-2026-000001", "119.00"),
            ("payment", "RF18 5390 0754 7034", "-60.00"),
            ("dunning_fee", "Second reminder INV-2026-000001", "5.00"),
            ("reversal", "RF18 5390 0754 7034", "60.00"),
            ("credit_note", "CN-2026-000001", "-1234.50"),
        ],
    )])
}

/// So many lines, which fill pages.
pub fn crowded(lines: usize) -> StatementDocument {
    let names: Vec<String> = (1..=lines).map(|n| format!("INV-2026-{n:06}")).collect();
    let lines: Vec<(&str, &str, &str)> = names
        .iter()
        .enumerate()
        .map(|(n, name)| match n % 3 {
            2 => ("payment", "A transfer of Acme & Sons, for the two invoices before", "-2000.00"),
            _ => ("invoice", name.as_str(), "1119.37"),
        })
        .collect();
    of(vec![statement("EUR", "250.00", &lines)])
}

/// Currencies without decimals and with three.
pub fn currencies() -> StatementDocument {
    of(vec![
        statement(
            "BHD",
            "0.000",
            &[("invoice", "INV-2026-000002", "11.905"), ("top_up", "in advance", "-20.000")],
        ),
        statement("JPY", "0", &[("invoice", "INV-2026-000001", "1234567"), ("payment", "all", "-1234567")]),
    ])
}

/// Names that are markup, long words, and figures of twenty digits.
pub fn hostile() -> StatementDocument {
    let long = "W".repeat(140);
    let mut document = of(vec![statement(
        "EUR",
        "99999999999999999.99",
        &[
            ("payment", "#panic(\"x\") #import *bold* <b>x</b>\u{202e}", "-12345678901234567.89"),
            ("payment", &long, "-1.00"),
            ("something_new", "\n", "1.00"),
        ],
    )]);
    document.buyer.name = "#panic(\"y\") ".repeat(40);
    document
}

fn of(statements: Vec<Statement>) -> StatementDocument {
    let party = |name: &str, tax_number: &str| Party {
        name: name.to_owned(),
        address: vec!["1 Example Street".to_owned(), "12345 Exampletown".to_owned()],
        country: Some("DE".to_owned()),
        tax_number: Some(tax_number.to_owned()),
    };
    let beginning = if statements.len() == 1 { at(0) } else { Timestamp::UNIX_EPOCH };
    StatementDocument {
        seller: party("Example Cloud", "DE123456789"),
        buyer: party("Acme & Sons", "DE987654321"),
        tenant: "acme".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        period: Window::new(beginning, at(400)).expect("it ends after it begins"),
        made_at: at(400),
        statements,
    }
}

fn statement(code: &str, opening: &str, lines: &[(&str, &str, &str)]) -> Statement {
    let currency = Currency::parse(code).expect("a currency");
    let money = |text: &str| {
        Money::exact(text.parse::<Decimal>().expect("a decimal"), currency)
            .expect("it has the currency's decimals")
    };
    let opening = money(opening);
    let mut closing = opening;
    let lines = lines
        .iter()
        .enumerate()
        .map(|(n, (kind, about, amount))| {
            let amount = money(amount);
            closing = closing.checked_add(amount).expect("it is small");
            StatementLine {
                at: at(n % 400),
                kind: (*kind).to_owned(),
                about: (*about).to_owned(),
                amount,
                balance: closing,
            }
        })
        .collect();
    Statement { currency, opening, lines, closing }
}

fn at(days: usize) -> Timestamp {
    let begin: Timestamp = "2025-12-31T23:00:00Z".parse().expect("RFC 3339");
    begin + SignedDuration::from_hours(24) * i32::try_from(days).unwrap_or(0)
}
