#![doc = include_str!("../README.md")]

mod error;
mod hashing;
pub mod password;
mod role;
mod secret;
pub mod sessions;
pub mod sql;
mod throttle;
pub mod tokens;
mod user;
pub mod users;

pub use error::AccountsError;
pub use role::Role;
pub use secret::{SessionSecret, TOKEN_PREFIX, TokenSecret};
pub use user::{InvalidUserName, Principal, User, UserId, UserName};
