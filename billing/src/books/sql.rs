//! Every statement of the books, by name. They stand in `sql/books/*.sql`; a test prepares each on a migrated database.

pub(crate) const ALLOCATED: &str = include_str!("../../sql/books/allocated.sql");
pub(crate) const INVOICES_PAID: &str = include_str!("../../sql/books/invoices_paid.sql");
pub(crate) const LEDGER_BALANCES: &str = include_str!("../../sql/books/ledger_balances.sql");
pub(crate) const LEDGER_ENTRIES: &str = include_str!("../../sql/books/ledger_entries.sql");
pub(crate) const LEDGER_POST: &str = include_str!("../../sql/books/ledger_post.sql");
pub(crate) const OPEN_ITEMS: &str = include_str!("../../sql/books/open_items.sql");
pub(crate) const PURSE: &str = include_str!("../../sql/books/purse.sql");

/// All of them, as (name, text): for whoever wants to prepare them.
pub const ALL: &[(&str, &str)] = &[
    ("allocated", ALLOCATED),
    ("invoices_paid", INVOICES_PAID),
    ("ledger_balances", LEDGER_BALANCES),
    ("ledger_entries", LEDGER_ENTRIES),
    ("ledger_post", LEDGER_POST),
    ("open_items", OPEN_ITEMS),
    ("purse", PURSE),
];
