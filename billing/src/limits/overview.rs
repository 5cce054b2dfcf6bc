//! The allowances of all tenants, for whoever looks after them: what is allowed, and what was crossed last. What was
//! consumed is not here: it is in each tenant's own month.

use jiff::Timestamp;
use metering::TenantId;
use migrations::{Database, Scope};

use super::allowances::{self, Allowance};
use super::{Action, Basis, Threshold, sql};
use crate::store::invoices::StoreError;

/// An allowance, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Whose.
    pub tenant_id: TenantId,
    /// By name.
    pub tenant: String,
    /// What it is called on paper.
    pub display_name: String,
    /// The allowance.
    pub allowance: Allowance,
    /// What it crossed last, as it stands, and when.
    pub crossed: Option<(Threshold, Timestamp)>,
    /// The month of that.
    pub crossed_in: Option<Timestamp>,
}

/// At most `limit` of them that `scope` may see, by tenant and name, from behind `after` (of both) on.
///
/// # Errors
/// The database failed.
pub async fn page(
    database: &Database,
    scope: Scope,
    after: Option<(&str, &str)>,
    limit: i64,
) -> Result<Vec<Listed>, StoreError> {
    let (tenant, name) = after.unzip();
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    let rows = transaction.query(sql::ALLOWANCE_OVERVIEW, &[&tenant, &name, &limit]).await?;
    rows.iter()
        .map(|row| {
            let allowance = allowances::read(row)?;
            let basis = row.try_get::<_, Option<&str>>("basis")?.and_then(Basis::parse);
            let action = row.try_get::<_, Option<&str>>("action")?.and_then(|text| Action::parse(text).ok());
            let percent = row.try_get::<_, Option<i32>>("percent")?.map(i32::unsigned_abs);
            let at: Option<Timestamp> = row.try_get("crossed_at")?;
            let crossed = match (basis, percent, action, at) {
                (Some(basis), Some(percent), Some(action), Some(at)) => {
                    Some((Threshold { basis, percent, action }, at))
                }
                _ => None,
            };
            Ok(Listed {
                tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
                tenant: row.try_get("tenant")?,
                display_name: row.try_get("display_name")?,
                crossed_in: row.try_get("period_start")?,
                allowance,
                crossed,
            })
        })
        .collect()
}
