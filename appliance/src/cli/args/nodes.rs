//! `weir node …`: further nodes, on the control plane and on the node. No behaviour.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `weir node …`
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Make this machine a node of a control plane: join it with a token, then meter and deliver. Ctrl-C stops it
    Join(JoinArguments),
    /// Run this node, which has joined, again
    Run(RunArguments),
    /// All nodes
    List {
        /// Removed ones too
        #[arg(long)]
        all: bool,
    },
    /// One node
    Show {
        /// Name or id
        node: String,
    },
    /// Place nothing new on a node; it is metered as before
    Drain {
        /// Name or id
        node: String,
        /// Place instances on it again
        #[arg(long)]
        undo: bool,
    },
    /// Take a node out: its certificate is revoked at once, what was metered stays
    Remove {
        /// Name or id
        node: String,
        /// Even if it works and instances run on it, which nobody will meter any more
        #[arg(long)]
        force: bool,
    },
    /// Tokens that let a node join
    #[command(subcommand)]
    Token(NodeTokenCommand),
}

/// `weir node token …`
#[derive(Debug, Subcommand)]
pub enum NodeTokenCommand {
    /// Make a token: it lets one node join, once, soon
    Create {
        /// Only a node of this name
        #[arg(long)]
        node: Option<String>,
        /// How long it may be used, up to 24h
        #[arg(long, default_value = "1h", value_name = "TIME")]
        life: String,
    },
    /// All tokens, and what became of them
    List,
    /// Make a token worthless that was not used yet
    Revoke {
        /// Its id
        token_id: String,
    },
}

/// `weir node join`
#[derive(Debug, Args)]
pub struct JoinArguments {
    /// The control plane, as `weir node token create` printed it: https://HOST:PORT
    pub url: String,

    /// The join token
    #[arg(long, env = "WEIR_JOIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: String,

    /// Join, and end: `weir node run` does the work later
    #[arg(long)]
    pub only_join: bool,

    /// How it runs.
    #[command(flatten)]
    pub run: RunArguments,
}

/// `weir node run`: flags are the last word, after the file and the environment.
#[derive(Clone, Debug, Default, Args)]
pub struct RunArguments {
    /// A TOML file [default: weir.toml in the data directory, else /etc/weir/weir.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// What the node is called; it counts at joining [default: the host's name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Which libvirt to meter
    #[arg(long, value_name = "URI")]
    pub libvirt_uri: Option<String>,

    /// How often everything is read, such as 60s
    #[arg(long, value_name = "TIME")]
    pub reading_interval: Option<String>,
}
