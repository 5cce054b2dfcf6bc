//! Users and API tokens, by the command line.

use accounts::users::NewUser;
use accounts::{Role, User, UserName, tokens, users};
use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use migrations::Scope;
use serde_json::{Value, json};
use usage::registry;

use crate::cli::args;
use crate::control::request::{AccountRequest, Password};
use crate::parts::Parts;

/// Does what is asked of users and tokens.
pub async fn value(parts: &Parts, request: AccountRequest) -> Result<Value> {
    let (db, now) = (&parts.database, Timestamp::now());
    match request {
        AccountRequest::UserCreate { name, role, tenant, display_name, password } => {
            create(parts, &name, role, tenant.as_deref(), display_name.as_deref(), &password).await
        }
        AccountRequest::UserSetPassword { name, password } => {
            let user = find(parts, &name).await?;
            users::set_password(db, user.id, &password.0, now).await?;
            Ok(json!({ "message": format!("{} has a new password; its sessions have ended.", user.name) }))
        }
        AccountRequest::UserDisable { name } => {
            let user = find(parts, &name).await?;
            users::disable(db, user.id, now).await?;
            Ok(json!({ "message": format!("{} is locked out.", user.name) }))
        }
        AccountRequest::UserEnable { name } => {
            let user = find(parts, &name).await?;
            users::enable(db, user.id).await?;
            Ok(json!({ "message": format!("{} may log in again.", user.name) }))
        }
        AccountRequest::UserList {} => {
            let rows: Vec<Value> = users::list(db).await?.iter().map(shown).collect();
            Ok(json!({ "users": rows }))
        }
        other => token(parts, other, now).await,
    }
}

async fn token(parts: &Parts, request: AccountRequest, now: Timestamp) -> Result<Value> {
    let db = &parts.database;
    match request {
        AccountRequest::TokenCreate { user, name, read_only, expires_at } => {
            let user = find(parts, &user).await?;
            let new = tokens::NewToken { user_id: user.id, name: &name, may_write: !read_only, expires_at };
            let (secret, token) = tokens::create(db, &new, now).await?;
            let message = format!(
                "Token {:?} of {}, shown this once:\n{}\nUse it as: Authorization: Bearer TOKEN",
                token.name,
                user.name,
                secret.expose()
            );
            Ok(json!({ "message": message, "token": secret.expose(), "token_id": token.id.to_string() }))
        }
        AccountRequest::TokenList { user } => {
            let user = find(parts, &user).await?;
            let rows: Vec<Value> = tokens::list(db, user.id)
                .await?
                .iter()
                .map(|token| {
                    json!({
                        "token_id": token.id.to_string(),
                        "name": token.name,
                        "prefix": token.prefix,
                        "may": if token.may_write { "read and write" } else { "read" },
                        "created_at": token.created_at,
                        "expires_at": token.expires_at,
                        "last_used_at": token.last_used_at,
                        "revoked_at": token.revoked_at,
                    })
                })
                .collect();
            Ok(json!({ "tokens": rows }))
        }
        AccountRequest::TokenRevoke { user, token_id } => {
            let user = find(parts, &user).await?;
            let id = token_id.parse().ok().map(tokens::TokenId::from_uuid);
            let id = id.with_context(|| {
                format!("{token_id:?} is no token's id; see weir token list {}", user.name)
            })?;
            if !tokens::revoke(db, user.id, id, now).await? {
                bail!("{} has no such token, or it was revoked before; see weir token list {0}", user.name);
            }
            Ok(json!({ "message": "The token is useless now." }))
        }
        _ => bail!("this request is not about tokens"),
    }
}

async fn create(
    parts: &Parts,
    name: &str,
    role: args::Role,
    tenant: Option<&str>,
    display_name: Option<&str>,
    password: &Password,
) -> Result<Value> {
    let role = match role {
        args::Role::Provider => Role::Provider,
        args::Role::Planner => Role::Planner,
        args::Role::Tenant => Role::Tenant,
    };
    let tenant = match tenant {
        None => None,
        Some(name) => Some(registry::find_tenant(&parts.database, Scope::Provider, name).await?.id),
    };
    let new = NewUser {
        name: UserName::new(name)?,
        display_name: display_name.unwrap_or(name),
        role,
        tenant,
        password: &password.0,
    };
    let user = users::create(&parts.database, &new, Timestamp::now()).await?;
    let mut value = shown(&user);
    value["message"] = json!(format!("{} may log in as {}.", user.name, user.role.as_str()));
    Ok(value)
}

async fn find(parts: &Parts, name: &str) -> Result<User> {
    let found = users::find(&parts.database, name).await?;
    found.with_context(|| {
        let shown: String = name.chars().take(80).collect();
        format!("there is no user {shown:?}; weir user list shows all")
    })
}

fn shown(user: &User) -> Value {
    json!({
        "user_id": user.id.to_string(),
        "name": user.name.as_str(),
        "display_name": user.display_name,
        "role": user.role.as_str(),
        "tenant": user.tenant_name,
        "created_at": user.created_at,
        "disabled_at": user.disabled_at,
    })
}
