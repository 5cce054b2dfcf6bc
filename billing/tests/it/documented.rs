//! The examples of docs/billing.md, read out of it and computed.

use crate::cases::check;

const DOCUMENT: &str = include_str!("../../../docs/billing.md");

/// The text of each fenced block with its word, such as `toml`, in order, with the number of its line.
fn blocks() -> Vec<(usize, &'static str, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, &'static str, String)> = None;
    for (number, line) in (1..).zip(DOCUMENT.lines()) {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(word)) => open = Some((number, word, String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((.., text)), None) => *text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

#[test]
fn every_example_of_the_document_is_what_weir_computes() {
    let blocks = blocks();
    let mut examples = 0;
    for (n, (line, word, usage)) in blocks.iter().enumerate().filter(|(_, (_, word, _))| *word == "usage") {
        let ((_, plan_word, plan), (_, lines_word, lines)) = (&blocks[n - 1], &blocks[n + 1]);
        assert_eq!((*plan_word, *word, *lines_word), ("toml", "usage", "lines"), "line {line}");
        println!("docs/billing.md:{line}");
        check(plan, usage, lines);
        examples += 1;
    }
    // Every model of price, and everything else that can change an amount.
    assert!(23 <= examples, "only {examples} examples");
    assert_eq!(examples, blocks.iter().filter(|(_, word, _)| *word == "lines").count());
}
