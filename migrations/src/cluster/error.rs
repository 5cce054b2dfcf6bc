//! Why the private PostgreSQL could not be made or started, each in one sentence that says how to mend it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A failure to make, start or reach the private cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No usable PostgreSQL under /usr/lib/postgresql.
    #[error("PostgreSQL 15 or newer is not installed in {}; run: apt-get install postgresql-15", searched.display())]
    Package {
        /// Where it was looked for.
        searched: PathBuf,
    },

    /// The data were made by a version that is not installed.
    #[error(
        "the data in {} were made by PostgreSQL {version}, which is not installed; \
         run: apt-get install postgresql-{version}", data.display()
    )]
    Version {
        /// PostgreSQL's data directory.
        data: PathBuf,
        /// Its major version.
        version: u32,
    },

    /// We are root, PostgreSQL refuses root, and there is nobody else to run it as.
    #[error(
        "PostgreSQL refuses to run as root, and there is no unprivileged user {user:?} to run it as; \
         install Debian's package postgresql-15, which makes the user postgres, or name another user"
    )]
    Account {
        /// The user that was looked up.
        user: String,
    },

    /// The unprivileged user cannot get to the data directory.
    #[error(
        "the user {user}, as which PostgreSQL runs, may not enter {}; let it pass (chmod o+x {}) \
         or choose another data directory, such as /var/lib/weir", directory.display(), quoted(directory)
    )]
    NotTraversable {
        /// The first directory on the way that it may not enter.
        directory: PathBuf,
        /// Who may not.
        user: String,
    },

    /// Another Weir works in this data directory.
    #[error("another Weir{} already runs in {}; stop it or choose another data directory", who(*pid), data.display())]
    InUse {
        /// The data directory.
        data: PathBuf,
        /// The other's process, where it could be read.
        pid: Option<u32>,
    },

    /// PostgreSQL cannot live in a directory of this name.
    #[error("the data directory {data:?} cannot be used: {reason}")]
    Path {
        /// The data directory.
        data: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// The disk is full.
    #[error("the disk that holds {} is full; make room and start again", path.display())]
    DiskFull {
        /// What was being written.
        path: PathBuf,
    },

    /// The disk is mounted read-only.
    #[error("{} lies on a read-only disk; remount it or choose another data directory", path.display())]
    ReadOnly {
        /// What was to be written.
        path: PathBuf,
    },

    /// Another failure of the file system.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// A verb.
        what: &'static str,
        /// Its object.
        path: PathBuf,
        /// The system's own words.
        #[source]
        source: io::Error,
    },

    /// A directory of the right name holds something else.
    #[error("{} is not a PostgreSQL data directory of Weir's; move it away and start again", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
    },

    /// The cluster is there, its superuser's password is not.
    #[error(
        "{} is missing, and without it nobody can log in to the data beside it; put it back from a backup",
        path.display()
    )]
    SecretLost {
        /// The file.
        path: PathBuf,
    },

    /// `initdb` failed.
    #[error("initdb could not make the database in {}: {output}", data.display())]
    Initdb {
        /// The directory.
        data: PathBuf,
        /// The last lines that it printed.
        output: String,
    },

    /// `postgres` ended before it could be used.
    #[error("PostgreSQL did not start: {output} (see {})", log.display())]
    Start {
        /// The telling lines of its log.
        output: String,
        /// The log.
        log: PathBuf,
    },

    /// `postgres` runs but cannot be used.
    #[error("PostgreSQL was not ready after {} s; see {}", waited.as_secs(), log.display())]
    NotReady {
        /// How long it was given.
        waited: Duration,
        /// The log.
        log: PathBuf,
    },

    /// A process of an earlier run cannot be ended.
    #[error("PostgreSQL process {pid} of an earlier run does not end; end it by hand")]
    Orphan {
        /// Its id.
        pid: i32,
    },

    /// Making the database and its owner failed.
    #[error("the private database could not be set up")]
    Setup(#[source] tokio_postgres::Error),
}

/// Turns a file system error into the sentence that fits it.
pub(super) fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ClusterError {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ClusterError::DiskFull { path },
        io::ErrorKind::ReadOnlyFilesystem => ClusterError::ReadOnly { path },
        _ => ClusterError::Io { what, path, source },
    }
}

/// The same for a program's output, which carries the C library's English words (`LC_ALL` is C.UTF-8).
pub(super) fn disk_error(output: &str, path: &Path) -> Option<ClusterError> {
    if output.contains("No space left on device") {
        return Some(ClusterError::DiskFull { path: path.to_owned() });
    }
    output.contains("Read-only file system").then(|| ClusterError::ReadOnly { path: path.to_owned() })
}

fn who(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// The path as one word for a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}
