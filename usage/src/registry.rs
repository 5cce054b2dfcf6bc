//! Who is metered and who pays: tenants, instances, volumes, nodes. It does NOT create guests (`compute`), price
//! anything (`billing`) or decide who may ask: the caller's [`migrations::Scope`] does.

mod assets;
mod instances;
mod pages;
mod tenants;

use metering::{InstanceId, InvalidName};

use crate::error::UsageError;

pub use assets::{Node, Volume, nodes, volumes};
pub use instances::{Instance, InstanceCount, assign, count_instances, find_instance, holders, instances};
pub use pages::{
    InstanceCursor, InstanceQuery, Page, TenantCursor, TenantQuery, instances_page, tenants_page,
};
pub use tenants::{
    DISPLAY_NAME_MAX, NewTenant, Tenant, TenantChange, create_tenant, find_tenant, set_party, tenants,
    update_tenant, update_tenant_within,
};

/// The most that one page of a list holds: what a person can look through, and a response of about 100 kB.
pub const PAGE_MAX: usize = 200;

/// Why the registry refused. The texts are for the person who asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Not a tenant name at all.
    #[error(transparent)]
    Name(#[from] InvalidName),

    /// The name is taken.
    #[error("there is a tenant {name} already: choose another name")]
    TenantExists {
        /// The name.
        name: String,
    },

    /// The display name is too long, or says nothing that can be seen.
    #[error("a display name has 1 to {max} characters, a letter or digit among them, and no control characters or marks of writing direction; this one has {found} characters", max = DISPLAY_NAME_MAX)]
    DisplayName {
        /// Its length in characters.
        found: usize,
    },

    /// The address cannot be printed.
    #[error(
        "an address has at most 10 lines of 200 characters, without control characters or marks of writing direction"
    )]
    Address,

    /// The tax number cannot be printed.
    #[error("a tax number has 1 to 64 characters, without control characters or marks of writing direction")]
    TaxNumber,

    /// Not an address that mail can be sent to.
    #[error(
        "{shown:?} is no e-mail address: write one such as billing@example.org, without a name before it"
    )]
    Email {
        /// What was given, cut.
        shown: String,
    },

    /// Somebody else changed the tenant since the asker looked.
    #[error("the tenant was changed meanwhile: it is at revision {revision} now; look again, then change it")]
    Changed {
        /// The revision that it is at now.
        revision: u64,
    },

    /// No such tenant, or not for the asker.
    #[error("there is no tenant {asked:?}: `weir tenant list` shows those that there are")]
    NoTenant {
        /// What was asked for, cut.
        asked: String,
    },

    /// Not a time zone of the IANA database, or there is no such database.
    #[error(
        "{zone:?} is no time zone: write an IANA name such as Europe/Berlin or UTC \
         (if it is one, install the package tzdata)"
    )]
    UnknownZone {
        /// What was asked for, cut.
        zone: String,
    },

    /// Months in this zone would begin within a usage window.
    #[error(
        "the offset {offset} of {zone} is no multiple of the usage window of {window_seconds} s: a month would begin \
         within a window; set metering.window = \"15m\" in the configuration (or any length that divides the offset)"
    )]
    ZoneOffWindows {
        /// The zone.
        zone: String,
        /// The first offset that does not fit.
        offset: String,
        /// The length of usage windows, in seconds.
        window_seconds: u32,
    },

    /// No such instance, or not for the asker.
    #[error("there is no instance {asked:?}: `weir instance list` shows those that there are")]
    NoInstance {
        /// What was asked for, cut.
        asked: String,
    },

    /// Several instances have this name.
    #[error("{asked:?} is the name of {} instances: say which by its id: {}", ids.len(), list(ids))]
    Ambiguous {
        /// The name, cut.
        asked: String,
        /// Their ids.
        ids: Vec<InstanceId>,
    },

    /// An instant outside of what can be metered.
    #[error("{at} is not an instant that usage can begin at: choose one between 2020 and now")]
    BadInstant {
        /// Which.
        at: jiff::Timestamp,
    },

    /// The database.
    #[error("the registry could not be asked")]
    Store(#[source] UsageError),
}

impl<E: Into<UsageError>> From<E> for RegistryError {
    fn from(source: E) -> Self {
        Self::Store(source.into())
    }
}

/// How much of what a person typed is repeated to them.
const SHOWN_MAX: usize = 80;

pub(crate) fn shown(asked: &str) -> String {
    asked.chars().take(SHOWN_MAX).collect()
}

fn list(ids: &[InstanceId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
