//! Identities: one type for each kind of thing, so that one can never be passed for another.
//!
//! It does not generate ids for rows of the database (the crates that insert them do) and knows no names
//! of things except the tenant's, which is an identity that people type.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps an id that is known already.
            #[must_use]
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            /// The plain UUID, for SQL parameters and the like.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id! {
    /// A KVM host.
    NodeId
}
uuid_id! {
    /// A libvirt guest, by libvirt's own UUID of it, which survives stops, renames and migrations.
    InstanceId
}
uuid_id! {
    /// Who pays.
    TenantId
}
uuid_id! {
    /// Storage that is held whether or not an instance runs. See [`VolumeId::of`].
    VolumeId
}
uuid_id! {
    /// One life of a node's kernel (`/proc/sys/kernel/random/boot_id`).
    BootId
}

impl InstanceId {
    /// The guest that is started for a moment to find out whether KVM works. It is nobody's and is never metered.
    pub const PROBE: InstanceId = InstanceId(Uuid::from_u128(0x7765_6972_6b76_4d00_8000_7072_6f62_6500));
}

impl TenantId {
    /// The built-in tenant of whatever nobody has been assigned to yet. Its usage is kept and shown to the
    /// provider, never dropped and never invoiced.
    pub const UNASSIGNED: TenantId = TenantId(Uuid::nil());
}

impl VolumeId {
    /// The id of the volume `name` in `pool` on `node`: the same three always give the same id, so that a
    /// collector needs no memory to recognise a volume. A disk that lies in no pool has the pool `""` and
    /// its path for a name.
    #[must_use]
    pub fn of(node: NodeId, pool: &str, name: &str) -> Self {
        let digest = digest(&[b"volume", node.0.as_bytes(), pool.as_bytes(), name.as_bytes()]);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

/// One life of a register, as a number: 0 is "no epoch", the reading of something that is switched off.
///
/// It is derived from what makes the life unique: boot id, libvirt's id of the run, start, attachment, and the
/// memory of the collector that integrates what is held (with a new memory those registers begin anew).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EpochId(i64);

impl EpochId {
    /// The epoch of what does not run: all registers stand at zero and nothing is counted.
    pub const NONE: EpochId = EpochId(0);

    /// The epoch that `parts` identify. Never [`EpochId::NONE`].
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let digest = digest(parts);
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&digest[..8]);
        // 63 bits: PostgreSQL has no unsigned integers.
        Self((i64::from_be_bytes(bytes) & i64::MAX).max(1))
    }

    /// As stored in a `bigint` column.
    #[must_use]
    pub const fn as_i64(self) -> i64 {
        self.0
    }

    /// From a `bigint` column.
    #[must_use]
    pub const fn from_i64(value: i64) -> Self {
        Self(value)
    }
}

impl fmt::Display for EpochId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A tenant's name as people and guests' metadata write it: 1 to 63 of `a-z`, `0-9` and `-`, not beginning
/// with `-`. The rule is DNS' for labels (RFC 1123, 2.1), so that a name fits into host names and paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantName(String);

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{shown:?} is no tenant name: write 1 to 63 of a-z, 0-9 and '-', not beginning with '-'")]
pub struct InvalidName {
    shown: String,
}

impl TenantName {
    /// The longest name.
    pub const MAX_LENGTH: usize = 63;

    /// Checks `text`.
    ///
    /// # Errors
    /// The rule above is broken; the error shows at most the first 80 characters.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty()
            || text.len() > Self::MAX_LENGTH
            || text.starts_with('-')
            || !text.chars().all(allowed)
        {
            return Err(InvalidName { shown: text.chars().take(80).collect() });
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TenantName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<TenantName> for String {
    fn from(name: TenantName) -> Self {
        name.0
    }
}

impl std::str::FromStr for TenantName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

/// SHA-256 over the parts, each with its length, so that ("ab", "c") and ("a", "bc") differ.
fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_letter_between_pool_and_name_is_another_volume() {
        let node = NodeId::from_uuid(Uuid::nil());
        assert_ne!(VolumeId::of(node, "ab", "c"), VolumeId::of(node, "a", "bc"));
        assert_eq!(VolumeId::of(node, "a", "b"), VolumeId::of(node, "a", "b"));
    }

    #[test]
    fn an_epoch_is_never_the_epoch_of_what_is_switched_off() {
        assert_ne!(EpochId::of(&[]), EpochId::NONE);
        assert!(EpochId::of(&[b"x"]).as_i64() > 0);
    }

    #[test]
    fn names_that_would_break_a_page_a_path_or_a_host_name_are_refused() {
        let long = "a".repeat(10_000);
        for bad in ["", "-a", "A", "a b", "a\"b", "<b>", "a\nb", "😀", "a/../b", &long] {
            let error = TenantName::new(bad).unwrap_err().to_string();
            assert!(error.len() < 600, "{error}");
        }
        for good in ["a", "acme", "a-1", "0", &"a".repeat(63)] {
            assert_eq!(TenantName::new(good).unwrap().as_str(), good);
        }
    }
}
