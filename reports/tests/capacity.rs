//! Capacity as planners see it: the view, and the paper read back with another program's eyes.

#[path = "support/nodes.rs"]
mod nodes;
#[expect(dead_code, reason = "the invoice's tests read more")]
#[path = "support/read.rs"]
mod read;

use jiff::ToSpan;
use reports::capacity::{SILENT_AFTER, Verdict, capacity_pdf, view};
use usage::capacity::NodeCapacity;

fn pdf(nodes: &[NodeCapacity]) -> Vec<u8> {
    capacity_pdf(&view(nodes, nodes::now())).expect("it is typeset")
}

#[test]
fn a_node_shows_what_is_physical_allocated_and_used() {
    let view = view(&[nodes::node("a", 16, 64, 1_000, 30, &nodes::STEADY)], nodes::now());
    let node = &view.nodes[0];
    assert_eq!(node.cpu.physical.text, "16 cores");
    assert_eq!(node.cpu.allocated.amount.text, "22 vCPUs");
    assert_eq!(node.cpu.overcommit.as_ref().map(|ratio| ratio.text.as_str()), Some("1.38 vCPUs per core"));
    assert_eq!(node.cpu.used_when, "mean of 2026-11-20");
    assert_eq!(node.memory.physical.text, "64 GiB");
    assert!(node.memory.allocated.percent.is_some_and(|percent| (62.0..66.0).contains(&percent)));
    assert_eq!(node.fills_first.as_ref().map(|first| first.what), Some("Allocated memory"));
    assert!(node.summary.starts_with("Allocated memory: full in about "), "{}", node.summary);
    assert_eq!(node.stands_on, "30 complete days, 2026-10-22 to 2026-11-20");
}

#[test]
fn the_total_is_the_sum_of_the_nodes() {
    let nodes = [
        nodes::node("a", 16, 64, 1_000, 30, &nodes::STEADY),
        nodes::node("b", 8, 32, 500, 30, &nodes::STEADY),
    ];
    let view = view(&nodes, nodes::now());
    let total = view.total.expect("there are nodes");
    assert_eq!(
        (total.cpu.physical.text.as_str(), total.memory.physical.text.as_str()),
        ("24 cores", "96 GiB")
    );
    let sum: f64 = view.nodes.iter().map(|node| node.memory.allocated.amount.value).sum();
    assert!((total.memory.allocated.amount.value - sum).abs() < 1e-9);
    for (at, (_, value)) in total.memory.forecasts[0].points.iter().enumerate() {
        let sum: f64 = view.nodes.iter().map(|node| node.memory.forecasts[0].points[at].1).sum();
        assert!((value - sum).abs() < 1e-9);
    }
}

#[test]
fn a_day_without_one_node_is_no_day_of_the_total() {
    let mut gap = nodes::node("b", 8, 32, 500, 30, &nodes::STEADY);
    gap.days.remove(10);
    gap.days[20].is_complete = false;
    let late = nodes::node("c", 8, 32, 500, 12, &nodes::STEADY);
    let view = view(&[nodes::node("a", 16, 64, 1_000, 30, &nodes::STEADY), gap, late], nodes::now());
    let total = view.total.expect("there are nodes");
    assert_eq!(
        total.memory.forecasts[0].points.len(),
        28,
        "two days lack a node; before it came, c lacks nothing"
    );
}

#[test]
fn half_a_day_is_no_day() {
    let mut node = nodes::node("a", 16, 64, 1_000, 30, &nodes::STEADY);
    let complete = view(std::slice::from_ref(&node), nodes::now());
    let mut today = node.days[29];
    today.allocated_memory_kib = 1;
    (today.day, today.is_complete, today.used_cpu) = (today.day + 1.day(), false, 900.0);
    node.days.push(today);
    assert_eq!(view(&[node], nodes::now()), complete);
}

#[test]
fn a_silent_node_warns_and_is_not_drawn_on_for_ever() {
    let mut node = nodes::node("a", 16, 64, 1_000, 30, &nodes::STEADY);
    node.last_observed_at = Some(nodes::now() - SILENT_AFTER);
    assert_eq!(view(&[node.clone()], nodes::now()).warnings, [""; 0]);
    node.last_observed_at = Some(nodes::now() - SILENT_AFTER - 1.second());
    let silent = view(&[node.clone()], nodes::now());
    assert_eq!(
        silent.warnings,
        [
            "a is silent since 2026-11-21 09:19:59 UTC: its figures are those of then. Look whether its collector runs."
        ]
    );
    assert!(silent.nodes[0].is_silent && silent.total.is_some());
    let later = view(&[node.clone()], nodes::now() + 200.hours());
    assert!(later.total.is_none());
    assert_eq!(later.warnings[1], "The total is without a, silent for more than 4 days.");
    assert_eq!(later.nodes[0].summary, "No forecast: the newest complete day is 2026-11-20.");
    node.last_observed_at = None;
    assert_eq!(view(&[node], nodes::now()).warnings[0], "a was never read. Look whether its collector runs.");
}

#[test]
fn a_new_node_says_how_many_days_are_missing() {
    let node = &view(&nodes::newborn(), nodes::now()).nodes[0];
    assert_eq!(node.summary, "No forecast yet: 0 of 7 complete days.");
    assert_eq!(node.cpu.used.as_ref().map(|used| used.amount.text.as_str()), Some("0.31 cores"));
    assert_eq!((node.cpu.used_when.as_str(), node.memory.used_when.as_str()), ("now", "now"));
    assert_eq!(node.stands_on, "no complete day");
}

#[test]
fn a_node_of_which_nothing_was_read_is_not_said_to_be_empty() {
    let unread = nodes::node("a", 0, 0, 0, 0, &nodes::STEADY);
    let view = view(&[nodes::node("b", 16, 64, 1_000, 30, &nodes::STEADY), unread], nodes::now());
    let node = &view.nodes[1];
    assert_eq!((&node.cpu.used, &node.memory.used, &node.memory.allocated.percent), (&None, &None, &None));
    assert_eq!(node.memory.used_when, "not known yet");
    assert_eq!(node.summary, "No forecast: its size is not known.");
    assert_eq!(view.total.expect("there are nodes").memory.used, None, "a part is not the whole");
}

#[test]
fn a_day_of_which_a_part_was_not_observed_is_no_day() {
    let mut node = nodes::node("a", 16, 64, 1_000, 30, &nodes::STEADY);
    node.days[0].observed = 0.5;
    assert_eq!(view(&[node], nodes::now()).nodes[0].stands_on, "29 complete days, 2026-10-23 to 2026-11-20");
}

#[test]
fn what_is_full_is_before_all_that_grows() {
    let house = view(&nodes::house(), nodes::now());
    let first = house.nodes[1].fills_first.as_ref().expect("it is full");
    assert_eq!((first.what, first.days, first.full_on), ("Allocated memory", 0, None));
    assert_eq!(house.nodes[1].summary, "Allocated memory: all of it is allocated.");
    assert_eq!(house.nodes[1].memory.forecasts[0].forecast.verdict, Verdict::Full);
}

#[test]
fn the_view_is_json_with_days_and_words() {
    let json = serde_json::to_value(view(&nodes::house(), nodes::now())).expect("it is written");
    let memory = &json["nodes"][0]["memory"];
    assert_eq!(
        (&memory["unit"], &memory["forecasts"][0]["what"]),
        (&"GiB".into(), &"Allocated memory".into())
    );
    assert_eq!(memory["forecasts"][0]["forecast"]["verdict"], "in");
    assert!(memory["forecasts"][0]["forecast"]["days_until_full"]["likely"].is_u64());
    assert_eq!(memory["forecasts"][0]["points"][0][0], "2026-10-11");
    assert_eq!(json["total"]["node_id"], serde_json::Value::Null);
}

#[test]
fn the_paper_says_what_the_view_says() {
    let nodes = nodes::house();
    let text = read::pdf_text(&pdf(&nodes));
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let view = view(&nodes, nodes::now());
    for node in view.nodes.iter().chain(&view.total) {
        assert!(flat.contains(&node.summary), "{:?} is not in the PDF", node.summary);
        for resource in [&node.cpu, &node.memory, &node.storage] {
            for text in [&resource.physical.text, &resource.allocated.amount.text] {
                assert!(flat.contains(text), "{text:?} of {} is not in the PDF", node.name);
            }
        }
    }
    for warning in &view.warnings {
        assert!(flat.contains(warning), "{warning:?} is not in the PDF");
    }
}

#[test]
fn nothing_on_the_paper_leaves_its_margins_or_lies_on_something_else() {
    for (name, nodes) in nodes::all() {
        let (words, width) = read::pdf_words(&pdf(&nodes));
        let margin = 21.0 * 72.0 / 25.4 - 0.5;
        for (at, word) in words.iter().enumerate() {
            let inside = margin <= word.left && word.right <= width - margin;
            assert!(inside, "{name}: {:?} on page {} leaves the margins", word.text, word.page);
            let on = words[at + 1..].iter().find(|other| {
                let across = word.right.min(other.right) - word.left.max(other.left);
                let down = word.bottom.min(other.bottom) - word.top.max(other.top);
                word.page == other.page && across > 0.5 && down > 4.0
            });
            let on = on.map(|other| &other.text);
            assert!(on.is_none(), "{name}: {:?} and {on:?} overlap on page {}", word.text, word.page);
        }
    }
}

#[test]
fn names_that_are_markup_stay_names_on_paper() {
    let text = read::pdf_text(&pdf(&nodes::hostile()));
    for name in ["#panic(\"x\") *bold*", "node line break", "(no name)", "WWW"] {
        assert!(text.contains(name), "{name:?} is not in the PDF");
    }
    assert!(!text.contains('\u{202e}'));
}

#[test]
fn the_same_view_makes_the_same_bytes_and_its_own_date() {
    let house = nodes::house();
    let first = pdf(&house);
    pdf(&nodes::hostile());
    assert!(first == pdf(&house), "two PDFs of one view differ");
    assert!(String::from_utf8_lossy(&first).contains("D:20261121093000Z"));
}
