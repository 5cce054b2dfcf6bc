//! Between node and control plane: the listener that takes readings in, and the role `weir node` that brings them.
//!
//! It does NOT decide who may (`nodes`), store readings (`usage`) or take them (`collector`).

pub mod door;
mod handlers;
pub mod handshakes;
pub mod home;
pub mod intake;
mod join;
mod limits;
mod link;
pub mod listener;
mod refusal;
pub mod role;
mod serve;
mod wire;
