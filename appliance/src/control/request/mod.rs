//! What can be asked on the control channel. The answers are JSON values, the same that `--json` prints.

mod accounts;
mod alerts;
mod allowances;
mod billing;
mod books;
mod corrections;
mod keeping;
mod limits;
mod nodes;
mod plans;
mod webhooks;

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::accounts::{AccountRequest, Password};
pub use self::alerts::AlertRequest;
pub use self::allowances::AllowanceRequest;
pub use self::billing::{BillingRequest, Chosen};
pub use self::books::{Billing, BooksRequest, Paid};
pub use self::corrections::{CorrectionRequest, DimensionRequest};
pub use self::keeping::{BackupRequest, QuarantineRequest};
pub use self::limits::{LimitRequest, MailRequest};
pub use self::nodes::NodeRequest;
pub use self::plans::{PlanRequest, RevisionRequest, RevisionsOf, TermsRequest};
pub use self::webhooks::WebhookRequest;
use crate::cli::args::DocumentFormat;

/// A request. Names are as typed; the server checks them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// What runs.
    Status {},
    /// Adds a tenant.
    TenantCreate {
        /// Its name.
        name: String,
        /// What invoices call it.
        display_name: Option<String>,
        /// Address lines.
        address: Vec<String>,
        /// Tax number.
        tax_number: Option<String>,
        /// IANA zone.
        time_zone: String,
        /// Its plan.
        plan: Option<String>,
    },
    /// Changes a tenant's plan.
    TenantSetPlan {
        /// Which.
        name: String,
        /// To which.
        plan: String,
        /// From which day on.
        from: Option<String>,
    },
    /// Changes what invoices print of a tenant.
    TenantSetParty {
        /// Which.
        name: String,
        /// Address lines.
        address: Vec<String>,
        /// Tax number.
        tax_number: Option<String>,
    },
    /// Changes where a tenant's mail goes.
    TenantSetEmail {
        /// Which.
        name: String,
        /// To where; none: the operator gets it.
        email: Option<String>,
    },
    /// All tenants.
    TenantList {},
    /// Users and tokens.
    Account(AccountRequest),
    /// Payments, wallets, taxes, rates.
    Books(BooksRequest),
    /// Quotas and budgets.
    Limit(LimitRequest),
    /// Mail.
    Mail(MailRequest),
    /// Alerts.
    Alert(AlertRequest),
    /// Allowances.
    Allowance(AllowanceRequest),
    /// Webhook endpoints.
    Webhook(WebhookRequest),
    /// Backups.
    Backup(BackupRequest),
    /// Refused readings.
    Quarantine(QuarantineRequest),
    /// What this node's collector holds. `weir node run` answers it, too.
    InspectNode {},
    /// How full the nodes are.
    Capacity {},
    /// The same as a PDF. Answered by its bytes, not by JSON.
    CapacityPdf {},
    /// A statement of account as a PDF. Answered by its bytes, not by JSON.
    StatementPdf {
        /// Whose.
        tenant: String,
        /// From.
        from: Option<String>,
        /// Up to.
        to: Option<String>,
    },
    /// Stores a plan.
    PlanApply {
        /// For errors.
        file: String,
        /// The TOML.
        text: String,
        /// Prices of time that has begun may change.
        rewrites_past: bool,
    },
    /// All plans.
    PlanList {},
    /// Plans that are looked at before they hold.
    Plan(PlanRequest),
    /// Tenants' own terms.
    Terms(TermsRequest),
    /// Texts that were in force.
    Revision(RevisionRequest),
    /// Makes an instance.
    InstanceCreate(InstanceCreate),
    /// Starts one.
    InstanceStart {
        /// Name or id.
        instance: String,
    },
    /// Stops one.
    InstanceStop {
        /// Name or id.
        instance: String,
        /// How long the guest may take.
        grace_seconds: u64,
    },
    /// Deletes one.
    InstanceDelete {
        /// Name or id.
        instance: String,
    },
    /// All of them.
    InstanceList {
        /// Only this tenant's.
        tenant: Option<String>,
    },
    /// Says whose one is.
    InstanceAssign {
        /// Name or id.
        instance: String,
        /// Its tenant.
        tenant: String,
        /// From when on.
        since: Option<Timestamp>,
    },
    /// Plugs a new disk in.
    DiskAdd {
        /// Name or id.
        instance: String,
        /// Such as 10GiB.
        size: String,
    },
    /// Unplugs a disk.
    DiskRemove {
        /// Name or id.
        instance: String,
        /// Such as vdb.
        target: String,
    },
    /// Plugs a new NIC in.
    NicAdd {
        /// Name or id.
        instance: String,
        /// A libvirt network.
        network: String,
    },
    /// Unplugs a NIC.
    NicRemove {
        /// Name or id.
        instance: String,
        /// Its address.
        mac: String,
    },
    /// Nodes.
    Node(NodeRequest),
    /// Registers by epoch.
    ReadingShow {
        /// Name or id.
        instance: String,
        /// From.
        from: Timestamp,
        /// Up to.
        to: Timestamp,
    },
    /// A reading of everything now.
    ReadingTake {},
    /// Usage of a tenant.
    UsageShow {
        /// Whose; none: unassigned.
        tenant: Option<String>,
        /// From.
        from: Timestamp,
        /// Up to.
        to: Timestamp,
    },
    /// Corrections of usage.
    Correction(CorrectionRequest),
    /// Dimensions.
    Dimension(DimensionRequest),
    /// Issues invoices, or shows what they would be.
    InvoiceIssue {
        /// When.
        period: PeriodRequest,
        /// Only this tenant's.
        tenant: Option<String>,
        /// How long to wait for readings under way.
        wait_seconds: u64,
        /// Nothing is stored.
        preview: bool,
    },
    /// All invoices.
    InvoiceList {
        /// Only this tenant's.
        tenant: Option<String>,
    },
    /// Billing runs, and what becomes of invoices.
    Billing(BillingRequest),
    /// A document. Answered by its bytes, not by JSON.
    InvoiceShow {
        /// Which.
        number: String,
        /// As what.
        format: DocumentFormat,
    },
}

/// `instance create`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceCreate {
    /// Its name.
    pub name: String,
    /// Whose.
    pub tenant: String,
    /// Processors.
    pub vcpus: u32,
    /// Such as 1GiB.
    pub memory: String,
    /// Absolute path.
    pub image: Option<PathBuf>,
    /// Absolute path.
    pub kernel: Option<PathBuf>,
    /// Absolute path.
    pub initrd: Option<PathBuf>,
    /// The kernel's command line.
    pub cmdline: String,
    /// Such as 10GiB.
    pub disk: Option<String>,
    /// A libvirt network.
    pub network: Option<String>,
    /// Start it.
    pub start: bool,
}

/// A billing period as asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeriodRequest {
    /// `YYYY-MM` in the tenant's zone.
    Month(String),
    /// Any span.
    Span {
        /// From.
        from: String,
        /// Up to.
        to: String,
    },
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// What is wrong, where, and how to mend it.
    pub error: String,
}
