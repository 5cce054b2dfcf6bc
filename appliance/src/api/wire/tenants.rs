//! Tenants.

use billing::account::assignments::{Assignment, Assignments};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use usage::registry;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{given, present};

/// Who pays.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Tenant)]
pub struct TenantBody {
    /// Its id.
    pub tenant_id: Uuid,
    /// Its name.
    #[schema(example = "acme")]
    pub name: String,
    /// Its name on invoices.
    pub display_name: String,
    /// The IANA time zone in which its months begin.
    #[schema(example = "Europe/Berlin")]
    pub time_zone: String,
    /// The price plan that it is on today; null: none, so it is not invoiced.
    pub plan: Option<String>,
    /// What was said about its plan, in the order in which it was said: of several words the last one holds whose day has come. A
    /// month is billed by the plan of its first day.
    pub plan_assignments: Vec<AssignmentBody>,
    /// Its postal address, line by line.
    pub address: Vec<String>,
    /// The number under which the tax office knows it.
    pub tax_number: Option<String>,
    /// Where its mail goes; null: to the provider.
    pub email: Option<String>,
    /// Counts its changes; the ETag.
    pub revision: u64,
    /// When it was created.
    pub created_at: Timestamp,
}

/// One word about a tenant's plan.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PlanAssignment)]
pub struct AssignmentBody {
    /// From this day of the tenant's zone on; null: for all time.
    #[schema(value_type = Option<String>, format = Date, example = "2026-12-01")]
    pub from: Option<Date>,
    /// The plan; null: none.
    #[schema(example = "standard")]
    pub plan: Option<String>,
    /// When it was said.
    pub recorded_at: Timestamp,
    /// Who said it; null: nobody was asked then.
    pub recorded_by: Option<String>,
}

/// A tenant to be.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// Its name: it stands in commands, host names and guests' metadata, and never changes.
    #[schema(pattern = "^[a-z0-9][a-z0-9-]{0,62}$", example = "acme")]
    pub name: String,
    /// Its name on invoices; the name, if it is left out.
    #[schema(min_length = 1, max_length = 200, example = "Acme & Sons")]
    pub display_name: Option<String>,
    /// The IANA time zone in which its months begin. It never changes.
    #[schema(example = "Europe/Berlin", default = "UTC")]
    pub time_zone: Option<String>,
    /// The price plan that it is on, for all time.
    pub plan: Option<String>,
    /// Its postal address, line by line.
    #[serde(default)]
    #[schema(max_items = 10, required = false)]
    pub address: Vec<Line>,
    /// The number under which the tax office knows it.
    #[schema(min_length = 1, max_length = 64, example = "DE123456789")]
    pub tax_number: Option<String>,
}

/// A change of a tenant: what is left out stays as it is.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantPatch {
    /// Its name on invoices.
    #[serde(default, deserialize_with = "present")]
    #[schema(min_length = 1, max_length = 200, example = "Acme & Sons", nullable = false)]
    pub display_name: Option<String>,
    /// The price plan that it is billed by, from `plan_from` on; null: none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub plan: Option<Option<String>>,
    /// From which day on: the first of a month in the tenant's zone, past or to come, of which no invoice by another plan is issued.
    /// Left out: the first day of the running month; where that is issued by another plan, of the month after.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, required = false, nullable = false, format = Date, example = "2026-12-01")]
    pub plan_from: Option<Date>,
    /// Its postal address, line by line.
    #[serde(default, deserialize_with = "present")]
    #[schema(max_items = 10, nullable = false)]
    pub address: Option<Vec<Line>>,
    /// The number under which the tax office knows it; null: none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, example = "DE123456789")]
    pub tax_number: Option<Option<String>>,
    /// Where its mail goes; null: to the provider.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, min_length = 3, max_length = 254, example = "billing@acme.example")]
    pub email: Option<Option<String>>,
}

/// A line of an address.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(max_length = 200, example = "1 Main Street")]
pub struct Line(pub String);

impl TenantBody {
    /// A tenant, and what was said about its plan.
    pub fn new(tenant: &registry::Tenant, plans: &Assignments) -> Self {
        let said = |one: &Assignment| AssignmentBody {
            from: one.from,
            plan: one.plan.clone(),
            recorded_at: one.recorded_at,
            recorded_by: one.recorded_by.clone(),
        };
        Self {
            plan_assignments: plans.all().iter().map(said).collect(),
            tenant_id: tenant.id.uuid(),
            name: tenant.name.to_string(),
            display_name: tenant.display_name.clone(),
            time_zone: tenant.time_zone.clone(),
            plan: tenant.plan_name.clone(),
            address: tenant.address.clone(),
            tax_number: tenant.tax_number.clone(),
            email: tenant.email.clone(),
            revision: tenant.revision,
            created_at: tenant.created_at,
        }
    }
}
