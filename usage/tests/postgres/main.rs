//! Usage against a real PostgreSQL. A database of its own for each test; none is skipped.

mod bench;
mod capacity;
mod days;
mod derivation;
mod exactly_once;
mod hostile;
mod isolation;
mod looking;
mod orders;
mod ownership;
mod pages;
mod power_cut;
mod statements;
mod story;
mod timescale;
mod why;
