//! Statements of account on paper, read back with other programs' eyes.

#[path = "support/read.rs"]
#[expect(dead_code, reason = "invoices need more of it")]
mod read;
#[path = "support/statements.rs"]
mod statements;

use reports::{ReportError, StatementDocument, statement_pdf};

fn pdf(document: &StatementDocument) -> Vec<u8> {
    statement_pdf(document).expect("it is typeset")
}

/// The rows as they stand on the page; how far apart the columns are is looked at, not tested.
fn rows(document: &StatementDocument) -> String {
    let text = read::pdf_text(&pdf(document));
    let row = |row: &str| row.split_whitespace().collect::<Vec<_>>().join(" ");
    let rows: Vec<String> = text.lines().map(row).filter(|row| !row.is_empty()).collect();
    rows.join("\n")
}

fn pages(document: &StatementDocument) -> Vec<String> {
    let text = read::pdf_text(&pdf(document));
    text.split('\u{c}').filter(|page| !page.trim().is_empty()).map(str::to_owned).collect()
}

/// What follows these words on their row.
fn after<'a>(page: &'a str, words: &str) -> Option<&'a str> {
    let row = page.lines().find(|row| row.contains(words))?;
    row.split_once(words).map(|(_, rest)| rest.trim())
}

#[test]
fn the_texts_of_the_samples_are_as_looked_at() {
    insta::assert_snapshot!("statement_small", rows(&statements::small()));
    insta::assert_snapshot!("statement_currencies", rows(&statements::currencies()));
    insta::assert_snapshot!("statement_empty", rows(&statements::empty()));
}

#[test]
fn a_balance_is_carried_from_page_to_page_and_every_page_has_its_number_and_its_head() {
    let pages = pages(&statements::crowded(60));
    assert_eq!(pages.len(), 3);
    for (at, page) in pages.iter().enumerate() {
        assert!(page.contains(&format!("Page {} of 3", at + 1)), "{page}");
        assert!(page.contains("BALANCE EUR"), "{page}");
        let came = at.checked_sub(1).and_then(|before| after(&pages[before], "Carried forward"));
        assert_eq!(after(page, "Brought forward"), came, "page {}", at + 1);
    }
    let carried = pages.iter().filter(|page| page.contains("Carried forward")).count();
    assert_eq!(carried, 2, "from the last page nothing goes on");
    // The balance that is carried is the one of the last row.
    let rows: Vec<&str> = pages[0].lines().filter(|row| row.trim_start().starts_with("202")).collect();
    let carried =
        after(&pages[0], "Carried forward").and_then(|text| text.split_once(' ')).map(|(_, figure)| figure);
    let last = rows.last().and_then(|row| row.split_whitespace().last());
    assert_eq!(carried, last);
}

#[test]
fn no_word_leaves_its_page_and_none_lies_on_another() {
    for (name, document) in statements::all() {
        let (words, width) = read::pdf_words(&pdf(&document));
        let margin = 21.0 * 72.0 / 25.4 - 0.5;
        for word in &words {
            let inside = margin <= word.left && word.right <= width - margin;
            assert!(inside, "{name}: {:?} on page {} leaves the margins", word.text, word.page);
        }
        for (at, word) in words.iter().enumerate() {
            let on = words[at + 1..].iter().take(400).find(|other| {
                let across = word.right.min(other.right) - word.left.max(other.left);
                let down = word.bottom.min(other.bottom) - word.top.max(other.top);
                word.page == other.page && across > 0.5 && down > 4.0
            });
            assert!(on.is_none(), "{name}: {:?} and {:?} overlap", word.text, on.map(|other| &other.text));
        }
    }
}

#[test]
fn names_that_are_markup_stay_names_and_long_figures_stay_whole() {
    let text = read::pdf_text(&pdf(&statements::hostile()));
    for part in ["#panic(\"x\") #import", "*bold*", "87,654,321,098,765,432.10", "99,999,999,999,999,999.99"]
    {
        assert!(text.contains(part), "{part:?} is not in the PDF");
    }
}

#[test]
fn the_same_statement_makes_the_same_bytes_and_an_unknown_zone_is_an_error() {
    let document = statements::small();
    assert!(pdf(&document) == pdf(&document), "two PDFs of one statement differ");
    let lost = StatementDocument { time_zone: "Atlantis/Capital".to_owned(), ..document };
    assert!(matches!(statement_pdf(&lost), Err(ReportError::TimeZone { .. })));
}
