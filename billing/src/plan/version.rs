//! What a `[[version]]` of a plan says, and a `[[terms]]` of a tenant: reads all parts and their names, and remembers
//! where each stands, for whoever checks the whole.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::card::{CardTerms, card, card_name, card_terms};
use super::check::Part;
use super::fields::{bounds, name};
use super::problem::Problems;
use super::reader::{At, List, Table};
use super::{CardName, MAX_CARDS, MAX_PARTS, RateCard, VersionTerms, extras};

/// What the tables of a version or of terms are called in messages.
pub(super) struct Words {
    card: &'static str,
    pool: &'static str,
    commitment: &'static str,
    fee: &'static str,
    discount: &'static str,
    trial: &'static str,
}

/// In a plan.
pub(super) const OF_PLAN: Words = Words {
    card: "[[version.rate_card]]",
    pool: "[[version.pool]]",
    commitment: "[[version.commitment]]",
    fee: "[[version.fee]]",
    discount: "[[version.discount]]",
    trial: "[version.trial]",
};

/// In a tenant's terms, which have no pools.
pub(super) const OF_TERMS: Words = Words {
    card: "[[terms.rate_card]]",
    pool: "[[terms.pool]]",
    commitment: "[[terms.commitment]]",
    fee: "[[terms.fee]]",
    discount: "[[terms.discount]]",
    trial: "[terms.trial]",
};

/// What was read. Parts that could not be read are missing in `terms`, and their names stand in `unread`.
#[derive(Default)]
pub(super) struct Read<'a> {
    pub(super) terms: VersionTerms,
    /// Cards of a tenant's terms.
    pub(super) card_terms: Vec<(CardName, CardTerms)>,
    /// Where the parts of `terms` stand.
    places: BTreeMap<Part, Table<'a>>,
    /// Names of parts that exist, whether or not they could be read.
    pub(super) named: BTreeSet<CardName>,
    /// Whether a part has a name that could not be read, or that another one has.
    pub(super) has_unnamed: bool,
    pub(super) is_whole: bool,
}

impl Read<'_> {
    /// Where `key` of a part stands, or else the part itself.
    pub(super) fn place(&self, part: Part, key: &str) -> Range<usize> {
        self.places
            .get(&part)
            .map_or(0..0, |table| table.optional(key).map_or_else(|| table.span.clone(), toml::Spanned::span))
    }
}

/// Reads one kind of parts after the other, so that no name is given twice.
struct Reading<'p, 's, 'a> {
    version: &'p Table<'a>,
    problems: &'p mut Problems<'s>,
    spans: BTreeMap<CardName, Range<usize>>,
    read: Read<'a>,
}

/// All that a version says but for its start.
pub(super) fn version<'a>(table: &Table<'a>, problems: &mut Problems<'_>) -> Read<'a> {
    let words = &OF_PLAN;
    let mut reading = Reading::of(table, problems);
    // A version of fees alone is one, but whoever writes nothing at all forgot the cards.
    let cards = card_list(words);
    let cards = if table.optional("fee").is_some() && table.optional("rate_card").is_none() {
        Some(Vec::new())
    } else {
        Some(table.tables(&cards, reading.problems)).filter(|cards| !cards.is_empty())
    };
    reading.read.is_whole &= cards.is_some();
    for at in cards.unwrap_or_default() {
        let name = reading.claim_card(&at);
        let card: Option<RateCard> = card(&at, name, reading.problems);
        reading.keep(card, at, |terms| &mut terms.rate_cards, Part::Card);
    }
    let pools = reading.tables("pool", words.pool, "[[version.pool]] with name, cards and included");
    for at in pools {
        let name = reading.claim(&at);
        let pool = extras::pool(&at, name, reading.problems);
        reading.keep(pool, at, |terms| &mut terms.pools, Part::Pool);
    }
    reading.rest(words);
    reading.read
}

/// All that a tenant's terms say but for their start.
pub(super) fn terms<'a>(table: &Table<'a>, problems: &mut Problems<'_>) -> Read<'a> {
    let words = &OF_TERMS;
    let mut reading = Reading::of(table, problems);
    let List { key, title, example, .. } = card_list(words);
    for at in reading.tables(key, title, example) {
        let name = reading.claim(&at);
        match name.zip(card_terms(&at, reading.problems)) {
            Some(card) => reading.read.card_terms.push(card),
            None => reading.read.is_whole = false,
        }
    }
    reading.rest(words);
    reading.read
}

const fn card_list(words: &Words) -> List<'static> {
    List {
        key: "rate_card",
        title: words.card,
        example: "[[version.rate_card]] with meter = \"cpu_ns\" and unit_price = \"0.04\"",
        most: MAX_CARDS,
    }
}

impl<'p, 's, 'a> Reading<'p, 's, 'a> {
    fn of(version: &'p Table<'a>, problems: &'p mut Problems<'s>) -> Self {
        let read = Read { is_whole: true, ..Read::default() };
        Self { version, problems, spans: BTreeMap::new(), read }
    }

    fn tables(&mut self, key: &str, title: &'static str, example: &str) -> Vec<Table<'a>> {
        let list = List { key, title, example, most: MAX_PARTS };
        let tables = self.version.tables_if_any(&list, self.problems);
        self.read.is_whole &= tables.is_some();
        tables.unwrap_or_default()
    }

    /// Commitments, fees, discounts, bounds, trial and sponsor.
    fn rest(&mut self, words: &Words) {
        for at in self.tables("commitment", words.commitment, "[[version.commitment]] with card and quantity")
        {
            let name = self.claim(&at);
            let commitment = extras::commitment(&at, name, self.problems);
            self.keep(commitment, at, |terms| &mut terms.commitments, Part::Commitment);
        }
        for at in self.tables("fee", words.fee, "[[version.fee]] with name and amount") {
            let name = self.claim(&at);
            let fee = extras::fee(&at, name, self.problems);
            self.keep(fee, at, |terms| &mut terms.fees, Part::Fee);
        }
        for at in self.tables("discount", words.discount, "[[version.discount]] with name and percentage") {
            let name = self.claim(&at);
            let discount = extras::discount(&at, name, self.problems);
            self.keep(discount, at, |terms| &mut terms.discounts, Part::Discount);
        }
        let bounds = bounds(self.version, self.problems);
        let sponsor = extras::sponsor(self.version, self.problems);
        let example = "[version.trial] with until = \"2026-02-01\"";
        let trial = self.version.table_if_any("trial", words.trial, example, self.problems);
        let trial = trial.and_then(|table| match table {
            None => Some(None),
            Some(table) => {
                let trial = extras::trial(&table, self.problems);
                self.read.places.insert(Part::Trial, table);
                trial.map(Some)
            }
        });
        self.read.is_whole &= bounds.is_some() && sponsor.is_some() && trial.is_some();
        let terms = &mut self.read.terms;
        terms.bounds = bounds.unwrap_or_default();
        terms.sponsor = sponsor.flatten();
        terms.trial = trial.flatten();
    }

    fn keep<T>(
        &mut self,
        part: Option<T>,
        at: Table<'a>,
        list: impl FnOnce(&mut VersionTerms) -> &mut Vec<T>,
        kind: impl FnOnce(usize) -> Part,
    ) {
        let Some(part) = part else {
            self.read.is_whole = false;
            return;
        };
        let list = list(&mut self.read.terms);
        self.read.places.insert(kind(list.len()), at);
        list.push(part);
    }

    /// The name of a part, unless another one has it.
    fn claim(&mut self, table: &Table<'_>) -> Option<CardName> {
        let name = name(table, "name", self.problems);
        self.unique(name, "give one of the two another name")
    }

    fn claim_card(&mut self, table: &Table<'_>) -> Option<CardName> {
        let name = card_name(table, self.problems);
        let mend = match table.optional("name") {
            Some(_) => "give one of the two another name",
            None => "remove one of the two, or tell them apart by `only` and `name`",
        };
        self.unique(name, mend)
    }

    fn unique(&mut self, name: Option<At<CardName>>, mend: &str) -> Option<CardName> {
        let Some(At { value, span }) = name else {
            self.read.has_unnamed = true;
            return None;
        };
        if let Some(other) = self.spans.get(&value) {
            let line = self.problems.line_of(other);
            let what = format!("line {line} is called {value} already");
            self.problems.add(&span, what, mend.to_owned());
            self.read.has_unnamed = true;
            return None;
        }
        self.spans.insert(value.clone(), span);
        self.read.named.insert(value.clone());
        Some(value)
    }
}
