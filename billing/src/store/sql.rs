//! Every statement of this crate, by name. They stand in `sql/*.sql`; a test prepares each on a migrated database.

pub(crate) const BUDGET_CHANGE_LOCK: &str = include_str!("../../sql/budget_change_lock.sql");
pub(crate) const BUDGET_GET: &str = include_str!("../../sql/budget_get.sql");
pub(crate) const BUDGET_LOCK: &str = include_str!("../../sql/budget_lock.sql");
pub(crate) const BUDGET_PUT: &str = include_str!("../../sql/budget_put.sql");
pub(crate) const BUDGET_REMOVE: &str = include_str!("../../sql/budget_remove.sql");
pub(crate) const CROSSING_INSERT: &str = include_str!("../../sql/crossing_insert.sql");
pub(crate) const CROSSING_LIST: &str = include_str!("../../sql/crossing_list.sql");
pub(crate) const DRAFT_GET: &str = include_str!("../../sql/draft_get.sql");
pub(crate) const DRAFT_LIST: &str = include_str!("../../sql/draft_list.sql");
pub(crate) const DRAFT_PUT: &str = include_str!("../../sql/draft_put.sql");
pub(crate) const HOLD_CONFIRM: &str = include_str!("../../sql/hold_confirm.sql");
pub(crate) const HOLD_LOCK: &str = include_str!("../../sql/hold_lock.sql");
pub(crate) const HOLD_PUT: &str = include_str!("../../sql/hold_put.sql");
pub(crate) const HOLD_RECONCILE_DELETE: &str = include_str!("../../sql/hold_reconcile_delete.sql");
pub(crate) const HOLD_RECONCILE_LOCK: &str = include_str!("../../sql/hold_reconcile_lock.sql");
pub(crate) const HOLD_RECONCILE_PUT: &str = include_str!("../../sql/hold_reconcile_put.sql");
pub(crate) const HOLD_RELEASE: &str = include_str!("../../sql/hold_release.sql");
pub(crate) const HOLD_SUM: &str = include_str!("../../sql/hold_sum.sql");
pub(crate) const INVOICE_FIND: &str = include_str!("../../sql/invoice_find.sql");
pub(crate) const INVOICE_INSERT: &str = include_str!("../../sql/invoice_insert.sql");
pub(crate) const INVOICE_ISSUE: &str = include_str!("../../sql/invoice_issue.sql");
pub(crate) const INVOICE_LINE_INSERT: &str = include_str!("../../sql/invoice_line_insert.sql");
pub(crate) const INVOICE_LIST: &str = include_str!("../../sql/invoice_list.sql");
pub(crate) const INVOICE_OVERLAPPING: &str = include_str!("../../sql/invoice_overlapping.sql");
pub(crate) const INVOICE_PAGE: &str = include_str!("../../sql/invoice_page.sql");
pub(crate) const MAIL_INSERT: &str = include_str!("../../sql/mail_insert.sql");
pub(crate) const PLAN_ASSIGNMENT_FIXED: &str = include_str!("../../sql/plan_assignment_fixed.sql");
pub(crate) const PLAN_ASSIGNMENT_INSERT: &str = include_str!("../../sql/plan_assignment_insert.sql");
pub(crate) const PLAN_ASSIGNMENT_LIST: &str = include_str!("../../sql/plan_assignment_list.sql");
pub(crate) const PLAN_ASSIGNMENT_LOCK: &str = include_str!("../../sql/plan_assignment_lock.sql");
pub(crate) const PLAN_ASSIGNMENT_OF_PERIOD: &str = include_str!("../../sql/plan_assignment_of_period.sql");
pub(crate) const PLAN_INSERT: &str = include_str!("../../sql/plan_insert.sql");
pub(crate) const PLAN_LATEST: &str = include_str!("../../sql/plan_latest.sql");
pub(crate) const PLAN_LIST: &str = include_str!("../../sql/plan_list.sql");
pub(crate) const PLAN_LOCK: &str = include_str!("../../sql/plan_lock.sql");
pub(crate) const PLAN_REVISION: &str = include_str!("../../sql/plan_revision.sql");
pub(crate) const PLAN_REVISIONS: &str = include_str!("../../sql/plan_revisions.sql");
pub(crate) const QUOTA_GET: &str = include_str!("../../sql/quota_get.sql");
pub(crate) const QUOTA_LOCK: &str = include_str!("../../sql/quota_lock.sql");
pub(crate) const QUOTA_PUT: &str = include_str!("../../sql/quota_put.sql");
pub(crate) const SERIES_NEXT: &str = include_str!("../../sql/series_next.sql");
pub(crate) const TAX_REVISIONS: &str = include_str!("../../sql/tax_revisions.sql");
pub(crate) const TENANT_LOCK: &str = include_str!("../../sql/tenant_lock.sql");
pub(crate) const TERMS_INSERT: &str = include_str!("../../sql/terms_insert.sql");
pub(crate) const TERMS_LATEST: &str = include_str!("../../sql/terms_latest.sql");
pub(crate) const TERMS_LOCK: &str = include_str!("../../sql/terms_lock.sql");
pub(crate) const TERMS_OF_PLAN: &str = include_str!("../../sql/terms_of_plan.sql");
pub(crate) const TERMS_REVISIONS: &str = include_str!("../../sql/terms_revisions.sql");
pub(crate) const WEBHOOK_EMIT: &str = include_str!("../../sql/webhook_emit.sql");

/// All of them, as (name, text): for whoever wants to prepare them.
pub const ALL: &[(&str, &str)] = &[
    ("budget_change_lock", BUDGET_CHANGE_LOCK),
    ("budget_get", BUDGET_GET),
    ("budget_lock", BUDGET_LOCK),
    ("budget_put", BUDGET_PUT),
    ("budget_remove", BUDGET_REMOVE),
    ("crossing_insert", CROSSING_INSERT),
    ("crossing_list", CROSSING_LIST),
    ("draft_get", DRAFT_GET),
    ("draft_list", DRAFT_LIST),
    ("draft_put", DRAFT_PUT),
    ("hold_confirm", HOLD_CONFIRM),
    ("hold_lock", HOLD_LOCK),
    ("hold_put", HOLD_PUT),
    ("hold_reconcile_delete", HOLD_RECONCILE_DELETE),
    ("hold_reconcile_lock", HOLD_RECONCILE_LOCK),
    ("hold_reconcile_put", HOLD_RECONCILE_PUT),
    ("hold_release", HOLD_RELEASE),
    ("hold_sum", HOLD_SUM),
    ("invoice_find", INVOICE_FIND),
    ("invoice_insert", INVOICE_INSERT),
    ("invoice_issue", INVOICE_ISSUE),
    ("invoice_line_insert", INVOICE_LINE_INSERT),
    ("invoice_list", INVOICE_LIST),
    ("invoice_overlapping", INVOICE_OVERLAPPING),
    ("invoice_page", INVOICE_PAGE),
    ("mail_insert", MAIL_INSERT),
    ("plan_assignment_fixed", PLAN_ASSIGNMENT_FIXED),
    ("plan_assignment_insert", PLAN_ASSIGNMENT_INSERT),
    ("plan_assignment_list", PLAN_ASSIGNMENT_LIST),
    ("plan_assignment_lock", PLAN_ASSIGNMENT_LOCK),
    ("plan_assignment_of_period", PLAN_ASSIGNMENT_OF_PERIOD),
    ("plan_insert", PLAN_INSERT),
    ("plan_latest", PLAN_LATEST),
    ("plan_list", PLAN_LIST),
    ("plan_lock", PLAN_LOCK),
    ("plan_revision", PLAN_REVISION),
    ("plan_revisions", PLAN_REVISIONS),
    ("quota_get", QUOTA_GET),
    ("quota_lock", QUOTA_LOCK),
    ("quota_put", QUOTA_PUT),
    ("series_next", SERIES_NEXT),
    ("tax_revisions", TAX_REVISIONS),
    ("tenant_lock", TENANT_LOCK),
    ("terms_insert", TERMS_INSERT),
    ("terms_latest", TERMS_LATEST),
    ("terms_lock", TERMS_LOCK),
    ("terms_of_plan", TERMS_OF_PLAN),
    ("terms_revisions", TERMS_REVISIONS),
    ("webhook_emit", WEBHOOK_EMIT),
];
