//! Every statement of the books, by name. They stand in `sql/books/*.sql`; a test prepares each on a migrated database.

pub(crate) const ACCOUNT_GET: &str = include_str!("../../sql/books/account_get.sql");
pub(crate) const ACCOUNT_PUT: &str = include_str!("../../sql/books/account_put.sql");
pub(crate) const ALLOCATED: &str = include_str!("../../sql/books/allocated.sql");
pub(crate) const CURRENCY_FREE_FROM: &str = include_str!("../../sql/books/currency_free_from.sql");
pub(crate) const CURRENCY_INSERT: &str = include_str!("../../sql/books/currency_insert.sql");
pub(crate) const DUNNING_DUE: &str = include_str!("../../sql/books/dunning_due.sql");
pub(crate) const DUNNING_FEES: &str = include_str!("../../sql/books/dunning_fees.sql");
pub(crate) const DUNNING_HOLD: &str = include_str!("../../sql/books/dunning_hold.sql");
pub(crate) const DUNNING_INSERT: &str = include_str!("../../sql/books/dunning_insert.sql");
pub(crate) const DUNNING_LIST: &str = include_str!("../../sql/books/dunning_list.sql");
pub(crate) const DUNNING_LOCK: &str = include_str!("../../sql/books/dunning_lock.sql");
pub(crate) const DUNNING_RELEASE: &str = include_str!("../../sql/books/dunning_release.sql");
pub(crate) const EXCHANGE_CONFLICT: &str = include_str!("../../sql/books/exchange_conflict.sql");
pub(crate) const EXCHANGE_IN_FORCE: &str = include_str!("../../sql/books/exchange_in_force.sql");
pub(crate) const EXCHANGE_INSERT: &str = include_str!("../../sql/books/exchange_insert.sql");
pub(crate) const EXCHANGE_LOCK: &str = include_str!("../../sql/books/exchange_lock.sql");
pub(crate) const EXCHANGE_PAGE: &str = include_str!("../../sql/books/exchange_page.sql");
pub(crate) const INVOICE_FOR_PAYMENT: &str = include_str!("../../sql/books/invoice_for_payment.sql");
pub(crate) const INVOICES_PAID: &str = include_str!("../../sql/books/invoices_paid.sql");
pub(crate) const INVOICES_UNPAID: &str = include_str!("../../sql/books/invoices_unpaid.sql");
pub(crate) const LEDGER_BALANCES: &str = include_str!("../../sql/books/ledger_balances.sql");
pub(crate) const LEDGER_ENTRIES: &str = include_str!("../../sql/books/ledger_entries.sql");
pub(crate) const LEDGER_POST: &str = include_str!("../../sql/books/ledger_post.sql");
pub(crate) const OPEN_ITEMS: &str = include_str!("../../sql/books/open_items.sql");
pub(crate) const PAYMENT_FIND: &str =
    concat!(include_str!("../../sql/parts/payment.sql"), include_str!("../../sql/books/payment_find.sql"));
pub(crate) const PAYMENT_INSERT: &str = include_str!("../../sql/books/payment_insert.sql");
pub(crate) const PAYMENT_PAGE: &str =
    concat!(include_str!("../../sql/parts/payment.sql"), include_str!("../../sql/books/payment_page.sql"));
pub(crate) const PURSE: &str = include_str!("../../sql/books/purse.sql");
pub(crate) const REVERSAL_INSERT: &str = include_str!("../../sql/books/reversal_insert.sql");
pub(crate) const STATEMENT_LINES: &str = include_str!("../../sql/books/statement_lines.sql");
pub(crate) const STATEMENT_OPENING: &str = include_str!("../../sql/books/statement_opening.sql");
pub(crate) const TAX_INSERT: &str = include_str!("../../sql/books/tax_insert.sql");
pub(crate) const TAX_LATEST: &str = include_str!("../../sql/books/tax_latest.sql");
pub(crate) const TAX_LOCK: &str = include_str!("../../sql/books/tax_lock.sql");
pub(crate) const WALLET_BALANCES: &str = include_str!("../../sql/books/wallet_balances.sql");
pub(crate) const WALLET_HOLDS: &str = include_str!("../../sql/books/wallet_holds.sql");
pub(crate) const WALLET_STATE: &str = include_str!("../../sql/books/wallet_state.sql");
pub(crate) const WARNING_INSERT: &str = include_str!("../../sql/books/warning_insert.sql");
pub(crate) const WARNING_REMOVE: &str = include_str!("../../sql/books/warning_remove.sql");
pub(crate) const WARNING_STOPPED: &str = include_str!("../../sql/books/warning_stopped.sql");

/// All of them, as (name, text): for whoever wants to prepare them.
pub const ALL: &[(&str, &str)] = &[
    ("account_get", ACCOUNT_GET),
    ("account_put", ACCOUNT_PUT),
    ("allocated", ALLOCATED),
    ("currency_free_from", CURRENCY_FREE_FROM),
    ("currency_insert", CURRENCY_INSERT),
    ("dunning_due", DUNNING_DUE),
    ("dunning_fees", DUNNING_FEES),
    ("dunning_hold", DUNNING_HOLD),
    ("dunning_insert", DUNNING_INSERT),
    ("dunning_list", DUNNING_LIST),
    ("dunning_lock", DUNNING_LOCK),
    ("dunning_release", DUNNING_RELEASE),
    ("exchange_conflict", EXCHANGE_CONFLICT),
    ("exchange_in_force", EXCHANGE_IN_FORCE),
    ("exchange_insert", EXCHANGE_INSERT),
    ("exchange_lock", EXCHANGE_LOCK),
    ("exchange_page", EXCHANGE_PAGE),
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
    ("statement_lines", STATEMENT_LINES),
    ("statement_opening", STATEMENT_OPENING),
    ("tax_insert", TAX_INSERT),
    ("tax_latest", TAX_LATEST),
    ("tax_lock", TAX_LOCK),
    ("wallet_balances", WALLET_BALANCES),
    ("wallet_holds", WALLET_HOLDS),
    ("wallet_state", WALLET_STATE),
    ("warning_insert", WARNING_INSERT),
    ("warning_remove", WARNING_REMOVE),
    ("warning_stopped", WARNING_STOPPED),
];
