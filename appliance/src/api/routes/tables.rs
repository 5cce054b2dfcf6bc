//! The tax table and exchange rates to be loaded. Rates are listed in `books`.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::http::Method;
use billing::ExchangeRate;
use billing::store::exchange_rates::{self, LoadError};
use billing::store::tax_tables;
use billing::tax::TaxTable;
use jiff::Timestamp;

use super::prices::known;
use crate::api::call::{Call, TEXT_BYTES_MAX};
use crate::api::identity::Access;
use crate::api::operation::{Operation, Tag};
use crate::api::problem::{Kind, Problem};
use crate::api::revision::Expected;
use crate::api::wire::prices::{LoadedBody, NewRate, NewRates, TaxFactsBody, TaxTableBody, TaxTableText};

/// The most rates of one request: fifty currencies for twenty days.
const RATES_MAX: usize = 1_000;
/// The largest body with rates: each with a source of 120 characters.
const RATES_BYTES_MAX: usize = 512 * 1024;

pub fn operations() -> Vec<Operation> {
    const TABLE: &str = "/v1/tax-table";
    vec![
        Operation::new(Method::GET, TABLE, "getTaxTable", Tag::Prices, "The tax table in force", get)
            .access(Access::Provider)
            .answers::<TaxTableBody>("The table.")
            .versioned(),
        Operation::new(Method::PUT, TABLE, "setTaxTable", Tag::Prices, "Put a tax table in force", set)
            .saying("For the first one, If-Match is \"0\". Every table is kept; sending the one in force again changes nothing.")
            .access(Access::Provider)
            .takes::<TaxTableText>()
            .up_to(TEXT_BYTES_MAX)
            .answers::<TaxTableBody>("As it is now.")
            .versioned()
            .refuses(&[Kind::Unprocessable]),
        Operation::new(
            Method::POST,
            "/v1/tax-table-checks",
            "checkTaxTable",
            Tag::Prices,
            "Whether a tax table is right",
            check,
        )
        .saying("Nothing is stored. What is wrong is listed, each with its line and how to mend it.")
        .access(Access::Provider)
        .takes::<TaxTableText>()
        .up_to(TEXT_BYTES_MAX)
        .answers::<TaxFactsBody>("It is right."),
        Operation::new(
            Method::POST,
            "/v1/exchange-rates",
            "loadExchangeRates",
            Tag::Prices,
            "Load exchange rates",
            load,
        )
        .saying(
            "All or none. What is loaded is kept for ever: the same rate again changes nothing, another one for the same day \
             is refused.",
        )
        .access(Access::Provider)
        .takes::<NewRates>()
        .up_to(RATES_BYTES_MAX)
        .answers::<LoadedBody>("How many are new.")
        .once()
        .refuses(&[Kind::Conflict, Kind::Unprocessable]),
    ]
}

async fn get(call: Call) -> Result<HttpResponse, Problem> {
    let body = TaxTableBody::from(tax_tables::get(call.db()).await?);
    Ok(call.versioned(body.revision, &body))
}

async fn set(call: Call) -> Result<HttpResponse, Problem> {
    let expected = call.expected()?;
    let table = table(&call)?;
    let now = Timestamp::now();
    match expected {
        Expected::Any => tax_tables::apply(call.db(), &table, now).await?,
        Expected::Revision(revision) => tax_tables::replace(call.db(), &table, known(revision)?, now).await?,
    };
    get(call).await
}

async fn check(call: Call) -> Result<HttpResponse, Problem> {
    let table = table(&call)?;
    let seller_country = table.seller().country.code().to_owned();
    Ok(call.ok(&TaxFactsBody { seller_country, rates: table.rates().len() }))
}

fn table(call: &Call) -> Result<TaxTable, Problem> {
    let asked: TaxTableText = call.body()?;
    TaxTable::parse("text", asked.text.as_bytes()).map_err(|errors| Problem::text("text", &errors))
}

async fn load(call: Call) -> Result<HttpResponse, Problem> {
    let NewRates { rates } = call.body()?;
    if rates.is_empty() || RATES_MAX < rates.len() {
        let detail = format!("rates has 1 to {RATES_MAX} items; send more in parts");
        return Err(Problem::new(Kind::InvalidBody, detail).at("body", "rates"));
    }
    let mut seen: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    let mut all = Vec::with_capacity(rates.len());
    for (n, rate) in rates.iter().enumerate() {
        let refused = |what: String| {
            Problem::new(Kind::Unprocessable, format!("rates[{n}]: {what}"))
                .at("body", &format!("rates[{n}]"))
        };
        let NewRate { from, to, valid_from, rate, source } = rate;
        all.push(ExchangeRate::of_fields([from, to, valid_from, rate, source]).map_err(refused)?);
        if let Some(other) = seen.insert((from, to, valid_from), n) {
            let what =
                format!("rates[{other}] is a rate from {from} to {to} for {valid_from} already; remove one");
            return Err(refused(what));
        }
    }
    let loaded = exchange_rates::load(call.db(), &all, Timestamp::now()).await?;
    Ok(call.ok(&LoadedBody { new: loaded.new, already: loaded.already }))
}

impl From<LoadError> for Problem {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Another { .. } => Self::new(Kind::Conflict, error.to_string()),
            LoadError::Store(source) => source.into(),
        }
    }
}
