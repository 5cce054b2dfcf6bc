//! What the portal must be told. It reads no configuration: the appliance does.

use usage::UsageSettings;

/// The portal's settings.
#[derive(Clone, Copy, Debug)]
pub struct Portal {
    /// Whether the session cookie is sent over TLS only. True wherever TLS is in front, or browsers would send the
    /// cookie in the clear; false on a loopback without TLS, or they would not send it at all.
    pub secure_cookies: bool,
    /// How usage is cut: the same as everywhere else in the process.
    pub usage: UsageSettings,
}
