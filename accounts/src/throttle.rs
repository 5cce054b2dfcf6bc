//! Wrong passwords are counted by name and address, in the database: whoever guesses is slowed down, also after a restart
//! and by every replica, while the user logs in from elsewhere. It does NOT look at passwords.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use migrations::Transaction;

use crate::error::AccountsError;
use crate::sql;
use crate::user::UserName;

/// So many wrong passwords are somebody who forgot; more are somebody who guesses.
pub(crate) const WRONG_MAX: i32 = 10;

/// Within this time, and for this time nothing more is tried: 40 guesses an hour get nowhere against 12 characters.
pub(crate) const WINDOW: SignedDuration = SignedDuration::from_mins(15);

/// The longest address that is stored as it came, in characters: an IPv6 address with its port has 47.
const ADDRESS_MAX: usize = 64;

/// What an attempt to log in came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charge {
    /// It may go on. So many have been counted, with this one.
    Counted(i32),
    /// It may not.
    TooMany {
        /// When the next may.
        retry_after: Duration,
    },
}

/// Counts an attempt, before its password is looked at: of guesses that are made at once no more pass than of
/// guesses in a row. Who turns out to be right gets it back by [`clear`].
pub(crate) async fn charge(
    transaction: &Transaction<'_>,
    name: &UserName,
    address: &str,
    now: Timestamp,
) -> Result<Charge, AccountsError> {
    let since = now - WINDOW;
    let statement = transaction.prepare_cached(sql::FAILURE_CHARGE).await?;
    let charged =
        transaction.query_opt(&statement, &[&name.as_str(), &address, &now, &since, &WRONG_MAX]).await?;
    if let Some(row) = charged {
        return Ok(Charge::Counted(row.try_get("failures")?));
    }
    let statement = transaction.prepare_cached(sql::FAILURE_LAST).await?;
    let row = transaction.query_opt(&statement, &[&name.as_str(), &address]).await?;
    let last_failed_at: Timestamp = row.map_or(Ok(now), |row| row.try_get("last_failed_at"))?;
    // A clock that was set back must not make this longer than it can be.
    let left = (WINDOW - now.duration_since(last_failed_at)).clamp(SignedDuration::from_secs(1), WINDOW);
    Ok(Charge::TooMany { retry_after: left.unsigned_abs() })
}

/// Forgets what was counted for a name at an address.
pub(crate) async fn clear(
    transaction: &Transaction<'_>,
    name: &UserName,
    address: &str,
) -> Result<(), AccountsError> {
    let statement = transaction.prepare_cached(sql::FAILURE_CLEAR).await?;
    transaction.execute(&statement, &[&name.as_str(), &address]).await?;
    Ok(())
}

/// What an address counts as: without its port; an IPv6 address by its /64, because one customer has all of it; and
/// whatever is no address at all by its first characters, without what the database cannot hold.
pub(crate) fn key(address: &str) -> String {
    let parsed: Option<IpAddr> =
        address.parse().ok().or_else(|| address.parse().ok().map(|socket: SocketAddr| socket.ip()));
    match parsed.map(|ip| ip.to_canonical()) {
        Some(IpAddr::V4(ip)) => ip.to_string(),
        Some(IpAddr::V6(ip)) => {
            let network = Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64));
            format!("{network}/64")
        }
        None => address.chars().filter(|c| !c.is_control()).take(ADDRESS_MAX).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_port_or_another_address_of_the_same_network_is_no_new_guesser() {
        for (address, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7:4711", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("[2001:db8:1:2::9]:443", "2001:db8:1:2::/64"),
            ("::1", "::/64"),
            ("", ""),
            ("a\0b\nc", "abc"),
            ("unix", "unix"),
        ] {
            assert_eq!(key(address), expected);
        }
        assert_eq!(key(&"é".repeat(10_000)).chars().count(), 64);
    }
}
