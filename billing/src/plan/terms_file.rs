//! A tenant's own terms as they are written. What they make of a plan is [`crate::terms`]' matter.

use jiff::civil::Date;

use super::card::CardTerms;
use super::check::{Part, Whole, check_days};
use super::fields::day;
use super::parse::with_root;
use super::problem::{PlanErrors, Problems};
use super::reader::{At, List, Table};
use super::version::{Read, terms};
use super::{AmountBounds, CardName, Commitment, Discount, Fee, MAX_VERSIONS, Trial};

/// Keys of a `[[terms]]`.
const KEYS: [&str; 9] =
    ["from", "rate_card", "commitment", "fee", "discount", "minimum", "maximum", "trial", "sponsor"];

/// What holds for a tenant from a day on, until the next entry does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) from: Date,
    /// How cards of the plan are priced instead.
    pub(crate) rate_cards: Vec<(CardName, CardTerms)>,
    /// Added to the plan's.
    pub(crate) commitments: Vec<Commitment>,
    /// Added to the plan's.
    pub(crate) fees: Vec<Fee>,
    /// Added to the plan's.
    pub(crate) discounts: Vec<Discount>,
    /// Each instead of the plan's, if it is there.
    pub(crate) bounds: AmountBounds,
    /// Instead of the plan's, if it is there.
    pub(crate) trial: Option<Trial>,
    /// Instead of the plan's, if it is there.
    pub(crate) sponsor: Option<String>,
}

/// Reads terms: entries in the order of their days, perhaps none.
pub(crate) fn parse(file: &str, bytes: &[u8]) -> Result<Vec<Entry>, PlanErrors> {
    with_root(file, bytes, "the file of terms", |root, _, problems| entries(root, problems))
}

fn entries(root: &Table<'_>, problems: &mut Problems<'_>) -> Option<Vec<Entry>> {
    root.only(&["terms"], problems);
    let example = "[[terms]] with from = \"2026-01-01\"";
    let list = List { key: "terms", title: "[[terms]]", example, most: MAX_VERSIONS };
    let tables = root.tables_if_any(&list, problems)?;
    let mut read: Vec<(At<Date>, Read<'_>)> = Vec::with_capacity(tables.len());
    let mut is_whole = true;
    for table in &tables {
        table.only(&KEYS, problems);
        let from = day(table, "from", problems);
        let said = terms(table, problems);
        is_whole &= said.is_whole && from.is_some();
        let Some(from) = from else { continue };
        if let Some((before, _)) = read.last().filter(|(before, _)| from.value <= before.value) {
            let line = problems.line_of(&before.span);
            let what = format!(
                "these terms hold from {}, not after those of line {line} ({})",
                from.value, before.value
            );
            problems.add(
                &from.span,
                what,
                "put them in the order of their days, one for each day".to_owned(),
            );
            is_whole = false;
        }
        read.push((from, said));
    }
    let ends: Vec<_> = read.iter().skip(1).map(|(from, _)| Some(from.value)).chain([None]).collect();
    for ((from, said), until) in read.iter().zip(ends) {
        let until = until.filter(|until| from.value < *until);
        let whole = Whole {
            terms: &said.terms,
            from: from.value,
            until,
            named: &said.named,
            has_unnamed: said.has_unnamed,
        };
        for finding in check_days(&whole) {
            let place = said.place(finding.part, finding.key);
            let what = finding.what.0.replace("the version holds", "these terms hold");
            let mend = match finding.part {
                Part::Trial => "write a day within, or remove the trial".to_owned(),
                _ => "write a day within, or move the fee to the terms of that day".to_owned(),
            };
            problems.add(&place, what, mend);
            is_whole = false;
        }
    }
    is_whole.then(|| read.into_iter().map(|(from, said)| entry(from.value, said)).collect())
}

fn entry(from: Date, said: Read<'_>) -> Entry {
    let terms = said.terms;
    Entry {
        from,
        rate_cards: said.card_terms,
        commitments: terms.commitments,
        fees: terms.fees,
        discounts: terms.discounts,
        bounds: terms.bounds,
        trial: terms.trial,
        sponsor: terms.sponsor,
    }
}
