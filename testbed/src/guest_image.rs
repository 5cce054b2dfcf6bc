//! Kernel and initrd of the test guests: Debian's cloud kernel as packaged, static busybox, and our own init.
//!
//! Built once per kernel package and init, cached, and safe when several processes want it at once. It starts nothing.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::lock::Lock;
use crate::process::{filter, run, run_in};

const INIT: &str = include_str!("../guest/init");
const DHCP_EVENT: &str = include_str!("../guest/dhcp-event");
const MODULES: &str = include_str!("../guest/modules.order");
const BUSYBOX: &str = "/bin/busybox";
/// The meta package that names the newest cloud kernel.
const KERNEL_META_PACKAGE: &str = "linux-image-cloud-amd64";

/// What a guest boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestImage {
    /// The kernel, a bzImage.
    pub kernel: PathBuf,
    /// The initial file system, which is all that the guest has.
    pub initrd: PathBuf,
    /// The package that the kernel is from, with its version, and a digest of init and busybox.
    pub key: String,
}

/// Where images are kept: `WEIR_TESTBED_CACHE`, or /var/cache/weir-testbed (which user libvirt-qemu can read).
#[must_use]
pub fn cache_directory() -> PathBuf {
    std::env::var_os("WEIR_TESTBED_CACHE")
        .map_or_else(|| PathBuf::from("/var/cache/weir-testbed"), PathBuf::from)
}

/// The image from the cache, or a new one: takes some seconds and Debian's mirror the first time.
pub fn ensure() -> Result<GuestImage> {
    ensure_in(&cache_directory())
}

fn ensure_in(cache: &Path) -> Result<GuestImage> {
    let _lock = Lock::take(&cache.join("lock"))?;
    fs::set_permissions(cache, fs::Permissions::from_mode(0o755))
        .context("cannot open the cache to libvirt-qemu")?;
    let digest = userland_digest()?;
    if let Some(image) = newest_cached(cache, &digest)? {
        return Ok(image);
    }
    let kernel = newest_kernel_package()?;
    let key = format!("{}_{}-{digest}", kernel.name, kernel.version.replace([':', '~', '/'], "_"));
    let staging =
        tempfile::Builder::new().prefix("building-").tempdir_in(cache).context("cannot build an image")?;
    let unpacked = unpack(&kernel, staging.path())?;
    let finished = staging.path().join("image");
    fs::create_dir(&finished)?;
    publish(&finished.join("vmlinuz"), &fs::read(kernel_file(&unpacked)?)?)?;
    publish(&finished.join("initrd.gz"), &initrd(&unpacked, staging.path())?)?;
    fs::set_permissions(&finished, fs::Permissions::from_mode(0o755))?;
    let home = cache.join(&key);
    fs::rename(&finished, &home).with_context(|| format!("cannot put the image at {}", home.display()))?;
    Ok(image_at(&home, key))
}

struct KernelPackage {
    name: String,
    version: String,
}

fn image_at(home: &Path, key: String) -> GuestImage {
    GuestImage { kernel: home.join("vmlinuz"), initrd: home.join("initrd.gz"), key }
}

/// A change of init, of the modules or of busybox asks for a new initrd; a newer kernel on the mirror does not.
fn userland_digest() -> Result<String> {
    let mut digest = Sha256::new();
    for part in [INIT, DHCP_EVENT, MODULES] {
        digest.update(part);
        digest.update([0]);
    }
    digest.update(fs::read(BUSYBOX).context("cannot read /bin/busybox: install busybox-static")?);
    Ok(digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}

fn newest_cached(cache: &Path, digest: &str) -> Result<Option<GuestImage>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(cache).with_context(|| format!("cannot list {}", cache.display()))? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
            continue;
        };
        if name.starts_with("linux-image-") && name.ends_with(&format!("-{digest}")) {
            found.push((entry.metadata()?.modified()?, name));
        }
    }
    found.sort();
    Ok(found.pop().map(|(_, name)| image_at(&cache.join(&name), name)))
}

/// What the meta package depends on. A machine that never fetched its package lists fetches them now.
fn newest_kernel_package() -> Result<KernelPackage> {
    let show = || run("apt-cache", &["show", "--no-all-versions", KERNEL_META_PACKAGE]);
    if let Some(package) = show().ok().as_deref().and_then(kernel_dependency) {
        return Ok(package);
    }
    run("apt-get", &["-q", "update"]).context("cannot fetch Debian's package lists")?;
    kernel_dependency(&show()?).with_context(|| {
        format!("{KERNEL_META_PACKAGE} names no kernel: the test guests need Debian on amd64")
    })
}

fn kernel_dependency(stanza: &str) -> Option<KernelPackage> {
    let version_of_meta = stanza.lines().find_map(|line| line.strip_prefix("Version: "))?;
    let depends = stanza.lines().find_map(|line| line.strip_prefix("Depends: "))?;
    let kernel = depends.split(", ").find(|dependency| dependency.starts_with("linux-image-"))?;
    let (name, version) = match kernel.split_once(" (= ") {
        Some((name, version)) => (name, version.trim_end_matches(')')),
        None => (kernel, version_of_meta),
    };
    Some(KernelPackage { name: name.trim().to_owned(), version: version.trim().to_owned() })
}

fn unpack(kernel: &KernelPackage, staging: &Path) -> Result<PathBuf> {
    // As root, without apt's own user: that one cannot write here, and only warns about it.
    let wanted = format!("{}={}", kernel.name, kernel.version);
    run_in(staging, "apt-get", &["-q", "-o", "APT::Sandbox::User=root", "download", &wanted])
        .or_else(|_| {
            run("apt-get", &["-q", "update"])?;
            run_in(staging, "apt-get", &["-q", "-o", "APT::Sandbox::User=root", "download", &wanted])
        })
        .with_context(|| format!("cannot download {wanted} from Debian's mirror"))?;
    let package =
        find_file(staging, &|name| name.ends_with(".deb"))?.context("apt-get download left no package")?;
    let unpacked = staging.join("unpacked");
    run("dpkg-deb", &["-x", path_text(&package)?, path_text(&unpacked)?])?;
    Ok(unpacked)
}

fn kernel_file(unpacked: &Path) -> Result<PathBuf> {
    find_file(&unpacked.join("boot"), &|name| name.starts_with("vmlinuz-"))?
        .context("the package has no kernel")
}

fn initrd(unpacked: &Path, staging: &Path) -> Result<Vec<u8>> {
    let root = staging.join("root");
    for directory in ["bin", "lib", "etc", "dev", "proc", "sys", "tmp"] {
        fs::create_dir_all(root.join(directory))?;
    }
    put_program(&root.join("init"), INIT.as_bytes())?;
    put_program(&root.join("bin/dhcp-event"), DHCP_EVENT.as_bytes())?;
    put_program(&root.join("bin/busybox"), &fs::read(BUSYBOX)?)?;
    symlink("busybox", root.join("bin/sh"))?;
    fs::write(root.join("lib/modules.order"), MODULES)?;
    for module in MODULES.lines() {
        let file = format!("{module}.ko");
        let found = find_file(&unpacked.join("lib/modules"), &|name| name == file)?
            .with_context(|| format!("the kernel package has no module {file}"))?;
        fs::copy(found, root.join("lib").join(file))?;
    }
    let mut names = vec![".".to_owned()];
    list(&root, Path::new(""), &mut names)?;
    let archive =
        filter(&root, "cpio", &["-o", "-H", "newc", "--quiet", "-R", "0:0"], names.join("\n").as_bytes())?;
    filter(&root, "gzip", &["-n", "-6"], &archive)
}

fn put_program(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// Written and on the disk before the directory gets its final name: a power cut leaves no half image in the cache.
fn publish(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.set_permissions(fs::Permissions::from_mode(0o644))?;
    Ok(file.sync_all()?)
}

fn list(root: &Path, below: &Path, names: &mut Vec<String>) -> Result<()> {
    let mut entries = fs::read_dir(root.join(below))?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = below.join(entry.file_name());
        names.push(path_text(&name)?.to_owned());
        if entry.file_type()?.is_dir() {
            list(root, &name, names)?;
        }
    }
    Ok(())
}

fn find_file(directory: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Option<PathBuf>> {
    let mut names = Vec::new();
    list(directory, Path::new(""), &mut names)
        .with_context(|| format!("cannot search {}", directory.display()))?;
    Ok(names
        .into_iter()
        .map(|name| directory.join(name))
        .find(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(wanted) && path.is_file()))
}

fn path_text(path: &Path) -> Result<&str> {
    match path.to_str() {
        Some(text) => Ok(text),
        None => bail!("{} is not valid UTF-8", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_the_one_the_meta_package_depends_on() {
        let check = |stanza: &str, expected: Option<(&str, &str)>| {
            let found = kernel_dependency(stanza).map(|package| (package.name, package.version));
            assert_eq!(
                found,
                expected.map(|(name, version)| (name.to_owned(), version.to_owned())),
                "{stanza}"
            );
        };
        let name = "linux-image-6.1.0-56-cloud-amd64";
        check(
            "Version: 6.1.192-2\nDepends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)\n",
            Some((name, "6.1.192-2")),
        );
        check("Version: 6.1.1\nDepends: linux-image-6.1.0-56-cloud-amd64\n", Some((name, "6.1.1")));
        check("Version: 6.1.1\nDepends: libc6\n", None);
        check("", None);
    }

    #[test]
    fn two_processes_that_want_the_image_at_once_get_the_same() {
        let images: Vec<_> = std::thread::scope(|scope| {
            let handles = [scope.spawn(|| ensure().unwrap()), scope.spawn(|| ensure().unwrap())];
            handles.map(|handle| handle.join().unwrap()).into()
        });
        assert_eq!(images[0], images[1]);
        assert!(images[0].kernel.metadata().unwrap().len() > 1 << 20);
        assert!(images[0].initrd.metadata().unwrap().len() > 1 << 20);
        assert_eq!(images[0].initrd.metadata().unwrap().permissions().mode() & 0o777, 0o644);
    }
}
