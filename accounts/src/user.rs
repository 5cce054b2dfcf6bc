//! Users as the rest of the house sees them, and who asks. It does NOT talk to the database: `users`, `sessions` and
//! `tokens` do.

use std::fmt;

use jiff::Timestamp;
use metering::{TenantId, TenantName};
use migrations::Scope;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::AccountsError;
use crate::role::Role;

/// The longest display name, in characters: it must fit the head of a page.
pub const LABEL_MAX: usize = 200;

/// How much of a refused name is repeated to whoever typed it.
const SHOWN_MAX: usize = 80;

/// A user's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(Uuid);

/// The name under which a user logs in: 1 to 127 of `a-z`, `0-9` and `. _ @ + -`, beginning with a letter or digit, so
/// that e-mail addresses will do and nothing needs quoting anywhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{shown:?} is no user name: write 1 to {max} of a-z, 0-9 and . _ @ + -, beginning with a letter or digit",
    max = UserName::MAX_LENGTH
)]
pub struct InvalidUserName {
    shown: String,
}

/// Somebody who may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// The name under which it logs in.
    pub name: UserName,
    /// Its name on pages.
    pub display_name: String,
    /// What it may do.
    pub role: Role,
    /// Whose user it is; `None` for the provider's.
    pub tenant_id: Option<TenantId>,
    /// That tenant's name.
    pub tenant_name: Option<TenantName>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Since when it may not log in any more.
    pub disabled_at: Option<Timestamp>,
}

/// Who asks, whichever way they proved it: what a handler gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The user.
    pub user: User,
    /// Whether it may change anything this way: never a planner, and not by a read-only token.
    pub may_write: bool,
}

impl UserId {
    /// Wraps an id that is known already.
    #[must_use]
    pub const fn from_uuid(id: Uuid) -> Self {
        Self(id)
    }

    /// The plain UUID.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for UserId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl UserName {
    /// The longest name, in bytes.
    pub const MAX_LENGTH: usize = 127;

    /// Checks `text`.
    ///
    /// # Errors
    /// The rule above is broken; the error shows at most the first 80 characters.
    pub fn new(text: &str) -> Result<Self, InvalidUserName> {
        let letter_or_digit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let allowed = |c: char| letter_or_digit(c) || "._@+-".contains(c);
        if Self::MAX_LENGTH < text.len() || !text.starts_with(letter_or_digit) || !text.chars().all(allowed) {
            return Err(InvalidUserName { shown: text.chars().take(SHOWN_MAX).collect() });
        }
        Ok(Self(text.to_owned()))
    }

    /// As people type it into a form: with blanks around it, or capitals, which no name has.
    pub(crate) fn typed(text: &str) -> Option<Self> {
        // Spares the copy of a megabyte.
        if 2 * Self::MAX_LENGTH < text.len() {
            return None;
        }
        Self::new(&text.trim().to_ascii_lowercase()).ok()
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for UserName {
    type Error = InvalidUserName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

impl std::str::FromStr for UserName {
    type Err = InvalidUserName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl Principal {
    pub(crate) fn new(user: User, is_allowed_to_write: bool) -> Self {
        let may_write = is_allowed_to_write && user.role != Role::Planner;
        Self { user, may_write }
    }

    /// Which rows the database shows.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match (self.user.role, self.user.tenant_id) {
            (Role::Provider | Role::Planner, _) => Scope::Provider,
            (Role::Tenant, Some(tenant_id)) => Scope::Tenant(tenant_id.uuid()),
            // The database has no such user. If one is put together by mistake, it sees nobody's rows.
            (Role::Tenant, None) => Scope::Tenant(Uuid::max()),
        }
    }

    /// Whether it is the provider itself.
    #[must_use]
    pub fn is_provider(&self) -> bool {
        self.user.role == Role::Provider
    }

    /// Whether it plans capacity.
    #[must_use]
    pub fn is_planner(&self) -> bool {
        self.user.role == Role::Planner
    }

    /// Whether prices, invoices and budgets are for it to see.
    #[must_use]
    pub fn sees_money(&self) -> bool {
        match self.user.role {
            Role::Provider | Role::Tenant => true,
            Role::Planner => false,
        }
    }

    /// The tenant that it belongs to; `None` for the provider's users.
    #[must_use]
    pub fn tenant_id(&self) -> Option<TenantId> {
        self.user.tenant_id
    }
}

/// Whether a label can stand on a page: not empty, not too long, and nothing in it that would move the pen. Marks that
/// turn the direction of writing could make one name look like another.
pub(crate) fn is_label(text: &str, max: usize) -> bool {
    let moves_the_pen = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    !text.trim().is_empty() && text.chars().count() <= max && !text.chars().any(moves_the_pen)
}

/// A user from a row with the columns of `user_find.sql`.
pub(crate) fn from_row(row: &Row) -> Result<User, AccountsError> {
    let name: String = row.try_get("name")?;
    let unreadable = |column| AccountsError::Unreadable { user: name.clone(), column };
    let role = Role::parse(row.try_get("role")?).ok_or_else(|| unreadable("role"))?;
    let tenant_id = TenantId::from_uuid(row.try_get("tenant_id")?);
    let (tenant_id, tenant_name) = match role {
        Role::Provider | Role::Planner => (None, None),
        Role::Tenant => {
            let tenant_name =
                TenantName::new(row.try_get("tenant_name")?).map_err(|_| unreadable("tenant's name"))?;
            (Some(tenant_id), Some(tenant_name))
        }
    };
    Ok(User {
        id: UserId(row.try_get("user_id")?),
        display_name: row.try_get("display_name")?,
        role,
        tenant_id,
        tenant_name,
        created_at: row.try_get("created_at")?,
        disabled_at: row.try_get("disabled_at")?,
        name: UserName::new(&name)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_nul_markup_or_ten_kilobytes_is_no_name() {
        let long = "a".repeat(10_000);
        let just_too_long = "a".repeat(128);
        for bad in [
            "",
            " ",
            "A",
            "a b",
            "a\0b",
            "\0",
            "<script>",
            "a<b>",
            "a'b",
            "a\"b",
            "a\nb",
            "a\n",
            "é",
            "😀",
            "@a",
            "-a",
            "../a",
            "a/b",
            "a\\b",
            "a;b",
            "a%00",
            &long,
            &just_too_long,
        ] {
            let error = UserName::new(bad).unwrap_err().to_string();
            assert!(error.len() < 700, "{error}");
            assert!(!error.contains('\0'), "{error:?}");
        }
        for good in ["a", "0", "ann", "ann.lee+weir@example.com", "a_b-c", &"a".repeat(127)] {
            assert_eq!(UserName::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn a_display_name_that_could_pass_for_another_is_refused() {
        for bad in
            ["", "  ", "a\0", "a\nb", "\u{202e}nna", "a\u{200f}", "a\u{2066}b", "a\u{7f}", &"é".repeat(201)]
        {
            assert!(!is_label(bad, LABEL_MAX), "{bad:?}");
        }
        // Markup is a matter of whoever writes pages: a name may say <b>.
        for good in ["Ann", "Ann <b>Lee</b> & Co", "Åsa Ö", "雪", &"é".repeat(200)] {
            assert!(is_label(good, LABEL_MAX), "{good:?}");
        }
    }

    #[test]
    fn each_role_sees_what_is_its_own() {
        let tenant = TenantId::from_uuid(Uuid::from_u128(7));
        let check = |role, tenant_id, scope, provider, planner, money, writes| {
            let user = User {
                id: UserId::from_uuid(Uuid::from_u128(1)),
                name: UserName::new("ann").unwrap(),
                display_name: "Ann".to_owned(),
                role,
                tenant_id,
                tenant_name: None,
                created_at: Timestamp::UNIX_EPOCH,
                disabled_at: None,
            };
            let principal = Principal::new(user, true);
            assert_eq!(principal.scope(), scope, "{role}");
            assert_eq!(
                (
                    principal.is_provider(),
                    principal.is_planner(),
                    principal.sees_money(),
                    principal.may_write
                ),
                (provider, planner, money, writes),
                "{role}"
            );
            assert!(!Principal::new(principal.user, false).may_write, "{role}");
        };
        check(Role::Provider, None, Scope::Provider, true, false, true, true);
        check(Role::Planner, None, Scope::Provider, false, true, false, false);
        check(Role::Tenant, Some(tenant), Scope::Tenant(tenant.uuid()), false, false, true, true);
        // Put together by mistake: nobody's rows, above all not those of the unassigned tenant.
        check(Role::Tenant, None, Scope::Tenant(Uuid::max()), false, false, true, true);
    }

    #[test]
    fn a_role_is_read_as_it_is_written() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        for bad in ["", "Provider", "admin", "tenant\0"] {
            assert_eq!(Role::parse(bad), None, "{bad:?}");
        }
    }
}
