//! Users, tokens, and who asks.

use accounts::{Role, User, tokens};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// What a user may see and do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RoleName {
    /// Everything, of all tenants.
    Provider,
    /// Nodes, instances and capacity of all tenants; no money, and nothing to change.
    Planner,
    /// Its own tenant.
    Tenant,
}

/// Who asks.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Me {
    /// The user.
    pub user: UserBody,
    /// Whether this session or token may change anything.
    pub may_write: bool,
}

/// Somebody who may log in.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub struct UserBody {
    /// Its id.
    pub user_id: Uuid,
    /// The name under which it logs in.
    #[schema(example = "ann")]
    pub name: String,
    /// Its name on pages.
    pub display_name: String,
    /// What it may see and do.
    pub role: RoleName,
    /// Whose user it is, by name; null for the provider's.
    pub tenant: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Since when it may not log in any more.
    pub disabled_at: Option<Timestamp>,
}

/// A user to be.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// The name under which it logs in.
    #[schema(pattern = "^[a-z0-9][a-z0-9._@+-]{0,126}$", example = "ann")]
    pub name: String,
    /// Its name on pages; the name, if it is left out.
    #[schema(min_length = 1, max_length = 200, example = "Ann Lee")]
    pub display_name: Option<String>,
    /// What it may see and do.
    pub role: RoleName,
    /// Its tenant, by name or id: for the role tenant, and only then.
    #[schema(pattern = "^[a-z0-9][a-z0-9-]{0,62}$", example = "acme")]
    pub tenant: Option<String>,
    /// Its password: at least 12 characters, at most 1024 bytes.
    #[schema(min_length = 12, max_length = 1024, format = Password)]
    pub password: String,
}

/// An API token, without its secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Token)]
pub struct TokenBody {
    /// Its id.
    pub token_id: Uuid,
    /// What its owner calls it.
    pub name: String,
    /// The first characters of its secret, to tell it from others.
    pub prefix: String,
    /// Whether it may change anything.
    pub may_write: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself; null: not.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A token to be.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What its owner calls it.
    #[schema(min_length = 1, max_length = 100, example = "backup script")]
    pub name: String,
    /// Whether it may change anything. Not, if it is left out.
    #[serde(default)]
    #[schema(default = false)]
    pub may_write: bool,
    /// When it ends by itself; null: not.
    pub expires_at: Option<Timestamp>,
}

/// A token that was just made.
#[derive(Clone, Serialize, ToSchema)]
pub struct TokenMade {
    /// Its secret. It is shown this once.
    #[schema(example = "weir_...")]
    pub secret: String,
    /// The token.
    pub token: TokenBody,
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        match role {
            Role::Provider => Self::Provider,
            Role::Planner => Self::Planner,
            Role::Tenant => Self::Tenant,
        }
    }
}

impl From<RoleName> for Role {
    fn from(role: RoleName) -> Self {
        match role {
            RoleName::Provider => Self::Provider,
            RoleName::Planner => Self::Planner,
            RoleName::Tenant => Self::Tenant,
        }
    }
}

impl From<&User> for UserBody {
    fn from(user: &User) -> Self {
        Self {
            user_id: user.id.uuid(),
            name: user.name.to_string(),
            display_name: user.display_name.clone(),
            role: user.role.into(),
            tenant: user.tenant_name.as_ref().map(ToString::to_string),
            created_at: user.created_at,
            disabled_at: user.disabled_at,
        }
    }
}

impl From<&tokens::Token> for TokenBody {
    fn from(token: &tokens::Token) -> Self {
        Self {
            token_id: token.id.uuid(),
            name: token.name.clone(),
            prefix: token.prefix.clone(),
            may_write: token.may_write,
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
            revoked_at: token.revoked_at,
        }
    }
}
