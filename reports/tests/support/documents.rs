//! Invoices that are hard to render, made from billing's samples.

use billing::{Currency, InvoiceDocument, InvoiceLine, InvoiceStatus, Money, Party};
use metering::InstanceId;
use rust_decimal::Decimal;

/// Every document worth looking at, with its name.
pub fn all() -> Vec<(&'static str, InvoiceDocument)> {
    vec![
        ("tiny", InvoiceDocument::sample_small()),
        ("sample", InvoiceDocument::sample()),
        ("crowded", crowded()),
        ("hostile", hostile()),
        ("huge", huge()),
        ("empty", empty()),
        ("void", void()),
        ("yen", in_currency("JPY")),
        ("dinar", in_currency("BHD")),
    ]
}

/// 60 lines and 40 instances with ten meters each: several pages.
pub fn crowded() -> InvoiceDocument {
    let mut document = InvoiceDocument::sample();
    let lines = document.lines.clone();
    document.lines = lines.into_iter().cycle().take(60).collect();
    let meters = metering::catalog();
    let usage = document.instances[0].clone();
    document.instances = (0..40_u32)
        .flat_map(|n| meters.iter().cycle().take(10).map(move |meter| (n, meter)))
        .map(|(n, meter)| {
            let mut usage = usage.clone();
            usage.instance_id = Some(instance(n));
            usage.name = format!("worker-{n:02}");
            usage.meter = meter.id();
            usage.unit = meter.priced_unit.symbol.clone();
            usage.base_quantity = 33_554_432 * u128::from(n + 1);
            usage.quantity = Decimal::new(31_250 * i64::from(n + 1), 6);
            usage
        })
        .collect();
    add_up(document)
}

/// Names that try to be markup, to turn the figures around, or to push everything off the page.
pub fn hostile() -> InvoiceDocument {
    let mut document = InvoiceDocument::sample();
    let names = [
        "\"quoted\" 'single' `raw` *bold* _emph_ <b>x</b> &amp;".to_owned(),
        "#panic(\"x\") #import \"a\" $1/0$ \\end @ref <label> //c /*c*/ [x] {y}".to_owned(),
        "line\nbreak\r\n\ttab\0nul".to_owned(),
        "emoji 😀👩‍👩‍👧‍👦🇪🇺 and 日本語 and ü".to_owned(),
        "עברית אבג 123 و العربية \u{202e}desrever\u{2066}".to_owned(),
        "W".repeat(10_000),
        "wörd ".repeat(2_000),
        format!("z{}algo", "\u{301}\u{489}".repeat(200)),
        "\u{202e}\u{200b}\u{feff}".to_owned(),
        "</style></title><script>alert(1)</script>{{ 7*7 }}{% raw %}".to_owned(),
        "../../../etc/passwd = == - + 1. / /".to_owned(),
    ];
    document.seller = Party {
        name: names[1].clone(),
        address: names.to_vec(),
        country: Some(names[5].clone()),
        tax_number: Some(names[0].clone()),
    };
    document.buyer = Party {
        name: names[5].clone(),
        address: vec![names[4].clone(), names[6].clone()],
        country: None,
        tax_number: Some(names[5].clone()),
    };
    document.number = Some(names[9].clone());
    document.plan.name.clone_from(&names[6]);
    document.plan.version.clone_from(&names[5]);
    document.taxes[0].name.clone_from(&names[5]);
    document.taxes[0].reason = Some(names[6].clone());
    document.reason = Some(names[9].clone());
    document.notes = names.to_vec();
    document.lines.truncate(names.len());
    for (line, name) in document.lines.iter_mut().zip(&names) {
        line.title.clone_from(name);
        line.why.clone_from(name);
        line.unit.clone_from(name);
    }
    for (n, usage) in (0_u32..).zip(&mut document.instances) {
        usage.name = names[n as usize % names.len()].clone();
        usage.unit.clone_from(&usage.name);
        usage.instance_id = Some(instance(n));
    }
    add_up(document)
}

/// The largest figures that decimals hold.
pub fn huge() -> InvoiceDocument {
    let mut document = InvoiceDocument::sample();
    document.lines.truncate(3);
    let most = Decimal::MAX / Decimal::from(100_000_000);
    let line: &mut InvoiceLine = &mut document.lines[1];
    line.quantity = "792281625142643375935.123456".parse().expect("a decimal");
    line.unit_price = "0.0000000000000000000123456789".parse().expect("a decimal");
    line.base_quantity = u128::MAX;
    line.amount = Money::rounded(most, document.currency).expect("it fits");
    document.lines[2].unit_price = "1234567890123.45".parse().expect("a decimal");
    document.instances.truncate(6);
    document.instances[2].base_quantity = u128::MAX;
    document.instances[3].quantity = "792281625142643375935.123456".parse().expect("a decimal");
    add_up(document)
}

/// Nothing was used.
pub fn empty() -> InvoiceDocument {
    let mut document = InvoiceDocument::sample();
    document.lines.clear();
    document.instances.clear();
    document.unpriced.clear();
    document.completeness = billing::Completeness::default();
    add_up(document)
}

/// Issued, then withdrawn.
pub fn void() -> InvoiceDocument {
    let mut document = InvoiceDocument::sample();
    document.status = InvoiceStatus::Void;
    document.lines.truncate(5);
    document.instances.truncate(8);
    add_up(document)
}

/// The sample in a currency with other decimals.
pub fn in_currency(code: &str) -> InvoiceDocument {
    let mut document = InvoiceDocument::sample();
    document.currency = Currency::parse(code).expect("a currency");
    document.lines.truncate(8);
    document.instances.truncate(8);
    for line in &mut document.lines {
        let price = line.unit_price * Decimal::from(1_000);
        line.unit_price = price;
        line.amount = Money::rounded(line.quantity * price, document.currency).expect("it fits");
    }
    add_up(document)
}

fn instance(n: u32) -> InstanceId {
    InstanceId::from_uuid(format!("00000000-0000-7000-8000-{n:012}").parse().expect("a UUID"))
}

fn add_up(mut document: InvoiceDocument) -> InvoiceDocument {
    let currency = document.currency;
    let amounts = document.lines.iter().map(|line| line.amount);
    document.subtotal = Money::sum(currency, amounts).expect("it fits");
    document.taxes.truncate(1);
    let tax = &mut document.taxes[0];
    tax.base = document.subtotal;
    tax.amount = Money::rounded(tax.base.amount() * tax.rate, currency).expect("it fits");
    document.total = document.subtotal.checked_add(tax.amount).expect("it fits");
    document
}
