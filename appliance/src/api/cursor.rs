//! Cursors: where a list goes on, as text that a caller cannot read anything into.
//!
//! A cursor names the last item of a page, not a place in the list: items that are added meanwhile move nothing, and
//! each item that was there all the time is seen exactly once. Its checksum is over the list's name and its filters,
//! so that a cursor which was altered, cut or taken to another list is refused. It is no secret and protects nothing:
//! what a caller may see is decided by the database.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::problem::{Kind, Problem};

/// Changes when the meaning of cursors does.
const VERSION: u8 = 1;
/// Bytes of the checksum: one altered cursor in four thousand millions goes unnoticed, and shows nothing new.
const CHECK_BYTES: usize = 4;
/// The longest cursor that is looked at: names have 128 characters at most, ids 36.
pub const CURSOR_MAX: usize = 1_024;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The cursor that goes on after `last` in that list with those filters.
pub fn write(list: &str, filters: &str, last: &impl Serialize) -> String {
    let payload = serde_json::to_vec(last).unwrap_or_default();
    let mut bytes = vec![VERSION];
    bytes.extend(check(list, filters, &payload));
    bytes.extend(payload);
    encode(&bytes)
}

/// The last item that `cursor` names.
///
/// # Errors
/// It is no cursor of that list with those filters.
pub fn read<T: DeserializeOwned>(list: &str, filters: &str, cursor: &str) -> Result<T, Problem> {
    let refused = || {
        Problem::new(
            Kind::InvalidCursor,
            "this cursor was not given out by this list with these filters: begin without a cursor, and repeat the filters on each page",
        )
        .at("query", "cursor")
    };
    if CURSOR_MAX < cursor.len() {
        return Err(refused());
    }
    let bytes = decode(cursor).ok_or_else(refused)?;
    let (version, rest) = bytes.split_first().ok_or_else(refused)?;
    if *version != VERSION || rest.len() < CHECK_BYTES {
        return Err(refused());
    }
    let (found, payload) = rest.split_at(CHECK_BYTES);
    if found != check(list, filters, payload) {
        return Err(refused());
    }
    serde_json::from_slice(payload).map_err(|_| refused())
}

fn check(list: &str, filters: &str, payload: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hash = Sha256::new();
    // Lengths first, or two lists could be cut differently into the same bytes.
    for part in [list.as_bytes(), filters.as_bytes(), payload] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&digest[..CHECK_BYTES]);
    check
}

/// base64url without padding (RFC 4648, section 5).
fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().enumerate().fold(0_u32, |group, (n, byte)| group | u32::from(*byte) << (16 - 8 * n));
        for n in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(group >> (18 - 6 * n) & 63) as usize]));
        }
    }
    text
}

/// The bytes; `None` for what [`encode`] never writes, unused bits that are set included.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for chunk in text.as_bytes().chunks(4) {
        let mut group = 0_u32;
        for (n, byte) in chunk.iter().enumerate() {
            let value = ALPHABET.iter().position(|known| known == byte)?;
            group |= u32::try_from(value).ok()? << (18 - 6 * n);
        }
        let [_, a, b, c] = group.to_be_bytes();
        let (kept, spare): (&[u8], &[u8]) = match chunk.len() {
            4 => (&[a, b, c], &[]),
            3 => (&[a, b], &[c]),
            2 => (&[a], &[b, c]),
            _ => return None,
        };
        if spare.iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend(kept);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_way_through_the_callers_hands() {
        for name in ["", "a", "<script>", "ünï", &"n".repeat(128)] {
            let cursor = write("instances", "", &(name, 7));
            assert!(cursor.bytes().all(|byte| ALPHABET.contains(&byte)), "{cursor}");
            assert_eq!(read::<(String, u32)>("instances", "", &cursor).unwrap(), (name.to_owned(), 7));
        }
    }

    #[test]
    fn no_altered_cursor_is_taken() {
        let cursor = write("instances", "tenant=acme", &("web-1", 7));
        for at in 0..cursor.len() {
            for other in ["A", "z", "_", "", "AA", "=", "%", "\u{fc}"] {
                let altered = format!("{}{other}{}", &cursor[..at], &cursor[at + 1..]);
                let taken = read::<(String, u32)>("instances", "tenant=acme", &altered);
                assert!(altered == cursor || taken.is_err(), "{altered} passes for {cursor}");
            }
            assert!(read::<(String, u32)>("instances", "tenant=acme", &cursor[..at]).is_err());
        }
    }

    #[test]
    fn a_cursor_of_another_list_or_another_filter_is_refused() {
        let cursor = write("instances", "tenant=acme", &("web-1", 7));
        assert!(read::<(String, u32)>("invoices", "tenant=acme", &cursor).is_err());
        assert!(read::<(String, u32)>("instances", "tenant=other", &cursor).is_err());
        assert!(read::<(String, u32)>("instances", "", &cursor).is_err());
    }
}
