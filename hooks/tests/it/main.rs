//! Webhooks on a real PostgreSQL, to a real receiver (a program in Python), verified by somebody else's library.

mod common;
mod delivering;
mod endpoints;
mod replaying;
mod statements;
