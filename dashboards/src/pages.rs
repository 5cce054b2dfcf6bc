//! The pages' data, one struct for each template. Everything is text already: no lookups, no decisions.

use askama::Template;

/// The version that pages and `/version` show.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `/`
#[derive(Template)]
#[template(path = "status.html")]
pub struct StatusPage {
    pub here: &'static str,
    pub version: &'static str,
    pub nodes: Vec<NodeRow>,
    pub instances: Vec<InstanceRow>,
    pub running: usize,
    pub tenants: usize,
    pub waiting: u64,
    pub warnings: Vec<String>,
}

/// A node of the status page.
pub struct NodeRow {
    pub name: String,
    pub last_observed_at: String,
    pub last_seq: u64,
}

/// An instance of the status page.
pub struct InstanceRow {
    pub instance_id: String,
    pub name: String,
    pub tenant: Option<String>,
    pub state: &'static str,
    pub node: String,
    pub last_observed_at: String,
}

/// `/invoices`
#[derive(Template)]
#[template(path = "invoices.html")]
pub struct InvoicesPage {
    pub here: &'static str,
    pub version: &'static str,
    pub invoices: Vec<InvoiceRow>,
}

/// An invoice of the list.
pub struct InvoiceRow {
    pub number: String,
    pub path: String,
    pub tenant: String,
    pub from: String,
    pub to: String,
    pub status: String,
    pub total: String,
}

/// Whatever did not work.
#[derive(Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    pub here: &'static str,
    pub version: &'static str,
    pub heading: &'static str,
    pub sentence: String,
}
