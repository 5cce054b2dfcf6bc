//! Descriptions and figures as libvirt gives them, odd ones included, without libvirt.

use std::collections::BTreeMap;
use std::path::PathBuf;

use metering::{DiskRegisters, InstanceId, NicRegisters};
use uuid::Uuid;

use super::Hypervisor as _;
use super::ffi::{DomainRecord, Params, PoolRecord, Value, VolumeRecord};
use super::stats::{self, State};
use super::storage::{DiskUse, Storage};
use super::xml::{self, Description, DiskDescription, NicDescription};

/// Figures as `virsh domstats` prints them.
fn params(text: &str) -> Params {
    text.split_ascii_whitespace()
        .map(|line| {
            let (name, value) = line.split_once('=').unwrap();
            let value = match value.parse() {
                Ok(number) => Value::Unsigned(number),
                Err(_) => Value::Text(value.to_owned()),
            };
            (name.to_owned(), value)
        })
        .collect()
}

fn record(id: Option<u32>, text: &str) -> DomainRecord {
    DomainRecord { uuid: [7; 16], name: "web".into(), id, params: params(text) }
}

/// The description of `<domain>` with these devices.
#[track_caller]
fn devices(inner: &str) -> Description {
    xml::parse_domain(&format!("<domain><devices>{inner}</devices></domain>")).unwrap()
}

#[test]
fn the_tenant_is_read_from_our_namespace_whatever_its_prefix() {
    let label = |metadata: &str| {
        xml::parse_domain(&format!("<domain><metadata>{metadata}</metadata></domain>")).unwrap().tenant_label
    };
    let ours = "urn:weir:instance:1";
    for metadata in [
        format!("<weir:instance xmlns:weir='{ours}' tenant='acme'/>"),
        format!("<instance xmlns=\"{ours}\" tenant=\"acme\"></instance>"),
        format!("<a:x xmlns:a='urn:a'/><w:instance xmlns:w='{ours}' tenant='acme'/>"),
    ] {
        assert_eq!(label(&metadata).as_deref(), Some("acme"), "{metadata}");
    }
    for metadata in [
        "<instance xmlns='urn:other' tenant='acme'/>".to_owned(),
        "<instance tenant='acme'/>".to_owned(),
        format!("<weir:instance xmlns:weir='{ours}'/>"),
        format!("<o:box xmlns:o='urn:o'><weir:instance xmlns:weir='{ours}' tenant='acme'/></o:box>"),
    ] {
        assert_eq!(label(&metadata), None, "{metadata}");
    }
}

#[test]
fn names_with_quotes_brackets_newlines_and_emoji_come_through_and_endless_ones_are_cut() {
    let description = xml::parse_domain(&format!(
        "<domain><metadata><w:instance xmlns:w='urn:weir:instance:1' tenant='&quot;&lt;b&gt;&amp;&#10;😀{}'/></metadata></domain>",
        "x".repeat(10_000)
    ))
    .unwrap();
    let label = description.tenant_label.unwrap();
    assert!(label.starts_with("\"<b>&\n😀x"), "{label:?}");
    assert_eq!(label.chars().count(), 80);
}

#[test]
fn what_is_no_description_is_an_error_and_never_a_crash() {
    for bad in ["<domain>", "<domain><devices></domain>", "<a b='1' b='2'", "\u{0}<"] {
        let _ = xml::parse_domain(bad);
    }
    assert!(xml::parse_domain("<domain></devices></domain>").is_err());
    assert_eq!(xml::parse_domain("").unwrap(), Description::default());
    let deep = "<x>".repeat(100_000);
    assert!(matches!(xml::parse_domain(&deep), Err(xml::XmlError::TooDeep)));
}

#[test]
fn files_block_devices_volumes_network_disks_and_empty_drives_are_told_apart() {
    for (inner, source, is_removable) in [
        ("<disk><source file='/a &amp; b'/><target dev='vda'/></disk>", "/a & b", false),
        ("<disk type='block'><source dev='/dev/sdz'/><target dev='vda'/></disk>", "/dev/sdz", false),
        ("<disk><source pool='p' volume='v'/><target dev='vda'/></disk>", "p/v", false),
        (
            "<disk><source protocol='rbd' name='p/i'><host name='h'/></source><target dev='vda'/></disk>",
            "rbd:p/i",
            false,
        ),
        ("<disk device='cdrom'><target dev='vda'/><readonly/></disk>", "", true),
        ("<disk device='cdrom'><source file='/iso'/><target dev='vda'/></disk>", "/iso", true),
    ] {
        let expected = DiskDescription {
            target: "vda".into(),
            source: source.into(),
            volume: inner.contains("pool=").then(|| ("p".to_owned(), "v".to_owned())),
            is_removable,
            ..DiskDescription::default()
        };
        assert_eq!(devices(inner).disks, [expected], "{inner}");
    }
    assert_eq!(devices("<disk><source file='/a'/></disk>").disks, [], "a disk without a target");
    assert_eq!(devices("").disks, [], "no disk at all");
}

#[test]
fn images_below_a_disk_and_copies_of_it_are_its_relatives() {
    let description = devices(
        "<disk><source file='/top'/><backingStore><source file='/mid'/><backingStore><source file='/base'/>\
         </backingStore></backingStore><mirror job='copy'><source file='/copy'/></mirror><target dev='vda'/></disk>",
    );
    assert_eq!(description.disks[0].source, "/top");
    assert_eq!(description.disks[0].relatives, ["/mid", "/base", "/copy"]);
    assert_eq!(description.makeup().image.as_deref(), Some("/base"));
}

#[test]
fn an_instance_is_made_from_the_lowest_image_of_its_first_disk_and_its_nics_are_where_they_are_plugged_in() {
    let made = devices(
        "<disk device='cdrom'><source file='/iso'/><target dev='sda'/></disk>\
         <disk><source file='/own'/><target dev='vda'/>\
         <mirror><source file='/copy'/><backingStore><source file='/of the copy'/></backingStore></mirror></disk>\
         <interface type='network'><mac address='52:54:00:00:00:01'/><source network='public' bridge='virbr1'/></interface>\
         <interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='br0'/></interface>\
         <interface type='direct'><mac address='52:54:00:00:00:03'/><source dev='eth1' mode='bridge'/></interface>\
         <interface type='user'><mac address='52:54:00:00:00:04'/></interface>\
         <interface type='network'><source network='nobody'/></interface>",
    )
    .makeup();
    assert_eq!(made.image, None, "neither the image of a copy nor that of a drive");
    let networks: Vec<(&str, &str)> =
        made.networks.iter().map(|(mac, network)| (mac.as_str(), network.as_str())).collect();
    assert_eq!(
        networks,
        [("52:54:00:00:00:01", "public"), ("52:54:00:00:00:02", "br0"), ("52:54:00:00:00:03", "eth1")]
    );
}

#[test]
fn a_nic_without_mac_and_a_passed_through_one_are_described_and_not_counted() {
    let description = devices(
        "<interface type='hostdev'><mac address='52:54:00:AA:00:01'/><source><address type='pci'/></source></interface>\
         <interface type='network'><target dev='vnet3'/></interface>\
         <interface type='bridge'><mac address='52:54:00:aa:00:02'/><target dev='vnet4'/></interface>",
    );
    assert_eq!(
        description.nics[0],
        NicDescription {
            mac: Some("52:54:00:aa:00:01".into()),
            kind: "hostdev".into(),
            ..NicDescription::default()
        }
    );
    let counters =
        "net.count=3 net.2.name=vnet4 net.2.rx.bytes=1 net.2.tx.bytes=2 net.2.rx.pkts=3 net.2.tx.pkts=4";
    let nics = stats::figures(&params(counters), &description).nics;
    assert_eq!((&nics[0].host_device, nics[0].registers), (&None, None));
    assert_eq!((&nics[1].mac, nics[1].registers), (&None, None));
    let expected = NicRegisters { rx_bytes: 1, tx_bytes: 2, rx_packets: 3, tx_packets: 4 };
    assert_eq!(nics[2].registers, Some(expected));
}

#[test]
fn what_libvirt_does_not_say_is_absent_and_not_zero() {
    let description = devices("<disk><source file='/a'/><target dev='vda'/></disk>");
    let figures = stats::figures(&params("block.count=1 block.0.name=vda"), &description);
    assert_eq!((figures.cpu_ns, figures.vcpus, figures.memory_kib), (None, None, None));
    assert_eq!(figures.disks[0].registers, None);
    assert_eq!(figures.disks[0].source, "/a");
    let endless = params("block.count=18446744073709551615 net.count=18446744073709551615");
    assert_eq!(stats::figures(&endless, &description).disks, []);
}

#[test]
fn the_first_entry_of_a_name_is_the_disk_and_further_ones_are_images_below_it() {
    let counters = "block.count=2 \
        block.0.name=vda block.0.path=/top block.0.backingIndex=4 block.0.rd.bytes=1 block.0.wr.bytes=2 block.0.rd.reqs=3 \
        block.0.wr.reqs=4 block.0.fl.reqs=5 block.1.name=vda block.1.path=/base block.1.rd.bytes=9 block.1.wr.bytes=9 \
        block.1.rd.reqs=9 block.1.wr.reqs=9";
    let disks = stats::figures(&params(counters), &Description::default()).disks;
    assert_eq!(disks.len(), 1);
    assert_eq!((disks[0].source.as_str(), disks[0].mark), ("/top", Some(4)));
    let expected = DiskRegisters { read_bytes: 1, write_bytes: 2, read_ops: 3, write_ops: 4, flush_ops: 5 };
    assert_eq!(disks[0].registers, Some(expected));
}

#[test]
fn a_domain_that_is_off_is_off_whatever_figures_libvirt_makes_up_for_it() {
    for (id, text, expected) in [
        (None, "state.state=5 cpu.time=6510000000", Some(State::Off)),
        (None, "state.state=1", Some(State::Off)),
        (Some(3), "state.state=5", Some(State::Off)),
        (Some(3), "state.state=1", Some(State::Executing)),
        (Some(3), "state.state=4", Some(State::Executing)),
        (Some(3), "state.state=3", Some(State::Suspended)),
        (Some(3), "state.state=7", Some(State::Suspended)),
        (Some(3), "cpu.time=1", None),
    ] {
        assert_eq!(stats::state(&record(id, text)), expected, "{text}");
    }
}

fn pool(name: &str, dir: &str, volumes: &[(&str, Option<u64>)]) -> PoolRecord {
    let of = |(volume, capacity_bytes): &(&str, Option<u64>)| VolumeRecord {
        name: (*volume).into(),
        path: format!("{dir}/{volume}"),
        capacity_bytes: *capacity_bytes,
    };
    PoolRecord {
        name: name.into(),
        xml: format!("<pool type='dir'><target><path>{dir}</path></target></pool>"),
        volumes: Some(volumes.iter().map(of).collect()),
    }
}

fn disk_use(source: &str) -> DiskUse {
    DiskUse {
        instance_id: InstanceId::from_uuid(Uuid::from_u128(7)),
        source: source.into(),
        volume: None,
        capacity_bytes: Some(64),
    }
}

/// Pool/name, size and whether an instance has it.
fn names(storage: &mut Storage, pools: &[PoolRecord], uses: &[DiskUse]) -> Vec<(String, Option<u64>, bool)> {
    let view = storage.view(pools, uses);
    view.volumes
        .into_iter()
        .map(|volume| {
            let name = format!("{}:{}", volume.pool, volume.name);
            (name, volume.capacity_bytes, volume.instance_id.is_some())
        })
        .collect()
}

#[test]
fn a_disk_that_its_pool_does_not_list_yet_is_named_as_if_it_did() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().to_str().unwrap();
    let (listed, unlisted) = (format!("{at}/a"), format!("{at}/b"));
    std::fs::write(&unlisted, "").unwrap();
    std::fs::write(&listed, "").unwrap();
    let mut storage = Storage::default();
    let uses = [disk_use(&listed), disk_use(&unlisted), disk_use("/elsewhere/c")];
    let pools = [pool("default", at, &[("a", Some(32))])];
    let expected = |used| {
        vec![
            (":/elsewhere/c".to_owned(), Some(64), used),
            ("default:a".to_owned(), Some(32), used),
            ("default:b".to_owned(), Some(64), used),
        ]
    };
    assert_eq!(names(&mut storage, &pools, &uses), expected(true));
    // A pool that is switched off takes neither names nor volumes away.
    assert_eq!(names(&mut storage, &[], &uses)[1].0, "default:a");
    // Nor does an instance that is deleted, while the file is there. The one without a file is gone.
    let left = names(&mut storage, &pools, &[]);
    assert_eq!(left[0], ("default:a".to_owned(), Some(32), false));
    assert_eq!(left[1], ("default:b".to_owned(), None, false));
    assert_eq!(left.len(), 2);
    std::fs::remove_file(&unlisted).unwrap();
    std::fs::remove_file(&listed).unwrap();
    assert_eq!(names(&mut storage, &[pool("default", at, &[("a", None)])], &[]), []);
}

#[test]
fn a_disk_that_is_off_and_named_by_its_volume_is_not_a_second_volume() {
    let named =
        |source: &str| DiskUse { volume: Some(("default".to_owned(), "a".to_owned())), ..disk_use(source) };
    let pools = [pool("default", "/pool", &[("a", Some(32))])];
    let mut storage = Storage::default();
    let once = vec![("default:a".to_owned(), Some(32), true)];
    // Off, a disk has no path; running, it has the volume's.
    assert_eq!(names(&mut storage, &pools, &[named("default/a")]), once);
    assert_eq!(names(&mut storage, &pools, &[named("/pool/a")]), once);
    assert_eq!(names(&mut storage, &[], &[named("default/a")])[0].0, "default:a");
}

#[test]
fn volumes_that_were_known_before_a_restart_are_still_known() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    std::fs::write(&path, "").unwrap();
    let known: BTreeMap<(String, String), PathBuf> =
        [(("p".to_owned(), "a".to_owned()), path)].into_iter().collect();
    let mut storage = Storage::new(known);
    assert_eq!(names(&mut storage, &[], &[]), [("p:a".to_owned(), None, false)]);
}

#[test]
fn a_pool_without_a_directory_has_none() {
    assert_eq!(xml::parse_pool_dir("<pool><name>x</name></pool>").unwrap(), None);
    let odd = "<pool><target><path>/a&amp;b</path></target></pool>";
    assert_eq!(xml::parse_pool_dir(odd).unwrap().as_deref(), Some("/a&b"));
}

#[test]
fn a_driver_that_gives_nothing_but_states_gives_no_figures() {
    let boot_id = crate::clock::boot_id().unwrap();
    let mut libvirt = super::Libvirt::new("test:///default", boot_id, BTreeMap::new());
    for _ in 0..2 {
        let observation =
            libvirt.observe(&crate::clock::SystemClock, &crate::observation::Scope::Everything).unwrap();
        let run = observation.instances[0].run.as_ref().unwrap();
        assert_eq!(run.is_executing, Some(true));
        let figures = run.figures.as_ref().unwrap();
        assert_eq!((figures.cpu_ns, figures.memory_kib), (None, None));
        assert!(observation.volumes.is_some());
    }
}

#[test]
fn a_libvirt_that_is_not_there_is_an_error_that_says_what_was_tried() {
    let boot_id = crate::clock::boot_id().unwrap();
    for uri in ["qemu+unix:///system?socket=/nowhere/sock", "nonsense://", "a\0b"] {
        let mut libvirt = super::Libvirt::new(uri, boot_id, BTreeMap::new());
        let error =
            libvirt.observe(&crate::clock::SystemClock, &crate::observation::Scope::Everything).unwrap_err();
        assert!(error.doing.contains("opening") && !error.message.is_empty(), "{error}");
    }
}

#[test]
fn what_was_read_of_guests_that_are_gone_is_not_kept() {
    let mut libvirt =
        super::Libvirt::new("test:///default", metering::BootId::from_uuid(Uuid::nil()), BTreeMap::new());
    let start =
        |n: u64| crate::observation::ProcessStart { ticks: n, boot: std::time::Duration::from_secs(n) };
    let of =
        |n: u16| DomainRecord { uuid: [n.to_be_bytes()[0].max(1); 16], ..record(Some(u32::from(n)), "") };
    for n in 0..5_000_u16 {
        let seen = of(n);
        libvirt.starts.insert((seen.uuid, u32::from(n)), start(u64::from(n)));
        let cached = super::Cached {
            run_id: seen.id,
            disks: None,
            nics: None,
            read_at: std::time::Duration::ZERO,
            description: devices(""),
        };
        libvirt.descriptions.insert(seen.uuid, cached);
        // One that stays, in its present run, beside the one that has just come.
        libvirt.forget_all_but(&[seen, of(7)]);
        assert!(libvirt.starts.len() <= 2 && libvirt.descriptions.len() <= 2);
    }
    libvirt.forget_all_but(&[]);
    assert_eq!((libvirt.starts.len(), libvirt.descriptions.len()), (0, 0));
}
