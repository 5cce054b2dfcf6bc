//! The command line: from arguments to requests, from answers to tables.
//!
//! Commands that need data ask the running `weir up` on the control channel; only `up`, `rate`, `plan
//! validate`, `config` and `bench` work by themselves.

pub mod args;
mod books;
mod output;
mod password;
mod plans;
mod running;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use self::args::{
    AlertCommand, AllowanceCommand, Arguments, BackupCommand, BillingCommand, BudgetCommand,
    CapacityArguments, ChosenArguments, Command, ConfigCommand, CreateArguments, DiskCommand, DocumentFormat,
    InspectCommand, InstanceCommand, InvoiceCommand, MailCommand, NicCommand, NodeCommand, NodeTokenCommand,
    PlanCommand, QuarantineCommand, QuotaCommand, ReadingCommand, RevisionArguments, StatementArguments,
    TaxCommand, TenantCommand, TermsCommand, TokenCommand, UpArguments, UsageCommand, UserCommand,
    WebhookCommand,
};
pub use self::output::say;
use crate::config::{Config, default_data_dir};
use crate::control::client::Client;
use crate::control::request::{
    AccountRequest, AlertRequest, AllowanceRequest, BackupRequest, BillingRequest, Chosen, InstanceCreate,
    LimitRequest, MailRequest, NodeRequest, PlanRequest, QuarantineRequest, Request, RevisionRequest,
    RevisionsOf, TermsRequest, WebhookRequest,
};
use crate::nodes::role;
use crate::{inspect, period, rate, up};

/// Does what was typed.
///
/// # Errors
/// What the user should read, as a chain.
pub fn run(arguments: Arguments) -> Result<()> {
    let data_dir = match arguments.data {
        Some(path) => std::path::absolute(&path).with_context(|| format!("{} is no path", path.display()))?,
        None => default_data_dir()?,
    };
    let json = arguments.json;
    match arguments.command {
        Command::Up(flags) => up::run(data_dir, &flags),
        Command::Node(NodeCommand::Join(arguments)) => role::join(data_dir, &arguments, json),
        Command::Node(NodeCommand::Run(arguments)) => role::run(data_dir, &arguments),
        Command::Rate(arguments) => rate::run(&arguments, json),
        Command::Config(ConfigCommand::Check(flags)) => check_config(&data_dir, &flags),
        Command::Config(ConfigCommand::Show(flags)) => show_config(&data_dir, &flags, json),
        Command::Plan(PlanCommand::Validate { file }) => rate::validate_plan(&file, json),
        Command::Tax(TaxCommand::Validate { file }) => books::validate_tax(&file, json),
        Command::Plan(PlanCommand::Diff { old, new }) => plans::compare(&data_dir, &old, &new, json),
        Command::Plan(PlanCommand::Simulate(arguments)) => plans::simulate(&data_dir, arguments, json),
        Command::Invoice(InvoiceCommand::Show { number, format, output }) => {
            let request = Request::InvoiceShow { number, format };
            let bytes = runtime()?.block_on(async { Client::new(&data_dir)?.ask_bytes(&request).await })?;
            output::document(&bytes, format == DocumentFormat::Pdf, output.as_deref())
        }
        Command::Statement(StatementArguments { tenant, from, to, pdf: Some(path) }) => {
            let request = Request::StatementPdf { tenant, from, to };
            let bytes = runtime()?.block_on(async { Client::new(&data_dir)?.ask_bytes(&request).await })?;
            output::document(&bytes, true, Some(&path))
        }
        Command::Capacity(CapacityArguments { output: Some(path) }) => {
            let request = Request::CapacityPdf {};
            let bytes = runtime()?.block_on(async { Client::new(&data_dir)?.ask_bytes(&request).await })?;
            output::document(&bytes, true, Some(&path))
        }
        Command::Billing(BillingCommand::Run { period, approve, issue, early, tenant, detach }) => {
            let goal = match (approve, issue) {
                (_, true) => "issued",
                (true, false) => "approved",
                (false, false) => "review",
            };
            let request = BillingRequest::Run { period, goal: goal.to_owned(), early, tenant };
            let client = Client::new(&data_dir)?;
            runtime()?.block_on(running::run(&client, request, detach, json))
        }
        Command::Inspect(InspectCommand::Node) => runtime()?.block_on(inspect::run(&data_dir, json)),
        command => {
            let request = request(command)?;
            let working = output::Working::begin(&request);
            let answer = runtime()?.block_on(async { Client::new(&data_dir)?.ask(&request).await });
            working.end();
            output::answer(&request, &answer?, json)
        }
    }
}

/// A runtime for a command: it waits for one answer.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn check_config(data_dir: &Path, flags: &UpArguments) -> Result<()> {
    Config::load(data_dir, flags)?;
    println!("The configuration is right.");
    Ok(())
}

fn show_config(data_dir: &Path, flags: &UpArguments, json: bool) -> Result<()> {
    let config = Config::load(data_dir, flags)?;
    if json {
        let value: toml::Value = toml::from_str(&config.to_toml()?)?;
        println!("{}", serde_json::to_string_pretty(&value)?);
    } else {
        print!("{}", config.to_toml()?);
    }
    Ok(())
}

/// The request of a command that needs a running Weir.
fn request(command: Command) -> Result<Request> {
    Ok(match command {
        Command::Status => Request::Status {},
        Command::Tenant(command) => tenant(command),
        Command::Plan(PlanCommand::Apply { file, rewrite_past }) => {
            let text = rate::read_plan(&file)?;
            Request::PlanApply { file: file.display().to_string(), text, rewrites_past: rewrite_past }
        }
        Command::Plan(PlanCommand::Show { name }) => Request::Plan(PlanRequest::Show { name }),
        Command::Plan(PlanCommand::Revisions { name, one }) => revisions(RevisionsOf::Plan(name), one),
        Command::Plan(_) => Request::PlanList {},
        Command::Terms(TermsCommand::Revisions { tenant, one }) => revisions(RevisionsOf::Terms(tenant), one),
        Command::Terms(TermsCommand::Apply { tenant, file }) => {
            let text = rate::read_terms(&file)?;
            Request::Terms(TermsRequest::Apply { tenant, file: file.display().to_string(), text })
        }
        Command::Terms(TermsCommand::Show { tenant, plan }) => {
            Request::Terms(TermsRequest::Show { tenant, with_plan: plan })
        }
        Command::Instance(command) => instance(command)?,
        Command::Node(command) => Request::Node(node(command)?),
        Command::Alert(AlertCommand::List { all }) => Request::Alert(AlertRequest::List { all }),
        Command::Alert(AlertCommand::End { alert_id }) => Request::Alert(AlertRequest::End { alert_id }),
        Command::Backup(BackupCommand::Note { covers_to, note }) => {
            Request::Backup(BackupRequest::Note { covers_to, note })
        }
        Command::Backup(BackupCommand::List) => Request::Backup(BackupRequest::List {}),
        Command::Quarantine(QuarantineCommand::List) => Request::Quarantine(QuarantineRequest::List {}),
        Command::Quarantine(QuarantineCommand::Release { node, batch }) => {
            Request::Quarantine(QuarantineRequest::Release { node, batch })
        }
        Command::Reading(ReadingCommand::Take) => Request::ReadingTake {},
        Command::Reading(ReadingCommand::Show { instance, span }) => {
            Request::ReadingShow { instance, from: span.from, to: span.to }
        }
        Command::Usage(UsageCommand::Show { tenant, span }) => {
            Request::UsageShow { tenant, from: span.from, to: span.to }
        }
        Command::Usage(UsageCommand::Correct(command)) => Request::Correction(command.request()),
        Command::Dimension(command) => Request::Dimension(command.request()),
        Command::Invoice(command) => invoice(command)?,
        Command::Billing(command) => Request::Billing(billing(command)?),
        Command::User(command) => Request::Account(user(command)?),
        Command::Token(command) => Request::Account(token(command)),
        Command::Payment(command) => Request::Books(books::payment(command)),
        Command::Wallet(command) => Request::Books(books::wallet(command)),
        Command::Statement(arguments) => Request::Books(books::statement(arguments)),
        Command::Dunning(command) => Request::Books(books::dunning(command)),
        Command::Tax(TaxCommand::Revisions(one)) => revisions(RevisionsOf::TaxTable, one),
        Command::Tax(command) => Request::Books(books::tax(command)?),
        Command::Exchange(command) => Request::Books(books::exchange(command)?),
        Command::Quota(command) => Request::Limit(quota(command)),
        Command::Budget(command) => Request::Limit(budget(command)),
        Command::Allowance(command) => Request::Allowance(allowance(command)),
        Command::Webhook(command) => Request::Webhook(webhook(command)),
        Command::Mail(command) => Request::Mail(mail(command)),
        Command::Capacity(_) => Request::Capacity {},
        Command::Up(_) | Command::Inspect(_) | Command::Rate(_) | Command::Config(_) => {
            anyhow::bail!("this command needs no running Weir")
        }
    })
}

fn revisions(of: RevisionsOf, one: RevisionArguments) -> Request {
    Request::Revision(RevisionRequest { of, revision: one.show })
}

fn tenant(command: TenantCommand) -> Request {
    match command {
        TenantCommand::Create { name, display_name, address, tax_number, time_zone, plan } => {
            Request::TenantCreate { name, display_name, address, tax_number, time_zone, plan }
        }
        TenantCommand::SetPlan { name, plan, from } => Request::TenantSetPlan { name, plan, from },
        TenantCommand::SetParty { name, address, tax_number } => {
            Request::TenantSetParty { name, address, tax_number }
        }
        TenantCommand::SetEmail { name, email } => Request::TenantSetEmail { name, email },
        TenantCommand::SetBilling(arguments) => Request::Books(books::billing(arguments)),
        TenantCommand::List => Request::TenantList {},
    }
}

fn user(command: UserCommand) -> Result<AccountRequest> {
    Ok(match command {
        UserCommand::Create { name, role, tenant, display_name, password_stdin } => {
            let password = password::read(&name, password_stdin)?;
            AccountRequest::UserCreate { name, role, tenant, display_name, password }
        }
        UserCommand::SetPassword { name, password_stdin } => {
            let password = password::read(&name, password_stdin)?;
            AccountRequest::UserSetPassword { name, password }
        }
        UserCommand::Disable { name } => AccountRequest::UserDisable { name },
        UserCommand::Enable { name } => AccountRequest::UserEnable { name },
        UserCommand::List => AccountRequest::UserList {},
    })
}

fn token(command: TokenCommand) -> AccountRequest {
    match command {
        TokenCommand::Create { user, name, read_only, expires_at } => {
            AccountRequest::TokenCreate { user, name, read_only, expires_at }
        }
        TokenCommand::List { user } => AccountRequest::TokenList { user },
        TokenCommand::Revoke { user, token_id } => AccountRequest::TokenRevoke { user, token_id },
    }
}

fn node(command: NodeCommand) -> Result<NodeRequest> {
    Ok(match command {
        NodeCommand::List { all } => NodeRequest::List { with_removed: all },
        NodeCommand::Show { node } => NodeRequest::Show { node },
        NodeCommand::Drain { node, undo } => NodeRequest::Drain { node, undo },
        NodeCommand::Remove { node, force } => NodeRequest::Remove { node, force },
        NodeCommand::Token(NodeTokenCommand::Create { node, life }) => {
            NodeRequest::TokenCreate { node, life }
        }
        NodeCommand::Token(NodeTokenCommand::List) => NodeRequest::TokenList {},
        NodeCommand::Token(NodeTokenCommand::Revoke { token_id }) => NodeRequest::TokenRevoke { token_id },
        NodeCommand::Join(_) | NodeCommand::Run(_) => anyhow::bail!("this command needs no running Weir"),
    })
}

fn quota(command: QuotaCommand) -> LimitRequest {
    match command {
        QuotaCommand::Show { tenant } => LimitRequest::QuotaShow { tenant },
        QuotaCommand::Set { tenant, instances, vcpus, memory } => {
            LimitRequest::QuotaSet { tenant, instances, vcpus, memory }
        }
    }
}

fn budget(command: BudgetCommand) -> LimitRequest {
    match command {
        BudgetCommand::Show { tenant } => LimitRequest::BudgetShow { tenant },
        BudgetCommand::Set { tenant, amount } => LimitRequest::BudgetSet { tenant, amount },
        BudgetCommand::Remove { tenant } => LimitRequest::BudgetRemove { tenant },
    }
}

fn allowance(command: AllowanceCommand) -> AllowanceRequest {
    match command {
        AllowanceCommand::List { tenant } => AllowanceRequest::List { tenant },
        AllowanceCommand::Set { tenant, name, amount, meter, quantity, thresholds } => {
            AllowanceRequest::Set { tenant, name, amount, meter, quantity, thresholds }
        }
        AllowanceCommand::Remove { tenant, name } => AllowanceRequest::Remove { tenant, name },
    }
}

fn webhook(command: WebhookCommand) -> WebhookRequest {
    match command {
        WebhookCommand::List { tenant } => WebhookRequest::List { tenant },
        WebhookCommand::Add { url, tenant, types, description } => {
            WebhookRequest::Add { url, tenant, types, description }
        }
        WebhookCommand::Enable { endpoint } => WebhookRequest::Enable { endpoint, is_enabled: true },
        WebhookCommand::Disable { endpoint } => WebhookRequest::Enable { endpoint, is_enabled: false },
        WebhookCommand::Rotate { endpoint } => WebhookRequest::Rotate { endpoint },
        WebhookCommand::Remove { endpoint } => WebhookRequest::Remove { endpoint },
        WebhookCommand::Test { endpoint } => WebhookRequest::Test { endpoint },
        WebhookCommand::Deliveries { endpoint, limit } => WebhookRequest::Deliveries { endpoint, limit },
        WebhookCommand::Replay { endpoint, event, since } => {
            WebhookRequest::Replay { endpoint, event, since }
        }
    }
}

fn mail(command: MailCommand) -> MailRequest {
    match command {
        MailCommand::List => MailRequest::List {},
        MailCommand::Test { recipient } => MailRequest::Test { recipient },
        MailCommand::Retry { mail_id } => MailRequest::Retry { mail_id },
    }
}

fn instance(command: InstanceCommand) -> Result<Request> {
    Ok(match command {
        InstanceCommand::Create(arguments) => Request::InstanceCreate(create(arguments)?),
        InstanceCommand::Start { instance } => Request::InstanceStart { instance },
        InstanceCommand::Stop { instance, grace } => Request::InstanceStop { instance, grace_seconds: grace },
        InstanceCommand::Delete { instance } => Request::InstanceDelete { instance },
        InstanceCommand::List { tenant } => Request::InstanceList { tenant },
        InstanceCommand::Assign { instance, tenant, since } => {
            Request::InstanceAssign { instance, tenant, since }
        }
        InstanceCommand::Disk(DiskCommand::Add { instance, size }) => Request::DiskAdd { instance, size },
        InstanceCommand::Disk(DiskCommand::Remove { instance, target }) => {
            Request::DiskRemove { instance, target }
        }
        InstanceCommand::Nic(NicCommand::Add { instance, network }) => Request::NicAdd { instance, network },
        InstanceCommand::Nic(NicCommand::Remove { instance, mac }) => Request::NicRemove { instance, mac },
    })
}

fn create(arguments: CreateArguments) -> Result<InstanceCreate> {
    Ok(InstanceCreate {
        name: arguments.name,
        tenant: arguments.tenant,
        vcpus: arguments.vcpus,
        memory: arguments.memory,
        image: file(arguments.image, "image")?,
        kernel: file(arguments.kernel, "kernel")?,
        initrd: file(arguments.initrd, "initrd")?,
        cmdline: arguments.cmdline,
        disk: arguments.disk,
        network: arguments.network,
        start: arguments.start,
    })
}

/// The absolute path of a file that was named here, for a server that runs elsewhere.
fn file(path: Option<PathBuf>, what: &str) -> Result<Option<PathBuf>> {
    path.map(|path| {
        path.canonicalize().with_context(|| format!("the {what} {} cannot be read", path.display()))
    })
    .transpose()
}

fn invoice(command: InvoiceCommand) -> Result<Request> {
    Ok(match command {
        InvoiceCommand::Issue { period: asked, tenant, wait } => Request::InvoiceIssue {
            period: period::asked(&asked)?,
            tenant,
            wait_seconds: wait,
            preview: false,
        },
        InvoiceCommand::Preview { period: asked, tenant } => {
            Request::InvoiceIssue { period: period::asked(&asked)?, tenant, wait_seconds: 0, preview: true }
        }
        InvoiceCommand::List { tenant } => Request::InvoiceList { tenant },
        InvoiceCommand::Show { number, format, .. } => Request::InvoiceShow { number, format },
        InvoiceCommand::Rerate { number, tenant, period, reason, .. } => {
            Request::Billing(match (number, tenant, period) {
                (None, Some(tenant), Some(period)) => BillingRequest::RerateTenant { tenant, period, reason },
                (Some(number), ..) => BillingRequest::Rerate { number, reason },
                _ => anyhow::bail!("name the invoice, or --tenant and --period"),
            })
        }
        InvoiceCommand::Void { number, reason } => Request::Billing(BillingRequest::Void { number, reason }),
        InvoiceCommand::Sent { number } => Request::Billing(BillingRequest::Sent { number }),
        InvoiceCommand::History { number } => Request::Billing(BillingRequest::History { number }),
    })
}

fn billing(command: BillingCommand) -> Result<BillingRequest> {
    let chosen = |chosen: ChosenArguments| Chosen { period: chosen.period, tenant: chosen.tenant };
    Ok(match command {
        BillingCommand::Run { .. } => anyhow::bail!("a run is followed until it ends"),
        BillingCommand::Status { run } => BillingRequest::Status { run_id: run },
        BillingCommand::List => BillingRequest::Runs {},
        BillingCommand::Review { period, tenant } => BillingRequest::Review { period, tenant },
        BillingCommand::Approve(arguments) => BillingRequest::Approve(chosen(arguments)),
        BillingCommand::Issue(arguments) => BillingRequest::Issue(chosen(arguments)),
        BillingCommand::SendBack(arguments) => BillingRequest::SendBack(chosen(arguments)),
        BillingCommand::Rerate(ChosenArguments { period, tenant }) => {
            BillingRequest::RerateMonth { period, tenant }
        }
        BillingCommand::Late { look } => BillingRequest::Late { look },
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
