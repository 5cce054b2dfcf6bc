#![doc = include_str!("../README.md")]

pub mod browser;
pub mod chaos;
pub mod daemons;
pub mod demo;
pub mod exits;
pub mod faults;
pub mod file_server;
pub mod guest;
pub mod guest_image;
pub mod lifecycle;
mod lock;
pub mod network;
pub mod orders;
pub mod place;
pub mod process;
mod rounds;
pub mod second_node;
pub mod smtp;
pub mod truth;
pub mod virt_type;
mod xml;

pub use self::rounds::{rounds, seed};

/// `PREFIX-` and eight random hex digits, so that parallel tests do not meet.
#[must_use]
pub fn unique_name(prefix: &str) -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{prefix}-{}", &random[..8])
}
