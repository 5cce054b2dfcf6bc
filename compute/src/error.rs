//! What can go wrong, in sentences that say how to mend it, and what kind of trouble it is.
//!
//! It knows no status codes: a front maps [`ErrorKind`] to its own.

use metering::InstanceId;

use crate::image::ImageError;
use crate::instance::InstanceRef;
use crate::libvirt::LibvirtFault;

/// Why an action was not done.
#[derive(Debug, thiserror::Error)]
pub enum ComputeError {
    /// What was asked for cannot be had; nothing was touched.
    #[error("{0}")]
    Invalid(String),
    /// The image cannot be used; nothing was touched.
    #[error("the image {path} is refused")]
    Image {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: ImageError,
    },
    /// No such instance.
    #[error("there is no instance {0}: `weir instance list` shows what there is")]
    NotFound(InstanceRef),
    /// The name is taken.
    #[error("an instance named {0:?} exists already: choose another name, or delete that one first")]
    NameTaken(String),
    /// The id is taken.
    #[error("an instance with the id {0} exists already")]
    IdTaken(InstanceId),
    /// The instance, a network or a pool is in a state in which this cannot be done; the text says how to mend it.
    #[error("{0}")]
    Conflict(String),
    /// The guest did not let go of a device in time. It stays attached and metered.
    #[error(
        "the guest did not let go of {device} within {seconds} s, so it stays attached: let the guest unmount it (its system must be up and support ACPI hot-plug), then try again; or stop the instance and remove it then"
    )]
    GuestHolds {
        /// The disk's target or the NIC's MAC address.
        device: String,
        /// How long was waited.
        seconds: u64,
    },
    /// libvirt could not be reached, or went away during the action.
    #[error("libvirt at {uri} does not answer: is libvirtd running, and may this user use it?")]
    Unreachable {
        /// Where.
        uri: String,
        /// Why.
        #[source]
        source: LibvirtFault,
    },
    /// libvirt refused or failed.
    #[error("cannot {doing}{hint}")]
    Libvirt {
        /// What was being done.
        doing: String,
        /// What often mends it, beginning with a colon; or nothing.
        hint: &'static str,
        /// What libvirt says.
        #[source]
        source: LibvirtFault,
    },
    /// A file or a thread could not be had from the operating system.
    #[error("cannot {doing}")]
    System {
        /// What was being done.
        doing: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Neither of two things that cannot be: libvirt's XML is unreadable, or an action broke off.
    #[error("internal error: {0}")]
    Internal(String),
    /// [`crate::Compute::stop_thread`] was called.
    #[error("Weir is stopping: no more actions are taken")]
    Stopped,
}

/// What kind of trouble it is, for a front that has to say it in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is at fault.
    Invalid,
    /// There is no such thing.
    NotFound,
    /// It exists already, or its state does not allow this.
    Conflict,
    /// Try again later.
    Unavailable,
    /// Our or the hypervisor's fault.
    Internal,
}

impl ComputeError {
    /// What kind of trouble it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) | Self::Image { .. } => ErrorKind::Invalid,
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::NameTaken(_) | Self::IdTaken(_) | Self::Conflict(_) | Self::GuestHolds { .. } => {
                ErrorKind::Conflict
            }
            Self::Unreachable { .. } | Self::Stopped => ErrorKind::Unavailable,
            Self::Libvirt { .. } | Self::System { .. } | Self::Internal(_) => ErrorKind::Internal,
        }
    }
}
