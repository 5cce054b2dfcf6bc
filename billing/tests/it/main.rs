//! Tests of billing from the outside, in one binary (linking is most of the waiting).

mod books;
mod allowances;
mod budgets;
mod cases;
mod common;
mod documented;
mod documents;
mod drafts;
mod final_invoices;
mod issuing;
mod lifecycle;
mod plan_diff;
mod plan_errors;
mod plan_models;
mod plan_properties;
mod quotas;
mod rating_models;
mod rating_properties;
mod rating_tables;
mod runs;
mod statements;
mod taxes;
mod terms;
mod wallets;
