#![doc = include_str!("../README.md")]

mod assets;
pub mod auth;
mod error;
mod pages;
mod routes;
pub mod settings;
mod show;
mod site;

pub use routes::{configure, headers};
pub use settings::Portal;
pub use site::Live;
