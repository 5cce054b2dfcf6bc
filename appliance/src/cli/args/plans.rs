//! `weir plan …`, `weir terms …`, `weir rate`: prices. No behaviour.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::PeriodArguments;

/// `weir plan …`
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// Check a plan file; nothing is stored
    Validate {
        /// A TOML file
        file: PathBuf,
    },
    /// Check a plan file and store it
    Apply {
        /// A TOML file
        file: PathBuf,
        /// Let it change what time that has begun costs
        #[arg(long)]
        rewrite_past: bool,
    },
    /// All plans
    List,
    /// Print the text of a plan in force
    Show {
        /// Which plan
        name: String,
    },
    /// The texts of a plan that were in force
    Revisions {
        /// Which plan
        name: String,
        /// Or one of them
        #[command(flatten)]
        one: RevisionArguments,
    },
    /// Say what changes between two plans
    Diff {
        /// A TOML file, or the name of a plan in force
        old: String,
        /// A TOML file, or the name of a plan in force
        new: String,
    },
    /// Rate what tenants used already by a plan that is not in force: what they paid, and what they would have paid
    Simulate(SimulateArguments),
}

/// `weir plan simulate`
#[derive(Debug, Args)]
pub struct SimulateArguments {
    /// A TOML file. Tenants billed by a plan of its name are rated; if there are none, all that have a plan
    pub file: PathBuf,
    /// Which time
    #[command(flatten)]
    pub period: PeriodArguments,
    /// Only this tenant
    #[arg(long)]
    pub tenant: Option<String>,
    /// Take the prices of this day for all of the period [default: those of the last version, if it starts after the
    /// period; else what holds when]
    #[arg(long, value_name = "DAY")]
    pub as_of: Option<String>,
}

/// `weir terms …`
#[derive(Debug, Subcommand)]
pub enum TermsCommand {
    /// Check a file with a tenant's own terms and store it; an empty file ends them
    Apply {
        /// Which tenant
        tenant: String,
        /// A TOML file
        file: PathBuf,
    },
    /// The terms of a tenant
    Show {
        /// Which tenant
        tenant: String,
        /// Print its plan with the terms worked in
        #[arg(long)]
        plan: bool,
    },
    /// The terms of a tenant that were in force
    Revisions {
        /// Which tenant
        tenant: String,
        /// Or one of them
        #[command(flatten)]
        one: RevisionArguments,
    },
}

/// Which text that was in force.
#[derive(Clone, Copy, Debug, Args)]
pub struct RevisionArguments {
    /// Print the text of this revision
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i32).range(1..))]
    pub show: Option<i32>,
}

/// How a tenant is taxed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Treatment {
    /// By the rates of its country
    Taxable,
    /// The buyer owes the tax
    ReverseCharge,
    /// Exempt, for a reason
    Exempt,
    /// Outside the scope of the tax, for a reason
    OutsideScope,
}

/// `weir rate`
#[derive(Debug, Args)]
pub struct RateArguments {
    /// A plan file (TOML)
    #[arg(long, value_name = "FILE")]
    pub plan: PathBuf,
    /// A usage file (CSV): resource,instance_id,name,device,meter,window_start,window_end,quantity, and dim:NAME for
    /// dimensions. Rows of a meter with a percentile price are as short as its interval
    #[arg(long, value_name = "FILE")]
    pub usage: PathBuf,
    /// Which time; a month is one of the plan's time zone
    #[command(flatten)]
    pub period: PeriodArguments,
    /// A tenant's own terms (TOML)
    #[arg(long, value_name = "FILE")]
    pub terms: Option<PathBuf>,
    /// A tax table (TOML), for plans without a [tax]
    #[arg(long, value_name = "FILE")]
    pub taxes: Option<PathBuf>,
    /// Where the buyer is (ISO 3166) [default: where the seller is]
    #[arg(long, value_name = "CC")]
    pub country: Option<String>,
    /// How the buyer is taxed
    #[arg(long, value_enum, default_value = "taxable")]
    pub treatment: Treatment,
    /// Why no tax is due, of the exempt and those outside the scope
    #[arg(long, value_name = "TEXT")]
    pub tax_reason: Option<String>,
    /// The buyer's tax number, which reverse charge needs
    #[arg(long, value_name = "NUMBER")]
    pub tax_number: Option<String>,
    /// Exchange rates (CSV): from,to,valid_from,rate,source
    #[arg(long, value_name = "FILE", requires = "currency")]
    pub exchange: Option<PathBuf>,
    /// The currency of the invoice [default: the plan's]
    #[arg(long, value_name = "CODE", requires = "exchange")]
    pub currency: Option<String>,
    /// Also write the draft as a document, by its ending: .pdf, .html or .json
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}
