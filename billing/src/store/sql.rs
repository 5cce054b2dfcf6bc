//! Every statement of this crate, by name. They stand in `sql/*.sql`; a test prepares each on a migrated database.

pub(crate) const INVOICE_FIND: &str = include_str!("../../sql/invoice_find.sql");
pub(crate) const INVOICE_INSERT: &str = include_str!("../../sql/invoice_insert.sql");
pub(crate) const INVOICE_ISSUE: &str = include_str!("../../sql/invoice_issue.sql");
pub(crate) const INVOICE_LINE_INSERT: &str = include_str!("../../sql/invoice_line_insert.sql");
pub(crate) const INVOICE_LIST: &str = include_str!("../../sql/invoice_list.sql");
pub(crate) const INVOICE_OVERLAPPING: &str = include_str!("../../sql/invoice_overlapping.sql");
pub(crate) const INVOICE_SETTLE: &str = include_str!("../../sql/invoice_settle.sql");
pub(crate) const PLAN_INSERT: &str = include_str!("../../sql/plan_insert.sql");
pub(crate) const PLAN_LATEST: &str = include_str!("../../sql/plan_latest.sql");
pub(crate) const PLAN_LIST: &str = include_str!("../../sql/plan_list.sql");
pub(crate) const PLAN_LOCK: &str = include_str!("../../sql/plan_lock.sql");
pub(crate) const PLAN_REVISION: &str = include_str!("../../sql/plan_revision.sql");
pub(crate) const SERIES_NEXT: &str = include_str!("../../sql/series_next.sql");
pub(crate) const TENANT_LOCK: &str = include_str!("../../sql/tenant_lock.sql");

/// All of them, as (name, text): for whoever wants to prepare them.
pub const ALL: [(&str, &str); 14] = [
    ("invoice_find", INVOICE_FIND),
    ("invoice_insert", INVOICE_INSERT),
    ("invoice_issue", INVOICE_ISSUE),
    ("invoice_line_insert", INVOICE_LINE_INSERT),
    ("invoice_list", INVOICE_LIST),
    ("invoice_overlapping", INVOICE_OVERLAPPING),
    ("invoice_settle", INVOICE_SETTLE),
    ("plan_insert", PLAN_INSERT),
    ("plan_latest", PLAN_LATEST),
    ("plan_list", PLAN_LIST),
    ("plan_lock", PLAN_LOCK),
    ("plan_revision", PLAN_REVISION),
    ("series_next", SERIES_NEXT),
    ("tenant_lock", TENANT_LOCK),
];
