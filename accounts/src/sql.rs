//! Every statement of this crate, by name. They stand in `sql/*.sql`; a test prepares each on a migrated database.

/// A constant for each file, and [`ALL`] of them.
macro_rules! statements {
    ($count:literal: $($constant:ident = $name:literal),+ $(,)?) => {
        $(pub(crate) const $constant: &str = include_str!(concat!("../sql/", $name, ".sql"));)+

        /// All of them, as (name, text): for whoever wants to prepare them.
        pub const ALL: [(&str, &str); $count] = [$(($name, $constant)),+];
    };
}

statements! {
    28:
    FAILURE_CHARGE = "failure_charge",
    FAILURE_CLEAR = "failure_clear",
    FAILURE_CLEAR_NAME = "failure_clear_name",
    FAILURE_LAST = "failure_last",
    FAILURE_SWEEP = "failure_sweep",
    SESSION_DELETE = "session_delete",
    SESSION_DELETE_OF_USER = "session_delete_of_user",
    SESSION_FIND = "session_find",
    SESSION_INSERT = "session_insert",
    SESSION_SWEEP = "session_sweep",
    SESSION_TOUCH = "session_touch",
    TOKEN_COUNT = "token_count",
    TOKEN_FIND = "token_find",
    TOKEN_INSERT = "token_insert",
    TOKEN_LIST = "token_list",
    TOKEN_REVOKE = "token_revoke",
    TOKEN_REVOKE_OF_USER = "token_revoke_of_user",
    TOKEN_TOUCH = "token_touch",
    USER_ANY = "user_any",
    USER_DISABLE = "user_disable",
    USER_ENABLE = "user_enable",
    USER_FIND = "user_find",
    USER_GET = "user_get",
    USER_INSERT = "user_insert",
    USER_LIST = "user_list",
    USER_LOCK = "user_lock",
    USER_SET_PASSWORD = "user_set_password",
    USER_TO_LOG_IN = "user_to_log_in",
}
