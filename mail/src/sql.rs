//! Every statement of this crate, by name. They stand in `sql/*.sql`; a test prepares each on a migrated database.

pub(crate) const DROP_STALE: &str = include_str!("../sql/drop_stale.sql");
pub(crate) const LIST: &str = include_str!("../sql/list.sql");
pub(crate) const PUT_TEST: &str = include_str!("../sql/put_test.sql");
pub(crate) const RECORD_DEFERRED: &str = include_str!("../sql/record_deferred.sql");
pub(crate) const RECORD_REFUSED: &str = include_str!("../sql/record_refused.sql");
pub(crate) const RECORD_SENT: &str = include_str!("../sql/record_sent.sql");
pub(crate) const RETRY: &str = include_str!("../sql/retry.sql");
pub(crate) const TAKE: &str = include_str!("../sql/take.sql");
pub(crate) const WAITING: &str = include_str!("../sql/waiting.sql");

/// All of them, as (name, text): for whoever wants to prepare them.
pub const ALL: [(&str, &str); 9] = [
    ("drop_stale", DROP_STALE),
    ("list", LIST),
    ("put_test", PUT_TEST),
    ("record_deferred", RECORD_DEFERRED),
    ("record_refused", RECORD_REFUSED),
    ("record_sent", RECORD_SENT),
    ("retry", RETRY),
    ("take", TAKE),
    ("waiting", WAITING),
];
