//! Reads documents back as a person would: the text of a PDF, the rows of a page, the fields of JSON.

use std::io::Write;
use std::process::{Command, Stdio};

use rust_decimal::Decimal;

/// A line's figures: quantity, unit price, amount.
pub type Row = [Decimal; 3];

/// What all three documents must say alike.
#[derive(Debug, PartialEq, Eq)]
pub struct Figures {
    pub lines: Vec<Row>,
    /// Subtotal, each tax, total.
    pub sums: Vec<Decimal>,
    /// Quantity and base quantity, by instance and meter.
    pub usage: Vec<(Decimal, u128)>,
}

/// The text of a PDF as it stands on the page.
pub fn pdf_text(pdf: &[u8]) -> String {
    pdftotext(pdf, "-layout")
}

/// Each word of a PDF with its page and box.
pub struct Word {
    pub page: usize,
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
    pub text: String,
}

/// All words of a PDF and the width of its pages, in points.
pub fn pdf_words(pdf: &[u8]) -> (Vec<Word>, f64) {
    let text = pdftotext(pdf, "-bbox");
    let (mut words, mut page, mut width) = (Vec::new(), 0, 0.0);
    for row in text.lines().map(str::trim) {
        if row.starts_with("<page ") {
            page += 1;
            width = number(row, "width");
        } else if row.starts_with("<word ") {
            let text = row.split_once('>').map_or("", |(_, rest)| rest).trim_end_matches("</word>");
            words.push(Word {
                page,
                left: number(row, "xMin"),
                right: number(row, "xMax"),
                top: number(row, "yMin"),
                bottom: number(row, "yMax"),
                text: text.to_owned(),
            });
        }
    }
    assert!(!words.is_empty(), "pdftotext found no words");
    (words, width)
}

/// The figures in a PDF's text.
pub fn pdf_figures(text: &str) -> Figures {
    let (mut lines, mut usage, mut sums) = (Vec::new(), Vec::new(), Vec::new());
    let mut part = "";
    for row in text.lines().map(str::trim) {
        match row {
            _ if row.starts_with("DESCRIPTION") => part = "lines",
            _ if row.starts_with("Subtotal") => part = "sums",
            "Usage by instance" => part = "usage",
            "Metered, not charged" => part = "",
            _ => {}
        }
        let cells: Vec<&str> = row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        let words: Vec<&str> = row.split_whitespace().collect();
        let tail = |n: usize| words.len().checked_sub(n).and_then(|at| decimal(words[at]));
        match part {
            "lines" if cells.len() > 2 => lines.extend(line_of(&words)),
            "sums" if cells.len() == 2 => {
                sums.extend(tail(1));
                if row.starts_with("Total") {
                    part = "";
                }
            }
            "usage" if cells.len() > 2 => usage.extend(usage_of(&words)),
            _ => {}
        }
    }
    Figures { lines, sums, usage }
}

/// `title quantity unit price amount`; a unit may have two words.
fn line_of(words: &[&str]) -> Option<Row> {
    let (price, amount) = (words.len().checked_sub(2)?, words.len() - 1);
    let quantity = price.checked_sub(2)?;
    let quantity = decimal(words[quantity]).or_else(|| decimal(words[quantity.checked_sub(1)?]))?;
    Some([quantity, decimal(words[price])?, decimal(words[amount])?])
}

/// `meter quantity unit base base-unit`; a unit may have two words.
fn usage_of(words: &[&str]) -> Option<(Decimal, u128)> {
    let base = words.len().checked_sub(2)?;
    let quantity = base.checked_sub(2)?;
    let quantity = decimal(words[quantity]).or_else(|| decimal(words[quantity.checked_sub(1)?]))?;
    Some((quantity, words[base].replace(',', "").parse().ok()?))
}

/// The figures in a page.
pub fn html_figures(html: &str) -> Figures {
    let lines = rows(between(html, "<table class=\"lines", "</table>"))
        .map(|row| figures(row).try_into().expect("three figures in a line"))
        .collect();
    let sums = figures(between(html, "<dl class=\"sums\">", "</dl>"));
    let usage = rows(between(html, "<h2 class=\"appendix\">Usage by instance", "</table>"))
        .map(|row| {
            let figures = figures(row);
            (figures[0], figures[1].to_string().parse().expect("a whole base quantity"))
        })
        .collect();
    Figures { lines, sums, usage }
}

/// The figures in a JSON document.
pub fn json_figures(json: &str) -> Figures {
    let document: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let text = |value: &serde_json::Value| {
        decimal(value.as_str().expect("decimals are strings")).expect("a decimal")
    };
    let list = |name: &str| document[name].as_array().expect("a list").clone();
    Figures {
        lines: list("lines")
            .iter()
            .map(|line| [text(&line["quantity"]), text(&line["unit_price"]), text(&line["amount"]["amount"])])
            .collect(),
        sums: std::iter::once(text(&document["subtotal"]["amount"]))
            .chain(list("taxes").iter().map(|tax| text(&tax["amount"]["amount"])))
            .chain([text(&document["total"]["amount"])])
            .collect(),
        usage: list("instances")
            .iter()
            .map(|usage| {
                let base = usage["base_quantity"].to_string();
                (text(&usage["quantity"]), base.parse().expect("a whole number"))
            })
            .collect(),
    }
}

fn rows(table: &str) -> impl Iterator<Item = &str> {
    table.split("<tr").filter(|row| row.contains("class=\"figure\""))
}

fn figures(html: &str) -> Vec<Decimal> {
    html.split("class=\"figure\"")
        .skip(1)
        .map(|rest| decimal(between(rest, ">", "<")).expect("a figure"))
        .collect()
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("no {start:?} in the page"));
    rest.split_once(end).unwrap_or_else(|| panic!("no {end:?} after {start:?}")).0
}

fn decimal(text: &str) -> Option<Decimal> {
    text.replace(',', "").replace('\u{2212}', "-").parse::<Decimal>().ok().map(|value| value.normalize())
}

fn number(row: &str, name: &str) -> f64 {
    between(row, &format!("{name}=\""), "\"").parse().expect("a number")
}

fn pdftotext(pdf: &[u8], mode: &str) -> String {
    let mut child = Command::new("pdftotext")
        .args([mode, "-", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("these tests read PDFs with pdftotext: apt-get install poppler-utils");
    child.stdin.take().expect("it is piped").write_all(pdf).expect("pdftotext reads");
    let output = child.wait_with_output().expect("pdftotext ends");
    assert!(output.status.success(), "pdftotext refuses the PDF");
    String::from_utf8(output.stdout).expect("pdftotext writes UTF-8")
}
