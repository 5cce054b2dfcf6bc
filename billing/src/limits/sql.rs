//! Every statement about allowances, by name. They stand in `sql/limits/*.sql`; a test prepares each on a migrated database.

/// A constant for each file, and [`ALL`] of them.
macro_rules! statements {
    ($($constant:ident = $name:literal),+ $(,)?) => {
        $(pub(crate) const $constant: &str = include_str!(concat!("../../sql/limits/", $name, ".sql"));)+

        /// All of them, as (name, text): for whoever wants to prepare them.
        pub const ALL: &[(&str, &str)] = &[$(($name, $constant)),+];
    };
}

statements! {
    ACTION_DONE = "action_done",
    ACTION_END_FALLEN = "action_end_fallen",
    ACTION_END_OVER = "action_end_over",
    ACTION_END_STALE = "action_end_stale",
    ACTION_INSERT = "action_insert",
    ACTION_OPEN = "action_open",
    ACTION_TO_UNDO = "action_to_undo",
    ACTION_UNDONE = "action_undone",
    ALLOWANCE_CHANGE_LOCK = "allowance_change_lock",
    ALLOWANCE_GET = "allowance_get",
    ALLOWANCE_LIST = "allowance_list",
    ALLOWANCE_LOCK = "allowance_lock",
    ALLOWANCE_OVERVIEW = "allowance_overview",
    ALLOWANCE_PUT = "allowance_put",
    ALLOWANCE_REMOVE = "allowance_remove",
    CROSSING_INSERT = "crossing_insert",
    CROSSING_LIST = "crossing_list",
    TENANT_NAME = "tenant_name",
    THROTTLED_LIST = "throttled_list",
    THROTTLED_PUT = "throttled_put",
    THROTTLED_REMOVE = "throttled_remove",
}
