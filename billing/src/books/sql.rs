//! Every statement of the books, by name. They stand in `sql/books/*.sql`; a test prepares each on a migrated database.

pub(crate) const ALLOCATED: &str = include_str!("../../sql/books/allocated.sql");
pub(crate) const INVOICE_FOR_PAYMENT: &str = include_str!("../../sql/books/invoice_for_payment.sql");
pub(crate) const INVOICES_PAID: &str = include_str!("../../sql/books/invoices_paid.sql");
pub(crate) const INVOICES_UNPAID: &str = include_str!("../../sql/books/invoices_unpaid.sql");
pub(crate) const LEDGER_BALANCES: &str = include_str!("../../sql/books/ledger_balances.sql");
pub(crate) const LEDGER_ENTRIES: &str = include_str!("../../sql/books/ledger_entries.sql");
pub(crate) const LEDGER_POST: &str = include_str!("../../sql/books/ledger_post.sql");
pub(crate) const OPEN_ITEMS: &str = include_str!("../../sql/books/open_items.sql");
pub(crate) const PAYMENT_FIND: &str = include_str!("../../sql/books/payment_find.sql");
pub(crate) const PAYMENT_INSERT: &str = include_str!("../../sql/books/payment_insert.sql");
pub(crate) const PAYMENT_PAGE: &str = include_str!("../../sql/books/payment_page.sql");
pub(crate) const PURSE: &str = include_str!("../../sql/books/purse.sql");
pub(crate) const REVERSAL_INSERT: &str = include_str!("../../sql/books/reversal_insert.sql");

/// All of them, as (name, text): for whoever wants to prepare them.
pub const ALL: &[(&str, &str)] = &[
    ("allocated", ALLOCATED),
    ("invoice_for_payment", INVOICE_FOR_PAYMENT),
    ("invoices_paid", INVOICES_PAID),
    ("invoices_unpaid", INVOICES_UNPAID),
    ("ledger_balances", LEDGER_BALANCES),
    ("ledger_entries", LEDGER_ENTRIES),
    ("ledger_post", LEDGER_POST),
    ("open_items", OPEN_ITEMS),
    ("payment_find", PAYMENT_FIND),
    ("payment_insert", PAYMENT_INSERT),
    ("payment_page", PAYMENT_PAGE),
    ("purse", PURSE),
    ("reversal_insert", REVERSAL_INSERT),
];
