//! Invoices that are hard to render, made from billing's samples.

use billing::{
    Bill, Buyer, Currency, DocumentKind, DocumentRef, ExchangeRate, InvoiceDocument, InvoiceLine,
    InvoiceStatus, Money, Party, PricePlan,
};
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
        ("rich", rich()),
        ("credit", credit_note()),
    ]
}

/// A plan with everything that makes lines look different.
const RICH_PLAN: &str = r#"
name = "business"
currency = "EUR"
time_zone = "Europe/Zurich"
[tax]
name = "VAT"
rate = "0.081"
[[version]]
from = "2026-01-01"
[[version.rate_card]]
meter = "vcpu_ms"
unit_price = "0.012"
time_of_use = [{ name = "night", from = "22:00", to = "06:00", unit_price = "0.006" }]
[[version.rate_card]]
meter = "memory_kib_s"
unit_price = "0.004"
[[version.rate_card]]
name = "internal"
title = "Network, internal"
meter = "net_tx_bytes"
only = { network = ["internal"] }
unit_price = "0"
[[version.rate_card]]
name = "internet"
meter = "net_tx_bytes"
included = "100"
graduated = [
    { up_to = "500", unit_price = "0.02" },
    { up_to = "2000", unit_price = "0.015" },
    { unit_price = "0.01" },
]
[[version.commitment]]
name = "reserved"
title = "Reserved memory"
card = "memory_kib_s"
quantity = "4000"
unit_price = "0.0025"
unused = "true_up"
[[version.fee]]
name = "support"
title = "Support, business hours"
amount = "49.00"
[[version.fee]]
name = "managed"
title = "Managed service"
percentage = "10"
[[version.discount]]
name = "loyal"
title = "Loyalty discount, 5 %"
percentage = "5"
"#;

/// Hours of one instance with a NIC on each network: day and night, tiers, a commitment, fees, a discount, another currency.
pub fn rich() -> InvoiceDocument {
    let mut usage =
        String::from("resource,instance_id,name,device,meter,window_start,window_end,quantity,dim:network\n");
    let id = "00000000-0000-7000-8000-000000000001";
    let windows =
        [("2026-09-30T22:00:00Z", "2026-10-01T04:00:00Z"), ("2026-10-01T04:00:00Z", "2026-10-01T20:00:00Z")];
    for (from, to) in windows {
        let vcpus = if from.starts_with("2026-09") { 43_200_000_u64 } else { 115_200_000 };
        usage += &format!("instance,{id},web,,vcpu_ms,{from},{to},{vcpus}\n");
        usage += &format!("instance,{id},web,,memory_kib_s,{from},{to},{}\n", 5_000_000_000_000_u64);
        usage += &format!(
            "nic,{id},web,52:54:00:00:00:01,net_tx_bytes,{from},{to},{},internet\n",
            1_700_000_000_000_u64
        );
        usage += &format!(
            "nic,{id},web,52:54:00:00:00:02,net_tx_bytes,{from},{to},{},internal\n",
            90_000_000_000_u64
        );
    }
    let usage: String = usage
        .lines()
        .map(|row| row.to_owned() + if row.matches(',').count() < 8 { ",\n" } else { "\n" })
        .collect();
    let usage = billing::usage_file::parse("usage.csv", usage.as_bytes()).expect("the usage is right");
    let plan = PricePlan::parse("plan.toml", RICH_PLAN.as_bytes()).expect("the plan is right");
    let period = billing::period::month("2026-10", plan.time_zone()).expect("a month");
    let exchange = ExchangeRate {
        from: plan.currency(),
        to: Currency::parse("CHF").expect("a currency"),
        rate: "0.9312".parse().expect("a decimal"),
        valid_from: "2026-10-30".parse().expect("a day"),
        source: "ECB".to_owned(),
    };
    let sample = InvoiceDocument::sample();
    let taxation = billing::Taxation::fixed(plan.tax().expect("the plan has a tax"));
    let bill = Bill {
        invoice_id: sample.invoice_id,
        seller: &sample.seller,
        buyer: Buyer {
            tenant: sample.tenant.clone(),
            party: sample.buyer.clone(),
            time_zone: "Europe/Zurich".to_owned(),
        },
        plan: &plan,
        usage: &usage,
        samples: &[],
        period,
        exchange: Some(&exchange),
        taxation: &taxation,
    };
    let mut document = bill.draft().expect("it can be rated");
    document.number = Some("INV-2026-000043".to_owned());
    document.status = InvoiceStatus::Issued;
    document.issued_at = Some(period.end());
    document.due_on = Some("2026-11-15".parse().expect("a day"));
    document
}

/// The same, taken back.
pub fn credit_note() -> InvoiceDocument {
    let mut document = rich();
    document.corrects = Some(DocumentRef {
        number: document.number.replace("CN-2026-000001".to_owned()).expect("it has one"),
        invoice_id: document.invoice_id,
        issued_at: document.issued_at,
    });
    document.kind = DocumentKind::CreditNote;
    document.due_on = None;
    document.reason = Some("Readings of 14 October came in late.".to_owned());
    document.notes = vec!["Reverse charge: the buyer owes the tax.".to_owned()];
    document
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
