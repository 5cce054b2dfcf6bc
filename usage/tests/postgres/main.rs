//! Usage against a real PostgreSQL. A database of its own for each test; none is skipped.

mod backups;
mod bench;
mod capacity;
mod clocks;
mod close;
mod corrections;
mod crashes;
mod days;
mod derivation;
mod dimensions;
mod exactly_once;
mod hostile;
mod isolation;
mod looking;
mod moving;
mod orders;
mod ownership;
mod pages;
mod power_cut;
mod samples;
mod statements;
mod story;
mod timescale;
mod why;
