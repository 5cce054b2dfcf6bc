//! The three disks that tests break: one whose power is cut, one whose writes fail, one that is full.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::block_device::BlockDevice;
use crate::process::run;

/// A disk with a volatile cache: what no flush has reached is gone with the power.
pub struct PowerCut {
    device: BlockDevice,
}

impl PowerCut {
    /// A fresh one of `mib` MiB.
    ///
    /// # Errors
    /// A part of the chain cannot be set up.
    pub fn new(mib: u64) -> Result<Self> {
        let filter = ["--filter=cache", "file", "{dir}/image", "cache=writeback"];
        Ok(Self { device: BlockDevice::new(mib, &filter)? })
    }

    /// Where its file system is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.device.path()
    }

    /// Cuts the power. Whoever works on the disk gets errors until he ends.
    ///
    /// # Errors
    /// The server cannot be killed.
    pub fn cut(&mut self) -> Result<()> {
        self.device.cut()
    }

    /// Gives power again.
    ///
    /// # Errors
    /// The file system cannot be mounted.
    pub fn restore(&mut self) -> Result<()> {
        self.device.start()
    }
}

/// A disk whose writes fail with EIO while it is told so.
pub struct FailingDisk {
    device: BlockDevice,
}

impl FailingDisk {
    /// A fresh one of `mib` MiB, which works.
    ///
    /// # Errors
    /// A part of the chain cannot be set up.
    pub fn new(mib: u64) -> Result<Self> {
        let filter = [
            "--filter=error",
            "file",
            "{dir}/image",
            "error=EIO",
            "error-pwrite-rate=100%",
            "error-pwrite-file={dir}/inject",
        ];
        Ok(Self { device: BlockDevice::new(mib, &filter)? })
    }

    /// Where its file system is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.device.path()
    }

    /// From now on every write of a block fails.
    ///
    /// # Errors
    /// The switch cannot be set.
    pub fn fail(&self) -> Result<()> {
        std::fs::write(self.switch(), b"").context("the fault cannot be switched on")
    }

    /// From now on writes work. The file system may have gone read-only meanwhile: see [`Self::remount`].
    ///
    /// # Errors
    /// The switch cannot be set.
    pub fn heal(&self) -> Result<()> {
        std::fs::remove_file(self.switch()).context("the fault cannot be switched off")
    }

    /// Unmounts and mounts again, as an operator does after the fault.
    ///
    /// # Errors
    /// The file system cannot be mounted.
    pub fn remount(&mut self) -> Result<()> {
        self.device.stop();
        self.device.start()
    }

    fn switch(&self) -> PathBuf {
        self.device.dir().join("inject")
    }
}

/// A small file system that can be filled.
pub struct FullDisk {
    dir: tempfile::TempDir,
    is_mounted: bool,
}

impl FullDisk {
    /// A tmpfs of `mib` MiB.
    ///
    /// # Errors
    /// It cannot be mounted.
    pub fn tmpfs(mib: u64) -> Result<Self> {
        let mut disk = Self::empty()?;
        let path = disk.path().display().to_string();
        run("mount", &["-t", "tmpfs", "-o", &format!("size={mib}m"), "none", &path])?;
        disk.is_mounted = true;
        Ok(disk)
    }

    /// An ext4 of `mib` MiB on a loop device, with the allocation that real disks have.
    ///
    /// # Errors
    /// It cannot be made or mounted.
    pub fn ext4(mib: u64) -> Result<Self> {
        let mut disk = Self::empty()?;
        let image = disk.dir.path().join("image");
        std::fs::File::create(&image)?.set_len(mib << 20)?;
        let image = image.display().to_string();
        run("mkfs.ext4", &["-q", "-F", "-m", "0", &image])?;
        run("mount", &["-o", "loop", &image, &disk.path().display().to_string()])?;
        disk.is_mounted = true;
        Ok(disk)
    }

    fn empty() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("weirt-full-").tempdir()?;
        std::fs::create_dir(dir.path().join("mount"))?;
        Ok(Self { dir, is_mounted: false })
    }

    /// Where the file system is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("mount")
    }

    /// Fills it to the last byte with a file of someone else's.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn fill(&self) -> Result<()> {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(self.filler())?;
        for size in [1 << 20, 1 << 16, 1 << 12, 1 << 9, 1] {
            let block = vec![0xA5; size];
            while file.write_all(&block).is_ok() {}
        }
        let _ = file.sync_all();
        Ok(())
    }

    /// Removes that file.
    ///
    /// # Errors
    /// It is not there.
    pub fn free(&self) -> Result<()> {
        std::fs::remove_file(self.filler()).context("the disk was not filled")
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        if self.is_mounted {
            unmount(&self.path());
        }
    }
}

fn unmount(path: &Path) {
    let path = path.display().to_string();
    if run("umount", &[&path]).is_err() {
        let _ = run("umount", &["--lazy", &path]);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;

    #[test]
    fn a_power_cut_keeps_what_was_flushed_and_nothing_else() {
        let mut disk = PowerCut::new(24).unwrap();
        let write = |name: &str| {
            let mut file = File::create(disk.path().join(name)).unwrap();
            file.write_all(&[7; 4_096]).unwrap();
            file
        };
        write("flushed").sync_all().unwrap();
        File::open(disk.path()).unwrap().sync_all().unwrap();
        drop(write("unflushed"));
        disk.cut().unwrap();
        disk.restore().unwrap();
        assert_eq!(std::fs::read(disk.path().join("flushed")).unwrap(), [7; 4_096]);
        let unflushed = std::fs::read(disk.path().join("unflushed")).unwrap_or_default();
        assert_ne!(unflushed, [7; 4_096], "a cut that loses nothing tests nothing");
    }

    #[test]
    fn a_failing_disk_fails_a_flush_and_works_again_when_it_is_told_to() {
        let mut disk = FailingDisk::new(24).unwrap();
        let write = |name: &str| {
            let mut file = File::create(disk.path().join(name))?;
            file.write_all(&[7; 4_096])?;
            file.sync_all()
        };
        write("before").unwrap();
        disk.fail().unwrap();
        let error = write("during").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5), "{error}");
        disk.heal().unwrap();
        disk.remount().unwrap();
        let mut file = File::create(disk.path().join("after")).unwrap();
        file.write_all(b"x").unwrap();
        file.sync_all().unwrap();
        assert_eq!(std::fs::read(disk.path().join("before")).unwrap(), [7; 4_096]);
    }

    #[test]
    fn a_full_disk_takes_no_byte_more_until_it_is_freed() {
        for disk in [FullDisk::tmpfs(2).unwrap(), FullDisk::ext4(8).unwrap()] {
            disk.fill().unwrap();
            assert!(std::fs::write(disk.path().join("more"), [1; 8_192]).is_err());
            disk.free().unwrap();
            std::fs::write(disk.path().join("more"), [1; 8_192]).unwrap();
        }
    }
}
