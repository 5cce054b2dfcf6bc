//! The books on the command line: from what was typed to requests, and statements as tables.

use std::path::Path;

use anyhow::{Context, Result, bail};
use billing::books::payments::PaymentKind;
use billing::tax::TaxTable;
use serde_json::Value;
use uuid::Uuid;

use super::args::{
    DunningCommand, ExchangeCommand, PaidArguments, PaymentCommand, SetBillingArguments, StatementArguments,
    TaxCommand, WalletCommand,
};
use super::output::{Column, list};
use crate::control::request::{Billing, BooksRequest, Paid};

/// The largest file that is read: what the control channel takes with room to spare.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

const PAYMENT_COLUMNS: [Column; 8] = [
    ("PAID", "paid_at", false),
    ("TENANT", "tenant", false),
    ("FOR", "kind", false),
    ("METHOD", "method", false),
    ("REFERENCE", "reference", false),
    ("AMOUNT", "amount_shown", true),
    ("UNUSED", "unused_shown", true),
    ("ID", "payment_id", false),
];

const LINE_COLUMNS: [Column; 5] = [
    ("BOOKED", "at", false),
    ("WHAT", "kind", false),
    ("ABOUT", "about", false),
    ("AMOUNT", "amount_shown", true),
    ("OWED", "balance_shown", true),
];

const DUNNING_COLUMNS: [Column; 7] = [
    ("AT", "at", false),
    ("TENANT", "tenant", false),
    ("INVOICE", "number", false),
    ("LEVEL", "level", true),
    ("OPEN", "open_shown", true),
    ("FEE", "fee_shown", true),
    ("DISPUTED", "reason", false),
];

const RATE_COLUMNS: [Column; 5] = [
    ("VALID FROM", "valid_from", false),
    ("FROM", "from", false),
    ("TO", "to", false),
    ("RATE", "rate", true),
    ("SOURCE", "source", false),
];

/// Checks a tax table; nothing is stored.
///
/// # Errors
/// Everything that is wrong with it.
pub fn validate_tax(file: &Path, json: bool) -> Result<()> {
    let (name, text) = read(file)?;
    let table = TaxTable::parse(&name, text.as_bytes())?;
    let rates = table.rates().len();
    if json {
        println!("{}", serde_json::json!({ "valid": true, "rates": rates }));
    } else {
        println!("{name} is right: {rates} rates, the seller is in {}.", table.seller().country.name());
    }
    Ok(())
}

pub fn payment(command: PaymentCommand) -> BooksRequest {
    match command {
        PaymentCommand::Record(arguments) => paid(PaymentKind::Payment, arguments),
        PaymentCommand::Refund(arguments) => paid(PaymentKind::Refund, arguments),
        PaymentCommand::List { tenant, limit } => BooksRequest::PaymentList { tenant, limit },
        PaymentCommand::Show { payment_id } => BooksRequest::PaymentShow { payment_id },
        PaymentCommand::Reverse { payment_id, reason } => BooksRequest::PaymentReverse { payment_id, reason },
    }
}

pub fn wallet(command: WalletCommand) -> BooksRequest {
    match command {
        WalletCommand::Show { tenant } => BooksRequest::WalletShow { tenant },
        WalletCommand::TopUp(arguments) => paid(PaymentKind::TopUp, arguments),
    }
}

pub fn statement(arguments: StatementArguments) -> BooksRequest {
    let StatementArguments { tenant, from, to, .. } = arguments;
    BooksRequest::Statement { tenant, from, to }
}

pub fn dunning(command: DunningCommand) -> BooksRequest {
    match command {
        DunningCommand::List => BooksRequest::DunningList {},
        DunningCommand::Run => BooksRequest::DunningRun {},
        DunningCommand::Hold { number, reason } => BooksRequest::DunningHold { number, reason },
        DunningCommand::Release { number } => BooksRequest::DunningRelease { number },
    }
}

pub fn tax(command: TaxCommand) -> Result<BooksRequest> {
    Ok(match command {
        TaxCommand::Apply { file } => {
            let (file, text) = read(&file)?;
            BooksRequest::TaxApply { file, text }
        }
        TaxCommand::Show => BooksRequest::TaxShow {},
        TaxCommand::Validate { .. } | TaxCommand::Revisions(_) => bail!("this is no request of the books"),
    })
}

pub fn exchange(command: ExchangeCommand) -> Result<BooksRequest> {
    Ok(match command {
        ExchangeCommand::Load { file } => {
            let (file, text) = read(&file)?;
            BooksRequest::ExchangeLoad { file, text }
        }
        ExchangeCommand::List { from, to } => BooksRequest::ExchangeList { from, to },
    })
}

pub fn billing(arguments: SetBillingArguments) -> BooksRequest {
    BooksRequest::Billing(Billing {
        name: arguments.name,
        country: arguments.country,
        treatment: arguments.treatment,
        tax_reason: arguments.tax_reason,
        currency: arguments.currency,
        payment_days: arguments.payment_days,
        mode: arguments.mode,
        starts_on: arguments.starts_on,
        low_balance: arguments.low_balance,
    })
}

/// What people read of an answer.
pub fn in_words(request: &BooksRequest, answer: &Value) -> String {
    match request {
        BooksRequest::PaymentList { .. } => {
            let empty =
                "No payments yet. Record one: weir payment record TENANT AMOUNT CURRENCY --reference TEXT";
            list(&answer["payments"], &PAYMENT_COLUMNS, empty)
        }
        BooksRequest::DunningList {} => {
            list(&answer["dunning"], &DUNNING_COLUMNS, "No letters went out, and nothing is disputed.")
        }
        BooksRequest::ExchangeList { .. } => {
            let empty = "No exchange rates yet. Load some: weir exchange load FILE.csv";
            list(&answer["rates"], &RATE_COLUMNS, empty)
        }
        BooksRequest::Statement { .. } => statements(answer),
        BooksRequest::TaxShow {} => answer["content"].as_str().unwrap_or_default().to_owned(),
        _ => answer["message"].as_str().unwrap_or("Done.").to_owned(),
    }
}

fn statements(answer: &Value) -> String {
    let all = answer["statements"].as_array().map(Vec::as_slice).unwrap_or_default();
    if all.is_empty() {
        return "Nothing was ever booked.".to_owned();
    }
    let one = |statement: &Value| {
        let text = |key: &str| statement[key].as_str().unwrap_or_default().to_owned();
        let lines = list(&statement["lines"], &LINE_COLUMNS, "Nothing was booked in that time.");
        format!("Owed before: {}\n{lines}\nOwed now: {}", text("opening_shown"), text("closing_shown"))
    };
    all.iter().map(one).collect::<Vec<_>>().join("\n\n")
}

fn paid(kind: PaymentKind, arguments: PaidArguments) -> BooksRequest {
    BooksRequest::Paid(Paid {
        kind,
        payment_id: arguments.id.unwrap_or_else(Uuid::now_v7),
        tenant: arguments.tenant,
        amount: arguments.amount.join(" "),
        reference: arguments.reference,
        method: arguments.method,
        invoice: arguments.invoice,
        on: arguments.on,
    })
}

fn read(file: &Path) -> Result<(String, String)> {
    let name = file.display().to_string();
    let size = std::fs::metadata(file).with_context(|| format!("{name} cannot be read"))?.len();
    if FILE_BYTES_MAX < size {
        bail!("{name} has {size} bytes; load it in parts of at most 4 MiB");
    }
    let text =
        std::fs::read_to_string(file).with_context(|| format!("{name} cannot be read as UTF-8 text"))?;
    Ok((name, text))
}
