//! Price plans, tenants' own terms, the tax table and exchange rates to be loaded. Prices themselves are written in TOML
//! here as in files: one form, one check.

use billing::PricePlan;
use billing::plan::diff::Change;
use billing::plans::{PlanSummary, StoredPlan};
use billing::store::revisions::Revision;
use billing::store::tax_tables::TableInForce;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Money, Period, present};
use crate::answers::plans::Simulated;

/// A price plan to be put in force.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanText {
    /// The plan, in TOML, as `weir plan apply` takes it.
    #[schema(
        min_length = 1,
        max_length = 1_048_576,
        example = "name = \"standard\"\ncurrency = \"EUR\"\ntime_zone = \"Europe/Berlin\"\n\n[tax]\nname = \"VAT\"\nrate = \"0.19\"\n\n[[version]]\nfrom = \"2026-01-01\"\n\n[[version.rate_card]]\nmeter = \"vcpu_ms\"\nunit_price = \"0.0125\"\n"
    )]
    pub text: String,
    /// Whether it may change what time that has begun costs; issued invoices stay as they are.
    #[serde(default)]
    #[schema(required = false, default = false)]
    pub rewrite_past: bool,
}

/// A text of terms or taxes to be put in force.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TermsText {
    /// The terms, in TOML, as `weir terms apply` takes them; empty: the plan holds as it is.
    #[schema(
        max_length = 1_048_576,
        example = "[[terms]]\nfrom = \"2026-01-01\"\n\n[[terms.rate_card]]\nname = \"vcpu_ms\"\nunit_price = \"0.01\"\n"
    )]
    pub text: String,
}

/// A tax table to be put in force, or to be checked.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaxTableText {
    /// The table, in TOML, as `weir tax apply` takes it.
    #[schema(
        min_length = 1,
        max_length = 1_048_576,
        example = "[seller]\ncountry = \"DE\"\n\n[[rate]]\ncountry = \"DE\"\nclass = \"standard\"\nname = \"VAT\"\nrate = \"0.19\"\nfrom = \"2021-01-01\"\n"
    )]
    pub text: String,
}

/// A price plan in force, in short.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PlanSummary)]
pub struct SummaryBody {
    /// Its name.
    #[schema(example = "standard")]
    pub name: String,
    /// The currency of its prices, by ISO 4217.
    #[schema(example = "EUR")]
    pub currency: String,
    /// Counts its texts, from 1.
    pub revision: u64,
    /// Since when this text is in force.
    pub applied_at: Timestamp,
}

/// What a plan says of itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PlanFacts)]
pub struct FactsBody {
    /// Its name.
    #[schema(example = "standard")]
    pub name: String,
    /// The currency of its prices, by ISO 4217.
    #[schema(example = "EUR")]
    pub currency: String,
    /// The IANA zone in which its days begin.
    #[schema(example = "Europe/Berlin")]
    pub time_zone: String,
    /// The days on which its versions begin, the first one first.
    #[schema(value_type = Vec<String>, example = json!(["2026-01-01"]))]
    pub versions: Vec<Date>,
}

/// A price plan in force.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PricePlan)]
pub struct PlanBody {
    /// What it says of itself.
    pub facts: FactsBody,
    /// Counts its texts, from 1; the ETag.
    pub revision: u64,
    /// Since when this text is in force.
    pub applied_at: Timestamp,
    /// The text, as it was sent.
    pub text: String,
}

/// A plan, by its text or, of one that is in force, by its name: one of both.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanSource {
    /// The name of a plan in force.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 63, example = "standard")]
    pub name: Option<String>,
    /// A plan in TOML.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 1_048_576)]
    pub text: Option<String>,
}

/// Two plans that are to be compared.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ComparisonRequest {
    /// What is.
    pub old: PlanSource,
    /// What is to be.
    pub new: PlanSource,
}

/// What changes between two plans.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PlanComparison)]
pub struct ComparisonBody {
    /// Version by version, part by part; none: they price alike.
    pub changes: Vec<ChangeBody>,
}

/// One thing that changes between two plans.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PlanChange)]
pub struct ChangeBody {
    /// From which day on; null: it is about the plan as a whole.
    #[schema(value_type = Option<String>, format = Date)]
    pub from: Option<Date>,
    /// What.
    #[schema(example = "card cpu_ns")]
    pub part: String,
    /// What it was; null: it was not there.
    #[schema(example = "0.04 per CPU-hour")]
    pub old: Option<String>,
    /// What it becomes; null: it is there no more.
    #[schema(example = "0.05 per CPU-hour")]
    pub new: Option<String>,
    /// The same in a sentence.
    #[schema(example = "from 2026-11-01: card cpu_ns: 0.04 per CPU-hour -> 0.05 per CPU-hour")]
    pub shown: String,
}

/// What was used already, rated by a plan that need not be in force.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulationRequest {
    /// The plan that is tried. Tenants billed by a plan of its name are rated; if there are none, all that have a plan.
    pub plan: PlanSource,
    /// A month, in each tenant's zone.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, pattern = "^[0-9]{4}-(0[1-9]|1[0-2])$", example = "2026-10")]
    pub period: Option<String>,
    /// Instead of a month: from this day or instant on.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, example = "2026-10-01")]
    pub from: Option<String>,
    /// And up to, without, this one.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, example = "2026-10-08")]
    pub to: Option<String>,
    /// Only this tenant, by name or id.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 64, example = "acme")]
    pub tenant: Option<String>,
    /// The day whose prices are taken for all of the period; left out: those of the last version, if it begins after the
    /// period, or else what held when.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, required = false, nullable = false, format = Date, example = "2026-11-01")]
    pub as_of: Option<Date>,
}

/// What one tenant would have paid.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Simulation)]
pub struct SimulationBody {
    /// Who.
    #[schema(example = "acme")]
    pub tenant: String,
    /// For which time; null: it was not rated.
    pub period: Option<Period>,
    /// The day whose prices were taken for all of it; null: those that held when.
    #[schema(value_type = Option<String>, format = Date)]
    pub version: Option<Date>,
    /// With tax, under the plan in force; null: it has none, or was not rated.
    pub old_total: Option<Money>,
    /// With tax, under the plan that was tried; null: it was not rated.
    pub new_total: Option<Money>,
    /// What it would pay more, or (below zero) less; null: the currencies differ, or there is nothing to compare with.
    pub difference: Option<Money>,
    /// How many things differ between the plans.
    pub changes: usize,
    /// Lines under the plan in force.
    pub old_lines: usize,
    /// Lines under the plan that was tried.
    pub new_lines: usize,
    /// Why it was not rated; null: it was.
    pub error: Option<String>,
}

/// A tenant's own terms.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TenantTerms)]
pub struct OwnTermsBody {
    /// Counts the texts; 0: there never was one. The ETag.
    pub revision: u64,
    /// Since when this text is in force.
    pub applied_at: Option<Timestamp>,
    /// The terms, in TOML; empty: the tenant pays what its plan says.
    pub text: String,
    /// Its plan; null: it has none.
    #[schema(example = "standard")]
    pub plan: Option<String>,
    /// The prices that hold for it: its plan with the terms worked in, in TOML; null: it has no plan.
    pub effective: Option<String>,
}

/// The tax table in force.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TaxTable)]
pub struct TaxTableBody {
    /// Counts the tables; 0: there is none. The ETag.
    pub revision: u64,
    /// Since when it is in force.
    pub applied_at: Option<Timestamp>,
    /// The table, in TOML; null: there is none.
    pub text: Option<String>,
}

/// A text that was in force, without it.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = Revision)]
pub struct RevisionBody {
    /// Counts the texts, from 1.
    pub revision: u64,
    /// From then on it was in force, until the next one was.
    pub applied_at: Timestamp,
}

/// A text that was in force.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = RevisionText)]
pub struct RevisionTextBody {
    /// Which.
    pub revision: RevisionBody,
    /// In TOML, as it was sent.
    pub text: String,
}

/// What a tax table says of itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TaxTableFacts)]
pub struct TaxFactsBody {
    /// Where the seller is, by ISO 3166.
    #[schema(example = "DE")]
    pub seller_country: String,
    /// How many rates it has.
    pub rates: usize,
}

/// Exchange rates to be loaded.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRates {
    /// The rates, all or none of which are loaded.
    #[schema(min_items = 1, max_items = 1_000)]
    pub rates: Vec<NewRate>,
}

/// An exchange rate to be loaded.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRate {
    /// The currency of the prices, by ISO 4217.
    #[schema(pattern = "^[A-Z]{3}$", example = "EUR")]
    pub from: String,
    /// The currency of the invoices.
    #[schema(pattern = "^[A-Z]{3}$", example = "USD")]
    pub to: String,
    /// The day from which it holds, until the next one does.
    #[schema(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", example = "2026-10-30")]
    pub valid_from: String,
    /// How much of `to` one of `from` is: a decimal number with at most 12 decimals.
    #[schema(pattern = r"^[0-9]{1,10}(\.[0-9]{1,12})?$", example = "1.1234")]
    pub rate: String,
    /// Who published it.
    #[schema(min_length = 1, max_length = 120, example = "ECB")]
    pub source: String,
}

/// What became of exchange rates that were sent.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = LoadedRates)]
pub struct LoadedBody {
    /// Rates that are new.
    pub new: u64,
    /// Rates that were there already, the same.
    pub already: u64,
}

impl From<&PlanSummary> for SummaryBody {
    fn from(plan: &PlanSummary) -> Self {
        Self {
            name: plan.name.clone(),
            currency: plan.currency.code().to_owned(),
            revision: count(plan.revision),
            applied_at: plan.applied_at,
        }
    }
}

impl From<&PricePlan> for FactsBody {
    fn from(plan: &PricePlan) -> Self {
        Self {
            name: plan.name().to_owned(),
            currency: plan.currency().code().to_owned(),
            time_zone: plan.time_zone_name().to_owned(),
            versions: plan.versions().iter().map(billing::PlanVersion::from).collect(),
        }
    }
}

impl From<&StoredPlan> for PlanBody {
    fn from(stored: &StoredPlan) -> Self {
        Self {
            facts: FactsBody::from(&stored.plan),
            revision: count(stored.revision),
            applied_at: stored.applied_at,
            text: stored.plan.source().to_owned(),
        }
    }
}

impl From<Revision> for RevisionBody {
    fn from(one: Revision) -> Self {
        Self { revision: count(one.revision), applied_at: one.applied_at }
    }
}

impl From<&Change> for ChangeBody {
    fn from(change: &Change) -> Self {
        Self {
            from: change.from,
            part: change.part.clone(),
            old: change.old.clone(),
            new: change.new.clone(),
            shown: change.to_string(),
        }
    }
}

impl From<&Simulated> for SimulationBody {
    fn from(one: &Simulated) -> Self {
        Self {
            tenant: one.tenant.clone(),
            period: Some(one.period.into()),
            version: one.version,
            old_total: one.old.as_ref().map(|old| old.total.into()),
            new_total: Some(one.new.total.into()),
            difference: one.difference.map(Money::from),
            changes: one.changes,
            old_lines: one.old.as_ref().map_or(0, |old| old.lines.len()),
            new_lines: one.new.lines.len(),
            error: None,
        }
    }
}

impl SimulationBody {
    /// Of a tenant that could not be rated.
    #[must_use]
    pub fn failed(tenant: &str, why: String) -> Self {
        Self {
            tenant: tenant.to_owned(),
            period: None,
            version: None,
            old_total: None,
            new_total: None,
            difference: None,
            changes: 0,
            old_lines: 0,
            new_lines: 0,
            error: Some(why),
        }
    }
}

impl From<Option<TableInForce>> for TaxTableBody {
    fn from(found: Option<TableInForce>) -> Self {
        Self {
            revision: found.as_ref().map_or(0, |found| count(found.revision)),
            applied_at: found.as_ref().map(|found| found.applied_at),
            text: found.map(|found| found.table.source().to_owned()),
        }
    }
}

/// Revisions are positive, in the database too.
pub const fn count(revision: i32) -> u64 {
    revision.unsigned_abs() as u64
}
