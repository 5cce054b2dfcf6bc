//! Requests about price plans and tenants' own terms, and about texts that were in force.

use serde::{Deserialize, Serialize};

use super::PeriodRequest;

/// What is asked of plans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum PlanRequest {
    /// The text of a plan in force.
    Show {
        /// Its name.
        name: String,
    },
    /// Which tenants a plan would bill.
    Tenants {
        /// For errors.
        file: String,
        /// The TOML.
        text: String,
        /// For which time.
        period: PeriodRequest,
    },
    /// What a period of a tenant would cost under a plan that is not in force.
    Simulate {
        /// For errors.
        file: String,
        /// The TOML.
        text: String,
        /// Which time.
        period: PeriodRequest,
        /// Whose.
        tenant: String,
        /// The day whose prices are taken for all of the period.
        as_of: Option<String>,
    },
}

/// What is asked of tenants' terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum TermsRequest {
    /// Stores terms.
    Apply {
        /// Whose.
        tenant: String,
        /// For errors.
        file: String,
        /// The TOML.
        text: String,
    },
    /// The terms in force.
    Show {
        /// Whose.
        tenant: String,
        /// Also the plan with them worked in.
        with_plan: bool,
    },
}

/// Texts that were in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevisionRequest {
    /// Of what.
    pub of: RevisionsOf,
    /// Only this one, with its text; none: all of them, without.
    pub revision: Option<i32>,
}

/// Of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevisionsOf {
    /// The plan of this name.
    Plan(String),
    /// The terms of this tenant.
    Terms(String),
    /// The tax table.
    TaxTable,
}
