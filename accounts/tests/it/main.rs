//! Tests of accounts from the outside, on a real PostgreSQL, in one binary (linking is most of the waiting).

mod common;
mod guessing;
mod sessions;
mod statements;
mod tokens;
mod users;
