//! Who asks, users, and API tokens.

use accounts::{AccountsError, Role, UserName, tokens, users};
use actix_web::HttpResponse;
use actix_web::http::Method;
use jiff::Timestamp;
use metering::TenantId;

use super::tenant;
use crate::api::call::Call;
use crate::api::identity::Access;
use crate::api::operation::{Operation, Tag};
use crate::api::problem::{Kind, Problem};
use crate::api::wire::accounts::{Me, NewToken, NewUser, RoleName, TokenBody, TokenMade, UserBody};

pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::GET, "/v1/me", "getMe", Tag::Accounts, "Who asks", me)
            .answers::<Me>("The user, and what this session or token may do."),
        Operation::new(Method::GET, "/v1/users", "listUsers", Tag::Accounts, "All users", list_users)
            .access(Access::Provider)
            .lists::<UserBody>("By name, disabled ones too."),
        Operation::new(Method::POST, "/v1/users", "createUser", Tag::Accounts, "Add a user", create_user)
            .saying("A token adds users of tenants only: providers and planners are added in person.")
            .access(Access::Provider)
            .takes::<NewUser>()
            .creates::<UserBody>("The user.")
            .once()
            .refuses(&[Kind::Conflict, Kind::Unprocessable]),
        Operation::new(
            Method::GET,
            "/v1/tokens",
            "listTokens",
            Tag::Accounts,
            "Your API tokens",
            list_tokens,
        )
        .access(Access::Everyone)
        .lists::<TokenBody>("The newest first, revoked and expired ones too."),
        Operation::new(
            Method::POST,
            "/v1/tokens",
            "createToken",
            Tag::Accounts,
            "Make an API token",
            create_token,
        )
        .access(Access::InPerson)
        .takes::<NewToken>()
        .creates::<TokenMade>("The token, with its secret, which is shown this once.")
        .refuses(&[Kind::Conflict, Kind::Unprocessable]),
        Operation::new(
            Method::DELETE,
            "/v1/tokens/{token_id}",
            "revokeToken",
            Tag::Accounts,
            "Revoke an API token",
            revoke_token,
        )
        .saying("It opens nothing from this moment on.")
        .access(Access::InPerson),
    ]
}

async fn me(call: Call) -> Result<HttpResponse, Problem> {
    let who = call.who()?;
    Ok(call.ok(&Me { user: (&who.user).into(), may_write: who.may_write }))
}

async fn list_users(call: Call) -> Result<HttpResponse, Problem> {
    let users = users::list(call.db()).await?;
    Ok(call.list(users.iter().map(UserBody::from)))
}

async fn create_user(call: Call) -> Result<HttpResponse, Problem> {
    let new: NewUser = call.body()?;
    // Else a stolen token would make an account with a password, and outlive being revoked.
    if Role::from(new.role) != Role::Tenant && !call.is_in_person() {
        return Err(Problem::forbidden(
            "providers and planners are added by a provider who has logged in, or with `weir user create`, not with an API token",
        ));
    }
    let tenant_id = match &new.tenant {
        None => None,
        Some(asked) => Some(known_tenant(&call, asked).await?),
    };
    let user = users::NewUser {
        name: UserName::new(&new.name).map_err(AccountsError::from)?,
        display_name: new.display_name.as_deref().unwrap_or(&new.name),
        role: Role::from(new.role),
        tenant: tenant_id,
        password: &new.password,
    };
    let user = users::create(call.db(), &user, Timestamp::now()).await?;
    Ok(call.created("/v1/users".to_owned(), &UserBody::from(&user)))
}

/// A tenant that a body names: that there is none is a fault of the body, not of the address.
async fn known_tenant(call: &Call, asked: &str) -> Result<TenantId, Problem> {
    match tenant(call, asked).await {
        Ok(found) if found.id != TenantId::UNASSIGNED => Ok(found.id),
        Err(problem) if problem.kind() != Kind::NotFound => Err(problem),
        _ => Err(Problem::new(
            Kind::Unprocessable,
            "there is no tenant of that name; GET /v1/tenants lists them",
        )),
    }
}

async fn list_tokens(call: Call) -> Result<HttpResponse, Problem> {
    let tokens = tokens::list(call.db(), call.who()?.user.id).await?;
    Ok(call.list(tokens.iter().map(TokenBody::from)))
}

async fn create_token(call: Call) -> Result<HttpResponse, Problem> {
    let new: NewToken = call.body()?;
    let who = call.who()?;
    if new.may_write && RoleName::from(who.user.role) == RoleName::Planner {
        return Err(Problem::new(
            Kind::Unprocessable,
            "planners change nothing: make a token that may only read",
        ));
    }
    let token = tokens::NewToken {
        user_id: who.user.id,
        name: &new.name,
        may_write: new.may_write,
        expires_at: new.expires_at,
    };
    let (secret, token) = tokens::create(call.db(), &token, Timestamp::now()).await?;
    let made = TokenMade { secret: secret.expose().to_owned(), token: (&token).into() };
    Ok(call.created("/v1/tokens".to_owned(), &made))
}

async fn revoke_token(call: Call) -> Result<HttpResponse, Problem> {
    let token_id = call.id("token_id", "token")?;
    match tokens::revoke(call.db(), call.who()?.user.id, token_id, Timestamp::now()).await? {
        true => Ok(call.done()),
        false => Err(Problem::not_found("token in force")),
    }
}

impl From<AccountsError> for Problem {
    fn from(error: AccountsError) -> Self {
        match error {
            AccountsError::UserExists { .. } | AccountsError::TooManyTokens => {
                Self::new(Kind::Conflict, error.to_string())
            }
            AccountsError::Database(_) => Self::unavailable("the database", &error),
            AccountsError::Random(_) | AccountsError::Hashing { .. } | AccountsError::Unreadable { .. } => {
                Self::internal(&error)
            }
            _ => Self::new(Kind::Unprocessable, error.to_string()),
        }
    }
}
