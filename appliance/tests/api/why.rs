//! From an invoice to the readings that it stands on, over the API: each step adds up to the one before.

use serde_json::Value;

use crate::client::Cloud;
use crate::seed;

fn number(value: &Value) -> u128 {
    value.as_str().unwrap_or_else(|| panic!("{value} is no whole number in a string")).parse().unwrap()
}

fn sum(items: &Value) -> u128 {
    items.as_array().unwrap().iter().map(|item| number(&item["quantity"])).sum()
}

#[test]
fn every_figure_of_an_invoice_leads_to_readings_that_add_up_to_it() {
    let cloud = Cloud::start();
    let invoice = cloud.runtime.block_on(seed::past(&cloud.database));
    let list = cloud.get(&cloud.acme, "/v1/invoices").fine(200);
    assert_eq!(list["items"][0]["number"], invoice.as_str());
    let path = format!("/v1/invoices/{invoice}");
    let document = cloud.get(&cloud.acme, &path).fine(200);
    assert_eq!((&document["total"]["currency"], &document["currency"]), (&"EUR".into(), &"EUR".into()));
    let lines = document["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 2);
    for line in lines {
        let path = format!("{path}/lines/{}", line["n"]);
        let resources = cloud.get(&cloud.acme, &format!("{path}/resources")).fine(200);
        assert_eq!(resources["quantity"], line["base_quantity"]);
        assert_eq!(sum(&resources["items"]), number(&line["base_quantity"]));
        for part in resources["items"].as_array().unwrap() {
            windows(&cloud, &path, part);
        }
    }
    for other in ["", "/lines/1/resources", ".pdf"] {
        cloud.get(&cloud.other, &format!("{path}{other}")).refused(404, "not-found");
    }
    let resource = seed::instance_id();
    for wrong in [
        format!("{path}/lines/0/resources"),
        format!("{path}/lines/3/resources"),
        format!("{path}/lines/1/windows?resource={resource}&device=vda"),
        format!("{path}/lines/1/windows?resource=7b3b8a52-6c7e-4a52-9d2b-0b8a3c1d2e4f"),
        format!("{path}/lines/1/readings?resource={resource}&window_start=2026-01-01T00:00:00Z"),
    ] {
        cloud.get(&cloud.acme, &wrong).refused(404, "not-found");
    }
    cloud.get(&cloud.acme, &format!("{path}/lines/1/windows")).refused(400, "invalid-query");
    let pdf = cloud.get(&cloud.acme, &format!("{path}.pdf"));
    assert_eq!((pdf.status, pdf.header("content-type")), (200, "application/pdf"));
    assert!(pdf.text.starts_with("%PDF-"));
    assert!(cloud.up.stop().success());
}

/// The windows of a resource's part, and the readings of each.
fn windows(cloud: &Cloud, path: &str, part: &Value) {
    let resource = part["resource"]["resource_id"].as_str().unwrap();
    let windows = cloud.get(&cloud.acme, &format!("{path}/windows?resource={resource}")).fine(200);
    assert_eq!(windows["resource"]["name"], "web-1");
    assert_eq!(sum(&windows["items"]), number(&part["quantity"]));
    let items = windows["items"].as_array().unwrap();
    assert_eq!(part["windows"], items.len());
    // Two whole hours, and what is cut off at both ends.
    assert_eq!(items.len(), 3);
    for window in items {
        let start = window["window"]["from"].as_str().unwrap();
        let readings = cloud
            .get(&cloud.acme, &format!("{path}/readings?resource={resource}&window_start={start}"))
            .fine(200);
        assert_eq!(readings["window"], window["window"]);
        assert_eq!(readings["quantity"], window["quantity"]);
        assert_eq!(sum(&readings["items"]), number(&window["quantity"]));
        for part in readings["items"].as_array().unwrap() {
            let rise = number(&part["at_end"]["value"]) - number(&part["at_start"]["value"]);
            assert_eq!(rise, number(&part["quantity"]));
        }
    }
}

#[test]
fn usage_is_the_same_by_day_by_resource_and_by_meter() {
    let cloud = Cloud::start();
    cloud.runtime.block_on(seed::past(&cloud.database));
    let total = |token: &str, group_by: &str| -> u128 {
        let path = format!("/v1/usage?from=2026-01-01&to=2027-01-01&meter=cpu_ns&group_by={group_by}");
        sum(&cloud.get(token, &path).fine(200)["items"])
    };
    // Twelve looks after the first one, by seed's own rule.
    let expected = 12 * 12 * 7_000_000_007;
    for group_by in ["day", "resource", "meter"] {
        assert_eq!(total(&cloud.acme, group_by), expected, "{group_by}");
        assert_eq!(total(&cloud.provider, group_by), expected, "{group_by}");
        assert_eq!(total(&cloud.other, group_by), 0, "{group_by}");
    }
    let chart = cloud.get(&cloud.acme, &format!("/v1/instances/{}/chart", seed::instance_id())).fine(200);
    let points = chart["at"].as_array().unwrap().len();
    assert_eq!(chart["cpu_cores"].as_array().unwrap().len(), points);
    cloud
        .get(&cloud.other, &format!("/v1/instances/{}/chart", seed::instance_id()))
        .refused(404, "not-found");
    assert!(cloud.up.stop().success());
}
