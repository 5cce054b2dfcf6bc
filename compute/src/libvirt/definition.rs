//! libvirt's XML for what Weir makes, and the facts that it reads from libvirt's XML of any guest.
//!
//! Pure: text in, text out. Every value goes through [`Element`], which escapes.

use std::path::Path;

use metering::{InstanceId, TenantName};
use uuid::Uuid;

use super::Accelerator;
use super::tree::{Element, XmlError};
use crate::admission::{Admitted, AdmittedBoot};
use crate::image::Image;
use crate::size::ByteSize;

/// The namespace of Weir's element in a guest's metadata.
pub(crate) const METADATA_NAMESPACE: &str = "urn:weir:instance:1";
/// What the element says of guests that Weir made: only those may it delete.
const MAKER: &str = "weir";
/// Where the guests' consoles are logged: libvirt's own directory of logs, which its security rules allow.
const CONSOLE_DIRECTORY: &str = "/var/log/libvirt/qemu";
/// The target of the first disk.
pub(crate) const FIRST_TARGET: &str = "vda";

/// A guest as libvirt describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) instance_id: InstanceId,
    pub(crate) name: String,
    pub(crate) tenant: Option<TenantName>,
    pub(crate) made_by_weir: bool,
    pub(crate) vcpus: u32,
    pub(crate) memory_kib: u64,
    pub(crate) boots_kernel: bool,
    pub(crate) disks: Vec<DescribedDisk>,
    pub(crate) nics: Vec<DescribedNic>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DescribedDisk {
    pub(crate) target: String,
    pub(crate) source: DiskSource,
    /// QEMU's name of the device; only a running guest has it.
    pub(crate) alias: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DiskSource {
    Volume {
        pool: String,
        name: String,
    },
    /// A file or block device.
    Path(String),
    /// An empty drive, or something on the network.
    None,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DescribedNic {
    pub(crate) mac: Option<String>,
    pub(crate) network: Option<String>,
    pub(crate) alias: Option<String>,
}

/// Where the console of an instance is logged.
pub(crate) fn console_log(id: InstanceId) -> String {
    format!("{CONSOLE_DIRECTORY}/weir-{id}.console")
}

/// The name of the volume behind a disk: it says whose it is, and no two instances can want the same.
pub(crate) fn volume_name(id: InstanceId, target: &str) -> String {
    format!("{}{target}.qcow2", volume_prefix(id))
}

/// What the names of all volumes of an instance begin with.
pub(crate) fn volume_prefix(id: InstanceId) -> String {
    format!("{id}-")
}

/// The whole definition of an instance.
pub(crate) fn instance(spec: &Admitted, pool: &str, mac: Option<&str>, accelerator: Accelerator) -> Element {
    let mut os = Element::new("os")
        .child(Element::new("type").with("arch", "x86_64").with("machine", "pc").text("hvm"));
    os = match &spec.boot {
        AdmittedBoot::Disk => os.child(Element::new("boot").with("dev", "hd")),
        AdmittedBoot::Kernel { kernel, initrd, cmdline } => {
            let os = os.child(Element::new("kernel").text(kernel)).child(Element::new("initrd").text(initrd));
            if cmdline.is_empty() { os } else { os.child(Element::new("cmdline").text(cmdline)) }
        }
    };
    let disks =
        spec.disk.iter().map(|_| disk(pool, &volume_name(spec.instance_id, FIRST_TARGET), FIRST_TARGET));
    let nics = spec.network.iter().zip(mac).map(|(network, mac)| nic(network, mac));
    machine(accelerator, &spec.name, spec.instance_id.uuid(), spec.memory.kib(), spec.vcpus)
        .child(
            Element::new("metadata").child(
                Element::new("weir:instance")
                    .with("xmlns:weir", METADATA_NAMESPACE)
                    .with("tenant", spec.tenant.as_str())
                    .with("made-by", MAKER),
            ),
        )
        .child(os)
        .children_of(behaviour())
        .child(
            Element::new("devices")
                .children_of(disks)
                .children_of(nics)
                .children_of(standard_devices(spec.instance_id)),
        )
}

/// A disk of an instance: a volume of a pool, always with its format, so that nothing is ever probed.
pub(crate) fn disk(pool: &str, volume: &str, target: &str) -> Element {
    Element::new("disk")
        .with("type", "volume")
        .with("device", "disk")
        .child(
            // Every request of the guest is one request counted: no detection of zeros, and a guest's discards reach
            // the file. Write-back honours the guest's flushes and works on file systems without direct I/O.
            Element::new("driver")
                .with("name", "qemu")
                .with("type", "qcow2")
                .with("cache", "writeback")
                .with("discard", "unmap")
                .with("detect_zeroes", "off"),
        )
        .child(Element::new("source").with("pool", pool).with("volume", volume))
        .child(Element::new("target").with("dev", target).with("bus", "virtio"))
}

/// A NIC on a libvirt network.
pub(crate) fn nic(network: &str, mac: &str) -> Element {
    Element::new("interface")
        .with("type", "network")
        .child(Element::new("mac").with("address", mac))
        .child(Element::new("source").with("network", network))
        .child(Element::new("model").with("type", "virtio"))
}

/// A guest that executes the boot sector in `disk` and nothing else.
pub(crate) fn probe(accelerator: Accelerator, name: &str, id: Uuid, memory: ByteSize, disk: &str) -> Element {
    machine(accelerator, name, id, memory.kib(), 1)
        .child(
            Element::new("os")
                .child(Element::new("type").with("arch", "x86_64").with("machine", "pc").text("hvm"))
                .child(Element::new("boot").with("dev", "hd")),
        )
        .child(Element::new("on_crash").text("destroy"))
        .child(
            Element::new("devices")
                .child(
                    Element::new("disk")
                        .with("type", "file")
                        .with("device", "disk")
                        .child(Element::new("driver").with("name", "qemu").with("type", "raw"))
                        .child(Element::new("source").with("file", disk))
                        .child(Element::new("target").with("dev", FIRST_TARGET).with("bus", "virtio")),
                )
                .child(Element::new("controller").with("type", "usb").with("model", "none"))
                .child(Element::new("memballoon").with("model", "none")),
        )
}

/// A directory pool. Its mode lets QEMU's user enter it but not list it.
pub(crate) fn pool(name: &str, path: &str) -> Element {
    Element::new("pool").with("type", "dir").child(Element::new("name").text(name)).child(
        Element::new("target")
            .child(Element::new("path").text(path))
            .child(Element::new("permissions").child(Element::new("mode").text("0711"))),
    )
}

/// A qcow2 volume, empty or laid over an image.
pub(crate) fn volume(name: &str, capacity: ByteSize, backing: Option<&Image>) -> Element {
    let volume = Element::new("volume")
        .child(Element::new("name").text(name))
        .child(Element::new("capacity").with("unit", "bytes").text(capacity.bytes()))
        .child(
            Element::new("target")
                .child(Element::new("format").with("type", "qcow2"))
                .child(Element::new("permissions").child(Element::new("mode").text("0600")))
                .child(Element::new("compat").text("1.1")),
        );
    let Some(image) = backing else { return volume };
    volume.child(
        Element::new("backingStore")
            .child(Element::new("path").text(path_text(&image.path)))
            .child(Element::new("format").with("type", image.format.as_str())),
    )
}

/// Reads what libvirt says about a guest, whoever made it.
pub(crate) fn describe(xml: &str) -> Result<Description, XmlError> {
    let root = Element::parse(xml)?;
    let uuid = root.text_at(&["uuid"]).and_then(|text| text.parse().ok()).ok_or(XmlError::Incomplete)?;
    let vcpus = root.at(&["vcpu"]).and_then(|vcpu| {
        let current = vcpu.attribute("current").map(str::to_owned);
        current.or_else(|| root.text_at(&["vcpu"]).map(str::to_owned))?.parse().ok()
    });
    let memory = root.text_at(&["currentMemory"]).or_else(|| root.text_at(&["memory"]));
    let ours =
        root.at(&["metadata"]).and_then(|metadata| metadata.in_namespace(METADATA_NAMESPACE, "instance"));
    let tenant = ours.and_then(|ours| ours.attribute("tenant")).and_then(|name| TenantName::new(name).ok());
    let devices = root.at(&["devices"]);
    Ok(Description {
        instance_id: InstanceId::from_uuid(uuid),
        name: root.text_at(&["name"]).unwrap_or_default().to_owned(),
        tenant,
        made_by_weir: ours.and_then(|ours| ours.attribute("made-by")) == Some(MAKER),
        vcpus: vcpus.unwrap_or(1),
        // libvirt writes both in KiB, whatever the unit was that it was given.
        memory_kib: memory.and_then(|text| text.parse().ok()).unwrap_or(0),
        boots_kernel: root.at(&["os", "kernel"]).is_some(),
        disks: devices
            .map(|devices| devices.all("disk").filter_map(described_disk).collect())
            .unwrap_or_default(),
        nics: devices
            .map(|devices| devices.all("interface").map(described_nic).collect())
            .unwrap_or_default(),
    })
}

fn described_disk(disk: &Element) -> Option<DescribedDisk> {
    let source = disk.at(&["source"]);
    let attribute = |name| source.and_then(|source| source.attribute(name));
    let source = match (attribute("pool"), attribute("volume")) {
        (Some(pool), Some(name)) => DiskSource::Volume { pool: pool.to_owned(), name: name.to_owned() },
        _ => match attribute("file").or_else(|| attribute("dev")).or_else(|| attribute("dir")) {
            Some(path) => DiskSource::Path(path.to_owned()),
            None => DiskSource::None,
        },
    };
    Some(DescribedDisk {
        target: disk.attribute_at(&["target"], "dev")?.to_owned(),
        source,
        alias: disk.attribute_at(&["alias"], "name").map(str::to_owned),
    })
}

fn described_nic(nic: &Element) -> DescribedNic {
    DescribedNic {
        mac: nic.attribute_at(&["mac"], "address").map(str::to_ascii_lowercase),
        network: nic.attribute_at(&["source"], "network").map(str::to_owned),
        alias: nic.attribute_at(&["alias"], "name").map(str::to_owned),
    }
}

/// What every guest has before its boot order and devices.
fn machine(accelerator: Accelerator, name: &str, id: Uuid, memory_kib: u64, vcpus: u32) -> Element {
    let (kind, cpu) = match accelerator {
        Accelerator::Kvm => ("kvm", "host-passthrough"),
        // The best that software can do: today's systems want more than QEMU's default CPU.
        Accelerator::Emulated => ("qemu", "maximum"),
    };
    Element::new("domain")
        .with("type", kind)
        .child(Element::new("name").text(name))
        .child(Element::new("uuid").text(id))
        .child(Element::new("memory").with("unit", "KiB").text(memory_kib))
        .child(Element::new("currentMemory").with("unit", "KiB").text(memory_kib))
        .child(Element::new("vcpu").with("placement", "static").text(vcpus))
        // Hot-plug and shutdown requests reach a `pc` machine by ACPI.
        .child(Element::new("features").child(Element::new("acpi")).child(Element::new("apic")))
        .child(Element::new("cpu").with("mode", cpu).with("check", "none"))
}

fn behaviour() -> [Element; 4] {
    [
        Element::new("clock").with("offset", "utc"),
        Element::new("on_poweroff").text("destroy"),
        Element::new("on_reboot").text("restart"),
        // A crashed guest ends instead of starting over unseen: it is off, and its usage ends there.
        Element::new("on_crash").text("destroy"),
    ]
}

fn standard_devices(id: InstanceId) -> Vec<Element> {
    let log = || Element::new("log").with("file", console_log(id)).with("append", "on");
    vec![
        Element::new("serial").with("type", "pty").child(log()).child(Element::new("target").with("port", 0)),
        Element::new("console")
            .with("type", "pty")
            .child(Element::new("target").with("type", "serial").with("port", 0)),
        Element::new("controller").with("type", "usb").with("model", "none"),
        // No <stats>: what a guest says about its memory is never billed.
        Element::new("memballoon").with("model", "virtio"),
        Element::new("rng")
            .with("model", "virtio")
            .child(Element::new("backend").with("model", "random").text("/dev/urandom")),
    ]
}

/// Admission has seen that the path is UTF-8.
fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::admission::AdmittedDisk;

    fn admitted(cmdline: &str, network: &str) -> Admitted {
        Admitted {
            instance_id: InstanceId::from_uuid(Uuid::from_u128(7)),
            name: "web-1".to_owned(),
            tenant: TenantName::new("acme").unwrap(),
            vcpus: 2,
            memory: ByteSize::from_mib(512),
            boot: AdmittedBoot::Kernel {
                kernel: "/k".to_owned(),
                initrd: "/i".to_owned(),
                cmdline: cmdline.to_owned(),
            },
            disk: Some(AdmittedDisk { capacity: ByteSize::from_gib(1), backing: None }),
            network: Some(network.to_owned()),
            start: true,
        }
    }

    fn written(cmdline: &str, network: &str) -> String {
        instance(&admitted(cmdline, network), "weir", Some("52:54:00:00:00:01"), Accelerator::Emulated)
            .to_xml()
    }

    #[test]
    fn the_definition_is_what_was_reviewed() {
        assert_eq!(written("console=ttyS0", "lan"), include_str!("golden/instance.xml").trim_end());
        let image = Image {
            path: "/b".into(),
            format: crate::image::ImageFormat::Raw,
            virtual_size: ByteSize::from_mib(1),
        };
        let volume = volume("v.qcow2", ByteSize::from_mib(2), Some(&image)).to_xml();
        assert_eq!(volume, include_str!("golden/volume.xml").trim_end());
        assert_eq!(pool("weir", "/p").to_xml(), include_str!("golden/pool.xml").trim_end());
    }

    #[test]
    fn what_is_written_is_read_back() {
        let read = describe(&written("quiet", "lan")).unwrap();
        assert_eq!(
            (read.name.as_str(), read.vcpus, read.memory_kib, read.boots_kernel),
            ("web-1", 2, 512 * 1024, true)
        );
        assert_eq!(read.tenant, TenantName::new("acme").ok());
        assert!(read.made_by_weir);
        let name = volume_name(read.instance_id, "vda");
        assert_eq!(read.disks[0].source, DiskSource::Volume { pool: "weir".to_owned(), name });
        assert_eq!(read.nics[0].mac.as_deref(), Some("52:54:00:00:00:01"));
    }

    proptest! {
        #[test]
        fn no_command_line_or_network_adds_an_element(cmdline in "[^\\p{Cc}\\s\u{FFFE}\u{FFFF}]{1,60}", network in "[<>&\"'\\]a-z😀 -]{1,30}") {
            let xml = written(&cmdline, &network);
            let tree = Element::parse(&xml).unwrap();
            prop_assert_eq!(tree.text_at(&["os", "cmdline"]), Some(cmdline.as_str()));
            prop_assert_eq!(tree.attribute_at(&["devices", "interface", "source"], "network"), Some(network.as_str()));
            let plain = Element::parse(&written("x", "y")).unwrap();
            prop_assert_eq!(tree.to_xml().lines().count(), plain.to_xml().lines().count());
        }
    }

    #[test]
    fn guests_that_somebody_else_made_are_described_as_far_as_they_can_be() {
        let guest = |inner: &str| {
            format!(
                "<domain><name>a &amp; &quot;b&quot;</name><uuid>{}</uuid><memory unit='KiB'>2048</memory><vcpu current='1'>4</vcpu>{inner}</domain>",
                Uuid::nil()
            )
        };
        let check = |inner: &str| describe(&guest(inner)).unwrap();
        let bare = check("");
        assert_eq!(
            (bare.name.as_str(), bare.vcpus, bare.memory_kib, bare.tenant),
            ("a & \"b\"", 1, 2048, None)
        );
        assert!(bare.disks.is_empty() && bare.nics.is_empty());
        let odd = check(
            "<metadata><x:instance xmlns:x='urn:weir:instance:1' tenant='No Tenant!'/></metadata><devices>\
             <disk type='block'><source dev='/dev/sdb'/><target dev='sda'/></disk>\
             <disk type='file' device='cdrom'><target dev='hdc'/></disk>\
             <disk type='network'><source protocol='rbd' name='p/i'/><target dev='vdb'/></disk>\
             <interface type='hostdev'><source><address type='pci'/></source></interface>\
             <interface type='bridge'><mac address='52:54:00:AA:BB:CC'/><source bridge='br0'/></interface></devices>",
        );
        assert_eq!(odd.tenant, None);
        assert!(!odd.made_by_weir && !bare.made_by_weir);
        let sources: Vec<_> = odd.disks.iter().map(|disk| disk.source.clone()).collect();
        assert_eq!(sources, [DiskSource::Path("/dev/sdb".to_owned()), DiskSource::None, DiskSource::None]);
        let macs: Vec<_> = odd.nics.iter().map(|nic| nic.mac.as_deref()).collect();
        assert_eq!(macs, [None, Some("52:54:00:aa:bb:cc")]);
        for unreadable in ["", "<domain/>", "<domain><uuid>x</uuid></domain>"] {
            assert!(describe(unreadable).is_err());
        }
    }
}
