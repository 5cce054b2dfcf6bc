//! Quotas: how many instances, vCPUs and how much memory a tenant may hold at once, and which limits an instance
//! would break. The arithmetic is pure; the rows (quotas, and what is held) are kept by the functions below, in
//! `store::quotas`.
//!
//! It does NOT ask the hypervisor, make instances or know prices. What is held is counted whether or not it runs:
//! a stopped instance keeps its vCPUs and memory, so that it can always be started again.

use std::fmt;

use metering::{InstanceId, TenantId, TenantName};

use crate::store::invoices::StoreError;
pub use crate::store::quotas::{PENDING_MAX, Reconciled, admit, confirm, get, held, reconcile, release, set};

/// What a tenant may hold. `None`: unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Instances, running or not.
    pub instances: Option<u32>,
    /// vCPUs of all of them together.
    pub vcpus: Option<u32>,
    /// Memory of all of them together, in KiB.
    pub memory_kib: Option<u64>,
}

/// The limits of one tenant, as they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Whose.
    pub tenant_id: TenantId,
    /// Instances, running or not. `None`: unlimited.
    pub instances: Option<u32>,
    /// vCPUs of all of them together. `None`: unlimited.
    pub vcpus: Option<u32>,
    /// Memory of all of them together, in KiB. `None`: unlimited.
    pub memory_kib: Option<u64>,
    /// Grows with each change; 0 when none was ever set.
    pub revision: u64,
}

/// What a tenant holds: everything that exists, and everything that is being made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Instances.
    pub instances: u64,
    /// vCPUs.
    pub vcpus: u64,
    /// Memory in KiB.
    pub memory_kib: u64,
}

/// The size of the one instance that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// vCPUs.
    pub vcpus: u32,
    /// Memory in KiB.
    pub memory_kib: u64,
}

/// An instance that the hypervisor has, whoever made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Existing {
    /// Which.
    pub instance_id: InstanceId,
    /// Who pays for it.
    pub tenant_id: TenantId,
    /// vCPUs.
    pub vcpus: u32,
    /// Memory in KiB.
    pub memory_kib: u64,
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// The number of instances.
    Instances,
    /// The number of vCPUs.
    Vcpus,
    /// The memory, in KiB.
    Memory,
}

/// One limit that would be broken. The figures are counts, or KiB for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Which limit.
    pub what: What,
    /// What the tenant holds.
    pub used: u64,
    /// What would come on top of it.
    pub asked: u64,
    /// What it may hold.
    pub allowed: u64,
}

/// Why an instance was not admitted.
#[derive(Debug, thiserror::Error)]
pub enum QuotaError {
    /// It would break a limit. Nothing was changed.
    #[error("{}", explain(tenant, breaches))]
    Exceeded {
        /// The tenant.
        tenant: TenantName,
        /// At least one.
        breaches: Vec<Breach>,
    },
    /// There is no such tenant.
    #[error("there is no tenant {0}")]
    NoTenant(TenantId),
    /// The instance is another tenant's.
    #[error("instance {0} belongs to another tenant; choose another id")]
    Taken(InstanceId),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a quota was not set.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// Somebody else set it since it was read. Nothing was changed.
    #[error(
        "the quota was changed meanwhile: it is at revision {} now; read it again and decide anew",
        current.revision
    )]
    Changed {
        /// As it stands.
        current: Quota,
    },
    /// The figure is none that could be kept.
    #[error("a limit of {memory_kib} KiB of memory is too large: at most {} KiB", i64::MAX)]
    TooLarge {
        /// The figure, in KiB.
        memory_kib: u64,
    },
    /// There is no such tenant.
    #[error("there is no tenant {0}")]
    NoTenant(TenantId),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The limits that `ask` would break, in the order instances, vCPUs, memory.
///
/// `own` is what the instance holds already, as a part of `held`: only growth can break a limit. So asking again
/// for what was admitted before is right, and so is shrinking, even under a quota that was lowered meanwhile.
#[must_use]
pub fn breaches(limits: &Limits, held: Held, own: Option<Ask>, ask: Ask) -> Vec<Breach> {
    let (own_instances, own_vcpus, own_memory) = own.map_or((0, 0, 0), |own| (1, own.vcpus, own.memory_kib));
    let grown = |ask: u64, own: u64| ask.saturating_sub(own);
    [
        (What::Instances, held.instances, grown(1, own_instances), limits.instances.map(u64::from)),
        (What::Vcpus, held.vcpus, grown(ask.vcpus.into(), own_vcpus.into()), limits.vcpus.map(u64::from)),
        (What::Memory, held.memory_kib, grown(ask.memory_kib, own_memory), limits.memory_kib),
    ]
    .into_iter()
    .filter_map(|(what, used, asked, allowed)| Some(Breach { what, used, asked, allowed: allowed? }))
    .filter(|breach| 0 < breach.asked && u128::from(breach.allowed) < breach.total())
    .collect()
}

impl Quota {
    /// The limits alone.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        Limits { instances: self.instances, vcpus: self.vcpus, memory_kib: self.memory_kib }
    }

    pub(crate) const fn new(tenant_id: TenantId, limits: Limits, revision: u64) -> Self {
        let Limits { instances, vcpus, memory_kib } = limits;
        Self { tenant_id, instances, vcpus, memory_kib, revision }
    }
}

impl What {
    /// The name of the field in which the limit stands.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Instances => "instances",
            Self::Vcpus => "vcpus",
            Self::Memory => "memory_kib",
        }
    }

    /// `no vCPUs`, `1 vCPU`, `8 vCPUs`, `16 GiB of memory`.
    fn allowed(self, figure: u64) -> String {
        match (self, figure) {
            (Self::Instances, 0) => "no instances".to_owned(),
            (Self::Instances, 1) => "1 instance".to_owned(),
            (Self::Instances, _) => format!("{figure} instances"),
            (Self::Vcpus, 0) => "no vCPUs".to_owned(),
            (Self::Vcpus, 1) => "1 vCPU".to_owned(),
            (Self::Vcpus, _) => format!("{figure} vCPUs"),
            (Self::Memory, 0) => "no memory".to_owned(),
            (Self::Memory, _) => format!("{} of memory", memory(figure)),
        }
    }

    /// The figure where it is clear of what: `none`, `6`, `12 GiB`.
    fn figure(self, figure: u64) -> String {
        match (self, figure) {
            (_, 0) => "none".to_owned(),
            (Self::Memory, _) => memory(figure),
            (Self::Instances | Self::Vcpus, _) => figure.to_string(),
        }
    }
}

impl Breach {
    /// What would be held, wide enough for any figures.
    fn total(&self) -> u128 {
        u128::from(self.used) + u128::from(self.asked)
    }
}

impl fmt::Display for Breach {
    /// `may hold 8 vCPUs: it holds 6, and 4 more were asked for`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, used, asked, allowed } = *self;
        let were = if asked == 1 { "was" } else { "were" };
        let (allowed, used, asked) = (what.allowed(allowed), what.figure(used), what.figure(asked));
        write!(f, "may hold {allowed}: it holds {used}, and {asked} more {were} asked for")
    }
}

/// What is broken, and how to mend it.
fn explain(tenant: &TenantName, breaches: &[Breach]) -> String {
    let broken: Vec<String> = breaches.iter().map(ToString::to_string).collect();
    let remedy = if breaches.iter().any(|breach| breach.allowed < breach.asked) {
        "it would not fit into an empty quota either: ask for less, or ask the provider for a higher quota"
    } else {
        "delete an instance (stopping one frees nothing) or ask the provider for a higher quota"
    };
    format!("tenant {tenant} {}; {remedy}", broken.join("; it "))
}

/// Memory, exactly, in the largest unit that needs no fraction.
fn memory(kib: u64) -> String {
    const KIB_PER_MIB: u64 = 1024;
    const KIB_PER_GIB: u64 = 1024 * KIB_PER_MIB;
    if kib.is_multiple_of(KIB_PER_GIB) {
        format!("{} GiB", kib / KIB_PER_GIB)
    } else if kib.is_multiple_of(KIB_PER_MIB) {
        format!("{} MiB", kib / KIB_PER_MIB)
    } else {
        format!("{kib} KiB")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1024 * 1024;

    /// A table of limits, holdings and asks, each three figures (instances, vCPUs, GiB) with `-` for unlimited, and
    /// what is broken.
    fn check(table: &str) {
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let [limits, held, ask, expected] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
                panic!("four columns a line: {line}");
            };
            let figures = |text: &str| -> Vec<Option<u32>> {
                text.split_whitespace().map(|figure| figure.parse().ok()).collect()
            };
            let (limits, held, ask) = (figures(limits), figures(held), figures(ask));
            let limits = Limits {
                instances: limits[0],
                vcpus: limits[1],
                memory_kib: limits[2].map(|gib| u64::from(gib) * GIB),
            };
            let held = Held {
                instances: held[0].unwrap().into(),
                vcpus: held[1].unwrap().into(),
                memory_kib: u64::from(held[2].unwrap()) * GIB,
            };
            let size = |at: usize| {
                let (vcpus, gib) = (ask.get(at).copied().flatten()?, ask.get(at + 1).copied().flatten()?);
                Some(Ask { vcpus, memory_kib: u64::from(gib) * GIB })
            };
            let broken = breaches(&limits, held, size(2), size(0).unwrap());
            let broken: Vec<&str> = broken.iter().map(|breach| breach.what.as_str()).collect();
            assert_eq!(broken.join(" "), expected, "{line}");
        }
    }

    #[test]
    fn a_limit_is_reached_exactly_and_never_passed() {
        // limits | held | ask (vCPUs, GiB) and what the instance holds already | broken
        check(
            "
            - - -  | 9 99 999 | 64 512    |
            8 8 16 | 7 6 12   | 2 4       |
            8 8 16 | 7 6 12   | 3 4       | vcpus
            8 8 16 | 7 6 12   | 2 5       | memory_kib
            8 8 16 | 8 6 12   | 3 5       | instances vcpus memory_kib
            0 0 0  | 0 0 0    | 1 1       | instances vcpus memory_kib
            0 0 0  | 0 0 0    | 0 0       | instances
            2 4 4  | 3 9 9    | 1 1       | instances vcpus memory_kib
            2 4 4  | 3 9 9    | 2 2 2 2   |
            2 4 4  | 3 9 9    | 1 1 2 2   |
            2 4 4  | 3 9 9    | 3 2 2 2   | vcpus
            ",
        );
    }

    #[test]
    fn the_largest_figures_do_not_overflow() {
        let limits = Limits { memory_kib: Some(u64::MAX), ..Limits::default() };
        let held = Held { memory_kib: u64::MAX, ..Held::default() };
        let broken = breaches(&limits, held, None, Ask { vcpus: u32::MAX, memory_kib: u64::MAX });
        assert_eq!(broken.len(), 1);
    }

    #[test]
    fn a_refusal_says_what_is_held_asked_and_allowed_and_how_to_mend_it() {
        let check = |broken: &[(What, u64, u64, u64)], expected: &str| {
            let breaches = broken
                .iter()
                .map(|&(what, used, asked, allowed)| Breach { what, used, asked, allowed })
                .collect();
            let tenant = TenantName::new("acme").unwrap();
            assert_eq!(QuotaError::Exceeded { tenant, breaches }.to_string(), expected);
        };
        check(
            &[(What::Vcpus, 6, 4, 8)],
            "tenant acme may hold 8 vCPUs: it holds 6, and 4 more were asked for; delete an instance (stopping one \
             frees nothing) or ask the provider for a higher quota",
        );
        check(
            &[(What::Instances, 1, 1, 1), (What::Memory, 3 * GIB, 1536 * 1024, 4 * GIB)],
            "tenant acme may hold 1 instance: it holds 1, and 1 more was asked for; it may hold 4 GiB of memory: it \
             holds 3 GiB, and 1536 MiB more were asked for; delete an instance (stopping one frees nothing) or ask \
             the provider for a higher quota",
        );
        check(
            &[(What::Instances, 0, 1, 0), (What::Memory, 0, 1_000_000, 999_999)],
            "tenant acme may hold no instances: it holds none, and 1 more was asked for; it may hold 999999 KiB of \
             memory: it holds none, and 1000000 KiB more were asked for; it would not fit into an empty quota \
             either: ask for less, or ask the provider for a higher quota",
        );
    }
}
