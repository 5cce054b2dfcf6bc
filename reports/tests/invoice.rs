//! Invoices as documents, read back with other programs' eyes.

#[path = "support/documents.rs"]
mod documents;
#[path = "support/read.rs"]
mod read;

use billing::InvoiceDocument;
use reports::{ReportError, invoice_html, invoice_json, invoice_pdf};

fn pdf(document: &InvoiceDocument) -> Vec<u8> {
    invoice_pdf(document).expect("it is typeset")
}

fn html(document: &InvoiceDocument) -> String {
    invoice_html(document).expect("it is filled in")
}

fn json(document: &InvoiceDocument) -> String {
    invoice_json(document).expect("it is written")
}

#[test]
fn pdf_page_and_json_say_the_same_figures_to_the_last_digit() {
    let sample = InvoiceDocument::sample();
    for document in
        [sample, documents::crowded(), documents::in_currency("JPY"), documents::in_currency("BHD")]
    {
        let expected = read::json_figures(&json(&document));
        assert_eq!(expected.lines.len(), document.lines.len());
        assert_eq!(read::html_figures(&html(&document)), expected);
        assert_eq!(read::pdf_figures(&read::pdf_text(&pdf(&document))), expected);
    }
}

#[test]
fn figures_of_thirty_digits_are_neither_cut_off_nor_run_together() {
    for document in [documents::huge(), InvoiceDocument::sample(), documents::crowded()] {
        check_layout(&document);
    }
    let text = read::pdf_text(&pdf(&documents::huge()));
    let figures = [
        "792,281,625,142,643,375,935.123456",
        "0.0000000000000000000123456789",
        "1,234,567,890,123.45",
        "792,281,625,142,643,375,935.44",
        "340,282,366,920,938,463,463,374,607,431,768,211,455",
    ];
    let html = html(&documents::huge());
    for figure in figures {
        assert!(text.contains(figure), "{figure} is not in the PDF");
        assert!(html.contains(figure), "{figure} is not in the page");
    }
}

/// Every word lies within the margins, and none on another.
fn check_layout(document: &InvoiceDocument) {
    let (words, width) = read::pdf_words(&pdf(document));
    let margin = 21.0 * 72.0 / 25.4 - 0.5;
    for word in &words {
        let inside = margin <= word.left && word.right <= width - margin;
        assert!(
            inside,
            "{:?} on page {} leaves the margins: {} to {}",
            word.text, word.page, word.left, word.right
        );
    }
    for (at, word) in words.iter().enumerate() {
        let on = words[at + 1..].iter().find(|other| {
            let across = word.right.min(other.right) - word.left.max(other.left);
            let down = word.bottom.min(other.bottom) - word.top.max(other.top);
            word.page == other.page && across > 0.5 && down > 4.0
        });
        assert!(on.is_none(), "{:?} and {:?} overlap", word.text, on.map(|other| &other.text));
    }
}

#[test]
fn names_that_are_markup_stay_names() {
    let document = documents::hostile();
    let page = html(&document);
    for markup in ["<script", "<b>", "</style><", "{{", "\u{202e}", "\u{2066}", "\0"] {
        let count = page.matches(markup).count();
        let expected = usize::from(markup == "{{") * page.matches("{{ 7*7 }}").count();
        assert_eq!(count, expected, "{markup:?} in the page");
    }
    assert_eq!(page.matches("<style>").count(), 1);
    assert!(page.contains("#panic(&#34;x&#34;)"));
    let text = read::pdf_text(&pdf(&document));
    for name in ["#panic(\"x\") #import", "*bold* _emph_ <b>x</b> &amp;", "line break tab nul", "…"] {
        assert!(text.contains(name), "{name:?} is not in the PDF");
    }
}

#[test]
fn a_long_name_that_may_break_is_still_found_whole_in_the_pdf() {
    let text = read::pdf_text(&pdf(&InvoiceDocument::sample()));
    assert!(text.contains("build-agent-01.eu-central.internal.example.org"));
}

#[test]
fn a_name_of_ten_thousand_characters_leaves_no_column_and_no_page() {
    let document = documents::hostile();
    let (words, width) = read::pdf_words(&pdf(&document));
    let margin = 21.0 * 72.0 / 25.4 - 0.5;
    let out: Vec<&str> = words
        .iter()
        .filter(|word| word.left < margin || width - margin < word.right)
        .map(|word| word.text.as_str())
        .collect();
    assert_eq!(out, Vec::<&str>::new());
    assert!(html(&document).len() < 200_000, "the page repeats the long names");
    assert!(json(&document).contains(&"W".repeat(10_000)), "JSON must not be shortened");
}

#[test]
fn the_same_invoice_makes_the_same_bytes_whatever_was_made_before() {
    let sample = InvoiceDocument::sample();
    let first = pdf(&sample);
    pdf(&documents::empty());
    assert!(first == pdf(&sample), "two PDFs of one invoice differ");
    assert_eq!(html(&sample), html(&sample));
    assert_eq!(json(&sample), json(&sample));
}

#[test]
fn the_date_of_the_pdf_is_the_invoices_and_not_the_clocks() {
    let dated = |document: &InvoiceDocument| {
        let bytes = pdf(document);
        String::from_utf8_lossy(&bytes).contains("D:20261031230000Z")
    };
    assert!(dated(&InvoiceDocument::sample()));
    let draft = pdf(&InvoiceDocument::sample_small());
    assert!(!String::from_utf8_lossy(&draft).contains("CreationDate"), "a draft has no date");
}

#[test]
fn an_invoice_without_lines_says_so_instead_of_showing_an_empty_table() {
    let document = documents::empty();
    let sentence = "Nothing that this plan charges for was used in this period. There is nothing to pay.";
    let page = html(&document);
    assert!(page.contains(sentence));
    assert!(!page.contains("<table"));
    let text = read::pdf_text(&pdf(&document));
    assert!(text.contains(sentence) && text.contains("EUR 0.00") && !text.contains("DESCRIPTION"));
}

#[test]
fn what_nobody_owes_is_marked_on_every_page() {
    for (document, mark) in [(InvoiceDocument::sample_small(), "DRAFT"), (documents::void(), "VOID")] {
        let (words, _) = read::pdf_words(&pdf(&document));
        let pages = words.last().map_or(0, |word| word.page);
        for page in 1..=pages {
            // Turned letters are read one by one.
            let turned = |word: &&read::Word| word.page == page && word.bottom - word.top > 40.0;
            let mut letters: Vec<&read::Word> = words.iter().filter(turned).collect();
            letters.sort_by(|a, b| a.left.total_cmp(&b.left));
            let letters: String = letters.into_iter().map(|word| &*word.text).collect();
            assert_eq!(letters, mark, "page {page}");
        }
        assert!(html(&document).contains(&format!("<span class=\"badge\">{mark}</span>")));
    }
    assert!(!html(&InvoiceDocument::sample()).contains("class=\"mark\""));
}

#[test]
fn every_page_has_its_number_and_every_part_of_a_table_its_head() {
    let text = read::pdf_text(&pdf(&documents::crowded()));
    let pages: Vec<&str> = text.split('\u{c}').filter(|page| !page.trim().is_empty()).collect();
    assert!(pages.len() > 8, "it is not crowded");
    for (at, page) in pages.iter().enumerate() {
        assert!(page.contains(&format!("Page {} of {}", at + 1, pages.len())), "page {}", at + 1);
        assert!(page.contains("DESCRIPTION") || page.contains("EXACTLY AS READ"), "page {}", at + 1);
    }
    let sums = pages.iter().find(|page| page.contains("Subtotal")).expect("the sums are somewhere");
    assert!(sums.contains("DESCRIPTION"), "the sums stand on a page without a line");
}

#[test]
fn the_page_needs_nothing_but_itself() {
    for (name, document) in documents::all() {
        if name == "hostile" {
            continue;
        }
        let page = html(&document);
        for foreign in ["http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link"] {
            assert!(!page.contains(foreign), "{foreign} in {name}");
        }
    }
}

#[test]
fn json_is_the_document_itself() {
    for (name, document) in documents::all() {
        let json = json(&document);
        let back: InvoiceDocument = serde_json::from_str(&json).expect("it reads back");
        assert_eq!(back, document, "{name}");
        assert!(json.ends_with("}\n"));
    }
}

#[test]
fn an_unknown_time_zone_is_an_error_and_not_utc() {
    let mut document = InvoiceDocument::sample();
    document.time_zone = "Atlantis/Capital".to_owned();
    let error = invoice_html(&document).expect_err("there is no such zone");
    assert!(matches!(&error, ReportError::TimeZone { name, .. } if name == "Atlantis/Capital"));
    assert!(error.to_string().contains("tzdata"));
}

#[test]
fn the_pages_of_the_samples_are_as_looked_at() {
    // The style sheet has no figures in it; whoever changes it looks at the page.
    insta::with_settings!({filters => vec![("(?s)<style>.*</style>", "<style></style>")]}, {
        insta::assert_snapshot!("sample_small", html(&InvoiceDocument::sample_small()));
        insta::assert_snapshot!("sample", html(&InvoiceDocument::sample()));
        insta::assert_snapshot!("void", html(&documents::void()));
        insta::assert_snapshot!("empty", html(&documents::empty()));
    });
}

#[test]
fn each_line_of_a_page_leads_to_why_it_is_what_it_is() {
    let document = documents::crowded();
    let link = |line: usize| format!("/tenants/a&b/invoices/1/lines/{line}");
    let page = reports::invoice_html_with(&document, Some(&link)).expect("it is filled in");
    for line in 0..document.lines.len() {
        let anchor = format!("<a href=\"/tenants/a&#38;b/invoices/1/lines/{line}\">");
        assert_eq!(page.matches(&anchor).count(), 1, "line {line}");
    }
    let linked = page.matches("<a href").count();
    assert_eq!(linked, document.lines.len(), "only lines lead somewhere");
    assert!(!html(&document).contains("<a href"), "a page that leaves the house leads nowhere");
}

#[test]
fn a_link_that_leaves_the_house_or_runs_a_script_is_no_link() {
    let document = InvoiceDocument::sample();
    for address in
        ["javascript:alert(1)", "//elsewhere.example/", "/\\elsewhere.example/", "https://x.example/", ""]
    {
        let page =
            reports::invoice_html_with(&document, Some(&|_| address.to_owned())).expect("it is filled in");
        assert!(!page.contains("<a "), "{address}");
    }
}
