//! What is in an image file, found out without trusting it.
//!
//! The format is decided here, by the first bytes, and only raw and qcow2 are known; `qemu-img` is then told the format
//! and never guesses, runs under limits, and what it says about other files (backing, data) is a reason to refuse.
//! It does not copy or convert.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::size::ByteSize;

/// Address space of `qemu-img info`: it maps its libraries (about 200 MiB) and reads a header. The figure is OpenStack
/// Nova's class of limit for the same command.
const QEMU_IMG_MEMORY: u64 = 1 << 30;
/// CPU seconds of `qemu-img info`: an honest header takes milliseconds.
const QEMU_IMG_CPU_SECONDS: u64 = 5;
/// Seconds by the clock, for storage that hangs.
const QEMU_IMG_LIMIT: Duration = Duration::from_secs(20);
/// Most of its answer that is read: one of an image without other files has under 1 KiB.
const MAX_ANSWER: u64 = 256 * 1024;
/// The bytes that end a boot sector: without them nothing boots from a raw disk under BIOS.
const BOOT_SIGNATURE: [u8; 2] = [0x55, 0xaa];

/// The formats that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageFormat {
    /// The bytes of the disk.
    Raw,
    /// QEMU's copy-on-write format, version 2 or 3.
    Qcow2,
}

/// A checked image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) path: PathBuf,
    pub(crate) format: ImageFormat,
    /// Size of the disk that the guest sees.
    pub(crate) virtual_size: ByteSize,
}

/// Why an image was refused.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It cannot be read.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// Neither raw nor qcow2.
    #[error(
        "it is neither a qcow2 image nor a bootable raw disk (no boot signature at byte 510): convert it with `qemu-img convert -O qcow2`"
    )]
    UnknownFormat,
    /// It refers to another file.
    #[error(
        "it refers to another file ({0}), which could be any file of this machine: flatten it with `qemu-img convert -O qcow2`"
    )]
    RefersTo(&'static str),
    /// It is encrypted.
    #[error("it is encrypted: decrypt it first")]
    Encrypted,
    /// It is damaged.
    #[error("it is marked as damaged: repair it with `qemu-img check -r all`")]
    Corrupt,
    /// Not a whole number of sectors.
    #[error(
        "its size of {0} bytes is no whole number of 512-byte sectors: convert it with `qemu-img convert -O qcow2`"
    )]
    OddSize(u64),
    /// `qemu-img` cannot be run.
    #[error("qemu-img cannot be run: install qemu-utils")]
    NoQemuImg(#[source] io::Error),
    /// `qemu-img` took too long or too much.
    #[error("qemu-img did not finish within its limits ({} s, {} MiB)", QEMU_IMG_LIMIT.as_secs(), QEMU_IMG_MEMORY >> 20)]
    Limits,
    /// `qemu-img` refuses it.
    #[error("qemu-img cannot read it: {0}")]
    Unreadable(String),
}

impl ImageFormat {
    /// As QEMU and libvirt call it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// Looks into an image. `path` is absolute, so that QEMU cannot take it for a protocol.
pub(crate) async fn inspect(path: &Path) -> Result<Image, ImageError> {
    let format = format_of(path)?;
    let answer = qemu_img_info(path, format).await?;
    let virtual_size = judge(&answer)?;
    Ok(Image { path: path.to_owned(), format, virtual_size })
}

fn format_of(path: &Path) -> Result<ImageFormat, ImageError> {
    let mut file = File::open(path).map_err(ImageError::Read)?;
    let mut start = [0; 8];
    match file.read_exact(&mut start) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(ImageError::UnknownFormat),
        Err(error) => return Err(ImageError::Read(error)),
    }
    let version = u32::from_be_bytes([start[4], start[5], start[6], start[7]]);
    if start.starts_with(b"QFI\xfb") {
        return if matches!(version, 2 | 3) {
            Ok(ImageFormat::Qcow2)
        } else {
            Err(ImageError::UnknownFormat)
        };
    }
    let mut signature = [0; 2];
    file.seek(SeekFrom::Start(510)).map_err(ImageError::Read)?;
    match file.read_exact(&mut signature) {
        Ok(()) if signature == BOOT_SIGNATURE => Ok(ImageFormat::Raw),
        Ok(()) => Err(ImageError::UnknownFormat),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ImageError::UnknownFormat),
        Err(error) => Err(ImageError::Read(error)),
    }
}

async fn qemu_img_info(path: &Path, format: ImageFormat) -> Result<String, ImageError> {
    let mut command = Command::new("qemu-img");
    // -U: another guest may have it open as its backing file.
    command.args(["info", "-U", "--output=json", "-f", format.as_str()]).arg(path);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // SAFETY: between fork and exec only setrlimit is called, which is async-signal-safe and allocates nothing.
    unsafe { command.pre_exec(limit_this_process) };
    let mut child = command.spawn().map_err(ImageError::NoQemuImg)?;
    let finished = tokio::time::timeout(QEMU_IMG_LIMIT, async {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            let (mut stdout, mut stderr) = (stdout.take(MAX_ANSWER), stderr.take(MAX_ANSWER));
            tokio::try_join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err))?;
        }
        Ok::<_, io::Error>((child.wait().await?, out, err))
    });
    let (status, out, err) =
        finished.await.map_err(|_| ImageError::Limits)?.map_err(ImageError::NoQemuImg)?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&out).into_owned());
    }
    if status.code().is_none() {
        return Err(ImageError::Limits);
    }
    let said: String =
        String::from_utf8_lossy(&err).trim().trim_start_matches("qemu-img: ").chars().take(300).collect();
    Err(ImageError::Unreadable(said))
}

fn limit_this_process() -> io::Result<()> {
    let limit = |most| Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(Resource::As, limit(QEMU_IMG_MEMORY))?;
    setrlimit(Resource::Cpu, limit(QEMU_IMG_CPU_SECONDS))?;
    // It only reads.
    setrlimit(Resource::Fsize, limit(0))?;
    setrlimit(Resource::Core, limit(0))?;
    Ok(())
}

/// What of the answer of `qemu-img info` decides.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    virtual_size: u64,
    backing_filename: Option<String>,
    full_backing_filename: Option<String>,
    #[serde(default)]
    encrypted: bool,
    format_specific: Option<FormatSpecific>,
}

#[derive(Deserialize)]
struct FormatSpecific {
    #[serde(default)]
    data: FormatData,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct FormatData {
    data_file: Option<String>,
    data_file_raw: Option<bool>,
    #[serde(default)]
    corrupt: bool,
    encrypt: Option<serde_json::Value>,
}

fn judge(answer: &str) -> Result<ByteSize, ImageError> {
    let info: Info =
        serde_json::from_str(answer).map_err(|error| ImageError::Unreadable(error.to_string()))?;
    let data = info.format_specific.map(|specific| specific.data).unwrap_or_default();
    if info.backing_filename.is_some() || info.full_backing_filename.is_some() {
        return Err(ImageError::RefersTo("a backing file"));
    }
    if data.data_file.is_some() || data.data_file_raw == Some(true) {
        return Err(ImageError::RefersTo("an external data file"));
    }
    if info.encrypted || data.encrypt.is_some() {
        return Err(ImageError::Encrypted);
    }
    if data.corrupt {
        return Err(ImageError::Corrupt);
    }
    if info.virtual_size == 0 || !info.virtual_size.is_multiple_of(512) {
        return Err(ImageError::OddSize(info.virtual_size));
    }
    Ok(ByteSize::from_bytes(info.virtual_size))
}
