//! `weir usage correct …`, `weir dimension …`: what the provider says of usage beside what was read. No behaviour.

use clap::{Args, Subcommand, ValueEnum};

use super::SpanArguments;
use crate::control::request::{CorrectionRequest, DimensionRequest};

/// `weir usage correct …`
#[derive(Debug, Subcommand)]
pub enum CorrectCommand {
    /// Remark something beside recorded usage. It changes no figure
    Annotate(CorrectArguments),
    /// Let recorded usage not count
    Exclude(CorrectArguments),
    /// Let more count than was recorded
    Add {
        /// Of what, when and why
        #[command(flatten)]
        which: CorrectArguments,
        /// How much, in the meter's base unit (ns, ms, bytes, KiB·s), spread evenly over the time
        #[arg(long)]
        quantity: u64,
    },
    /// The latest corrections, those that were withdrawn too
    List {
        /// Only this tenant's
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Let a correction not hold any more. It stays to be seen
    Withdraw {
        /// Its id
        correction_id: String,
        /// Why; the tenant reads it
        #[arg(long)]
        reason: String,
    },
}

/// Of what, when and why.
#[derive(Debug, Args)]
pub struct CorrectArguments {
    /// Which instance, by name or id; with a meter of volumes: which volume, by pool/name or id
    pub resource: String,
    /// The disk (such as vda) or NIC (its MAC), with a meter of disks or NICs
    #[arg(long)]
    pub device: Option<String>,
    /// Which meter, such as cpu_ns
    #[arg(long)]
    pub meter: String,
    /// Which time: whole usage windows
    #[command(flatten)]
    pub span: SpanArguments,
    /// Why; the tenant reads it
    #[arg(long)]
    pub reason: String,
}

/// `weir dimension …`
#[derive(Debug, Subcommand)]
pub enum DimensionCommand {
    /// Say what prices may depend on, from the next usage window on
    Set {
        /// Of what
        kind: KindWord,
        /// Which instance, by name or id, or volume, by pool/name or id
        resource: String,
        /// Of a disk (such as vda) or NIC (its MAC) of the instance [default: the instance with all its devices]
        #[arg(long)]
        device: Option<String>,
        /// What: such as licence=windows
        #[arg(value_name = "NAME=VALUE", value_parser = pair)]
        dimension: (String, String),
    },
    /// Take what was said back, from the next usage window on; what a rule gives holds again
    Unset {
        /// Of what
        kind: KindWord,
        /// Which instance, by name or id, or volume, by pool/name or id
        resource: String,
        /// Of a disk (such as vda) or NIC (its MAC) of the instance
        #[arg(long)]
        device: Option<String>,
        /// Which dimension, such as licence
        name: String,
    },
    /// What was ever said of an instance with its devices, or of a volume, by whom and from when on
    List {
        /// Of what
        kind: KindWord,
        /// Which instance, by name or id, or volume, by pool/name or id
        resource: String,
    },
}

/// What has dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KindWord {
    /// An instance, or one of its devices
    Instance,
    /// A volume
    Volume,
}

impl CorrectCommand {
    /// As a request.
    pub fn request(self) -> CorrectionRequest {
        match self {
            Self::Annotate(which) => which.request("annotate", None),
            Self::Exclude(which) => which.request("exclude", None),
            Self::Add { which, quantity } => which.request("add", Some(quantity)),
            Self::List { tenant } => CorrectionRequest::List { tenant },
            Self::Withdraw { correction_id, reason } => CorrectionRequest::Withdraw { correction_id, reason },
        }
    }
}

impl CorrectArguments {
    fn request(self, action: &str, quantity: Option<u64>) -> CorrectionRequest {
        CorrectionRequest::Make {
            resource: self.resource,
            device: self.device,
            meter: self.meter,
            from: self.span.from,
            to: self.span.to,
            action: action.to_owned(),
            quantity,
            reason: self.reason,
        }
    }
}

impl DimensionCommand {
    /// As a request.
    pub fn request(self) -> DimensionRequest {
        match self {
            Self::Set { kind, resource, device, dimension: (name, value) } => {
                DimensionRequest::Set { kind: kind.word(), resource, device, name, value: Some(value) }
            }
            Self::Unset { kind, resource, device, name } => {
                DimensionRequest::Set { kind: kind.word(), resource, device, name, value: None }
            }
            Self::List { kind, resource } => DimensionRequest::List { kind: kind.word(), resource },
        }
    }
}

impl KindWord {
    fn word(self) -> String {
        match self {
            Self::Instance => "instance".to_owned(),
            Self::Volume => "volume".to_owned(),
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE, such as licence=windows")?;
    Ok((name.to_owned(), value.to_owned()))
}
