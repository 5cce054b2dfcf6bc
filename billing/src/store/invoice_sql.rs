//! Every statement about the life of invoices, by name. They stand in `sql/invoices/*.sql`; a test prepares each on a
//! migrated database. What one row or a page of issued invoices needs is in [`super::sql`].

pub(crate) const BASIS: &str = include_str!("../../sql/invoices/basis.sql");
pub(crate) const DELETE: &str = include_str!("../../sql/invoices/delete.sql");
pub(crate) const DELETE_LINES: &str = include_str!("../../sql/invoices/delete_lines.sql");
pub(crate) const EMPTY_CLOSED: &str = include_str!("../../sql/invoices/empty_closed.sql");
pub(crate) const EMPTY_GET: &str = include_str!("../../sql/invoices/empty_get.sql");
pub(crate) const EMPTY_LATE: &str = include_str!("../../sql/invoices/empty_late.sql");
pub(crate) const EMPTY_PUT: &str = include_str!("../../sql/invoices/empty_put.sql");
pub(crate) const EVENT_INSERT: &str = include_str!("../../sql/invoices/event_insert.sql");
pub(crate) const EVENT_LIST: &str = include_str!("../../sql/invoices/event_list.sql");
pub(crate) const FOR_PERIOD: &str = include_str!("../../sql/invoices/for_period.sql");
pub(crate) const IN_FORCE: &str = include_str!("../../sql/invoices/in_force.sql");
pub(crate) const LATE: &str = include_str!("../../sql/invoices/late.sql");
pub(crate) const LOCK: &str = include_str!("../../sql/invoices/lock.sql");
pub(crate) const NUMBER_OF: &str = include_str!("../../sql/invoices/number_of.sql");
pub(crate) const RECHECK_GET: &str = include_str!("../../sql/invoices/recheck_get.sql");
pub(crate) const RECHECK_PUT: &str = include_str!("../../sql/invoices/recheck_put.sql");
pub(crate) const REPLACE: &str = include_str!("../../sql/invoices/replace.sql");
pub(crate) const RUN_ADD: &str = include_str!("../../sql/invoices/run_add.sql");
pub(crate) const RUN_FINISH: &str = include_str!("../../sql/invoices/run_finish.sql");
pub(crate) const RUN_GET: &str =
    concat!(include_str!("../../sql/parts/run.sql"), include_str!("../../sql/invoices/run_get.sql"));
pub(crate) const RUN_INSERT: &str = include_str!("../../sql/invoices/run_insert.sql");
pub(crate) const RUN_ITEMS: &str = include_str!("../../sql/invoices/run_items.sql");
pub(crate) const RUN_LIST: &str =
    concat!(include_str!("../../sql/parts/run.sql"), include_str!("../../sql/invoices/run_list.sql"));
pub(crate) const RUN_MISSING: &str = include_str!("../../sql/invoices/run_missing.sql");
pub(crate) const RUN_OPEN: &str = include_str!("../../sql/invoices/run_open.sql");
pub(crate) const RUN_RECORD: &str = include_str!("../../sql/invoices/run_record.sql");
pub(crate) const RUN_TAKE: &str = include_str!("../../sql/invoices/run_take.sql");
pub(crate) const SET_REPLACED: &str = include_str!("../../sql/invoices/set_replaced.sql");
pub(crate) const SET_SENT: &str = include_str!("../../sql/invoices/set_sent.sql");
pub(crate) const SET_STATUS: &str = include_str!("../../sql/invoices/set_status.sql");
pub(crate) const TENANT_OF: &str = include_str!("../../sql/invoices/tenant_of.sql");
pub(crate) const UNSETTLE: &str = include_str!("../../sql/invoices/unsettle.sql");
pub(crate) const USAGE_DIGEST: &str = include_str!("../../sql/invoices/usage_digest.sql");
pub(crate) const VOID: &str = include_str!("../../sql/invoices/void.sql");
pub(crate) const WAITING: &str = include_str!("../../sql/invoices/waiting.sql");

/// All of them, as (name, text): for whoever wants to prepare them.
pub const ALL: &[(&str, &str)] = &[
    ("basis", BASIS),
    ("delete", DELETE),
    ("delete_lines", DELETE_LINES),
    ("empty_closed", EMPTY_CLOSED),
    ("empty_get", EMPTY_GET),
    ("empty_late", EMPTY_LATE),
    ("empty_put", EMPTY_PUT),
    ("event_insert", EVENT_INSERT),
    ("event_list", EVENT_LIST),
    ("for_period", FOR_PERIOD),
    ("in_force", IN_FORCE),
    ("late", LATE),
    ("lock", LOCK),
    ("number_of", NUMBER_OF),
    ("recheck_get", RECHECK_GET),
    ("recheck_put", RECHECK_PUT),
    ("replace", REPLACE),
    ("run_add", RUN_ADD),
    ("run_finish", RUN_FINISH),
    ("run_get", RUN_GET),
    ("run_insert", RUN_INSERT),
    ("run_items", RUN_ITEMS),
    ("run_list", RUN_LIST),
    ("run_missing", RUN_MISSING),
    ("run_open", RUN_OPEN),
    ("run_record", RUN_RECORD),
    ("run_take", RUN_TAKE),
    ("set_replaced", SET_REPLACED),
    ("set_sent", SET_SENT),
    ("set_status", SET_STATUS),
    ("tenant_of", TENANT_OF),
    ("unsettle", UNSETTLE),
    ("usage_digest", USAGE_DIGEST),
    ("void", VOID),
    ("waiting", WAITING),
];
