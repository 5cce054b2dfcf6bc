//! Rating in tables: a plan, usage, and the lines that a person works out by hand.

use billing::{Rating, RatingError};

use crate::common::{october, plan, rate, usage};

/// Compares the lines, as `meter version tier: quantity x price = amount`, and the sums.
fn check(plan_text: &str, usage_text: &str, expected: &str) {
    let (plan, usage) = (plan(plan_text), usage(usage_text));
    let rating = rate(&plan, &usage, october()).unwrap();
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(render(&rating), expected.join("\n"));
}

fn render(rating: &Rating<'_>) -> String {
    let mut lines: Vec<String> = rating
        .lines()
        .map(|line| {
            let key = line.key();
            let key = key.strip_prefix("test/").unwrap();
            format!("{key}: {} x {} = {}", line.quantity, line.unit_price, line.amount.amount())
        })
        .collect();
    for unpriced in &rating.unpriced() {
        lines.push(format!("unpriced {}: {}", unpriced.meter, unpriced.quantity));
    }
    let (subtotal, tax, total) = (rating.subtotal, rating.taxes[0].amount, rating.total);
    lines.push(format!("{} + {} = {total}", subtotal.amount(), tax.amount()));
    lines.join("\n")
}

#[test]
fn an_allowance_is_a_line_of_its_own_and_only_the_rest_is_charged() {
    check(
        "cpu_ns 0.04 included 10",
        "web cpu_ns 2026-10-01T00 44444440800000",
        "
        2026-01-01/cpu_ns/included: 10.000000 x 0 = 0.00
        2026-01-01/cpu_ns/standard: 2.345678 x 0.04 = 0.09
        0.09 + 0.02 = 0.11 EUR
        ",
    );
}

#[test]
fn usage_within_or_exactly_at_the_allowance_costs_nothing() {
    for (used, quantity) in [("3600000000000", "1.000000"), ("36000000000000", "10.000000")] {
        check(
            "cpu_ns 0.04 included 10",
            &format!("web cpu_ns 2026-10-01T00 {used}"),
            &format!("2026-01-01/cpu_ns/included: {quantity} x 0 = 0.00\n0.00 + 0.00 = 0.00 EUR"),
        );
    }
}

#[test]
fn the_first_millionth_beyond_the_allowance_falls_into_no_hole() {
    check(
        "cpu_ns 1000000 included 10",
        "web cpu_ns 2026-10-01T00 36000003600000",
        "
        2026-01-01/cpu_ns/included: 10.000000 x 0 = 0.00
        2026-01-01/cpu_ns/standard: 0.000001 x 1000000 = 1.00
        1.00 + 0.19 = 1.19 EUR
        ",
    );
}

#[test]
fn one_byte_is_shown_though_it_costs_nothing() {
    check(
        "net_tx_bytes 100",
        "web net_tx_bytes 2026-10-01T00 1",
        "
        2026-01-01/net_tx_bytes/standard: 0.000000 x 100 = 0.00
        0.00 + 0.00 = 0.00 EUR
        ",
    );
}

#[test]
fn what_was_not_used_has_no_line() {
    check(
        "cpu_ns 1 included 5\nnet_tx_bytes 100",
        "web net_tx_bytes 2026-10-01T00 0",
        "0.00 + 0.00 = 0.00 EUR",
    );
}

#[test]
fn half_a_coin_goes_up_in_every_currency() {
    for (currency, expected) in [
        ("EUR", "0.500000 x 0.01 = 0.01\n0.01 + 0.00 = 0.01 EUR"),
        ("JPY", "0.500000 x 1 = 1\n1 + 0 = 1 JPY"),
        ("BHD", "0.500000 x 0.001 = 0.001\n0.001 + 0.000 = 0.001 BHD"),
    ] {
        let price = expected.split(' ').nth(2).unwrap();
        check(
            &format!("currency {currency}\ncpu_ns {price}"),
            "web cpu_ns 2026-10-01T00 1800000000000",
            &format!("2026-01-01/cpu_ns/standard: {expected}"),
        );
    }
}

#[test]
fn rounding_each_instance_instead_of_each_line_would_charge_three_cents_for_one() {
    check(
        "cpu_ns 0.01",
        "
        a cpu_ns 2026-10-01T00 1800000000000
        b cpu_ns 2026-10-01T00 1800000000000
        c cpu_ns 2026-10-01T00 1080000000000
        ",
        "
        2026-01-01/cpu_ns/standard: 1.300000 x 0.01 = 0.01
        0.01 + 0.00 = 0.01 EUR
        ",
    );
}

#[test]
fn a_price_change_in_mid_month_starts_a_new_line_and_does_not_double_the_allowance() {
    check(
        "
        version 2026-01-01
        cpu_ns 1 included 10
        version 2026-10-15
        cpu_ns 2 included 12
        ",
        "
        web cpu_ns 2026-10-14T23 32400000000000
        web cpu_ns 2026-10-15T00 36000000000000
        ",
        "
        2026-01-01/cpu_ns/included: 9.000000 x 0 = 0.00
        2026-10-15/cpu_ns/included: 3.000000 x 0 = 0.00
        2026-10-15/cpu_ns/standard: 7.000000 x 2 = 14.00
        14.00 + 2.66 = 16.66 EUR
        ",
    );
}

#[test]
fn a_smaller_allowance_after_a_change_takes_nothing_back() {
    check(
        "
        version 2026-01-01
        cpu_ns 1 included 10
        version 2026-10-15
        cpu_ns 2 included 5
        ",
        "
        web cpu_ns 2026-10-01T00 28800000000000
        web cpu_ns 2026-10-20T00 3600000000000
        ",
        "
        2026-01-01/cpu_ns/included: 8.000000 x 0 = 0.00
        2026-10-15/cpu_ns/standard: 1.000000 x 2 = 2.00
        2.00 + 0.38 = 2.38 EUR
        ",
    );
}

#[test]
fn a_meter_without_a_card_is_shown_and_not_charged_until_it_gets_one() {
    check(
        "
        version 2026-01-01
        cpu_ns 1
        version 2026-10-15
        cpu_ns 1
        net_rx_bytes 0.50
        ",
        "
        web net_rx_bytes 2026-10-01T00 1073741824
        web net_rx_bytes 2026-10-20T00 2147483648
        ",
        "
        2026-10-15/net_rx_bytes/standard: 2.000000 x 0.50 = 1.00
        unpriced net_rx_bytes: 1.000000
        1.00 + 0.19 = 1.19 EUR
        ",
    );
}

#[test]
fn lines_stand_in_the_order_of_the_catalog_whatever_the_order_of_usage_and_cards() {
    check(
        "net_tx_bytes 1\nprovisioned_kib_s 1\nrunning_ms 1",
        "
        web net_tx_bytes 2026-10-01T00 1073741824
        pool/disk provisioned_kib_s 2026-10-01T00 3774873600
        web running_ms 2026-10-01T00 3600000
        ",
        "
        2026-01-01/running_ms/standard: 1.000000 x 1 = 1.00
        2026-01-01/provisioned_kib_s/standard: 1.000000 x 1 = 1.00
        2026-01-01/net_tx_bytes/standard: 1.000000 x 1 = 1.00
        3.00 + 0.57 = 3.57 EUR
        ",
    );
}

#[test]
fn tax_is_rounded_once_on_the_sum_and_not_on_each_line() {
    check(
        "tax 0.07\nrunning_ms 0.07\nvcpu_ms 0.07",
        "
        web running_ms 2026-10-01T00 3600000
        web vcpu_ms 2026-10-01T00 3600000
        ",
        "
        2026-01-01/running_ms/standard: 1.000000 x 0.07 = 0.07
        2026-01-01/vcpu_ms/standard: 1.000000 x 0.07 = 0.07
        0.14 + 0.01 = 0.15 EUR
        ",
    );
}

#[test]
fn what_is_shown_by_instance_adds_up_to_the_line_to_the_last_millionth() {
    // Three times a third of a millionth of an hour: none of them alone would show.
    let usage = usage(
        "
        a cpu_ns 2026-10-01T00 1200000
        b cpu_ns 2026-10-01T00 1200000
        c cpu_ns 2026-10-01T00 1200000
        ",
    );
    let plan = plan("cpu_ns 1");
    let rating = rate(&plan, &usage, october()).unwrap();
    let shown: Vec<String> =
        rating.instances().unwrap().iter().map(|row| format!("{} {}", row.name, row.quantity)).collect();
    assert_eq!(shown, ["a 0.000001", "b 0.000000", "c 0.000000"]);
    assert_eq!(rating.lines().next().unwrap().quantity.to_string(), "0.000001");
}

#[test]
fn a_line_explains_itself_with_figures_that_can_be_checked() {
    let usage = usage("web cpu_ns 2026-10-01T00 44444440800000\nweb running_ms 2026-10-01T00 3600000");
    let plan = plan("cpu_ns 0.04 included 10\nrunning_ms 0.05");
    let rating = rate(&plan, &usage, october()).unwrap();
    let why: Vec<String> = rating.lines().map(|line| line.why()).collect();
    assert_eq!(
        why,
        [
            "3,600,000 ms metered, at 3,600,000 ms for one h, are 1 h; 1 x 0.05 EUR = 0.05 EUR.",
            "36,000,000,000,000 of 44,444,440,800,000 ns metered, at 3,600,000,000,000 ns for one CPU·h, are \
             10 CPU·h, within the 10 CPU·h that each period includes.",
            "8,444,440,800,000 of 44,444,440,800,000 ns metered, at 3,600,000,000,000 ns for one CPU·h, are \
             2.345678 CPU·h; 2.345678 x 0.04 EUR = 0.09382712 EUR, rounded to 0.09 EUR.",
        ]
    );
}

#[test]
fn time_of_a_resource_counts_once_however_many_meters_it_has() {
    let mut usage =
        usage("web cpu_ns 2026-10-01T00 1\nweb vcpu_ms 2026-10-01T00 1\nweb net_rx_bytes 2026-10-01T00 1");
    for record in &mut usage {
        record.coverage.missing_us = 600_000_000;
        record.coverage.measured_us -= 600_000_000;
    }
    let plan = plan("cpu_ns 1");
    let rating = rate(&plan, &usage, october()).unwrap();
    // The instance and its NIC.
    assert_eq!(rating.completeness().measured_ms, 2 * 3_000_000);
    assert_eq!(rating.completeness().missing_ms, 2 * 600_000);
    assert_eq!(rating.lines().next().unwrap().coverage.missing_ms, 600_000);
}

#[test]
fn usage_that_does_not_belong_is_refused_and_neither_dropped_nor_charged() {
    let two = plan("version 2026-10-15\ncpu_ns 1\nversion 2026-10-20\ncpu_ns 2");
    let error = rate(&two, &[], october()).unwrap_err();
    assert!(matches!(error, RatingError::NoPrices { .. }), "{error}");

    let one = plan("cpu_ns 1");
    let error = rate(&one, &usage("web cpu_ns 2026-11-01T00 1"), october()).unwrap_err();
    assert!(matches!(error, RatingError::OutsidePeriod { .. }), "{error}");

    let askew = plan("zone Asia/Kolkata\nversion 2026-01-01\ncpu_ns 1\nversion 2026-10-15\ncpu_ns 2");
    let error = rate(&askew, &usage("web cpu_ns 2026-10-14T18 1"), october()).unwrap_err();
    assert!(matches!(error, RatingError::AcrossVersions { .. }), "{error}");
}

#[test]
fn usage_beyond_all_digits_is_an_error_and_no_panic() {
    let max = u64::MAX;
    let usage = usage(&format!("a disk_read_ops 2026-10-01T00 {max}\nb disk_read_ops 2026-10-01T00 {max}"));
    let cheap = plan("disk_read_ops 0.04");
    let rating = rate(&cheap, &usage, october()).unwrap();
    assert_eq!(rating.lines().next().unwrap().base_quantity, 2 * u128::from(max));
    let dear = plan("disk_read_ops 9999999999.999999999999");
    let error = rate(&dear, &usage, october()).unwrap_err();
    assert!(matches!(error, RatingError::TooLarge { .. }), "{error}");
}
