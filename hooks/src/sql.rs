//! Every statement of this crate, by name. They stand in `sql/*.sql`; a test prepares each on a migrated database.

/// A constant for each file, and [`ALL`] of them.
macro_rules! statements {
    ($($constant:ident = $name:literal),+ $(,)?) => {
        $(pub(crate) const $constant: &str = include_str!(concat!("../sql/", $name, ".sql"));)+

        /// All of them, as (name, text): for whoever wants to prepare them.
        pub const ALL: &[(&str, &str)] = &[$(($name, $constant)),+];
    };
}

statements! {
    DELIVERY_LIST = "delivery_list",
    ENDPOINT_ADD = "endpoint_add",
    ENDPOINT_CHANGE = "endpoint_change",
    ENDPOINT_COUNT = "endpoint_count",
    ENDPOINT_DISABLE = "endpoint_disable",
    ENDPOINT_DISABLED = "endpoint_disabled",
    ENDPOINT_GET = "endpoint_get",
    ENDPOINT_LIST = "endpoint_list",
    ENDPOINT_LOCK = "endpoint_lock",
    ENDPOINT_REMOVE = "endpoint_remove",
    ENDPOINT_REST = "endpoint_rest",
    ENDPOINT_ROTATE = "endpoint_rotate",
    ENDPOINT_WORKS = "endpoint_works",
    EVENT_SWEEP = "event_sweep",
    RECORD = "record",
    REPLAY_EVENT = "replay_event",
    REPLAY_SINCE = "replay_since",
    TAKE = "take",
    TEST = "test",
}
