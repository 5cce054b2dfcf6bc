//! Tenants.

use jiff::Timestamp;
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
    /// The price plan that it is on; null: none, so it is not invoiced.
    pub plan: Option<String>,
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
    /// The price plan that it is on.
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
    /// The price plan that it is on; null: none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub plan: Option<Option<String>>,
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

impl From<&registry::Tenant> for TenantBody {
    fn from(tenant: &registry::Tenant) -> Self {
        Self {
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
