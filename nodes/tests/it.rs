//! Tests of who may report, on a real PostgreSQL.

mod it {
    pub mod common;
    mod joining;
    mod register;
    mod runs;
    mod statements;
}
