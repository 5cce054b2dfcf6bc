//! Where the private cluster's files lie, and who may read them. It does NOT know what PostgreSQL puts in them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::account::Account;
use super::error::{ClusterError, io_error};

/// The port is part of the socket's name and means nothing else.
pub(crate) const PORT: u16 = 5432;

/// `sun_path` of a Unix socket's address holds 108 bytes with the closing NUL.
const SOCKET_PATH_MAX: usize = 107;

/// PostgreSQL keeps paths in 1024 bytes; the rest is for what it appends.
const DATA_PATH_MAX: usize = 800;

/// The directories and files of one private cluster.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// Weir's data directory, canonical.
    pub(crate) data: PathBuf,
    /// PostgreSQL's own directory.
    pub(crate) pgdata: PathBuf,
    /// Where `initdb` works before it counts.
    pub(crate) unfinished: PathBuf,
    pub(crate) secrets: PathBuf,
    pub(crate) log: PathBuf,
}

impl Layout {
    /// Makes the data directory where it is missing.
    pub(crate) fn prepare(data: &Path) -> Result<Self, ClusterError> {
        let refuse = |reason| Err(ClusterError::Path { data: data.to_owned(), reason });
        // PostgreSQL writes paths into line-based files.
        if data.as_os_str().as_bytes().iter().any(u8::is_ascii_control) {
            return refuse("its name has a line break or another control character");
        }
        std::fs::create_dir_all(data).map_err(io_error("create", data))?;
        let data = data.canonicalize().map_err(io_error("find", data))?;
        if DATA_PATH_MAX < data.as_os_str().len() {
            return refuse("its name is longer than 800 bytes, which PostgreSQL cannot hold");
        }
        let layout = Self {
            pgdata: data.join("postgres"),
            unfinished: data.join("postgres.unfinished"),
            secrets: data.join("secrets"),
            log: data.join("log"),
            data,
        };
        make_dir(&layout.secrets, 0o700)?;
        make_dir(&layout.log, 0o750)?;
        Ok(layout)
    }

    pub(crate) fn log_file(&self) -> PathBuf {
        self.log.join("postgres.log")
    }

    /// Takes the data directory for this process, until the file is dropped (or the process dies).
    pub(crate) fn lock(&self) -> Result<File, ClusterError> {
        let path = self.data.join("cluster.lock");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(io_error("open", &path))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                // Only to name the other process; without it the sentence is shorter.
                let _ = file.read_to_string(&mut text);
                return Err(ClusterError::InUse { data: self.data.clone(), pid: text.trim().parse().ok() });
            }
            Err(error) => return Err(io_error("lock", &path)(error.into())),
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(io_error("write", &path))?;
        Ok(file)
    }

    /// The directory of the socket: in the data directory, or, where its name is too long for a socket or would need
    /// quoting, a short one that belongs to this data directory alone.
    pub(crate) fn socket_dir(&self, account: &Account) -> Result<PathBuf, ClusterError> {
        let own = self.data.join("run");
        if is_fit_for_socket(&own) {
            make_dir(&own, 0o700)?;
            account.give(&own)?;
            return Ok(own);
        }
        let digest = Sha256::digest(self.data.as_os_str().as_bytes());
        let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let runtime = if account.is_switched {
            Some(PathBuf::from("/run"))
        } else {
            std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute())
        };
        let candidates = runtime.into_iter().chain([PathBuf::from("/tmp")]);
        let mut failure = None;
        for directory in candidates.map(|parent| parent.join(format!("weir-{name}"))) {
            if !is_fit_for_socket(&directory) {
                continue;
            }
            match own_dir(&directory, account) {
                Ok(()) => return Ok(directory),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.expect("/tmp/weir-<16 digits> is fit for a socket, so it was tried"))
    }

    /// The password of `role`: read, or drawn and written when there is none. The flag says that it is new.
    pub(crate) fn password(&self, role: &str) -> Result<(String, bool), ClusterError> {
        let path = self.password_file(role);
        match std::fs::read_to_string(&path) {
            Ok(password) if !password.trim().is_empty() => return Ok((password.trim().to_owned(), false)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("read", &path)(error)),
        }
        // Two random uuids: 244 bits from the operating system's generator.
        let password = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        write_private(&path, &password, None)?;
        Ok((password, true))
    }

    pub(crate) fn password_file(&self, role: &str) -> PathBuf {
        self.secrets.join(format!("postgres-{role}"))
    }
}

/// Writes a file that only its owner reads, so that after a crash it is there whole or not at all. Works in a
/// directory that somebody else owns: no symbolic link is followed.
pub(crate) fn write_private(path: &Path, text: &str, owner: Option<&Account>) -> Result<(), ClusterError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let unfinished = PathBuf::from(name);
    let write = || {
        remove_if_there(&unfinished)?;
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        if let Some(account) = owner.filter(|account| account.is_switched) {
            std::os::unix::fs::fchown(&file, Some(account.uid), Some(account.gid))?;
        }
        file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        sync_parent(path)
    };
    write().map_err(io_error("write", path))
}

/// Makes a rename in the directory of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn make_dir(path: &Path, mode: u32) -> Result<(), ClusterError> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(io_error("create", path)(error)),
        _ => Ok(()),
    }
}

/// Makes a directory in a place that others can write to, or takes the one of an earlier run: a real directory that
/// the account owns, not somebody's trap.
pub(crate) fn own_dir(path: &Path, account: &Account) -> Result<(), ClusterError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => account.give(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let metadata = path.symlink_metadata().map_err(io_error("look at", path))?;
            if !metadata.is_dir() || metadata.uid() != account.uid {
                return Err(ClusterError::Foreign { path: path.to_owned() });
            }
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
                .map_err(io_error("change the mode of", path))
        }
        Err(error) => Err(io_error("create", path)(error)),
    }
}

fn is_fit_for_socket(directory: &Path) -> bool {
    let bytes = directory.as_os_str().as_bytes();
    let socket = format!("/.s.PGSQL.{PORT}");
    bytes.len() + socket.len() <= SOCKET_PATH_MAX
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_long_or_needs_quoting_is_no_place_for_a_socket() {
        let check = |path: &str, fit: bool| assert_eq!(is_fit_for_socket(Path::new(path)), fit, "{path:?}");
        check("/var/lib/weir/run", true);
        check("/home/it's mine/run", false);
        check("/data/a,b", false);
        check("/data/\"quoted\"", false);
        check("/data/größe", false);
        check(&format!("/{}", "a".repeat(107 - 1 - "/.s.PGSQL.5432".len())), true);
        check(&format!("/{}", "a".repeat(107 - "/.s.PGSQL.5432".len())), false);
    }
}
