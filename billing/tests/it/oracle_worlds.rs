//! Worlds that dice make, rated by both implementations.

use std::collections::BTreeMap;

use billing::{Currency, ExchangeRate, TaxCode, TaxRate, Taxation, rate};
use metering::{Dimensions, MeterName, Sample, Window};
use proptest::prelude::*;
use rust_decimal::Decimal;

use crate::cases::{Case, adds_up, plan_of};
use crate::common::{october, record};
use crate::oracle::{
    Answer, Bounds, Card, Discount, Fee, FeeKind, HOURS, INSTANCES, Line, MICRO, Price, Used, Version, World,
};

/// Meters of instances, their disks and NICs, and of volumes.
const METERS: [&str; 5] = ["vcpu_ms", "cpu_ns", "disk_read_ops", "net_tx_bytes", VOLUMES];
/// What is promised to volumes: they are no instances, which some fees count.
const VOLUMES: &str = "provisioned_kib_s";

/// Whole numbers that a case is made of; when they are used up, zeros.
struct Dice(std::vec::IntoIter<u16>);

impl Dice {
    fn roll(&mut self, sides: i128) -> i128 {
        i128::from(self.0.next().unwrap_or(0)) % sides
    }

    fn one_in(&mut self, sides: i128) -> bool {
        self.roll(sides) == 1
    }

    fn maybe<T>(&mut self, sides: i128, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.one_in(sides).then(|| make(self))
    }

    /// In 10^-4; often whole, sometimes nothing.
    fn price(&mut self) -> i128 {
        match self.roll(4) {
            0 => self.roll(10) * 10_000,
            1 => self.roll(100),
            _ => self.roll(60_000),
        }
    }

    fn amount(&mut self) -> i128 {
        1 + self.roll(20_000) * [1, 10, 100][self.roll(3) as usize]
    }

    /// In micro-units.
    fn quantity(&mut self) -> i128 {
        match self.roll(3) {
            0 => (1 + self.roll(50)) * MICRO,
            1 => 1 + self.roll(1_000),
            _ => 1 + self.roll(30_000) * 997,
        }
    }

    fn bounds(&mut self, sides: i128) -> Bounds {
        let (minimum, more) = (self.maybe(sides, Self::amount), self.amount());
        let maximum = self.maybe(sides, |_| minimum.unwrap_or(0) + more);
        (minimum, maximum)
    }

    fn tiers(&mut self) -> Vec<(Option<i128>, i128, i128)> {
        let mut to = 0;
        let mut tiers: Vec<_> = (0..self.roll(4))
            .map(|_| {
                to += self.quantity();
                (Some(to), self.price(), self.maybe(3, Self::price).unwrap_or(0))
            })
            .collect();
        tiers.push((None, self.price(), self.maybe(3, Self::price).unwrap_or(0)));
        tiers
    }

    fn card(&mut self, meter: &str, name: &str, network: Option<&'static str>) -> Card {
        let price = match self.roll(6) {
            0 => Price::Flat(self.price()),
            1 => Price::Graduated(self.tiers()),
            2 => Price::Volume(self.tiers()),
            3 => Price::Package(self.quantity(), self.price()),
            _ => Price::Unit(self.price()),
        };
        let definition = MeterName::parse(meter).unwrap();
        let is_unit = matches!(price, Price::Unit(_));
        Card {
            name: name.to_owned(),
            meter: (definition.position(), definition.meter().priced_unit.base_units.into()),
            network,
            included: self.maybe(3, Self::quantity).unwrap_or(0),
            is_each: self.one_in(3),
            night: if is_unit { self.maybe(3, Self::price) } else { None },
            price,
            bounds: self.bounds(6),
            is_reduced: self.one_in(4),
        }
    }

    /// The only card of its meter, without an allowance.
    fn percentile(&mut self, meter: &str) -> Card {
        let percent = [1, 50, 95, 99, 100][self.roll(5) as usize];
        let (price, is_reduced, bounds) = (self.price(), self.one_in(4), self.bounds(6));
        let price = Price::Percentile(percent, price);
        Card {
            included: 0,
            is_each: false,
            night: None,
            price,
            bounds,
            is_reduced,
            ..self.card(meter, meter, None)
        }
    }

    fn version(&mut self, from: i64) -> Version {
        let mut cards = Vec::new();
        for meter in METERS {
            // Now and then, a meter is only measured.
            if self.one_in(6) {
                continue;
            }
            if meter == "net_tx_bytes" && self.one_in(5) {
                cards.push(self.percentile(meter));
                continue;
            }
            if meter == "net_tx_bytes" && self.one_in(2) {
                cards.push(self.card(meter, "internal", Some("internal")));
            }
            cards.push(self.card(meter, meter, None));
        }
        if cards.is_empty() {
            cards.push(self.card("cpu_ns", "cpu_ns", None));
        }
        let names: Vec<String> = cards.iter().map(|card| card.name.clone()).collect();
        let any = |dice: &mut Self| names[dice.roll(names.len() as i128) as usize].clone();
        let traffic: Vec<String> = cards
            .iter()
            .filter(|card| card.meter.0 == position("net_tx_bytes"))
            .filter(|card| !matches!(card.price, Price::Percentile(..)))
            .map(|card| card.name.clone())
            .collect();
        let pool = self.maybe(3, |dice| (traffic, dice.quantity(), dice.one_in(2)));
        let commitment = self.maybe(3, |dice| {
            let card = any(dice);
            (card, dice.quantity(), dice.price(), dice.one_in(2))
        });
        let has_no_units = |card: &Card| matches!(card.price, Price::Flat(_) | Price::Percentile(..));
        let is_flat = |name: &String| cards.iter().any(|card| &card.name == name && has_no_units(card));
        let discounts = ["first", "second"].iter().filter_map(|name| {
            self.maybe(3, |dice| Discount {
                name: (*name).to_owned(),
                off: if dice.one_in(2) { Ok(1 + dice.roll(10_000)) } else { Err(dice.amount()) },
                of: dice.maybe(3, |dice| any(dice)),
            })
        });
        Version {
            from,
            discounts: discounts.collect(),
            pool: pool.filter(|(cards, ..)| !cards.is_empty()),
            commitment: commitment.filter(|(card, ..)| !is_flat(card)),
            fees: self.fees(from, &names),
            bounds: self.bounds(6),
            trial: None,
            is_sponsored: self.one_in(10),
            cards,
        }
    }

    fn fees(&mut self, from: i64, names: &[String]) -> Vec<Fee> {
        let mut fees = Vec::new();
        let mut add = |name: &str, kind| fees.push(Fee { name: name.to_owned(), kind });
        if self.one_in(3) {
            let (amount, is_each, is_prorated) = (self.price(), self.one_in(2), self.one_in(2));
            add("monthly", FeeKind::Monthly { amount, is_each, is_prorated });
        }
        if self.one_in(4) {
            add("setup", FeeKind::Once { amount: self.price(), hour: from.max(0) });
        }
        if self.one_in(3) {
            let of = self.maybe(2, |dice| names[dice.roll(names.len() as i128) as usize].clone());
            let (rate, fixed, bounds) = (1 + self.roll(5_000), self.maybe(2, Self::price), self.bounds(4));
            add("share", FeeKind::Percentage { rate, of, fixed: fixed.unwrap_or(0), bounds });
        }
        fees
    }

    fn world(&mut self) -> (World, &'static str) {
        let (code, exponent) = [("EUR", 2), ("JPY", 0), ("BHD", 3)][self.roll(3) as usize];
        let mut versions = vec![self.version(-1_000)];
        if self.one_in(2) {
            let day = 1 + self.roll(28) as i64;
            let mut next = self.version(day * 24);
            // Mostly, the same plan at other prices.
            if self.one_in(2) {
                next = Version { from: day * 24, ..versions[0].clone() };
                next.fees.retain(|fee| !matches!(fee.kind, FeeKind::Once { .. }));
            }
            versions.push(next);
        }
        for n in 0..versions.len() {
            let end = versions.get(n + 1).map_or(HOURS, |next| next.from);
            let begin = versions[n].from.max(0);
            let days = (end - begin) / 24;
            let until = begin + 24 * (1 + self.roll(days.into()) as i64);
            versions[n].trial = self.maybe(5, |dice| (until, dice.maybe(2, Self::amount)));
        }
        let mut taxes = vec![(-1_000, [1_900, 700])];
        if self.one_in(4) {
            taxes.push((24 * (1 + self.roll(29) as i64), [2_100, self.roll(1_000)]));
        }
        let usage = (0..self.roll(40)).map(|_| self.used()).collect();
        let exchange = self.maybe(3, |dice| 1 + dice.roll(60_000) * 40);
        (World { exponent, exchange, is_gross: self.one_in(3), versions, taxes, usage }, code)
    }

    fn used(&mut self) -> Used {
        let meter = METERS[self.roll(5) as usize];
        let factor = i128::from(MeterName::parse(meter).unwrap().meter().priced_unit.base_units);
        let base = match self.roll(4) {
            0 => self.roll(3),
            1 => factor * self.roll(40),
            _ => self.quantity() * factor / MICRO,
        };
        Used {
            instance: self.roll(INSTANCES as i128) as usize,
            meter: position(meter),
            is_volume: meter == VOLUMES,
            network: ["internal", "internet"][self.roll(2) as usize],
            hour: self.roll(HOURS.into()) as i64,
            base,
        }
    }
}

fn position(meter: &str) -> usize {
    MeterName::parse(meter).unwrap().position()
}

fn decimal(value: i128, decimals: u32) -> String {
    Decimal::from_i128_with_scale(value, decimals).to_string()
}

fn day(hour: i64) -> String {
    // The first of November is a day on which a trial may end.
    if hour == HOURS { "2026-11-01".to_owned() } else { format!("2026-10-{:02}", hour / 24 + 1) }
}

/// The plan as a provider would write it.
fn text(world: &World, code: &str) -> String {
    let mut text = format!("currency = \"{code}\"\n");
    if world.is_gross {
        text += "prices = \"gross\"\n";
    }
    for version in &world.versions {
        let from = if version.from < 0 { "2026-01-01".to_owned() } else { day(version.from) };
        text += &format!("[[version]]\nfrom = \"{from}\"\n{}", bounds(version.bounds));
        if version.is_sponsored {
            text += "sponsor = \"somebody\"\n";
        }
        version.cards.iter().for_each(|card| text += &card_text(card));
        if let Some((cards, included, is_each)) = &version.pool {
            let (included, each) = (decimal(*included, 6), if *is_each { "instance" } else { "tenant" });
            text += &format!(
                "[[version.pool]]\nname = \"pool\"\ncards = {cards:?}\nincluded = \"{included}\"\nincluded_per = \"{each}\"\n"
            );
        }
        if let Some((card, quantity, price, is_true_up)) = &version.commitment {
            let unused = if *is_true_up { "true_up" } else { "lost" };
            let (quantity, price) = (decimal(*quantity, 6), decimal(*price, 4));
            text += &format!(
                "[[version.commitment]]\nname = \"reserved\"\ncard = \"{card}\"\nquantity = \"{quantity}\"\nunit_price = \"{price}\"\nunused = \"{unused}\"\n"
            );
        }
        version.fees.iter().for_each(|fee| text += &fee_text(fee));
        for Discount { name, off, of } in &version.discounts {
            let off = match off {
                Ok(fraction) => format!("percentage = \"{} %\"", decimal(*fraction, 2)),
                Err(amount) => format!("amount = \"{}\"", decimal(*amount, 4)),
            };
            let of = of.iter().map(|of| format!("of = [\"{of}\"]\n")).collect::<String>();
            text += &format!("[[version.discount]]\nname = \"{name}\"\n{off}\n{of}");
        }
        if let Some((until, credit)) = version.trial {
            text += &format!("[version.trial]\nuntil = \"{}\"\n", day(until));
            text += &credit.iter().map(|c| format!("credit = \"{}\"\n", decimal(*c, 4))).collect::<String>();
        }
    }
    text
}

fn bounds((minimum, maximum): Bounds) -> String {
    let line = |key: &str, amount: Option<i128>| {
        amount.map(|amount| format!("{key} = \"{}\"\n", decimal(amount, 4))).unwrap_or_default()
    };
    line("minimum", minimum) + &line("maximum", maximum)
}

fn card_text(card: &Card) -> String {
    let tiers = |tiers: &[(Option<i128>, i128, i128)]| {
        let tier = |(to, price, flat): &(Option<i128>, i128, i128)| {
            let to = to.map(|to| format!("up_to = \"{}\", ", decimal(to, 6))).unwrap_or_default();
            format!("{{ {to}unit_price = \"{}\", flat = \"{}\" }}", decimal(*price, 4), decimal(*flat, 4))
        };
        format!("[{}]", tiers.iter().map(tier).collect::<Vec<_>>().join(", "))
    };
    let meter = &metering::catalog()[card.meter.0].name;
    let mut text = format!("[[version.rate_card]]\nmeter = \"{meter}\"\nname = \"{}\"\n", card.name);
    text += &match &card.price {
        Price::Unit(price) => format!("unit_price = \"{}\"\n", decimal(*price, 4)),
        Price::Flat(amount) => format!("flat = \"{}\"\n", decimal(*amount, 4)),
        Price::Graduated(all) => format!("graduated = {}\n", tiers(all)),
        Price::Volume(all) => format!("volume = {}\n", tiers(all)),
        Price::Percentile(percent, price) => format!(
            "percentile = {{ percent = {percent}, interval = \"1h\", unit_price = \"{}\" }}\n",
            decimal(*price, 4)
        ),
        Price::Package(size, price) => {
            format!("package = {{ size = \"{}\", price = \"{}\" }}\n", decimal(*size, 6), decimal(*price, 4))
        }
    };
    if let Some(network) = card.network {
        text += &format!("only = {{ network = \"{network}\" }}\n");
    }
    if let Some(price) = card.night {
        text += &format!(
            "time_of_use = [{{ name = \"night\", from = \"22:00\", to = \"06:00\", unit_price = \"{}\" }}]\n",
            decimal(price, 4)
        );
    }
    if !matches!(card.price, Price::Percentile(..)) {
        text += &format!("included = \"{}\"\n", decimal(card.included, 6));
        text += &format!("included_per = \"{}\"\n", if card.is_each { "instance" } else { "tenant" });
    }
    if card.is_reduced {
        text += "tax_class = \"reduced\"\n";
    }
    text + &bounds(card.bounds)
}

fn fee_text(fee: &Fee) -> String {
    let head = format!("[[version.fee]]\nname = \"{}\"\n", fee.name);
    head + &match &fee.kind {
        FeeKind::Monthly { amount, is_each, is_prorated } => format!(
            "amount = \"{}\"\nevery = \"period\"\nper = \"{}\"\nprorated = {is_prorated}\n",
            decimal(*amount, 4),
            if *is_each { "instance" } else { "tenant" }
        ),
        FeeKind::Once { amount, hour } => {
            format!("amount = \"{}\"\nevery = \"once\"\non = \"{}\"\n", decimal(*amount, 4), day(*hour))
        }
        FeeKind::Percentage { rate, of, fixed, bounds: limits } => format!(
            "percentage = \"{} %\"\n{}fixed = \"{}\"\n{}",
            decimal(*rate, 2),
            of.iter().map(|of| format!("of = [\"{of}\"]\n")).collect::<String>(),
            decimal(*fixed, 4),
            bounds(*limits)
        ),
    }
}

fn case(world: &World, code: &str) -> Case {
    let hour = |hour: i64| october().start() + jiff::SignedDuration::from_hours(hour);
    let class = |number: usize| {
        let rate = |rate: i128| TaxRate {
            name: "VAT".to_owned(),
            code: if rate == 0 { TaxCode::ZeroRated } else { TaxCode::Standard },
            rate: Decimal::from_i128_with_scale(rate, 4),
            in_prices: Decimal::from_i128_with_scale(rate, 4),
            reason: None,
        };
        world.taxes.iter().map(|(from, rates)| (hour(*from), rate(rates[number]))).collect::<Vec<_>>()
    };
    // Only a plan makes classes.
    let classes =
        plan_of("[[version.rate_card]]\nmeter = \"cpu_ns\"\nunit_price = \"1\"\ntax_class = \"reduced\"\n");
    let reduced = classes.versions()[0].rate_cards()[0].tax_class.clone();
    let standard = billing::plan::TaxClass::standard();
    let plan = plan_of(&text(world, code));
    let usage = world.usage.iter().map(|used| {
        let window = Window::new(hour(used.hour), hour(used.hour + 1)).unwrap();
        let meter = metering::catalog()[used.meter].id();
        let mut record = record(&format!("i{}", used.instance), meter, window, used.base as u64);
        record.dimensions =
            Dimensions::new(BTreeMap::from([("network".to_owned(), used.network.to_owned())]));
        record
    });
    // The invoice's currency has as many decimals as the plan's, so that both can be any.
    let to =
        [("EUR", "USD"), ("JPY", "KRW"), ("BHD", "KWD")].iter().find(|(from, _)| *from == code).unwrap().1;
    Case {
        usage: usage.collect(),
        samples: samples(world),
        period: october(),
        exchange: world.exchange.map(|rate| ExchangeRate {
            from: plan.currency(),
            to: Currency::parse(to).unwrap(),
            rate: Decimal::from_i128_with_scale(rate, 6),
            valid_from: "2026-10-01".parse().unwrap(),
            source: "test".to_owned(),
        }),
        taxation: Taxation::by_class(vec![(standard, class(0)), (reduced, class(1))]),
        plan,
    }
}

/// What a meter of traffic counted in each hour.
fn samples(world: &World) -> Vec<Sample> {
    let traffic = world.usage.iter().filter(|used| used.meter == position("net_tx_bytes"));
    let sample = |used: &Used| {
        let start = october().start() + jiff::SignedDuration::from_hours(used.hour);
        let window = Window::new(start, start + jiff::SignedDuration::from_hours(1)).unwrap();
        Sample { meter: metering::catalog()[used.meter].id(), window, quantity: used.base as u64 }
    };
    traffic.map(sample).collect()
}

fn rated(case: &Case) -> Answer {
    let rating = rate(&case.input()).unwrap_or_else(|error| panic!("{error}"));
    adds_up(&rating, case);
    let mut answer = Answer::default();
    for line in rating.lines() {
        let mut quantity = line.quantity;
        quantity.rescale(6);
        let figures = Line {
            base: line.base_quantity as i128,
            micro: quantity.mantissa(),
            coins: line.amount.amount().mantissa(),
        };
        answer.lines.insert(line.key(), figures);
    }
    for tax in &rating.taxes {
        let mut rate = tax.rate;
        rate.rescale(4);
        let figures = (tax.base.amount().mantissa(), tax.amount.amount().mantissa());
        answer.taxes.insert(rate.mantissa(), figures);
    }
    for unpriced in &rating.unpriced() {
        *answer.unpriced.entry(unpriced.meter.position()).or_default() += unpriced.base_quantity as i128;
    }
    answer
}

/// Worlds of an ordinary run: some seconds.
const WORLDS: u32 = 1_500;

proptest! {
    // PROPTEST_CASES asks for more of them.
    #![proptest_config(ProptestConfig::with_cases(WORLDS.max(ProptestConfig::default().cases)))]

    #[test]
    fn a_second_naive_implementation_of_the_document_arrives_at_the_same_invoices(
        rolls in proptest::collection::vec(any::<u16>(), 300..1_200),
    ) {
        let (world, code) = Dice(rolls.into_iter()).world();
        let case = case(&world, code);
        prop_assert_eq!(rated(&case), world.answer(), "{}", text(&world, code));
        prop_assert_eq!(crate::en16931::faults(&case.document()), Vec::<String>::new(), "{}", text(&world, code));
    }
}
