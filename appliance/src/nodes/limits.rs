//! The limits of what comes over the network, each with its reason. Numbers only.

use std::time::Duration;

/// The largest batch: 100,000 rows, which is what ingest takes at once, are about 20 MB.
pub const BATCH_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The largest request to join or renew: a certificate request has some hundred bytes.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// How long a client may take to send a request's head.
pub const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// ... and for the handshake: two round trips, and twice as long as the slowest line needs.
pub const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(5);
/// A node with the longest usual reading interval (60 s) keeps its connection.
pub const KEEP_ALIVE: Duration = Duration::from_secs(150);
/// Connections at once, each some 50 KB: ten times the nodes that one control plane is meant for.
pub const CONNECTIONS_MAX: usize = 2_048;
/// Handshakes under way at once: half of the connections. What costs CPU is done one after the other anyhow; with fewer, whoever
/// opens some sockets and says nothing keeps all nodes out.
pub const HANDSHAKES_MAX: usize = CONNECTIONS_MAX / 2;

/// ... and of one address (an IPv6 network of 64 bits): one host alone leaves fifteen sixteenths to all others. Enough for nodes behind
/// one address that all come back at once: a handshake takes milliseconds, and who is refused tries again.
pub const HANDSHAKES_PER_ORIGIN_MAX: usize = HANDSHAKES_MAX / 16;

/// How long a node waits for a connection, and for an answer. Longer than the control plane waits for its database.
pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// See [`CONNECT_TIME_MAX`].
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);
/// The largest answer: a few numbers, or three certificates.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;
