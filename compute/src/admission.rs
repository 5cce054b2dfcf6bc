//! What may be asked for: every input is checked here before anything is touched.
//!
//! It looks at files (are they there, are they regular) but not at libvirt: whether a name is taken or a network runs
//! is asked where it is used. Quotas are the caller's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use metering::{InstanceId, TenantName};
use uuid::Uuid;

use crate::error::ComputeError;
use crate::image::{self, Image};
use crate::size::ByteSize;
use crate::spec::{Boot, InstanceSpec};

/// The longest name of an instance. libvirt makes file names of it and adds up to 20 characters; a file name holds
/// 255 bytes. 64 is what a host name may have (Linux' HOST_NAME_MAX), and fits into a table.
///
/// A name is 1 to 64 of `A-Z`, `a-z`, `0-9`, `.`, `_` and `-`, and begins with a letter or digit. libvirt itself
/// refuses only empty names, `/`, newlines and `.`; the rest is left out because names become parts of paths and of
/// QEMU's arguments. A name that reads as a UUID is refused, because it would hide the instance of that id.
pub const MAX_NAME_LENGTH: usize = 64;

/// Most virtual processors: machine type `pc` takes 255, guests need no more than the largest host that we tested.
pub const MAX_VCPUS: u32 = 128;

/// Least memory: SeaBIOS and a small kernel start in it.
pub const MIN_MEMORY: ByteSize = ByteSize::from_mib(16);

/// Most memory, against slips of a unit; the node's own memory is the real limit and is checked too.
pub const MAX_MEMORY: ByteSize = ByteSize::from_gib(4096);

/// Smallest disk.
pub const MIN_DISK: ByteSize = ByteSize::from_mib(1);

/// Largest disk, against slips of a unit: a qcow2 file of 64 KiB clusters can be larger, few hosts can.
pub const MAX_DISK: ByteSize = ByteSize::from_gib(64 * 1024);

/// Most disks of an instance, and most NICs: a `pc` machine has 32 PCI slots and uses some itself.
pub const MAX_DEVICES: usize = 12;

/// The longest kernel command line: x86 Linux' COMMAND_LINE_SIZE, with its final zero.
pub const MAX_CMDLINE_BYTES: usize = 2047;

/// The longest name of a network that is looked up.
pub const MAX_NETWORK_NAME_LENGTH: usize = 64;

/// The longest time that a guest may be given to shut down by itself.
pub const MAX_GRACE: Duration = Duration::from_secs(3600);

/// A specification that passed: every part of it can be written into libvirt's XML as it is.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    pub(crate) instance_id: InstanceId,
    pub(crate) name: String,
    pub(crate) tenant: TenantName,
    pub(crate) vcpus: u32,
    pub(crate) memory: ByteSize,
    pub(crate) boot: AdmittedBoot,
    /// The first disk: its size and, for an image, what it is laid over.
    pub(crate) disk: Option<AdmittedDisk>,
    pub(crate) network: Option<String>,
    pub(crate) start: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum AdmittedBoot {
    Disk,
    Kernel { kernel: String, initrd: String, cmdline: String },
}

#[derive(Clone, Debug)]
pub(crate) struct AdmittedDisk {
    pub(crate) capacity: ByteSize,
    pub(crate) backing: Option<Image>,
}

/// Checks a specification, image and files included.
pub(crate) async fn admit(spec: InstanceSpec) -> Result<Admitted, ComputeError> {
    check_name(&spec.name)?;
    if spec.vcpus == 0 || spec.vcpus > MAX_VCPUS {
        return Err(invalid(format!("{} vCPUs cannot be had: ask for 1 to {MAX_VCPUS}", spec.vcpus)));
    }
    check_size("memory", spec.memory, MIN_MEMORY, MAX_MEMORY)?;
    if let Some(size) = spec.disk {
        check_disk_size(size)?;
    }
    if let Some(network) = &spec.network {
        check_network_name(network)?;
    }
    let (boot, disk) = match spec.boot {
        Boot::Image(path) => (AdmittedBoot::Disk, Some(disk_over_image(&path, spec.disk).await?)),
        Boot::Kernel { kernel, initrd, cmdline } => {
            check_cmdline(&cmdline)?;
            let kernel = readable_file("kernel", &kernel)?;
            let initrd = readable_file("initial file system", &initrd)?;
            let disk = spec.disk.map(|capacity| AdmittedDisk { capacity, backing: None });
            (AdmittedBoot::Kernel { kernel, initrd, cmdline }, disk)
        }
    };
    Ok(Admitted {
        instance_id: spec.instance_id.unwrap_or_else(|| InstanceId::from_uuid(Uuid::new_v4())),
        name: spec.name,
        tenant: spec.tenant,
        vcpus: spec.vcpus,
        memory: spec.memory,
        boot,
        disk,
        network: spec.network,
        start: spec.start,
    })
}

/// Checks the name of an instance against the rule at [`MAX_NAME_LENGTH`].
///
/// # Errors
/// A sentence with the rule; it shows at most 80 characters of the name.
pub fn check_name(name: &str) -> Result<(), ComputeError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let shown = shown(name);
    if name.is_empty()
        || name.len() > MAX_NAME_LENGTH
        || !name.starts_with(|c: char| c.is_ascii_alphanumeric())
        || !name.chars().all(allowed)
    {
        return Err(invalid(format!(
            "{shown} is no instance name: write 1 to {MAX_NAME_LENGTH} of A-Z, a-z, 0-9, '.', '_' and '-', beginning with a letter or digit"
        )));
    }
    if name.parse::<Uuid>().is_ok() {
        return Err(invalid(format!("{shown} reads as an id: choose a name that is no UUID")));
    }
    Ok(())
}

/// Checks the size of a disk: whole MiB between [`MIN_DISK`] and [`MAX_DISK`].
///
/// # Errors
/// A sentence with the rule.
pub fn check_disk_size(size: ByteSize) -> Result<(), ComputeError> {
    check_size("disk space", size, MIN_DISK, MAX_DISK)
}

/// Checks the name of a network. Any that libvirt may have is fine: it is looked up, and escaped where it is written.
///
/// # Errors
/// It is empty, too long or holds a character that XML cannot.
pub fn check_network_name(name: &str) -> Result<(), ComputeError> {
    if name.is_empty() || name.chars().count() > MAX_NETWORK_NAME_LENGTH || !name.chars().all(fits_xml) {
        return Err(invalid(format!(
            "{} is no network name: give one that `virsh net-list --all` shows, at most {MAX_NETWORK_NAME_LENGTH} characters, no control characters",
            shown(name)
        )));
    }
    Ok(())
}

/// Checks how long a guest gets to shut down.
///
/// # Errors
/// More than [`MAX_GRACE`].
pub fn check_grace(grace: Duration) -> Result<(), ComputeError> {
    if grace > MAX_GRACE {
        return Err(invalid(format!(
            "a grace of {} s is too long: give at most {} s",
            grace.as_secs(),
            MAX_GRACE.as_secs()
        )));
    }
    Ok(())
}

async fn disk_over_image(path: &Path, wanted: Option<ByteSize>) -> Result<AdmittedDisk, ComputeError> {
    let text = readable_file("image", path)?;
    let image = image::inspect(Path::new(&text))
        .await
        .map_err(|source| ComputeError::Image { path: shown(&text), source })?;
    let capacity = wanted.unwrap_or(image.virtual_size);
    if capacity < image.virtual_size {
        return Err(invalid(format!(
            "a disk of {capacity} is too small for the image {}: it holds {}; ask for that or more, or for no size",
            shown(&text),
            image.virtual_size
        )));
    }
    if capacity > MAX_DISK {
        return Err(invalid(format!(
            "the image {} holds {capacity}: at most {MAX_DISK} can be had",
            shown(&text)
        )));
    }
    Ok(AdmittedDisk { capacity, backing: Some(image) })
}

fn check_size(what: &str, size: ByteSize, least: ByteSize, most: ByteSize) -> Result<(), ComputeError> {
    if size < least || size > most || !size.is_whole_mib() {
        return Err(invalid(format!(
            "{size} of {what} cannot be had: ask for whole MiB, from {least} to {most}"
        )));
    }
    Ok(())
}

fn check_cmdline(cmdline: &str) -> Result<(), ComputeError> {
    if cmdline.len() > MAX_CMDLINE_BYTES {
        return Err(invalid(format!(
            "a kernel command line of {} bytes is too long: the kernel takes {MAX_CMDLINE_BYTES}",
            cmdline.len()
        )));
    }
    if let Some(bad) = cmdline.chars().find(|&c| !fits_xml(c)) {
        return Err(invalid(format!(
            "the kernel command line holds {bad:?}, which cannot be passed on: write it on one line"
        )));
    }
    // libvirt trims the text of the element.
    if cmdline.trim() != cmdline {
        return Err(invalid(
            "the kernel command line begins or ends with white space: take it away".to_owned(),
        ));
    }
    Ok(())
}

/// The absolute path of a regular file, links followed: libvirt and QEMU resolve nothing relative to us.
fn readable_file(what: &str, path: &Path) -> Result<String, ComputeError> {
    let refused =
        |why: String| invalid(format!("the {what} {} cannot be used: {why}", shown(&path.to_string_lossy())));
    let absolute: PathBuf = std::fs::canonicalize(path).map_err(|error| refused(error.to_string()))?;
    let meta = std::fs::metadata(&absolute).map_err(|error| refused(error.to_string()))?;
    if !meta.is_file() {
        return Err(refused("it is no regular file".to_owned()));
    }
    if meta.len() == 0 {
        return Err(refused("it is empty".to_owned()));
    }
    let text = absolute.to_str().ok_or_else(|| refused("its path is not UTF-8".to_owned()))?;
    if !text.chars().all(fits_xml) {
        return Err(refused("its path holds control characters".to_owned()));
    }
    Ok(text.to_owned())
}

/// Whether XML 1.0 can carry the character unchanged (its production `Char`, without what a reader normalises).
fn fits_xml(c: char) -> bool {
    !c.is_control() && c != '\u{FFFE}' && c != '\u{FFFF}'
}

/// Something that came in, escaped and cut, for a message.
pub(crate) fn shown(text: &str) -> String {
    let cut: String = text.chars().take(80).collect();
    if cut.len() < text.len() { format!("{cut:?}…") } else { format!("{cut:?}") }
}

fn invalid(message: String) -> ComputeError {
    ComputeError::Invalid(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> InstanceSpec {
        let this = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        InstanceSpec {
            instance_id: None,
            name: "web-1".to_owned(),
            tenant: TenantName::new("acme").unwrap(),
            vcpus: 1,
            memory: ByteSize::from_mib(128),
            boot: Boot::Kernel { kernel: this.clone(), initrd: this, cmdline: "quiet".to_owned() },
            disk: None,
            network: None,
            start: false,
        }
    }

    async fn refusal(change: impl FnOnce(&mut InstanceSpec)) -> String {
        let mut spec = spec();
        change(&mut spec);
        let error = admit(spec).await.unwrap_err().to_string();
        assert!(error.len() < 500, "{error}");
        assert!(!error.contains('\n'), "{error}");
        error
    }

    #[test]
    fn names_that_would_break_a_path_an_argument_or_a_page_are_refused() {
        let long = "a".repeat(10_000);
        let id = Uuid::nil().to_string();
        for bad in [
            "",
            " ",
            ".",
            "..",
            "-a",
            "a/b",
            "../a",
            "a\nb",
            "a\0b",
            "a b",
            "a\"b",
            "a'b",
            "<a>",
            "a&b",
            "a,b=c",
            "😀",
            "é",
            "\u{202e}a",
            &long,
            &"a".repeat(65),
            &id,
        ] {
            let error = check_name(bad).unwrap_err().to_string();
            assert!(error.len() < 400 && !error.contains('\n'), "{error}");
        }
        for good in ["a", "0", "web-1.example_2", "A", &"a".repeat(64)] {
            check_name(good).unwrap();
        }
    }

    #[tokio::test]
    async fn what_cannot_be_had_is_refused_with_the_limits() {
        admit(spec()).await.unwrap();
        assert!(refusal(|spec| spec.vcpus = 0).await.contains("1 to 128"));
        assert!(refusal(|spec| spec.vcpus = u32::MAX).await.contains("1 to 128"));
        for bytes in [0, 1, (128 << 20) + 1, u64::MAX] {
            assert!(refusal(|spec| spec.memory = ByteSize::from_bytes(bytes)).await.contains("whole MiB"));
            assert!(
                refusal(|spec| spec.disk = Some(ByteSize::from_bytes(bytes))).await.contains("whole MiB")
            );
        }
        for network in ["", "a\nb", "a\0", &"n".repeat(10_000)] {
            assert!(
                refusal(|spec| spec.network = Some(network.to_owned())).await.contains("no network name")
            );
        }
        for (cmdline, expected) in [
            ("a\nb", "on one line"),
            ("a\u{FFFE}", "cannot be passed on"),
            (" a", "white space"),
            (&"a".repeat(10_000), "too long"),
        ] {
            let boot = |spec: &mut InstanceSpec| {
                if let Boot::Kernel { cmdline: text, .. } = &mut spec.boot {
                    *text = cmdline.to_owned();
                }
            };
            assert!(refusal(boot).await.contains(expected), "{expected}");
        }
        for (path, expected) in [
            ("/", "no regular file"),
            ("/dev/null", "no regular file"),
            ("/no/such", "No such file"),
            ("", "No such file"),
            ("a\0b", "cannot be used"),
        ] {
            let boot = |spec: &mut InstanceSpec| spec.boot = Boot::Image(path.into());
            assert!(refusal(boot).await.contains(expected), "{path}");
        }
    }

    #[test]
    fn a_grace_of_a_day_is_refused() {
        check_grace(MAX_GRACE).unwrap();
        assert!(check_grace(Duration::MAX).is_err());
    }
}
