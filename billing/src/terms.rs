//! What a single tenant pays otherwise than its plan says: dated overrides, written in TOML, checked like a plan, and
//! worked into the plan before it is rated. Rating knows no terms. Pure; [`crate::store::terms`] keeps them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use crate::plan::card::CardTerms;
use crate::plan::check::{Finding, Part, Whole, check};
use crate::plan::terms_file::{self, Entry};
use crate::plan::{AmountBounds, CardName, FeeCharge, PlanErrors, PricePlan, RateCard, VersionTerms};

/// Terms of a tenant: entries in the order of their days, each of which holds until the next one does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantTerms {
    entries: Vec<Entry>,
    source: String,
}

/// Terms and a plan that do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the tenant's terms do not fit plan {plan} from {from} on: {}; change the terms (weir terms apply) or the plan",
    .problems.join("; ")
)]
pub struct TermsError {
    /// The plan.
    pub plan: String,
    /// From which day on.
    pub from: Date,
    /// What is wrong; at least one.
    pub problems: Vec<String>,
}

impl TenantTerms {
    /// Reads terms. `file` is only a name for the messages. A file without entries says that the plan holds as it is.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with line, column and how to mend it.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, PlanErrors> {
        let entries = terms_file::parse(file, bytes)?;
        // The parser has refused what is no UTF-8.
        let source = String::from_utf8_lossy(bytes).into_owned();
        Ok(Self { entries, source })
    }

    /// The text that they were read from, to the last byte.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The days from which the entries hold.
    #[must_use]
    pub fn days(&self) -> Vec<Date> {
        self.entries.iter().map(|entry| entry.from).collect()
    }

    /// Whether they say nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn entry_on(&self, day: Date) -> Option<&Entry> {
        let later = self.entries.partition_point(|entry| entry.from <= day);
        self.entries.get(later.checked_sub(1)?)
    }
}

impl PricePlan {
    /// The plan that holds for a tenant: its versions are cut where terms begin and changed from there on. Names stay, so
    /// that lines keep their keys; so does the text, which is what an invoice refers to.
    ///
    /// # Errors
    /// Terms name a card that the plan does not have then, or what they add does not fit.
    pub fn for_tenant(&self, terms: &TenantTerms) -> Result<Self, TermsError> {
        if terms.is_empty() {
            return Ok(self.clone());
        }
        let first = self.versions().first().map(|version| version.from());
        let starts = self.versions().iter().map(|version| version.from());
        let own = terms.days().into_iter().filter(|day| first < Some(*day));
        let days: BTreeSet<Date> = starts.chain(own).collect();
        let mut versions = Vec::with_capacity(days.len());
        for (from, until) in spans(&days) {
            let Some(base) = self.versions().iter().rev().find(|version| version.from() <= from) else {
                continue;
            };
            let merged = match terms.entry_on(from) {
                Some(entry) => merge(base.terms(), entry),
                None => Ok(base.terms().clone()),
            };
            let merged =
                merged.map(|terms| within(terms, from, until)).and_then(|terms| checked(terms, from));
            match merged {
                Ok(terms) => versions.push((from, terms)),
                Err(problems) => return Err(TermsError { plan: self.name().to_owned(), from, problems }),
            }
        }
        // Days of plans and terms have instants in the plan's zone, but for the last of the calendar.
        self.with_versions(versions).ok_or_else(|| TermsError {
            plan: self.name().to_owned(),
            from: terms.days().last().copied().unwrap_or_default(),
            problems: vec!["that is no day that has an instant".to_owned()],
        })
    }
}

/// Each day with the one that follows.
fn spans(days: &BTreeSet<Date>) -> Vec<(Date, Option<Date>)> {
    let next = days.iter().skip(1).map(|day| Some(*day)).chain([None]);
    days.iter().copied().zip(next).collect()
}

fn merge(base: &VersionTerms, entry: &Entry) -> Result<VersionTerms, Vec<String>> {
    let mut terms = base.clone();
    let mut problems = Vec::new();
    for (name, own) in &entry.rate_cards {
        match terms.rate_cards.iter_mut().find(|card| card.name == *name) {
            Some(card) => replace(card, own),
            None => problems.push(format!("there is no card {name}")),
        }
    }
    let mut names: BTreeMap<CardName, ()> = names(&terms).into_iter().map(|name| (name, ())).collect();
    let added = entry.commitments.iter().map(|commitment| &commitment.name);
    let added = added.chain(entry.fees.iter().map(|fee| &fee.name));
    for name in added.chain(entry.discounts.iter().map(|discount| &discount.name)) {
        if names.insert(name.clone(), ()).is_some() {
            problems.push(format!("the plan calls something {name} already"));
        }
    }
    terms.commitments.extend(entry.commitments.iter().cloned());
    terms.fees.extend(entry.fees.iter().cloned());
    terms.discounts.extend(entry.discounts.iter().cloned());
    terms.bounds = AmountBounds {
        minimum: entry.bounds.minimum.or(terms.bounds.minimum),
        maximum: entry.bounds.maximum.or(terms.bounds.maximum),
    };
    if let (Some(minimum), Some(maximum)) = (terms.bounds.minimum, terms.bounds.maximum)
        && maximum < minimum
    {
        problems.push(format!("the maximum of {maximum} is below the minimum of {minimum}"));
    }
    terms.trial = entry.trial.clone().or(terms.trial);
    terms.sponsor = entry.sponsor.clone().or(terms.sponsor);
    if problems.is_empty() { Ok(terms) } else { Err(problems) }
}

/// What a card is about stays; what it costs is the terms' matter.
fn replace(card: &mut RateCard, own: &CardTerms) {
    card.included = own.included;
    card.price = own.price.clone();
    card.time_of_use.clone_from(&own.time_of_use);
    card.bounds = own.bounds;
    if let Some(title) = &own.title {
        card.title = Some(title.clone());
    }
    if let Some(tax_class) = &own.tax_class {
        card.tax_class = tax_class.clone();
    }
}

/// Without what lies outside of a part of the version: a fee that falls due once does so in one part only.
fn within(mut terms: VersionTerms, from: Date, until: Option<Date>) -> VersionTerms {
    terms.fees.retain(|fee| match fee.charge {
        FeeCharge::Once { on, .. } => from <= on && until.is_none_or(|until| on < until),
        FeeCharge::Recurring { .. } | FeeCharge::Percentage { .. } => true,
    });
    terms.trial = terms.trial.filter(|trial| from < trial.until);
    terms
}

fn checked(terms: VersionTerms, from: Date) -> Result<VersionTerms, Vec<String>> {
    let named = BTreeSet::new();
    let problems: Vec<String> =
        check(&Whole { terms: &terms, from, until: None, named: &named, has_unnamed: false })
            .into_iter()
            .map(|finding| told(&finding, &terms))
            .collect();
    if problems.is_empty() { Ok(terms) } else { Err(problems) }
}

/// A finding without a place in a file.
fn told(finding: &Finding, terms: &VersionTerms) -> String {
    let (what, other) = &finding.what;
    let other = other.as_ref().map(|(part, then)| format!("{}{then}", called(*part, terms)));
    format!("{}: {what}{}", called(finding.part, terms), other.unwrap_or_default())
}

fn called(part: Part, terms: &VersionTerms) -> String {
    let (kind, name) = match part {
        Part::Card(n) => ("card", terms.rate_cards.get(n).map(|card| &card.name)),
        Part::Pool(n) => ("pool", terms.pools.get(n).map(|pool| &pool.name)),
        Part::Commitment(n) => ("commitment", terms.commitments.get(n).map(|commitment| &commitment.name)),
        Part::Fee(n) => ("fee", terms.fees.get(n).map(|fee| &fee.name)),
        Part::Discount(n) => ("discount", terms.discounts.get(n).map(|discount| &discount.name)),
        Part::Trial => ("trial", None),
    };
    name.map_or_else(|| kind.to_owned(), |name| format!("{kind} {name}"))
}

fn names(terms: &VersionTerms) -> Vec<CardName> {
    let cards = terms.rate_cards.iter().map(|card| &card.name);
    let pools = terms.pools.iter().map(|pool| &pool.name);
    let commitments = terms.commitments.iter().map(|commitment| &commitment.name);
    let fees = terms.fees.iter().map(|fee| &fee.name);
    let discounts = terms.discounts.iter().map(|discount| &discount.name);
    cards.chain(pools).chain(commitments).chain(fees).chain(discounts).cloned().collect()
}
