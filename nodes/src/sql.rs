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
    23:
    CERTIFICATE_ADD = "certificate_add",
    CERTIFICATES_REVOKE = "certificates_revoke",
    NODE_BY_ID = "node_by_id",
    NODE_BY_NAME = "node_by_name",
    NODE_FIND = "node_find",
    NODE_HEARD = "node_heard",
    NODE_JOIN = "node_join",
    NODE_LIST = "node_list",
    NODE_REMOVE = "node_remove",
    NODE_SET_STATE = "node_set_state",
    RUN_BAR = "run_bar",
    RUN_END = "run_end",
    RUN_HEARD = "run_heard",
    RUN_KNOCK = "run_knock",
    RUN_RIVAL = "run_rival",
    RUN_TAKE_OVER = "run_take_over",
    TOKEN_ADD = "token_add",
    TOKEN_FIND = "token_find",
    TOKEN_LIST = "token_list",
    TOKEN_LOCK_NAMES = "token_lock_names",
    TOKEN_REVOKE = "token_revoke",
    TOKEN_SWEEP = "token_sweep",
    TOKEN_USE = "token_use",
}
