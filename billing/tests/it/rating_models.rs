//! Where models of price go wrong, in tables worked out by hand: borders of tiers, begun blocks, cut periods, coins that do
//! not divide. The plain case of each model is an example of docs/billing.md (`documented`).

use billing::{RatingError, rate};

use crate::cases::{Case, check};

/// A plan with one card; `price` is what a card says of its price.
fn card(meter: &str, price: &str) -> String {
    format!("[[version.rate_card]]\nmeter = \"{meter}\"\n{price}\n")
}

const TIERS: &str = "[{ up_to = \"100\", unit_price = \"3\" }, { up_to = \"200\", unit_price = \"2\" }, { unit_price = \"1\" }]";

#[test]
fn a_fraction_between_two_whole_tiers_falls_into_no_hole() {
    for (used, line, tax, total) in [
        ("99.999999", "99.999999 x 3 = 300.00", "57.00", "357.00"),
        ("100", "100 x 2 = 200.00", "38.00", "238.00"),
        ("199.5", "199.5 x 2 = 399.00", "75.81", "474.81"),
        ("199.999999", "199.999999 x 2 = 400.00", "76.00", "476.00"),
        ("200", "200 x 1 = 200.00", "38.00", "238.00"),
    ] {
        let subtotal = line.split(' ').next_back().unwrap();
        check(
            &card("cpu_ns", &format!("volume = {TIERS}")),
            &format!("web cpu_ns 2026-10-05 {used}"),
            &format!("cpu_ns/volume: {line}\n{subtotal} + {tax} = {total} EUR"),
        );
    }
}

#[test]
fn a_tier_that_is_exactly_full_begins_no_other_one() {
    let plan = card("cpu_ns", &format!("graduated = {TIERS}"));
    check(
        &plan,
        "web cpu_ns 2026-10-05 100",
        "cpu_ns/graduated-1: 100 x 3 = 300.00\n300.00 + 57.00 = 357.00 EUR",
    );
    check(
        &plan,
        "web cpu_ns 2026-10-05 100.000001",
        "
        cpu_ns/graduated-1: 100 x 3 = 300.00
        cpu_ns/graduated-2: 0.000001 x 2 = 0.00
        300.00 + 57.00 = 357.00 EUR
        ",
    );
    check(
        &plan,
        "web cpu_ns 2026-10-05 250.5",
        "
        cpu_ns/graduated-1: 100 x 3 = 300.00
        cpu_ns/graduated-2: 100 x 2 = 200.00
        cpu_ns/graduated-3: 50.5 x 1 = 50.50
        550.50 + 104.60 = 655.10 EUR
        ",
    );
}

#[test]
fn what_a_tier_costs_once_is_not_charged_again_after_a_price_change_and_not_for_an_empty_tier() {
    let tiers = |second: &str| {
        card(
            "cpu_ns",
            &format!(
                "graduated = [{{ up_to = \"10\", unit_price = \"1\", flat = \"5\" }}, {{ unit_price = \"{second}\", flat = \"7\" }}]"
            ),
        )
    };
    let plan = format!(
        "[[version]]\nfrom = \"2026-01-01\"\n{}[[version]]\nfrom = \"2026-10-15\"\n{}",
        tiers("2"),
        tiers("3")
    );
    check(
        &plan,
        "
        web cpu_ns 2026-10-05 10
        web cpu_ns 2026-10-20 1
        ",
        "
        2026-01-01/cpu_ns/graduated-1: 10 x 1 = 10.00
        2026-01-01/cpu_ns/flat-1: 1 x 5 = 5.00
        2026-10-15/cpu_ns/graduated-2: 1 x 3 = 3.00
        2026-10-15/cpu_ns/flat-2: 1 x 7 = 7.00
        25.00 + 4.75 = 29.75 EUR
        ",
    );
    check(
        &plan,
        "
        web cpu_ns 2026-10-05 4
        web cpu_ns 2026-10-20 4
        ",
        "
        2026-01-01/cpu_ns/graduated-1: 4 x 1 = 4.00
        2026-01-01/cpu_ns/flat-1: 1 x 5 = 5.00
        2026-10-15/cpu_ns/graduated-1: 4 x 1 = 4.00
        13.00 + 2.47 = 15.47 EUR
        ",
    );
}

#[test]
fn a_block_that_was_begun_is_paid_once() {
    let plan = card("net_tx_bytes", "package = { size = \"0.5\", price = \"5.00\" }");
    for (used, blocks, sums) in [
        ("0.5", "1 x 5.00 = 5.00", "5.00 + 0.95 = 5.95 EUR"),
        ("0.50048828125", "2 x 5.00 = 10.00", "10.00 + 1.90 = 11.90 EUR"),
        ("0.00048828125", "1 x 5.00 = 5.00", "5.00 + 0.95 = 5.95 EUR"),
    ] {
        let expected = format!("net_tx_bytes/package: {blocks}\n{sums}");
        check(&plan, &format!("web net_tx_bytes 2026-10-05 {used}"), &expected);
    }
    let block = card("net_tx_bytes", "package = { size = \"100\", price = \"5.00\" }");
    let two = format!(
        "[[version]]\nfrom = \"2026-01-01\"\n{block}[[version]]\nfrom = \"2026-10-15\"\n{}",
        block.replace("5.00", "6.00")
    );
    check(
        &two,
        "
        web net_tx_bytes 2026-10-05 150
        web net_tx_bytes 2026-10-20 40
        ",
        "
        2026-01-01/net_tx_bytes/package: 2 x 5.00 = 10.00
        2026-10-15/net_tx_bytes/package: 0 x 6.00 = 0.00
        10.00 + 1.90 = 11.90 EUR
        ",
    );
}

#[test]
fn yen_have_no_decimals_and_dinars_three_in_every_model() {
    for (currency, lines) in [
        (
            "JPY",
            "
            vcpu_ms/graduated-1: 10 x 0.25 = 3
            vcpu_ms/graduated-2: 0.5 x 0.55 = 0
            cpu_ns/standard: 1.5 x 0.333 = 0
            off/discount: 1 x -1 = -1
            2 + 0 = 2 JPY
            ",
        ),
        (
            "BHD",
            "
            vcpu_ms/graduated-1: 10 x 0.25 = 2.500
            vcpu_ms/graduated-2: 0.5 x 0.55 = 0.275
            cpu_ns/standard: 1.5 x 0.333 = 0.500
            off/discount: 1 x -0.819 = -0.819
            2.456 + 0.467 = 2.923 BHD
            ",
        ),
    ] {
        check(
            &format!(
                "currency = \"{currency}\"\n{}{}[[version.discount]]\nname = \"off\"\npercentage = \"25\"\n",
                card("cpu_ns", "unit_price = \"0.333\""),
                card(
                    "vcpu_ms",
                    "graduated = [{ up_to = \"10\", unit_price = \"0.25\" }, { unit_price = \"0.55\" }]"
                ),
            ),
            "
            web cpu_ns 2026-10-05 1.5
            web vcpu_ms 2026-10-05 10.5
            ",
            lines,
        );
    }
}

#[test]
fn ten_euros_off_three_taxes_are_ten_euros_and_no_cent_more() {
    let cards: String = [("running_ms", "a"), ("vcpu_ms", "b"), ("cpu_ns", "c")]
        .iter()
        .map(|(meter, class)| card(meter, &format!("unit_price = \"10\"\ntax_class = \"{class}\"")))
        .collect();
    check(
        &format!("{cards}[[version.discount]]\nname = \"coupon\"\namount = \"10\"\n"),
        "
        tax a S 0.19
        tax b S 0.07
        tax c Z 0
        web running_ms 2026-10-05 1
        web vcpu_ms 2026-10-05 1
        web cpu_ns 2026-10-05 1
        ",
        "
        running_ms/standard: 1 x 10 = 10.00
        vcpu_ms/standard: 1 x 10 = 10.00
        cpu_ns/standard: 1 x 10 = 10.00
        coupon/discount: 1 x -3.34 = -3.34
        coupon/discount-2: 1 x -3.33 = -3.33
        coupon/discount-3: 1 x -3.33 = -3.33
        S 0.19 of 6.66: 1.27
        S 0.07 of 6.67: 0.47
        Z 0 of 6.67: 0.00
        20.00 + 1.74 = 21.74 EUR
        ",
    );
}

#[test]
fn a_thousand_instances_of_a_hundredth_of_a_cent_are_ten_cents_and_not_a_thousand_times_nothing() {
    let usage: String = (0..1_000).map(|n| format!("i{n} cpu_ns 2026-10-05 0.0025\n")).collect();
    check(
        &card("cpu_ns", "unit_price = \"0.04\""),
        &usage,
        "cpu_ns/standard: 2.5 x 0.04 = 0.10\n0.10 + 0.02 = 0.12 EUR",
    );
}

#[test]
fn an_allowance_lasts_over_the_bands_of_a_day_and_is_no_bigger_for_them() {
    check(
        &card(
            "vcpu_ms",
            "unit_price = \"2\"\nincluded = \"15\"\ntime_of_use = [{ name = \"night\", from = \"22:00\", to = \"06:00\", unit_price = \"1\" }]",
        ),
        "
        web vcpu_ms 2026-10-05T12 10
        web vcpu_ms 2026-10-05T23 10
        ",
        "
        vcpu_ms/night/included: 10 x 0 = 0.00
        vcpu_ms/included: 5 x 0 = 0.00
        vcpu_ms/standard: 5 x 2 = 10.00
        10.00 + 1.90 = 11.90 EUR
        ",
    );
}

#[test]
fn the_hour_that_exists_twice_is_night_both_times() {
    let price = "unit_price = \"2\"\ntime_of_use = [{ name = \"night\", from = \"22:00\", to = \"06:00\", unit_price = \"1\" }]";
    // 02:00 to 03:00 in Berlin, in summer time and in winter time, and 06:00.
    check(
        &format!("time_zone = \"Europe/Berlin\"\n{}", card("vcpu_ms", price)),
        "
        web vcpu_ms 2026-10-25T00 1
        web vcpu_ms 2026-10-25T01 1
        web vcpu_ms 2026-10-25T05 1
        ",
        "
        vcpu_ms/night/standard: 2 x 1 = 2.00
        vcpu_ms/standard: 1 x 2 = 2.00
        4.00 + 0.76 = 4.76 EUR
        ",
    );
}

#[test]
fn a_pool_for_each_instance_knows_what_an_instance_has_left() {
    let cards = format!(
        "{}{}",
        card("net_rx_bytes", "unit_price = \"1\"\nincluded = \"10\"\nincluded_per = \"instance\""),
        card("net_tx_bytes", "unit_price = \"1\"\nincluded = \"8\"")
    );
    // web: 2 of rx are left after its own 10, of tx 12 of 20 after its half of 8 (16 - 4 = 12); db: nothing of rx, 12 of tx.
    check(
        &format!(
            "{cards}[[version.pool]]\nname = \"traffic\"\ncards = [\"net_rx_bytes\", \"net_tx_bytes\"]\nincluded = \"5\"\n\
             included_per = \"instance\"\n"
        ),
        "
        web net_rx_bytes 2026-10-05 12
        db  net_rx_bytes 2026-10-05 3
        web net_tx_bytes 2026-10-05 16
        db  net_tx_bytes 2026-10-05 16
        ",
        "
        net_rx_bytes/included: 13 x 0 = 0.00
        net_rx_bytes/included-traffic: 2 x 0 = 0.00
        net_tx_bytes/included: 8 x 0 = 0.00
        net_tx_bytes/included-traffic: 8 x 0 = 0.00
        net_tx_bytes/standard: 16 x 1 = 16.00
        16.00 + 3.04 = 19.04 EUR
        ",
    );
}

const RESERVED: &str = "[[version.commitment]]\nname = \"reserved\"\ncard = \"vcpu_ms\"\nquantity = \"310\"\nunit_price = \"1\"\n";

#[test]
fn what_is_committed_is_paid_also_when_nothing_at_all_was_used() {
    let plan = format!("{}{RESERVED}unused = \"true_up\"\n", card("vcpu_ms", "unit_price = \"2\""));
    check(&plan, "", "vcpu_ms/shortfall-reserved: 310 x 1 = 310.00\n310.00 + 58.90 = 368.90 EUR");
    let plan = plan.replace("true_up", "lost");
    check(&plan, "", "vcpu_ms/committed-reserved: 310 x 1 = 310.00\n310.00 + 58.90 = 368.90 EUR");
}

#[test]
fn a_commitment_from_mid_month_on_counts_by_time_and_a_change_does_not_split_it() {
    let card = card("vcpu_ms", "unit_price = \"2\"");
    let unused = "unused = \"true_up\"\n";
    // 17 of 31 days.
    check(
        &format!(
            "[[version]]\nfrom = \"2026-01-01\"\n{card}[[version]]\nfrom = \"2026-10-15\"\n{card}{RESERVED}{unused}"
        ),
        "
        web vcpu_ms 2026-10-05 100
        web vcpu_ms 2026-10-20 100
        ",
        "
        2026-01-01/vcpu_ms/standard: 100 x 2 = 200.00
        2026-10-15/vcpu_ms/committed-reserved: 100 x 1 = 100.00
        2026-10-15/vcpu_ms/shortfall-reserved: 70 x 1 = 70.00
        370.00 + 70.30 = 440.30 EUR
        ",
    );
    // 140 and 170 in the two parts, and yet 310 for whoever uses 300 in the first.
    check(
        &format!(
            "[[version]]\nfrom = \"2026-01-01\"\n{card}{RESERVED}{unused}[[version]]\nfrom = \"2026-10-15\"\n{card}{RESERVED}{unused}"
        ),
        "
        web vcpu_ms 2026-10-05 300
        web vcpu_ms 2026-10-20 30
        ",
        "
        2026-01-01/vcpu_ms/committed-reserved: 300 x 1 = 300.00
        2026-10-15/vcpu_ms/committed-reserved: 10 x 1 = 10.00
        2026-10-15/vcpu_ms/standard: 20 x 2 = 40.00
        350.00 + 66.50 = 416.50 EUR
        ",
    );
}

#[test]
fn a_maximum_holds_for_the_month_and_not_for_each_of_its_parts() {
    let card = card("cpu_ns", "unit_price = \"1\"\nmaximum = \"20\"");
    check(
        &format!("[[version]]\nfrom = \"2026-01-01\"\n{card}[[version]]\nfrom = \"2026-10-15\"\n{card}"),
        "
        web cpu_ns 2026-10-05 15
        web cpu_ns 2026-10-20 15
        ",
        "
        2026-01-01/cpu_ns/standard: 15 x 1 = 15.00
        2026-10-15/cpu_ns/standard: 15 x 1 = 15.00
        2026-10-15/cpu_ns/maximum: 1 x -10.00 = -10.00
        20.00 + 3.80 = 23.80 EUR
        ",
    );
}

#[test]
fn a_minimum_is_charged_once_and_only_to_who_used_something() {
    let card = card("cpu_ns", "unit_price = \"1\"\nminimum = \"20\"");
    let plan =
        format!("[[version]]\nfrom = \"2026-01-01\"\n{card}[[version]]\nfrom = \"2026-10-15\"\n{card}");
    check(&plan, "", "0.00 + 0.00 = 0.00 EUR");
    check(
        &plan,
        "
        web cpu_ns 2026-10-05 5
        web cpu_ns 2026-10-20 5
        ",
        "
        2026-01-01/cpu_ns/standard: 5 x 1 = 5.00
        2026-10-15/cpu_ns/standard: 5 x 1 = 5.00
        2026-10-15/cpu_ns/minimum: 1 x 10.00 = 10.00
        20.00 + 3.80 = 23.80 EUR
        ",
    );
}

#[test]
fn a_monthly_fee_is_shared_by_the_days_of_two_versions_and_an_unshared_one_is_charged_once() {
    let fees = |monthly: &str| {
        format!(
            "{}[[version.fee]]\nname = \"monthly\"\namount = \"{monthly}\"\nevery = \"period\"\n\
             [[version.fee]]\nname = \"licence\"\namount = \"7\"\nevery = \"period\"\nper = \"instance\"\nprorated = false\n",
            card("cpu_ns", "unit_price = \"0\"")
        )
    };
    check(
        &format!(
            "[[version]]\nfrom = \"2026-01-01\"\n{}[[version]]\nfrom = \"2026-10-15\"\n{}",
            fees("31"),
            fees("62")
        ),
        "
        web cpu_ns 2026-10-05 1
        web cpu_ns 2026-10-20 1
        db  cpu_ns 2026-10-20 1
        ",
        "
        2026-01-01/cpu_ns/standard: 1 x 0 = 0.00
        2026-10-15/cpu_ns/standard: 2 x 0 = 0.00
        2026-01-01/monthly/fee: 0.451613 x 31 = 14.00
        2026-01-01/licence/fee: 1 x 7 = 7.00
        2026-10-15/monthly/fee: 0.548387 x 62 = 34.00
        2026-10-15/licence/fee: 1 x 7 = 7.00
        62.00 + 11.78 = 73.78 EUR
        ",
    );
}

#[test]
fn a_percentage_is_of_what_it_names_and_within_its_bounds() {
    let plan = |bounds: &str| {
        format!(
            "{}{}[[version.fee]]\nname = \"support\"\npercentage = \"10\"\nof = [\"cpu_ns\"]\n{bounds}\n",
            card("cpu_ns", "unit_price = \"1\""),
            card("vcpu_ms", "unit_price = \"1\"")
        )
    };
    let usage = "web cpu_ns 2026-10-05 12.5\nweb vcpu_ms 2026-10-05 100";
    let cards = "vcpu_ms/standard: 100 x 1 = 100.00\ncpu_ns/standard: 12.5 x 1 = 12.50\n";
    for (bounds, lines) in [
        ("", "support/percentage: 12.5 x 0.1 = 1.25\n113.75 + 21.61 = 135.36 EUR"),
        (
            "minimum = \"5\"",
            "support/percentage: 12.5 x 0.1 = 1.25\nsupport/minimum: 1 x 3.75 = 3.75\n117.50 + 22.33 = 139.83 EUR",
        ),
        (
            "maximum = \"1\"",
            "support/percentage: 12.5 x 0.1 = 1.25\nsupport/maximum: 1 x -0.25 = -0.25\n113.50 + 21.57 = 135.07 EUR",
        ),
    ] {
        check(&plan(bounds), usage, &format!("{cards}{lines}"));
    }
    check(&plan("minimum = \"5\""), "", "0.00 + 0.00 = 0.00 EUR");
}

#[test]
fn a_discount_never_makes_an_invoice_negative_and_is_not_given_twice() {
    let terms = format!(
        "{}[[version.discount]]\nname = \"coupon\"\namount = \"10\"\n",
        card("cpu_ns", "unit_price = \"1\"")
    );
    let plan =
        format!("[[version]]\nfrom = \"2026-01-01\"\n{terms}[[version]]\nfrom = \"2026-10-15\"\n{terms}");
    check(
        &plan,
        "
        web cpu_ns 2026-10-05 6
        web cpu_ns 2026-10-20 9
        ",
        "
        2026-01-01/cpu_ns/standard: 6 x 1 = 6.00
        2026-10-15/cpu_ns/standard: 9 x 1 = 9.00
        2026-01-01/coupon/discount: 1 x -6.00 = -6.00
        2026-10-15/coupon/discount: 1 x -4.00 = -4.00
        5.00 + 0.95 = 5.95 EUR
        ",
    );
}

#[test]
fn the_second_discount_sees_what_the_first_has_left_of_each_card() {
    check(
        &format!(
            "{}{}[[version.discount]]\nname = \"all\"\namount = \"30\"\n\
             [[version.discount]]\nname = \"cpu\"\npercentage = \"50\"\nof = [\"cpu_ns\"]\n",
            card("vcpu_ms", "unit_price = \"1\""),
            card("cpu_ns", "unit_price = \"1\"")
        ),
        "
        web vcpu_ms 2026-10-05 40
        web cpu_ns 2026-10-05 20
        ",
        // Of 30 off 60, cpu_ns bears 10: half of the 10 that are left of it.
        "
        vcpu_ms/standard: 40 x 1 = 40.00
        cpu_ns/standard: 20 x 1 = 20.00
        all/discount: 1 x -30.00 = -30.00
        cpu/discount: 1 x -5.00 = -5.00
        25.00 + 4.75 = 29.75 EUR
        ",
    );
}

#[test]
fn a_trial_frees_its_days_of_fees_too_and_a_sponsor_bears_what_is_left() {
    check(
        &format!(
            "[[version]]\nfrom = \"2026-01-01\"\nsponsor = \"the lab\"\n{}[[version.fee]]\nname = \"monthly\"\namount = \"31\"\n\
             every = \"period\"\n[version.trial]\nuntil = \"2026-10-11\"\n",
            card("cpu_ns", "unit_price = \"1\"")
        ),
        "
        web cpu_ns 2026-10-05 4
        web cpu_ns 2026-10-20 5
        ",
        "
        2026-01-01/cpu_ns/standard: 4 x 1 = 4.00
        2026-01-01.2/cpu_ns/standard: 5 x 1 = 5.00
        2026-01-01/monthly/fee: 0.322581 x 31 = 10.00
        2026-01-01.2/monthly/fee: 0.677419 x 31 = 21.00
        2026-01-01/trial: 1 x -14.00 = -14.00
        2026-01-01.2/sponsored: 1 x -26.00 = -26.00
        0.00 + 0.00 = 0.00 EUR
        ",
    );
}

#[test]
fn a_tax_that_changes_in_mid_month_is_due_on_what_was_used_before_and_after() {
    check(
        &card("cpu_ns", "unit_price = \"1\"\nincluded = \"8\""),
        "
        tax standard S 0.19
        tax standard S 0.21 from 2026-10-15
        web cpu_ns 2026-10-05 10
        web cpu_ns 2026-10-20 10
        ",
        "
        2026-01-01/cpu_ns/included: 8 x 0 = 0.00
        2026-01-01/cpu_ns/standard: 2 x 1 = 2.00
        2026-01-01.2/cpu_ns/standard: 10 x 1 = 10.00
        S 0.21 of 10.00: 2.10
        S 0.19 of 2.00: 0.38
        12.00 + 2.48 = 14.48 EUR
        ",
    );
}

#[test]
fn a_coupon_on_gross_prices_is_gross_and_a_bound_of_the_invoice_is_before_tax() {
    check(
        &format!(
            "prices = \"gross\"\n[[version]]\nfrom = \"2026-01-01\"\nmaximum = \"8\"\n{}[[version.discount]]\nname = \"coupon\"\namount = \"1.19\"\n",
            card("cpu_ns", "unit_price = \"11.90\"")
        ),
        "web cpu_ns 2026-10-05 1",
        "
        cpu_ns/standard: 1 x 11.90 / 1.19 = 10.00
        coupon/discount: 1 x -1.00 = -1.00
        maximum: 1 x -1.00 = -1.00
        8.00 + 1.52 = 9.52 EUR
        ",
    );
}

#[test]
fn an_instance_that_sends_something_back_is_credited_where_the_plan_says_so() {
    check(
        &format!(
            "{}{}[[version.discount]]\nname = \"all\"\npercentage = \"10\"\n",
            card("cpu_ns", "unit_price = \"1\""),
            card("net_rx_bytes", "unit_price = \"-1\"\nallow_negative = true")
        ),
        "
        web cpu_ns 2026-10-05 30
        web net_rx_bytes 2026-10-05 10
        ",
        "
        cpu_ns/standard: 30 x 1 = 30.00
        net_rx_bytes/standard: 10 x -1 = -10.00
        all/discount: 1 x -2.00 = -2.00
        18.00 + 3.42 = 21.42 EUR
        ",
    );
}

#[test]
fn a_line_without_data_costs_nothing_and_a_burst_that_is_rarer_than_one_in_twenty_neither() {
    let plan = card("net_tx_bytes", "percentile = { percent = 95, interval = \"5m\", unit_price = \"2\" }");
    // 20 intervals: the 19th counts.
    for (usage, line) in [
        ("web samples net_tx_bytes 2026-10-01T00:00 1 800", "0 x 2 = 0.00\n0.00 + 0.00 = 0.00 EUR"),
        (
            "web samples net_tx_bytes 2026-10-01T00:00 2 800",
            "800 x 2 = 1600.00\n1600.00 + 304.00 = 1904.00 EUR",
        ),
        ("web net_tx_bytes 2026-10-01T00 5", "0 x 2 = 0.00\n0.00 + 0.00 = 0.00 EUR"),
    ] {
        let usage = format!("period 2026-10-01T00:00 2026-10-01T01:40\n{usage}");
        check(&plan, &usage, &format!("net_tx_bytes/percentile: {line}"));
    }
}

#[test]
fn a_rate_whose_price_changes_is_charged_by_the_days_of_each_price() {
    let price = |price: &str| {
        card(
            "net_tx_bytes",
            &format!("percentile = {{ percent = 100, interval = \"5m\", unit_price = \"{price}\" }}"),
        )
    };
    check(
        &format!(
            "[[version]]\nfrom = \"2026-01-01\"\n{}[[version]]\nfrom = \"2026-10-15\"\n{}",
            price("1"),
            price("2")
        ),
        "web samples net_tx_bytes 2026-10-20T00:00 1 31",
        "
        2026-01-01/net_tx_bytes/percentile: 14 x 1 = 14.00
        2026-10-15/net_tx_bytes/percentile: 17 x 2 = 34.00
        48.00 + 9.12 = 57.12 EUR
        ",
    );
}

#[test]
fn reverse_charge_stands_on_the_document_with_its_reason() {
    let case = Case::new(
        &card("cpu_ns", "unit_price = \"1\""),
        "
        tax standard AE 0
        web cpu_ns 2026-10-05 10
        ",
    );
    let document = case.document();
    assert_eq!(document.notes, ["a law"]);
    assert_eq!(document.taxes[0].code.as_str(), "AE");
    assert_eq!(document.total, document.subtotal);
}

#[test]
fn every_kind_of_line_explains_itself_with_its_figures() {
    let case = Case::new(
        "prices = \"gross\"\n[[version]]\nfrom = \"2026-01-01\"\nminimum = \"100\"\n\
         [[version.rate_card]]\nmeter = \"cpu_ns\"\ngraduated = [{ up_to = \"10\", unit_price = \"1.19\", flat = \"2.38\" }, { unit_price = \"0.50\" }]\n\
         [[version.rate_card]]\nmeter = \"net_tx_bytes\"\npackage = { size = \"10\", price = \"1.00\" }\n\
         [[version.fee]]\nname = \"base\"\namount = \"3.00\"\nevery = \"period\"\n\
         [[version.discount]]\nname = \"partner\"\npercentage = \"10\"\n",
        "
        exchange USD 1.1
        web cpu_ns 2026-10-05 12
        web net_tx_bytes 2026-10-05 15
        ",
    );
    let why: Vec<String> = case.document().lines.into_iter().map(|line| line.why).collect();
    assert_eq!(
        why,
        [
            "36,000,000,000,000 of 43,200,000,000,000 ns metered, at 3,600,000,000,000 ns for one CPU·h, are 10 CPU·h, in \
             the tier from 0 up to 10; 10 x 1.19 EUR x 1.1 USD for one EUR / 1.19 without the tax in it, rounded to 11.00 USD.",
            "Once, because something falls into the tier from 0 up to 10; 1 x 2.38 EUR x 1.1 USD for one EUR / 1.19 without \
             the tax in it, rounded to 2.20 USD.",
            "7,200,000,000,000 of 43,200,000,000,000 ns metered, at 3,600,000,000,000 ns for one CPU·h, are 2 CPU·h, in the \
             tier from 10 on; 2 x 0.50 EUR x 1.1 USD for one EUR / 1.19 without the tax in it, rounded to 0.92 USD.",
            "16,106,127,360 bytes metered, at 1,073,741,824 bytes for one GiB, are 15 GiB, beginning 2 blocks of 10; 2 x \
             1.00 EUR x 1.1 USD for one EUR / 1.19 without the tax in it, rounded to 1.85 USD.",
            "In each period; 1 x 3.00 EUR x 1.1 USD for one EUR / 1.19 without the tax in it, rounded to 2.77 USD.",
            "10 % of 18.74 USD = 1.874 USD, rounded to 1.87 USD.",
            "The lines come to 16.87 USD and are at least 110.00 USD: the difference is added.",
        ]
    );
}

#[test]
fn what_cannot_be_rated_is_refused_with_how_to_mend_it() {
    let plan = card("net_tx_bytes", "percentile = { percent = 95, interval = \"5m\", unit_price = \"2\" }");
    let mut case = Case::new(&plan, "web samples net_tx_bytes 2026-10-01T00:02 1 8");
    let error = rate(&case.input()).unwrap_err();
    assert!(matches!(error, RatingError::SampleOutOfPlace { .. }), "{error}");
    assert!(error.to_string().contains("cut samples at the intervals"), "{error}");

    case = Case::new(&card("cpu_ns", "unit_price = \"1\""), "exchange USD 1.1");
    let exchange = case.exchange.as_mut().unwrap();
    (exchange.from, exchange.to) = (exchange.to, exchange.from);
    let error = rate(&case.input()).unwrap_err().to_string();
    assert!(error.contains("take the rate from EUR"), "{error}");

    case = Case::new(
        &card("cpu_ns", "unit_price = \"1\"\ntax_class = \"reduced\""),
        "web cpu_ns 2026-10-05 1\ntax standard S 0.19",
    );
    let error = rate(&case.input()).unwrap_err().to_string();
    assert!(error.contains("no tax rate for class \"reduced\""), "{error}");
}
