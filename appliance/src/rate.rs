//! `weir rate` and `weir plan validate`: rating from files, without a database and without a running Weir.

use std::path::Path;

use anyhow::{Context, Result, bail};
use billing::account::currencies::Currencies;
use billing::account::{AccountTerms, BillingAccount, MAX_REASON, TaxTreatment};
use billing::country::Country;
use billing::exchange::{self, last_day};
use billing::tax::TaxTable;
use billing::terms::TenantTerms;
use billing::{
    Bill, Buyer, Currency, ExchangeRate, InvoiceDocument, InvoiceId, Party, PricePlan, Taxation, plan,
    usage_file,
};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use metering::{TenantId, TenantName, Window};
use serde_json::json;
use uuid::Uuid;

use crate::cli::args::{DocumentFormat, RateArguments, Treatment};
use crate::cli::say;
use crate::{documents, period};

/// The name under which a simulation stands in the place of a tenant.
const SIMULATION: &str = "simulation";

/// Rates a usage file by a plan file.
///
/// # Errors
/// Everything that is wrong with any of the files, with file and line.
pub fn run(arguments: &RateArguments, json: bool) -> Result<()> {
    let draft = rated(arguments)?;
    if let Some(path) = &arguments.output {
        let (bytes, _) = documents::render(&draft, format_of(path)?)?;
        std::fs::write(path, bytes).with_context(|| format!("failed to write {}", path.display()))?;
    }
    say(&if json { reports::invoice_json(&draft)? } else { table(&draft) })
}

/// The draft that the files make.
///
/// # Errors
/// As [`run`].
pub fn rated(arguments: &RateArguments) -> Result<InvoiceDocument> {
    let mut plan = parse_plan(&arguments.plan, &read_plan(&arguments.plan)?)?;
    if let Some(file) = &arguments.terms {
        let bytes = read(file, "file of terms", plan::MAX_PLAN_BYTES)?;
        plan = plan.for_tenant(&TenantTerms::parse(&file.display().to_string(), &bytes)?)?;
    }
    let usage = read(&arguments.usage, "usage file", usage_file::MAX_USAGE_BYTES)?;
    let usage = usage_file::parse(&arguments.usage.display().to_string(), &usage)?;
    let samples = usage_file::samples(&usage, &plan);
    let period = period::window(&period::asked(&arguments.period)?, plan.time_zone())?;
    let account = account(arguments)?;
    let taxation = taxation(arguments, &plan, &account, period)?;
    let exchange = exchange_rate(arguments, &plan, account.terms.currency, period)?;
    let nobody = Party { name: SIMULATION.to_owned(), ..Party::default() };
    let buyer = Buyer {
        tenant: TenantName::new(SIMULATION)?,
        party: Party {
            country: account.terms.country.map(|country| country.code().to_owned()),
            tax_number: account.tax_number,
            ..nobody.clone()
        },
        time_zone: plan.time_zone_name().to_owned(),
    };
    let bill = Bill {
        // The same each time.
        invoice_id: InvoiceId::from_uuid(Uuid::nil()),
        seller: &nobody,
        buyer,
        plan: &plan,
        usage: &usage,
        samples: &samples,
        period,
        exchange: exchange.as_ref(),
        taxation: &taxation,
    };
    Ok(bill.draft()?)
}

/// What was said about the buyer.
fn account(arguments: &RateArguments) -> Result<BillingAccount> {
    let treatment = match arguments.treatment {
        Treatment::Taxable => TaxTreatment::Taxable,
        Treatment::ReverseCharge => TaxTreatment::ReverseCharge,
        Treatment::Exempt => TaxTreatment::Exempt,
        Treatment::OutsideScope => TaxTreatment::OutsideScope,
    };
    if arguments.tax_reason.as_ref().is_some_and(|reason| MAX_REASON < reason.chars().count()) {
        bail!("--tax-reason is longer than {MAX_REASON} characters, which is what an invoice has room for");
    }
    let currency = arguments.currency.as_deref().map(Currency::parse).transpose()?;
    let terms = AccountTerms {
        country: arguments.country.as_deref().map(Country::parse).transpose()?,
        treatment,
        tax_reason: arguments.tax_reason.clone(),
        currency,
        ..AccountTerms::default()
    };
    Ok(BillingAccount {
        tenant_id: TenantId::UNASSIGNED,
        terms,
        currencies: Currencies::always(currency),
        tax_number: arguments.tax_number.clone(),
        revision: 0,
    })
}

fn taxation(
    arguments: &RateArguments,
    plan: &PricePlan,
    account: &BillingAccount,
    period: Window,
) -> Result<Taxation> {
    let table = match &arguments.taxes {
        Some(file) => {
            let bytes = read(file, "tax table", plan::MAX_PLAN_BYTES)?;
            Some(TaxTable::parse(&file.display().to_string(), &bytes)?)
        }
        None => None,
    };
    Taxation::resolve(table.as_ref(), plan, account, period, plan.time_zone()).context(
        "the tax is not known; see weir rate --taxes, --country, --treatment, --tax-number and --tax-reason",
    )
}

/// The rate of the period's last day, if the invoice is in another currency than the prices.
fn exchange_rate(
    arguments: &RateArguments,
    plan: &PricePlan,
    currency: Option<Currency>,
    period: Window,
) -> Result<Option<ExchangeRate>> {
    let (Some(file), Some(currency)) = (&arguments.exchange, currency) else { return Ok(None) };
    if currency == plan.currency() {
        return Ok(None);
    }
    let bytes = read(file, "file of exchange rates", exchange::MAX_FILE_BYTES)?;
    let rates = exchange::parse(&file.display().to_string(), &bytes)?;
    let day = last_day(period, plan.time_zone());
    let known = rates
        .into_iter()
        .filter(|rate| rate.from == plan.currency() && rate.to == currency && rate.valid_from <= day);
    let found = known.max_by_key(|rate| rate.valid_from);
    Ok(Some(found.with_context(|| {
        format!(
            "{} has no rate from {} to {currency} that is valid on {day}, the last day of the period; add a line \
             {},{currency},{day},RATE,SOURCE",
            file.display(),
            plan.currency(),
            plan.currency()
        )
    })?))
}

/// Checks a plan file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn validate_plan(file: &Path, json: bool) -> Result<()> {
    let plan = parse_plan(file, &read_plan(file)?)?;
    let versions = plan.versions().len();
    if json {
        println!(
            "{}",
            json!({ "name": plan.name(), "currency": plan.currency().to_string(), "versions": versions })
        );
    } else {
        println!(
            "{}: plan {} in {} with {versions} version(s) is right.",
            file.display(),
            plan.name(),
            plan.currency()
        );
    }
    Ok(())
}

/// The text of a plan file.
///
/// # Errors
/// It cannot be read, is larger than plans may be, or is no text.
pub fn read_plan(file: &Path) -> Result<String> {
    let bytes = read(file, "plan file", plan::MAX_PLAN_BYTES)?;
    String::from_utf8(bytes).map_err(|error| {
        anyhow::anyhow!(
            "{}: byte {} is no UTF-8; save the plan as UTF-8 text",
            file.display(),
            error.utf8_error().valid_up_to()
        )
    })
}

/// The text of a file with a tenant's terms, which may be empty.
///
/// # Errors
/// As [`read_plan`].
pub fn read_terms(file: &Path) -> Result<String> {
    let bytes = read(file, "file of terms", plan::MAX_PLAN_BYTES)?;
    String::from_utf8(bytes)
        .map_err(|_| anyhow::anyhow!("{} is no UTF-8; save it as UTF-8 text", file.display()))
}

fn parse_plan(file: &Path, text: &str) -> Result<PricePlan> {
    Ok(PricePlan::parse(&file.display().to_string(), text.as_bytes())?)
}

/// A file's bytes, unless there are too many.
fn read(file: &Path, what: &str, limit: usize) -> Result<Vec<u8>> {
    use std::io::Read;
    let opened =
        std::fs::File::open(file).with_context(|| format!("the {what} {} cannot be read", file.display()))?;
    let mut bytes = Vec::new();
    opened
        .take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("the {what} {} cannot be read", file.display()))?;
    if limit < bytes.len() {
        bail!("the {what} {} is larger than {limit} bytes, the most that is read", file.display());
    }
    Ok(bytes)
}

fn format_of(path: &Path) -> Result<DocumentFormat> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("pdf") => Ok(DocumentFormat::Pdf),
        Some("html") => Ok(DocumentFormat::Html),
        Some("json") => Ok(DocumentFormat::Json),
        _ => bail!("{} should end in .pdf, .html or .json, which says the document's form", path.display()),
    }
}

fn table(draft: &InvoiceDocument) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["LINE", "QUANTITY", "UNIT", "UNIT PRICE", "AMOUNT"]);
    for line in &draft.lines {
        let title = reports::full_title(line);
        let (quantity, price) = (line.quantity.to_string(), line.unit_price.to_string());
        let cells = [title, quantity, line.unit.clone(), price, line.amount.to_string()];
        table.add_row(cells);
    }
    table.add_row(["Subtotal", "", "", "", &draft.subtotal.to_string()]);
    for due in &draft.taxes {
        let rate = (due.rate * rust_decimal::Decimal::ONE_HUNDRED).normalize();
        let title = format!("{} {rate} % of {}", due.name, due.base);
        table.add_row([&title, "", "", "", &due.amount.to_string()]);
    }
    table.add_row(["Total", "", "", "", &draft.total.to_string()]);
    for position in [1, 3, 4] {
        if let Some(column) = table.column_mut(position) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for usage in &draft.unpriced {
        let title = format!("{} (no price)", usage.meter);
        table.add_row([&title, &usage.quantity.to_string(), &usage.unit, "-", "-"]);
    }
    let notes: String = draft.notes.iter().map(|note| format!("\n{note}")).collect();
    table.to_string() + &notes
}
