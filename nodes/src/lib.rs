#![doc = include_str!("../README.md")]

pub mod access;
pub mod alerts;
pub mod authority;
pub mod certificates;
mod error;
pub mod registry;
pub mod request;
pub mod runs;
pub mod sql;
pub mod tls;
pub mod token;
pub mod tokens;

pub use error::NodesError;
