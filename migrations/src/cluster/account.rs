//! As whom PostgreSQL runs: ourselves, or, when we are root, an unprivileged user. It does NOT create users.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::Mode;
use rustix::process::Signal;

use super::error::{ClusterError, io_error};

/// The user whom Debian's package makes.
const DEFAULT_USER: &str = "postgres";

/// Nobody but PostgreSQL reads what it writes.
const UMASK: Mode = Mode::RWXG.union(Mode::RWXO);

/// Who runs PostgreSQL and owns its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Whether we are root and must become that user.
    pub(crate) is_switched: bool,
}

impl Account {
    /// Ourselves, or `user` (by default `postgres`) when we are root.
    pub(crate) fn resolve(user: Option<&str>) -> Result<Self, ClusterError> {
        let uid = rustix::process::geteuid();
        if !uid.is_root() {
            let name = lookup(&uid.as_raw().to_string()).map_or_else(|| uid.as_raw().to_string(), |a| a.name);
            let gid = rustix::process::getegid().as_raw();
            return Ok(Self { name, uid: uid.as_raw(), gid, is_switched: false });
        }
        let user = user.unwrap_or(DEFAULT_USER);
        lookup(user)
            .filter(|account| account.uid != 0)
            .ok_or_else(|| ClusterError::Account { user: user.to_owned() })
    }

    /// A command that runs as this account: no supplementary groups, an empty environment, nothing on its standard
    /// input, files closed to others, in a process group of its own so that a terminal's Ctrl-C reaches Weir first.
    ///
    /// `on_parent_death` is what the kernel sends when the *thread* that spawned it ends: spawn from one that lives
    /// as long as the child is wanted.
    pub(crate) fn command(&self, program: &Path, on_parent_death: Option<Signal>) -> Command {
        let mut command = Command::new(program);
        // Variables such as PGPORT, PGDATA or LD_PRELOAD are the user's, not ours.
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .process_group(0);
        if self.is_switched {
            // The standard library drops supplementary groups along with root.
            command.uid(self.uid).gid(self.gid);
        }
        let parent = std::process::id().cast_signed();
        // SAFETY: the closure runs between fork and exec, where only async-signal-safe calls are allowed. It makes
        // three system calls through rustix, which neither allocate nor take locks.
        unsafe {
            command.pre_exec(move || {
                rustix::process::umask(UMASK);
                let Some(signal) = on_parent_death else {
                    return Ok(());
                };
                // After the change of user, which would clear it.
                rustix::process::set_parent_process_death_signal(Some(signal))?;
                // The parent may have died just before.
                match rustix::process::getppid() {
                    Some(pid) if pid.as_raw_nonzero().get() == parent => Ok(()),
                    _ => Err(io::ErrorKind::BrokenPipe.into()),
                }
            });
        }
        command
    }

    /// Makes the account the owner of `path`, where that is somebody else.
    pub(crate) fn give(&self, path: &Path) -> Result<(), ClusterError> {
        if !self.is_switched {
            return Ok(());
        }
        std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid))
            .map_err(io_error("change the owner of", path))
    }

    /// Makes sure that the account can get to `data`: opens `data` itself for it when that is ours, and names the
    /// first directory above that it may not enter otherwise. `program` is any program that it may run.
    pub(crate) fn ensure_passage(&self, data: &Path, program: &Path) -> Result<(), ClusterError> {
        if !self.is_switched || self.can_enter(data, program)? {
            return Ok(());
        }
        let ancestors: Vec<_> = data.ancestors().skip(1).collect();
        for directory in ancestors.into_iter().rev() {
            if !self.can_enter(directory, program)? {
                return Err(self.not_traversable(directory));
            }
        }
        self.open(data)?;
        if self.can_enter(data, program)? { Ok(()) } else { Err(self.not_traversable(data)) }
    }

    /// Lets the account's group pass through `data` (not list it), when `data` is ours.
    fn open(&self, data: &Path) -> Result<(), ClusterError> {
        let metadata = data.metadata().map_err(io_error("look at", data))?;
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(self.not_traversable(data));
        }
        std::os::unix::fs::chown(data, None, Some(self.gid))
            .map_err(io_error("change the group of", data))?;
        let mode = (metadata.mode() & 0o707) | 0o010;
        std::fs::set_permissions(data, std::fs::Permissions::from_mode(mode))
            .map_err(io_error("change the mode of", data))
    }

    /// Tries it, as that user: mode bits alone do not tell (access lists, security modules).
    fn can_enter(&self, directory: &Path, program: &Path) -> Result<bool, ClusterError> {
        let outcome = self
            .command(program, Some(Signal::KILL))
            .arg("--version")
            .current_dir(directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match outcome {
            Ok(status) => Ok(status.success()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
            Err(error) => Err(io_error("run", program)(error)),
        }
    }

    fn not_traversable(&self, directory: &Path) -> ClusterError {
        ClusterError::NotTraversable { directory: directory.to_owned(), user: self.name.clone() }
    }
}

/// Asks the system's user database (which may be more than /etc/passwd).
fn lookup(user: &str) -> Option<Account> {
    let output = Command::new("/usr/bin/getent").args(["passwd", "--", user]).output().ok()?;
    let line = String::from_utf8(output.stdout).ok()?;
    let mut fields = line.lines().next()?.split(':');
    let name = fields.next()?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(Account { name, uid, gid, is_switched: true })
}
