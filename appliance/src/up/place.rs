//! The data directory: makes it, and sees to it that one `weir up` at a time uses it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

/// The lock; the directory is ours as long as it lives.
pub struct Place {
    _lock: File,
}

/// Makes the directory if it is not there and locks it.
///
/// # Errors
/// It cannot be made or written, or another process has it.
pub fn take(data_dir: &Path) -> Result<Place> {
    // Others may pass through (PostgreSQL's user must), but not look around.
    DirBuilder::new().recursive(true).mode(0o711).create(data_dir).with_context(|| {
        format!("the data directory {} cannot be made; name another: --data DIR", data_dir.display())
    })?;
    let path = data_dir.join("weir.lock");
    let mut lock =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).with_context(
            || {
                format!(
                    "the data directory {} cannot be written; mend that or name another: --data DIR",
                    data_dir.display()
                )
            },
        )?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        let _ = lock.read_to_string(&mut holder);
        bail!(
            "Weir already runs on {} (process {}); stop it first, or name another --data",
            data_dir.display(),
            holder.trim()
        );
    }
    let written =
        lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| writeln!(lock, "{}", std::process::id()));
    written.with_context(|| {
        format!("the data directory {} cannot be written; is the disk full or read-only?", data_dir.display())
    })?;
    Ok(Place { _lock: lock })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_weir_on_the_same_data_is_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = take(dir.path()).unwrap();
        let error = take(dir.path()).err().unwrap().to_string();
        assert!(error.contains("already runs") && error.contains(&std::process::id().to_string()), "{error}");
        drop(first);
        take(dir.path()).unwrap();
    }

    #[test]
    fn a_file_where_the_directory_should_be_is_one_clear_sentence() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = take(file.path()).err().unwrap().to_string();
        assert!(error.contains("cannot be made") && error.contains("--data"), "{error}");
    }
}
