//! How a tenant is billed: its country and how it is taxed, in which currency, how long it has to pay, and whether it pays
//! afterwards or in advance. The store is at the end; from when on a currency holds is [`currencies`]' matter, by which plan a month is
//! billed [`assignments`]', whether a plan goes with a tenant [`fit`]'s, what the taxes are [`crate::tax`]'s.

pub mod assignments;
pub mod currencies;
pub mod fit;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use metering::{TenantId, micros};
use migrations::{Database, Scope, Transaction};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use self::currencies::Currencies;
use crate::books::sql;
use crate::country::Country;
use crate::money::{Currency, Money};
use crate::store;
use crate::store::invoices::StoreError;

/// How long a tenant has to pay, in days, unless its account says otherwise.
pub const DEFAULT_PAYMENT_DAYS: u32 = 14;

/// The longest that it may have.
pub const MAX_PAYMENT_DAYS: u32 = 365;

/// The longest reason for not being taxed, in characters.
pub const MAX_REASON: usize = 400;

/// How a tenant is taxed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaxTreatment {
    /// As the plan or the tax table says.
    #[default]
    Taxable,
    /// The tenant owes the tax itself.
    ReverseCharge,
    /// Exempt, for a reason.
    Exempt,
    /// Outside the scope of the tax, for a reason.
    OutsideScope,
}

/// When a tenant pays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BillingMode {
    /// After the month.
    #[default]
    Postpaid,
    /// Before: invoices are taken from the wallet, and an empty one stops its instances.
    Prepaid,
}

/// What can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountTerms {
    /// Where the tenant is. `None`: where the seller is.
    pub country: Option<Country>,
    /// How it is taxed.
    pub treatment: TaxTreatment,
    /// Why, for the exempt and those outside the scope; it stands on the invoice.
    pub tax_reason: Option<String>,
    /// In which currency it pays, from the next period on of which nothing was rated in another one. `None`: the plan's.
    pub currency: Option<Currency>,
    /// How long it has to pay.
    pub payment_days: u32,
    /// When it pays.
    pub mode: BillingMode,
    /// From which day on it is billed. `None`: from its first usage on.
    pub starts_on: Option<Date>,
    /// Prepaid: at or below this much left, it is warned. In the wallet's currency.
    pub low_balance: Option<Decimal>,
}

/// A tenant's billing account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillingAccount {
    /// Whose.
    pub tenant_id: TenantId,
    /// What was set.
    pub terms: AccountTerms,
    /// In which currency it pays when.
    pub currencies: Currencies,
    /// The tenant's tax number, which stands with its address.
    pub tax_number: Option<String>,
    /// 0: never set.
    pub revision: u64,
}

/// Why an account was not set. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// There is no such tenant.
    #[error("there is no tenant {0}")]
    NoTenant(TenantId),
    /// Somebody else changed it since it was read.
    #[error("the billing account was changed meanwhile, it is at revision {} now; read it again and decide anew", .current.revision)]
    Changed {
        /// As it stands.
        current: Box<BillingAccount>,
    },
    /// The tenant is not known to any tax office.
    #[error(
        "reverse charge needs the tenant's tax number (EN 16931 BR-AE-03); set it first (weir tenant set-party)"
    )]
    NoTaxNumber,
    /// Nobody says why.
    #[error("{} needs a reason, in 1 to {MAX_REASON} characters on one line, which stands on the invoice (EN 16931 BR-E-10), such as \"Exempt: Article 132(1)(i)\"", .treatment.as_str())]
    NoReason {
        /// The treatment.
        treatment: TaxTreatment,
    },
    /// Nobody needs to say why.
    #[error("a reason is for the exempt and those outside the scope; leave it out")]
    NeedlessReason,
    /// Too long.
    #[error("{days} days to pay are too many; write 0 to {MAX_PAYMENT_DAYS}")]
    PaymentDays {
        /// How long.
        days: u32,
    },
    /// A balance at which to warn cannot be negative.
    #[error("a low balance of {amount} is none; write 0 or more")]
    LowBalance {
        /// What was said.
        amount: Decimal,
    },
    /// A wallet holds one currency.
    #[error(
        "{wallet} are in the wallet or reserved, so the currency stays; give them back first (weir payment refund)"
    )]
    WalletNotEmpty {
        /// What is there.
        wallet: Money,
    },
    /// A wallet pays for what runs.
    #[error(
        "what was used until {from} is charged in another currency, and the wallet pays for it: change the currency of a prepaid \
         tenant when that period is invoiced, or let it pay afterwards first (weir tenant set-billing --mode postpaid)"
    )]
    PrepaidRuns {
        /// The day from which the currency could hold.
        from: Date,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The billing account of `tenant`: the defaults, at revision 0, when none was ever set or `scope` may not see it.
///
/// # Errors
/// The database failed.
pub async fn get(database: &Database, scope: Scope, tenant: TenantId) -> Result<BillingAccount, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    read(&transaction, tenant).await
}

/// The same, within a transaction.
///
/// # Errors
/// The database failed.
pub async fn read(transaction: &Transaction<'_>, tenant: TenantId) -> Result<BillingAccount, StoreError> {
    match transaction.query_opt(sql::ACCOUNT_GET, &[&tenant.uuid()]).await? {
        Some(row) => read_row(tenant, &row),
        None => Ok(BillingAccount {
            tenant_id: tenant,
            terms: AccountTerms::default(),
            currencies: Currencies::default(),
            tax_number: None,
            revision: 0,
        }),
    }
}

/// Sets all of it. Another currency holds from the first period on of which nothing was rated in the one before: an invoice has
/// one currency. Invoices that are open stay in theirs, and are paid in it. With `expected_revision`, only if nobody changed it since it was at that revision (0: never set). The terms
/// that stand already keep their revision.
///
/// # Errors
/// See [`SetError`].
pub async fn set(
    database: &Database,
    tenant: TenantId,
    terms: &AccountTerms,
    expected_revision: Option<u64>,
    now: Timestamp,
) -> Result<BillingAccount, SetError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let locked = transaction.query_opt(store::sql::QUOTA_LOCK, &[&tenant.uuid()]).await?;
    if locked.is_none() || tenant == TenantId::UNASSIGNED {
        return Err(SetError::NoTenant(tenant));
    }
    let mut current = read(&transaction, tenant).await?;
    if expected_revision.is_some_and(|expected| expected != current.revision) {
        return Err(SetError::Changed { current: Box::new(current) });
    }
    check(terms, current.tax_number.as_deref())?;
    if current.terms == *terms && 0 < current.revision {
        return Ok(current);
    }
    if current.terms.currency != terms.currency {
        check_wallet(&transaction, tenant, terms.currency).await?;
        let from = current.currencies.change(&transaction, tenant, terms.currency, now).await?;
        if terms.mode == BillingMode::Prepaid && micros(now).to_zoned(TimeZone::UTC).date() < from {
            return Err(SetError::PrepaidRuns { from });
        }
    }
    let parameters: [&(dyn ToSql + Sync); 10] = [
        &tenant.uuid(),
        &terms.country.map(Country::code),
        &terms.treatment.as_str(),
        &terms.tax_reason,
        &terms.currency.map(Currency::code),
        &i32::try_from(terms.payment_days).unwrap_or(i32::MAX),
        &terms.mode.as_str(),
        &terms.starts_on,
        &terms.low_balance,
        &micros(now),
    ];
    let row = transaction.query_one(sql::ACCOUNT_PUT, &parameters).await?;
    let revision: i64 = row.try_get("revision")?;
    transaction.commit().await?;
    Ok(BillingAccount { terms: terms.clone(), revision: revision.unsigned_abs(), ..current })
}

impl Default for AccountTerms {
    fn default() -> Self {
        Self {
            country: None,
            treatment: TaxTreatment::Taxable,
            tax_reason: None,
            currency: None,
            payment_days: DEFAULT_PAYMENT_DAYS,
            mode: BillingMode::Postpaid,
            starts_on: None,
            low_balance: None,
        }
    }
}

impl TaxTreatment {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Taxable, Self::ReverseCharge, Self::Exempt, Self::OutsideScope];

    /// As stored and written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Taxable => "taxable",
            Self::ReverseCharge => "reverse_charge",
            Self::Exempt => "exempt",
            Self::OutsideScope => "outside_scope",
        }
    }

    /// The treatment of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }
}

impl BillingMode {
    /// As stored and written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postpaid => "postpaid",
            Self::Prepaid => "prepaid",
        }
    }

    /// The mode of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Postpaid, Self::Prepaid].into_iter().find(|one| one.as_str() == text)
    }
}

fn check(terms: &AccountTerms, tax_number: Option<&str>) -> Result<(), SetError> {
    let treatment = terms.treatment;
    let needs_reason = matches!(treatment, TaxTreatment::Exempt | TaxTreatment::OutsideScope);
    match &terms.tax_reason {
        Some(_) if !needs_reason => return Err(SetError::NeedlessReason),
        Some(reason) => {
            let length = reason.chars().count();
            if reason.trim().is_empty() || MAX_REASON < length || reason.contains(char::is_control) {
                return Err(SetError::NoReason { treatment });
            }
        }
        None if needs_reason => return Err(SetError::NoReason { treatment }),
        None => {}
    }
    if treatment == TaxTreatment::ReverseCharge && tax_number.is_none() {
        return Err(SetError::NoTaxNumber);
    }
    if MAX_PAYMENT_DAYS < terms.payment_days {
        return Err(SetError::PaymentDays { days: terms.payment_days });
    }
    match terms.low_balance {
        Some(amount) if amount.is_sign_negative() && !amount.is_zero() => {
            Err(SetError::LowBalance { amount })
        }
        _ => Ok(()),
    }
}

/// A wallet in another currency must be empty.
async fn check_wallet(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    currency: Option<Currency>,
) -> Result<(), SetError> {
    let rows = transaction.query(sql::WALLET_BALANCES, &[&tenant.uuid()]).await?;
    for row in &rows {
        let wallet = crate::books::ledger::read_money(row, "paid")?;
        if !wallet.is_zero() && Some(wallet.currency()) != currency {
            return Err(SetError::WalletNotEmpty { wallet });
        }
    }
    Ok(())
}

fn read_row(tenant: TenantId, row: &Row) -> Result<BillingAccount, StoreError> {
    let unreadable =
        |why: &dyn std::fmt::Display| StoreError::unreadable("billing account of", &tenant.to_string(), why);
    let (country, currency): (Option<&str>, Option<&str>) =
        (row.try_get("country")?, row.try_get("currency")?);
    let (treatment, mode): (&str, &str) = (row.try_get("tax_treatment")?, row.try_get("mode")?);
    let payment_days: i32 = row.try_get("payment_days")?;
    let revision: i64 = row.try_get("revision")?;
    Ok(BillingAccount {
        tenant_id: tenant,
        terms: AccountTerms {
            country: country.map(Country::parse).transpose().map_err(|error| unreadable(&error))?,
            treatment: TaxTreatment::parse(treatment).ok_or_else(|| unreadable(&treatment))?,
            tax_reason: row.try_get("tax_reason")?,
            currency: currency.map(Currency::parse).transpose().map_err(|error| unreadable(&error))?,
            payment_days: payment_days.unsigned_abs(),
            mode: BillingMode::parse(mode).ok_or_else(|| unreadable(&mode))?,
            starts_on: row.try_get("starts_on")?,
            low_balance: row.try_get("low_balance")?,
        },
        currencies: Currencies::read(row)?,
        tax_number: row.try_get("tax_number")?,
        revision: revision.unsigned_abs(),
    })
}
