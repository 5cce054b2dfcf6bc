//! A disk whose server can be killed or told to fail: an image, nbdkit, nbdfuse, a loop device and ext4 on it.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::process::run;

/// A daemon of the chain is up after milliseconds; a busy machine takes longer.
const START_MAX: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(5);

/// The chain. Its parts are taken down from the top.
pub struct BlockDevice {
    dir: tempfile::TempDir,
    filter: Vec<String>,
    chain: Option<Chain>,
}

struct Chain {
    nbdkit: Child,
    nbdfuse: Child,
    fuse: PathBuf,
    loop_device: Option<String>,
    mounted: Option<PathBuf>,
}

impl BlockDevice {
    /// A fresh ext4 of `mib` MiB behind nbdkit with these arguments; `{dir}` in one is the device's own directory.
    pub fn new(mib: u64, filter: &[&str]) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("weirt-disk-").tempdir()?;
        let image = std::fs::File::create(dir.path().join("image"))?;
        image.set_len(mib << 20)?;
        for name in ["fuse", "mount"] {
            std::fs::create_dir(dir.path().join(name))?;
        }
        let here = dir.path().display().to_string();
        let filter = filter.iter().map(|argument| argument.replace("{dir}", &here)).collect();
        let path = dir.path().join("image").display().to_string();
        run("mkfs.ext4", &["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", &path])?;
        let mut device = Self { dir, filter, chain: None };
        device.start()?;
        Ok(device)
    }

    /// Where the file system is.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("mount")
    }

    /// The device's own directory, beside the file system.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Kills the server as a power cut does: what it had not been told to keep is gone. The file system is away.
    pub fn cut(&mut self) -> Result<()> {
        if let Some(chain) = &mut self.chain {
            chain.nbdkit.kill().context("nbdkit cannot be killed")?;
            chain.nbdkit.wait()?;
        }
        self.stop();
        Ok(())
    }

    /// Serves the image and mounts the file system, which replays its journal.
    pub fn start(&mut self) -> Result<()> {
        let socket = self.dir.path().join("socket");
        let _ = std::fs::remove_file(&socket);
        let nbdkit = Command::new("nbdkit")
            .args(["--foreground", "--exit-with-parent", "--unix"])
            .arg(&socket)
            .args(&self.filter)
            .env("TMPDIR", self.dir.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("nbdkit cannot be run; run testbed/install-packages test")?;
        let fuse = self.dir.path().join("fuse");
        let chain = self.chain.insert(Chain {
            nbdkit,
            nbdfuse: idle()?,
            fuse: fuse.clone(),
            loop_device: None,
            mounted: None,
        });
        wait_for(&socket, || Ok(()))?;
        let file = fuse.join("nbd");
        wait_for(&file, || {
            // The socket is there before nbdkit listens on it: an nbdfuse that came too early has ended.
            if chain.nbdfuse.try_wait()?.is_some() {
                chain.nbdfuse = nbdfuse(&file, &socket)?;
            }
            Ok(())
        })?;
        let device = run("losetup", &["--find", "--show", &file.display().to_string()])?.trim().to_owned();
        chain.loop_device = Some(device.clone());
        let mount = self.dir.path().join("mount");
        // Errors of the journal are the test's business: the default would be to go on in silence.
        run("mount", &["-t", "ext4", "-o", "errors=remount-ro", &device, &mount.display().to_string()])?;
        chain.mounted = Some(mount);
        Ok(())
    }

    /// Unmounts, which writes everything that can be written, and takes the chain down.
    pub fn stop(&mut self) {
        self.chain = None;
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        // Each part may be gone already; the next one has to go all the same.
        if let Some(mount) = &self.mounted
            && run("umount", &[&mount.display().to_string()]).is_err()
        {
            let _ = run("umount", &["--lazy", &mount.display().to_string()]);
        }
        if let Some(device) = &self.loop_device {
            let _ = run("losetup", &["--detach", device]);
        }
        let fuse = self.fuse.display().to_string();
        if run("fusermount3", &["-u", &fuse]).is_err() {
            let _ = run("fusermount3", &["-u", "-z", &fuse]);
        }
        for child in [&mut self.nbdfuse, &mut self.nbdkit] {
            end(child);
        }
    }
}

/// Asks a child to end, and makes it.
fn end(child: &mut Child) {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
            return;
        }
        std::thread::sleep(LOOK);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Stands for a child that is not there yet.
fn idle() -> Result<Child> {
    Ok(Command::new("true").spawn()?)
}

fn nbdfuse(file: &Path, socket: &Path) -> Result<Child> {
    Command::new("nbdfuse")
        .arg(file)
        .arg("--unix")
        .arg(socket)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("nbdfuse cannot be run; run testbed/install-packages test")
}

/// Waits for a file; `help` is asked before each look.
fn wait_for(path: &Path, mut help: impl FnMut() -> Result<()>) -> Result<()> {
    let until = Instant::now() + START_MAX;
    while !path.exists() {
        help()?;
        let is_in_time = Instant::now() < until;
        ensure!(is_in_time, "{} did not come; nbdkit and nbdfuse need /dev/fuse and root", path.display());
        std::thread::sleep(LOOK);
    }
    Ok(())
}
