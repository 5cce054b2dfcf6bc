//! What can be typed: the commands, their flags and their help. No behaviour.

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

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::Timestamp;

pub use self::accounts::{Role, TokenCommand, UserCommand};
pub use self::alerts::{AlertCommand, InspectCommand};
pub use self::allowances::AllowanceCommand;
pub use self::billing::{BillingCommand, ChosenArguments};
pub use self::books::{
    DunningCommand, ExchangeCommand, PaidArguments, PaymentCommand, SetBillingArguments, StatementArguments,
    TaxCommand, WalletCommand,
};
pub use self::corrections::{CorrectCommand, DimensionCommand};
pub use self::keeping::{BackupCommand, QuarantineCommand};
pub use self::limits::{BudgetCommand, CapacityArguments, MailCommand, QuotaCommand};
pub use self::nodes::{JoinArguments, NodeCommand, NodeTokenCommand, RunArguments};
pub use self::plans::{
    PlanCommand, RateArguments, RevisionArguments, SimulateArguments, TermsCommand, Treatment,
};
pub use self::webhooks::WebhookCommand;

/// Meters every KVM instance, rates the usage and bills it.
///
/// Start with `weir up`; the other commands talk to it. `make demo` shows all of it on real guests.
#[derive(Debug, Parser)]
#[command(name = "weir", version, max_term_width = 100, propagate_version = true)]
pub struct Arguments {
    /// Where Weir keeps everything [default: /var/lib/weir for root, else ~/.local/share/weir]
    #[arg(long, global = true, env = "WEIR_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// Print JSON instead of tables
    #[arg(long, global = true)]
    pub json: bool,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything on this machine: database, collector, billing, pages. Ctrl-C stops it
    Up(UpArguments),
    /// What runs, what it sees, and whether anything is behind
    Status,
    /// Who pays
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Who may log in
    #[command(subcommand)]
    User(UserCommand),
    /// What programs log in with
    #[command(subcommand)]
    Token(TokenCommand),
    /// What things cost
    #[command(subcommand)]
    Plan(PlanCommand),
    /// What a single tenant pays otherwise than its plan says
    #[command(subcommand)]
    Terms(TermsCommand),
    /// Guests: make them, run them, say whose they are
    #[command(subcommand)]
    Instance(InstanceCommand),
    /// KVM hosts
    #[command(subcommand)]
    Node(NodeCommand),
    /// What is wrong
    #[command(subcommand)]
    Alert(AlertCommand),
    /// Readings that were refused
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// What nodes may forget
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Look into a node, read-only
    #[command(subcommand)]
    Inspect(InspectCommand),
    /// What was read
    #[command(subcommand)]
    Reading(ReadingCommand),
    /// What was used
    #[command(subcommand)]
    Usage(UsageCommand),
    /// What prices may depend on beside the meter
    #[command(subcommand)]
    Dimension(DimensionCommand),
    /// What is owed
    #[command(subcommand)]
    Invoice(InvoiceCommand),
    /// Months of all tenants, from usage to invoices
    #[command(subcommand)]
    Billing(BillingCommand),
    /// What was paid
    #[command(subcommand)]
    Payment(PaymentCommand),
    /// What was paid in advance
    #[command(subcommand)]
    Wallet(WalletCommand),
    /// What a tenant owed, what was invoiced and paid, and what it owes
    Statement(StatementArguments),
    /// Letters about what is overdue
    #[command(subcommand)]
    Dunning(DunningCommand),
    /// Which taxes are due where
    #[command(subcommand)]
    Tax(TaxCommand),
    /// What currencies are worth
    #[command(subcommand)]
    Exchange(ExchangeCommand),
    /// What tenants may hold at once
    #[command(subcommand)]
    Quota(QuotaCommand),
    /// What tenants expect to spend in a month
    #[command(subcommand)]
    Budget(BudgetCommand),
    /// How much tenants may consume in a month
    #[command(subcommand)]
    Allowance(AllowanceCommand),
    /// Who is told of what happens, as it happens
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// Mail that Weir sends
    #[command(subcommand)]
    Mail(MailCommand),
    /// How full the nodes are, and when they run out
    Capacity(CapacityArguments),
    /// Rate a usage file by a plan file: a simulation, without a database
    Rate(RateArguments),
    /// The configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// Flags of `weir up` and `weir config`: the last word, after the file and the environment.
#[derive(Debug, Default, Args)]
pub struct UpArguments {
    /// A TOML file [default: weir.toml in the data directory, else /etc/weir/weir.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Where the pages are served
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<SocketAddr>,

    /// Where further nodes deliver their readings (TLS; nodes need a certificate) [default: nowhere]
    #[arg(long, value_name = "IP:PORT")]
    pub nodes_listen: Option<SocketAddr>,

    /// Use this PostgreSQL instead of a private one (its user must be able to create roles)
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,

    /// Which libvirt to meter
    #[arg(long, value_name = "URI")]
    pub libvirt_uri: Option<String>,
}

/// `weir tenant …`
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Add a tenant
    Create {
        /// a-z, 0-9 and '-', at most 63: what guests' metadata and commands call it
        name: String,
        /// What invoices call it [default: the name]
        #[arg(long)]
        display_name: Option<String>,
        /// Address on invoices, a line each
        #[arg(long, value_name = "LINE")]
        address: Vec<String>,
        /// Tax number on invoices
        #[arg(long, value_name = "NUMBER")]
        tax_number: Option<String>,
        /// IANA time zone in which its months begin and end
        #[arg(long, default_value = "UTC", value_name = "ZONE")]
        time_zone: String,
        /// The price plan that it is billed by
        #[arg(long)]
        plan: Option<String>,
    },
    /// Bill a tenant by another plan, from the first day of a month on. What ended before is billed by the plan of then
    SetPlan {
        /// Which tenant
        name: String,
        /// Which plan
        plan: String,
        /// First day of a month in the tenant's zone, past or to come, of which no invoice by another plan is issued [default: the
        /// first day of the running month; where that is issued by another plan, of the month after]
        #[arg(long, value_name = "YYYY-MM-DD")]
        from: Option<String>,
    },
    /// Change what invoices print of a tenant besides its name
    SetParty {
        /// Which tenant
        name: String,
        /// Address, a line each [default: none]
        #[arg(long, value_name = "LINE")]
        address: Vec<String>,
        /// Tax number [default: none]
        #[arg(long, value_name = "NUMBER")]
        tax_number: Option<String>,
    },
    /// Say where a tenant's mail goes: invoices, budget warnings
    SetEmail {
        /// Which tenant
        name: String,
        /// The address [default: none; then the operator gets it]
        email: Option<String>,
    },
    /// Say how a tenant is billed: country, taxes, currency, days to pay, in advance or afterwards
    SetBilling(SetBillingArguments),
    /// All tenants
    List,
}

/// `weir instance …`
#[derive(Debug, Subcommand)]
pub enum InstanceCommand {
    /// Make an instance
    Create(CreateArguments),
    /// Start an instance
    Start {
        /// Name or id
        instance: String,
    },
    /// Stop an instance: ask it, wait, then power it off after a last reading
    Stop {
        /// Name or id
        instance: String,
        /// How long the guest may take; 0 powers it off at once
        #[arg(long, default_value = "30", value_name = "SECONDS")]
        grace: u64,
    },
    /// Delete a stopped instance and its volumes
    Delete {
        /// Name or id
        instance: String,
    },
    /// All instances of all nodes, adopted ones too
    List {
        /// Only this tenant's
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Say whose an instance is
    Assign {
        /// Name or id
        instance: String,
        /// Its tenant
        #[arg(long)]
        tenant: String,
        /// From when on [default: since it was first seen]
        #[arg(long, value_name = "INSTANT")]
        since: Option<Timestamp>,
    },
    /// Disks of a running instance
    #[command(subcommand)]
    Disk(DiskCommand),
    /// NICs of a running instance
    #[command(subcommand)]
    Nic(NicCommand),
}

/// `weir instance create`
#[derive(Debug, Args)]
pub struct CreateArguments {
    /// What it is called
    pub name: String,
    /// Whose it is
    #[arg(long)]
    pub tenant: String,
    /// Virtual processors
    #[arg(long, default_value_t = 1)]
    pub vcpus: u32,
    /// Memory, such as 512MiB or 4GiB
    #[arg(long, default_value = "1GiB", value_name = "SIZE")]
    pub memory: String,
    /// A qcow2 or raw image to boot from; the instance gets a copy-on-write volume over it
    #[arg(long, value_name = "FILE", conflicts_with = "kernel", required_unless_present = "kernel")]
    pub image: Option<PathBuf>,
    /// A Linux kernel to boot instead of an image
    #[arg(long, value_name = "FILE", requires = "initrd")]
    pub kernel: Option<PathBuf>,
    /// The kernel's initial file system
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub initrd: Option<PathBuf>,
    /// The kernel's command line
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub cmdline: String,
    /// Size of its disk, such as 10GiB [default: the image's, or no disk]
    #[arg(long, value_name = "SIZE")]
    pub disk: Option<String>,
    /// The libvirt network of its NIC [default: no NIC]
    #[arg(long)]
    pub network: Option<String>,
    /// Start it at once
    #[arg(long)]
    pub start: bool,
}

/// `weir instance disk …`
#[derive(Debug, Subcommand)]
pub enum DiskCommand {
    /// Make a volume and plug it in
    Add {
        /// Name or id
        instance: String,
        /// Such as 10GiB
        #[arg(long)]
        size: String,
    },
    /// Unplug a disk after a last reading and delete its volume
    Remove {
        /// Name or id
        instance: String,
        /// Such as vdb
        #[arg(long)]
        target: String,
    },
}

/// `weir instance nic …`
#[derive(Debug, Subcommand)]
pub enum NicCommand {
    /// Plug a NIC in
    Add {
        /// Name or id
        instance: String,
        /// A libvirt network
        #[arg(long)]
        network: String,
    },
    /// Unplug a NIC after a last reading
    Remove {
        /// Name or id
        instance: String,
        /// Its MAC address
        #[arg(long)]
        mac: String,
    },
}

/// `weir reading …`
#[derive(Debug, Subcommand)]
pub enum ReadingCommand {
    /// The registers of an instance and its devices, epoch by epoch: first and last reading of each
    Show {
        /// Name or id
        instance: String,
        /// Which time
        #[command(flatten)]
        span: SpanArguments,
    },
    /// Take a reading of everything now
    Take,
}

/// `weir usage …`
#[derive(Debug, Subcommand)]
pub enum UsageCommand {
    /// Say what is wrong with recorded usage: records stay, invoices heed it
    #[command(subcommand)]
    Correct(CorrectCommand),
    /// What a tenant used, to the last unit
    Show {
        /// Whose [default: what nobody has been assigned to]
        #[arg(long)]
        tenant: Option<String>,
        /// Which time
        #[command(flatten)]
        span: SpanArguments,
    },
}

/// A piece of time.
#[derive(Debug, Args)]
pub struct SpanArguments {
    /// From this instant on, such as 2026-10-01T00:00:00Z
    #[arg(long, value_name = "INSTANT")]
    pub from: Timestamp,
    /// Up to, and without, this instant
    #[arg(long, value_name = "INSTANT")]
    pub to: Timestamp,
}

/// A billing period: a month or any span.
#[derive(Debug, Args)]
#[group(required = true)]
pub struct PeriodArguments {
    /// A month in the tenant's time zone, such as 2026-10
    #[arg(long, value_name = "YYYY-MM", conflicts_with_all = ["from", "to"])]
    pub period: Option<String>,
    /// From this day or instant on: 2026-10-01, 2026-10-01T06:00 (tenant's zone), 2026-10-01T04:00:00Z
    #[arg(long, value_name = "TIME", requires = "to")]
    pub from: Option<String>,
    /// Up to, and without, this day or instant
    #[arg(long, value_name = "TIME", requires = "from")]
    pub to: Option<String>,
}

/// `weir invoice …`
#[derive(Debug, Subcommand)]
pub enum InvoiceCommand {
    /// Issue the invoices of a period, one for each tenant. Issued is final
    Issue {
        /// Which time
        #[command(flatten)]
        period: PeriodArguments,
        /// Only this tenant's
        #[arg(long)]
        tenant: Option<String>,
        /// How long to wait for readings that are under way
        #[arg(long, default_value = "30", value_name = "SECONDS")]
        wait: u64,
    },
    /// What the invoices of a period would be; nothing is stored
    Preview {
        /// Which time
        #[command(flatten)]
        period: PeriodArguments,
        /// Only this tenant's
        #[arg(long)]
        tenant: Option<String>,
    },
    /// All invoices
    List {
        /// Only this tenant's
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Rate an issued invoice again, and show line by line what differs; with --issue, correct it. A month that was closed
    /// with nothing is named by --tenant and --period, and invoiced with --issue
    Rerate {
        /// Its number
        #[arg(required_unless_present = "tenant")]
        number: Option<String>,
        /// Instead of a number: the invoice of this tenant, or what it was not invoiced for
        #[arg(long, requires = "period", conflicts_with = "number")]
        tenant: Option<String>,
        /// The month, in the tenant's time zone
        #[arg(long, value_name = "YYYY-MM", requires = "tenant")]
        period: Option<String>,
        /// Take it back by a credit note over all of it, and issue a corrected invoice. Issued is final
        #[arg(long, requires = "reason")]
        issue: bool,
        /// Why: it stands on the documents
        #[arg(long, value_name = "TEXT", requires = "issue")]
        reason: Option<String>,
    },
    /// Withdraw an issued invoice that nobody has paid: its number stays taken, its period may be invoiced again
    Void {
        /// Its number
        number: String,
        /// Why, for the audit trail
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Note that an invoice went out by other means than mail
    Sent {
        /// Its number
        number: String,
    },
    /// Who did what to an invoice, and when
    History {
        /// Its number
        number: String,
    },
    /// One invoice, as a document
    Show {
        /// Its number
        number: String,
        /// The document's form
        #[arg(long, value_enum, default_value_t = DocumentFormat::Json)]
        format: DocumentFormat,
        /// Into this file instead of standard output
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Forms of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DocumentFormat {
    /// For people, to keep.
    Pdf,
    /// For people, on a screen.
    Html,
    /// For programs.
    Json,
}

/// `weir config …`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Whether the configuration is right
    Check(UpArguments),
    /// The configuration as `weir up` would use it
    Show(UpArguments),
}
