#![doc = include_str!("../README.md")]

mod deliver;
pub mod deliveries;
pub mod endpoints;
mod error;
pub mod guard;
mod sender;
pub mod sign;
pub mod sql;

pub use deliver::{Passed, backoff, deliver_due};
pub use error::HookError;
pub use sender::{Sender, SenderError};
