//! Why a node or an operator is told no. Texts are for people; what a program must tell apart is a variant.

use std::path::PathBuf;

use jiff::Timestamp;
use migrations::DbError;

/// A failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum NodesError {
    /// The authority's certificate is there without its key.
    #[error(
        "the key {} is gone, and its certificate is not; put it back from a backup, or, if there is none, remove that \
         directory: then all nodes have to join again",
        path.display()
    )]
    KeyLost {
        /// Where it was.
        path: PathBuf,
    },
    /// A file of the authority or of an identity.
    #[error("{} cannot be {doing}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What was tried: "read", "written".
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },

    /// A certificate or key that cannot be made or read.
    #[error("the {what} cannot be {doing}")]
    Certificate {
        /// Which.
        what: &'static str,
        /// What was tried: "made", "read".
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: rcgen::Error,
    },

    /// TLS that cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),

    /// The kernel gives no random bytes.
    #[error("the kernel gives no random bytes: {0}")]
    Random(getrandom::Error),

    /// Not a join token at all.
    #[error(
        "this is no join token: copy the whole word that `weir node token create` printed, from weir-join- on"
    )]
    NoToken,

    /// A token that does not open anything.
    #[error("the join token {why}; make another one with `weir node token create` on the control plane")]
    TokenRefused {
        /// What is the matter with it.
        why: String,
    },

    /// A token that was never made here, or was forgotten.
    #[error(
        "the join token is not known here; make another one with `weir node token create` on the control plane"
    )]
    TokenUnknown,

    /// A token's life that is no use.
    #[error("a join token lives from 1 minute to 24 hours")]
    TokenLife,

    /// Not a name for a node.
    #[error(
        "{shown:?} is no name for a node: write 1 to 63 letters, digits, '-', '_' or '.', a letter or digit first"
    )]
    Name {
        /// What was given, cut.
        shown: String,
    },

    /// The name belongs to another node.
    #[error("there is a node {name} already; join under another name (--name), or remove that one first")]
    NameTaken {
        /// Which.
        name: String,
    },

    /// The identity belongs to a node that works.
    #[error(
        "node {name} has this node's id and was heard at {heard_at}: this data directory is a copy of another machine's; \
         join with an empty one (--data), or remove {name} first"
    )]
    IdentityTaken {
        /// Who has it.
        name: String,
        /// When it was last heard.
        heard_at: Timestamp,
    },

    /// The identity is the control plane's own.
    #[error("this data directory is a copy of the control plane's own; join with an empty one (--data)")]
    OwnIdentity,

    /// A certificate request that cannot be granted.
    #[error("the certificate request is not right")]
    Request(#[source] rcgen::Error),

    /// No such node.
    #[error("there is no node {asked:?}: `weir node list` shows those that there are")]
    NoNode {
        /// What was asked for, cut.
        asked: String,
    },

    /// Several nodes have the name.
    #[error("several nodes are called {asked:?}: say which by its id (`weir node list --json`)")]
    Ambiguous {
        /// The name, cut.
        asked: String,
    },

    /// A node that works is not removed by mistake.
    #[error(
        "node {name} was heard at {heard_at} and has {running} running instances, which nobody would meter any more; \
         drain it and move or stop them first, or say --force"
    )]
    Busy {
        /// Which.
        name: String,
        /// When it was last heard.
        heard_at: Timestamp,
        /// How many run on it.
        running: u64,
    },

    /// The control plane's own node is no further node.
    #[error(
        "node {name} is the control plane's own; stop metering it with collector.enabled = false instead"
    )]
    Own {
        /// Which.
        name: String,
    },

    /// No such token.
    #[error("there is no unused token {asked:?}: `weir node token list` shows those that there are")]
    NoSuchToken {
        /// What was asked for, cut.
        asked: String,
    },

    /// The database.
    #[error("the register of nodes could not be asked")]
    Store(#[source] DbError),
}

impl<E: Into<DbError>> From<E> for NodesError {
    fn from(source: E) -> Self {
        Self::Store(source.into())
    }
}

/// How much of what somebody typed is repeated to them.
const SHOWN_MAX: usize = 80;

pub(crate) fn shown(asked: &str) -> String {
    asked.chars().take(SHOWN_MAX).collect()
}
