//! Who asks: a token or a session, told apart and proved by `dashboards::auth` and `accounts`, and whether the operation
//! is for them. It keeps no secrets, and which rows somebody sees is the database's business.

use accounts::Principal;
use actix_web::http::{StatusCode, header};
use actix_web::{FromRequest, HttpRequest, ResponseError, dev};
use dashboards::auth::SignedIn;

use super::problem::{Kind, Problem};

/// Who may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, signed in or not.
    Public,
    /// Whoever is signed in.
    Everyone,
    /// Whoever has logged in at the portal: with a token that was stolen nobody makes further ones, or takes away others.
    /// A planner, who changes nothing else, has tokens too.
    InPerson,
    /// Provider and tenants: money is not for planners.
    Money,
    /// Provider and planners: what concerns all tenants, but no money.
    Operators,
    /// The provider.
    Provider,
}

/// Who asks, and how.
pub struct Caller {
    /// Who.
    pub who: Principal,
    /// Whether by a session, not by a token.
    pub is_in_person: bool,
}

impl Access {
    /// What the document says about it.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Public => "For everybody, without signing in.",
            Self::Everyone => "For everybody who is signed in.",
            Self::InPerson => {
                "For whoever has logged in at the portal: tokens are made and revoked by people, not by tokens."
            }
            Self::Money => "For the provider and for tenants: planners see no money.",
            Self::Operators => "For the provider and planners.",
            Self::Provider => "For the provider.",
        }
    }

    /// Whether somebody who is signed in may be refused for who they are.
    #[must_use]
    pub const fn refuses_somebody(self) -> bool {
        !matches!(self, Self::Public | Self::Everyone)
    }

    /// Refuses those whom it is not for, and changes by those who may only read.
    ///
    /// # Errors
    /// It is not for them.
    pub fn check(self, caller: &Caller, is_change: bool) -> Result<(), Problem> {
        let who = &caller.who;
        match self {
            Self::InPerson if !caller.is_in_person => {
                return Err(Problem::forbidden(
                    "this is done by somebody who has logged in at the portal, not with an API token",
                ));
            }
            Self::Money if who.is_planner() => return Err(Problem::forbidden("planners see no money")),
            Self::Operators if !(who.is_provider() || who.is_planner()) => {
                return Err(Problem::forbidden("this is for the provider and planners"));
            }
            Self::Provider if !who.is_provider() => {
                return Err(Problem::forbidden("this is for the provider"));
            }
            _ => {}
        }
        if !is_change || who.may_write || self == Self::InPerson {
            return Ok(());
        }
        Err(Problem::forbidden(match who.is_planner() {
            true => "planners change nothing",
            false => "this token may only read; use one that may write",
        }))
    }
}

/// Who makes a request.
///
/// # Errors
/// Nobody is signed in, the request comes from another site's page, or the database does not answer.
pub async fn find(request: &HttpRequest, payload: &mut dev::Payload) -> Result<Caller, Problem> {
    let is_in_person = !request.headers().contains_key(header::AUTHORIZATION);
    match SignedIn::from_request(request, payload).await {
        Ok(SignedIn(who)) => Ok(Caller { who, is_in_person }),
        Err(error) => Err(match error.status_code() {
            StatusCode::UNAUTHORIZED => Problem::new(
                Kind::NotSignedIn,
                "send an API token (Authorization: Bearer weir_...) that is neither expired nor revoked, or log in at /login",
            ),
            StatusCode::FORBIDDEN => Problem::forbidden(
                "a change with the portal's cookie must come from a page of the portal; programs send an API token",
            ),
            _ => {
                // It logs its causes as it answers; the answer itself is ours.
                drop(error.error_response());
                Problem::new(Kind::Unavailable, "the database does not answer; try again in a moment")
            }
        }),
    }
}
