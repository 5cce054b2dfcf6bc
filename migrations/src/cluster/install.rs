//! Finds PostgreSQL's programs where Debian puts them. It does NOT download or install.

use std::path::{Path, PathBuf};

use super::error::{ClusterError, io_error};

/// Debian's place; each major version has a directory with a `bin` in it.
const DEBIAN_ROOT: &str = "/usr/lib/postgresql";

/// The oldest version that Weir runs on: Debian 12's.
const OLDEST: u32 = 15;

/// The programs of one installed PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Programs {
    pub(crate) postgres: PathBuf,
    pub(crate) initdb: PathBuf,
    version: u32,
}

/// Where Debian and TimescaleDB's packages put what describes an extension, below the major version.
const SHARE_ROOT: &str = "/usr/share/postgresql";

impl Programs {
    /// The version that made the data in `pgdata`, or the newest one where there are none yet. `root` replaces
    /// Debian's place.
    pub(crate) fn find(root: Option<&Path>, pgdata: &Path) -> Result<Self, ClusterError> {
        let root = root.unwrap_or(Path::new(DEBIAN_ROOT));
        let wanted = version_of(pgdata)?;
        let installed = installed(root);
        let version = match wanted {
            Some(version) if installed.contains(&version) => version,
            Some(version) => {
                return Err(ClusterError::Version { data: pgdata.to_owned(), version });
            }
            None => installed
                .into_iter()
                .max()
                .ok_or_else(|| ClusterError::Package { searched: root.to_owned() })?,
        };
        let bin = root.join(version.to_string()).join("bin");
        Ok(Self { postgres: bin.join("postgres"), initdb: bin.join("initdb"), version })
    }

    /// Whether TimescaleDB is installed for this version, so that the server should load it.
    pub(crate) fn has_timescale(&self) -> bool {
        Path::new(SHARE_ROOT).join(self.version.to_string()).join("extension/timescaledb.control").is_file()
    }
}

/// The major version that made the data, or `None` where there are no data.
pub(crate) fn version_of(pgdata: &Path) -> Result<Option<u32>, ClusterError> {
    let path = pgdata.join("PG_VERSION");
    match std::fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse() {
            Ok(version) => Ok(Some(version)),
            Err(_) => Err(ClusterError::Foreign { path: pgdata.to_owned() }),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("read", &path)(error)),
    }
}

fn installed(root: &Path) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir(root) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|version| OLDEST <= *version)
        .filter(|version| {
            let bin = root.join(version.to_string()).join("bin");
            bin.join("postgres").is_file() && bin.join("initdb").is_file()
        })
        .collect()
}
