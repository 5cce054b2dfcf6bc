//! Instances from images, and a libvirtd that goes away: on real ones of our own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::common::{Bench, chain};
use compute::{
    Boot, BoxFuture, ByteSize, Compute, ComputeError, InstanceSpec, Readings, Settings, Virtualization,
};
use metering::{InstanceState, TenantName};
use testbed::process::run;

/// A directory that QEMU's user can enter.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::Builder::new().prefix("weirt-compute-").tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

/// A raw disk of 1 MiB that a BIOS boots: it halts.
fn bootable(path: &Path) {
    let mut disk = vec![0; 1 << 20];
    disk[..4].copy_from_slice(&[0xfa, 0xf4, 0xeb, 0xfd]);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::write(path, disk).unwrap();
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_booted_copy_on_write_and_stays_as_it_was() {
    let bench = Bench::new("image");
    let directory = directory();
    let (raw, qcow2) =
        (directory.path().join("base & \"image\" <1>.img"), directory.path().join("base.qcow2"));
    bootable(&raw);
    run("qemu-img", &["convert", "-q", "-f", "raw", "-O", "qcow2", text(&raw), text(&qcow2)]).unwrap();
    for (image, format) in [(&raw, "raw"), (&qcow2, "qcow2")] {
        let before = fs::read(image).unwrap();
        let boot = Boot::Image(image.clone());
        let spec = InstanceSpec { boot, disk: Some(ByteSize::from_mib(8)), ..bench.spec("") };
        let made = bench.compute.create(spec).await.map_err(|error| chain(&error)).unwrap();
        assert_eq!((made.state, made.disks[0].capacity_bytes), (InstanceState::Running, Some(8 << 20)));
        let volume = bench.settings.pool_path.join(&made.disks[0].volume);
        let info = run("qemu-img", &["info", "-U", "--output=json", "-f", "qcow2", text(&volume)]).unwrap();
        let info: serde_json::Value = serde_json::from_str(&info).unwrap();
        assert_eq!(info["full-backing-filename"], text(image));
        assert_eq!(info["backing-filename-format"], format);
        let error = bench.compute.remove_disk(&bench.who(), "vda").await.unwrap_err();
        assert!(error.to_string().contains("boots from vda"), "{error}");
        bench.compute.stop(&bench.who(), Duration::ZERO).await.unwrap();
        bench.compute.delete(&bench.who()).await.unwrap();
        assert_eq!(fs::read(image).unwrap(), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_refers_to_another_file_or_is_none_is_refused_before_anything_is_made() {
    let bench = Bench::new("refused");
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    bootable(&path("base.img"));
    let create = |arguments: &[&str]| run("qemu-img", arguments).unwrap();
    create(&[
        "create",
        "-q",
        "-f",
        "qcow2",
        "-F",
        "raw",
        "-b",
        text(&path("base.img")),
        text(&path("backing")),
    ]);
    create(&[
        "create",
        "-q",
        "-f",
        "qcow2",
        "-o",
        &format!("data_file={}", text(&path("data"))),
        text(&path("outside")),
        "1M",
    ]);
    create(&["create", "-q", "-f", "vmdk", text(&path("vmdk")), "1M"]);
    create(&["create", "-q", "-f", "qcow2", text(&path("large")), "9M"]);
    fs::write(path("text"), "not an image at all\n".repeat(100)).unwrap();
    fs::write(path("short"), "x").unwrap();
    fs::write(path("empty"), "").unwrap();
    fs::write(path("torn"), b"QFI\xfb\0\0\0\x03\0\0").unwrap();
    let cases = [
        ("backing", "backing file"),
        ("outside", "external data file"),
        ("vmdk", "neither a qcow2 image nor a bootable raw disk"),
        ("text", "neither a qcow2 image nor a bootable raw disk"),
        ("short", "neither a qcow2 image nor a bootable raw disk"),
        ("torn", "qemu-img cannot read it"),
        ("large", "too small for the image"),
        ("empty", "it is empty"),
        ("missing", "No such file"),
        (".", "no regular file"),
    ];
    for (name, expected) in cases {
        let spec = InstanceSpec {
            boot: Boot::Image(path(name)),
            disk: Some(ByteSize::from_mib(8)),
            ..bench.spec("")
        };
        let error = bench.compute.create(spec).await.unwrap_err();
        assert!(chain(&error).contains(expected), "{name}: {}", chain(&error));
        assert_eq!(error.kind(), compute::ErrorKind::Invalid, "{name}");
    }
    assert_eq!((bench.volumes(), bench.recorder.seen()), (0, vec![]));
}

struct NoReadings;

impl Readings for NoReadings {
    fn take(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }
}

/// A libvirtd of an ordinary user, with everything that it keeps in one directory.
struct OwnLibvirtd {
    child: Child,
    home: PathBuf,
}

impl OwnLibvirtd {
    fn start(home: &Path) -> Self {
        let child = Command::new("setpriv")
            .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "libvirtd", "--timeout=600"])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(["HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"].map(|name| (name, home)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("setpriv (util-linux) and libvirtd must be there");
        Self { child, home: home.to_owned() }
    }

    fn socket(&self) -> PathBuf {
        self.home.join("libvirt/libvirt-sock")
    }
}

impl Drop for OwnLibvirtd {
    fn drop(&mut self) {
        // As hard as it gets: no goodbye on the socket.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_libvirtd_was_killed_and_came_back_the_next_call_works_and_without_it_the_error_says_so() {
    let home = directory();
    run("chown", &["-R", "nobody:nogroup", text(home.path())]).unwrap();
    let daemon = OwnLibvirtd::start(home.path());
    let socket = daemon.socket();
    crate::common::wait_for("the socket", || socket.exists()).await;
    let settings = Settings {
        libvirt_uri: format!("qemu+unix:///session?socket={}", text(&socket)),
        pool: "weirt-compute-session".to_owned(),
        pool_path: home.path().join("pool"),
        virtualization: Virtualization::Emulated,
    };
    let compute = Compute::start(settings, Arc::new(NoReadings)).unwrap();
    let image = testbed::guest_image::ensure().unwrap();
    let spec = InstanceSpec {
        instance_id: None,
        name: "survivor".to_owned(),
        tenant: TenantName::new("acme").unwrap(),
        vcpus: 1,
        memory: ByteSize::from_mib(64),
        boot: Boot::Kernel {
            kernel: image.kernel,
            initrd: image.initrd,
            cmdline: "quote=\" <b> & 😀".to_owned(),
        },
        disk: Some(ByteSize::from_mib(1)),
        network: None,
        start: false,
    };
    let made = compute.create(spec).await.map_err(|error| chain(&error)).unwrap();

    drop(daemon);
    let error = compute.list().await.unwrap_err();
    assert!(matches!(error, ComputeError::Unreachable { .. }), "{}", chain(&error));

    let daemon = OwnLibvirtd::start(home.path());
    assert_eq!(compute.find(&made.instance_id.into()).await.unwrap().name, "survivor");
    drop(daemon);

    // While a call waits, libvirtd comes back: nobody notices.
    let waiting = tokio::spawn({
        let compute = compute.clone();
        async move { compute.list().await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let _daemon = OwnLibvirtd::start(home.path());
    assert_eq!(waiting.await.unwrap().unwrap().len(), 1);

    compute.delete(&made.instance_id.into()).await.unwrap();
    let late = compute.clone();
    compute.stop_thread().await;
    assert!(matches!(late.list().await, Err(ComputeError::Stopped)));
}
