//! Passwords: the rule for new ones, and argon2id. It does NOT know users, and nothing here shows a password.
//!
//! Costs are those of OWASP's cheat sheet on password storage for argon2id: 19 MiB, 2 passes, 1 lane.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::error::AccountsError;
use crate::hashing::{PASSWORDS, Place};
use crate::user::UserName;

/// The shortest password, in characters (NIST SP 800-63B asks for 8, or 15 where there is no second factor).
pub const MIN_CHARACTERS: usize = 12;

/// The longest password, in bytes: room for any phrase, and nothing that would be work to hash.
pub const MAX_BYTES: usize = 1024;

/// What a password is checked against when there is no such user, so that it takes as long. Its digest was not made from
/// any password; and if it were found, there is nobody to log in.
const NOBODYS_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5cyBwYXNzd29yZA\
                            $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Checks a new password.
///
/// # Errors
/// It is too short, too long, or the name itself.
pub fn check_new(name: &UserName, password: &str) -> Result<(), AccountsError> {
    let found = password.chars().count();
    if found < MIN_CHARACTERS {
        return Err(AccountsError::PasswordTooShort { found });
    }
    if MAX_BYTES < password.len() {
        return Err(AccountsError::PasswordTooLong { found: password.len() });
    }
    if password.trim().eq_ignore_ascii_case(name.as_str()) {
        return Err(AccountsError::PasswordIsName);
    }
    Ok(())
}

/// The hash of a password that [`check_new`] has let pass.
pub(crate) async fn hash(password: &str) -> Result<String, AccountsError> {
    let password = password.to_owned();
    let hashed = PASSWORDS
        .enter_anyway()
        .run(move || hasher().hash_password(password.as_bytes()).map(|hash| hash.to_string()))
        .await;
    hashed.map_err(failed)?.map_err(failed)
}

/// Whether `password` is the one of `stored`. With `None`, it takes as long and says no.
pub(crate) async fn is_right(
    place: Place,
    password: &str,
    stored: Option<&str>,
) -> Result<bool, AccountsError> {
    let password = password.to_owned();
    let is_somebody = stored.is_some();
    let stored = stored.unwrap_or(NOBODYS_HASH).to_owned();
    let verified = place
        .run(move || {
            let stored = PasswordHash::new(&stored).map_err(|_| Error::EncodingInvalid)?;
            // The library would call any password wrong.
            if stored.salt.is_none() || stored.hash.is_none() {
                return Err(Error::EncodingInvalid);
            }
            hasher().verify_password(password.as_bytes(), &stored)
        })
        .await;
    match verified.map_err(failed)? {
        Ok(()) => Ok(is_somebody),
        Err(Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

fn hasher() -> Argon2<'static> {
    // The library's default is the same today; stored hashes carry their own.
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

fn failed(error: impl std::fmt::Display) -> AccountsError {
    AccountsError::Hashing { why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unknown_name_costs_as_much_as_a_wrong_password() {
        let stored = hash("a right password").await.unwrap();
        // Everything that costs time stands before the salt: algorithm, version, memory, passes, lanes.
        let costs = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(costs(&stored), costs(NOBODYS_HASH));
        assert_eq!(costs(&stored), "$argon2id$v=19$m=19456,t=2,p=1");
        let lengths = |hash: &str| hash.split('$').skip(4).map(str::len).collect::<Vec<_>>();
        assert_eq!(lengths(&stored), lengths(NOBODYS_HASH));
        for (password, hash, expected) in [
            ("a right password", Some(stored.as_str()), true),
            ("a wrong password", Some(stored.as_str()), false),
            ("", Some(stored.as_str()), false),
            ("a right password", None, false),
            ("", None, false),
        ] {
            let got = is_right(PASSWORDS.enter_anyway(), password, hash).await.unwrap();
            assert_eq!(got, expected, "{password:?}");
        }
    }

    #[tokio::test]
    async fn a_stored_hash_that_was_damaged_is_an_error_and_not_a_wrong_password() {
        for damaged in ["", "x", "$argon2id$", "$argon2id$v=19$m=19456,t=2,p=1$", "\0"] {
            let got = is_right(PASSWORDS.enter_anyway(), "a right password", Some(damaged)).await;
            assert!(got.is_err(), "{damaged:?}");
        }
    }

    #[test]
    fn a_password_that_is_easy_to_guess_or_work_to_hash_is_refused() {
        let name = UserName::new("ann.lee@example.com").unwrap();
        let check = |password: &str, expected: &str| {
            let got = check_new(&name, password).map_or_else(|error| error.to_string(), |()| "fine".into());
            assert!(got.contains(expected), "{got}");
            assert!(password.is_empty() || !got.contains(password), "{got}");
        };
        check("", "this one has 0");
        check("elevenchars", "this one has 11");
        check("twelve chars", "fine");
        // Characters, not bytes.
        check(&"é".repeat(11), "this one has 11");
        check(&"é".repeat(12), "fine");
        check(&"a".repeat(1024), "fine");
        check(&"a".repeat(1025), "this one has 1025");
        check("Ann.Lee@example.com ", "the user's name");
    }
}
