//! One lock file per thing that two test processes must not do at once (build an image, start a daemon).
//!
//! The kernel lets go of a lock when its holder dies, so a killed test leaves nothing locked.

use std::fs::{File, OpenOptions};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};

/// Holds the lock until dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

impl Lock {
    /// Waits for the lock file `path` and takes it.
    pub fn take(path: &Path) -> Result<Self> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)
                .with_context(|| format!("cannot make {}", directory.display()))?;
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .with_context(|| {
                format!(
                    "cannot open the lock file {} (the testbed runs as root)",
                    path.display()
                )
            })?;
        flock(&file, FlockOperation::LockExclusive)
            .with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(Self(file))
    }
}
