//! Whether the disk has room for a month with all keys and indexes of its records, or only for one part of the records
//! after the other.

use std::path::Path;

use anyhow::{Result, bail};
use usage::bench::month::{MONTH_DAYS, MONTH_METERS};

/// Instances in a part.
const PART: u32 = 5_000;
/// What one usage record takes at the most while its indexes are made, its part of the sums by day included.
const BYTES_WHOLE: u64 = 400;
/// ... without keys and indexes,
const BYTES_BARE: u64 = 190;
/// ... and when only the sums by day are left.
const BYTES_SUMS: u64 = 45;
/// PostgreSQL's log of changes, and room for others.
const RESERVE: u64 = 3_000_000_000;

/// How the records are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// All of them, and they stay, with their keys and indexes.
    One,
    /// Those of so many instances at a time; they go when they were copied.
    Of(u32),
}

/// How many instances' records the disk of /var/tmp has room for at once.
///
/// # Errors
/// It has no room for a part.
pub fn parts(instances: u32) -> Result<Parts> {
    let place = Path::new("/var/tmp");
    let free = rustix::fs::statvfs(place)?;
    let free = free.f_bavail.saturating_mul(free.f_frsize);
    let records =
        |instances: u32| u64::from(instances) * MONTH_METERS.len() as u64 * u64::from(MONTH_DAYS) * 24;
    if records(instances) * BYTES_WHOLE + RESERVE <= free {
        return Ok(Parts::One);
    }
    let part = instances.min(PART);
    let needed = records(instances) * BYTES_SUMS + records(part) * BYTES_BARE + RESERVE;
    if free < needed {
        bail!(
            "a month of {instances} instances takes {} GB in {}, where {} GB are free; make room, or ask for fewer",
            needed / 1_000_000_000,
            place.display(),
            free / 1_000_000_000
        );
    }
    Ok(Parts::Of(part))
}
