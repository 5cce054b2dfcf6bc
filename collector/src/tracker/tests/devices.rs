//! Disks and NICs that come, go, return and change.

use super::*;

/// What a disk and a NIC pay when the second look shows them as given.
fn check_devices(second: Guest, third: Guest, written: u64, received: u64) {
    let first = run(1, 1).disk(disk("a", 100)).nic("vnet1", 100).started(100);
    let billed = billed(&outcomes(&[nothing(100), look(110, first), look(120, second), look(130, third)]));
    assert_eq!((billed.written, billed.received), (written, received));
}

#[test]
fn a_device_that_was_away_at_a_look_counts_from_zero_when_it_is_back() {
    check_devices(run(1, 1), run(1, 1).disk(disk("a", 150)).nic("vnet1", 150), 250, 250);
}

#[test]
fn a_replugged_device_that_passed_its_old_value_is_told_by_the_mark_of_its_attachment() {
    let marked = |source, mark, written| Disk { mark: Some(mark), ..disk(source, written) };
    let looks = [
        nothing(100),
        look(110, run(1, 1).disk(marked("a", 3, 100)).nic("vnet1", 100).started(100)),
        look(120, run(1, 1).disk(marked("a", 5, 100)).nic("vnet2", 100)),
        look(130, run(1, 1).disk(marked("a", 5, 130)).nic("vnet2", 130)),
    ];
    let billed = billed(&outcomes(&looks));
    assert_eq!((billed.written, billed.received), (230, 230));
}

#[test]
fn another_disk_under_the_same_name_counts_from_zero() {
    check_devices(
        run(1, 1).disk(disk("b", 120)).nic("vnet1", 100),
        run(1, 1).disk(disk("b", 130)).nic("vnet1", 100),
        230,
        100,
    );
}

#[test]
fn a_snapshot_or_another_medium_does_not_bill_a_disk_twice() {
    let snapshot = Disk { relatives: vec!["a"], mark: Some(9), ..disk("a.snapshot", 120) };
    let committed = disk("a", 130);
    check_devices(
        run(1, 1).disk(snapshot).nic("vnet1", 100),
        run(1, 1).disk(committed).nic("vnet1", 100),
        130,
        100,
    );
    let medium = |source, written| Disk { removable: true, ..disk(source, written) };
    check_devices(
        run(1, 1).disk(medium("iso", 120)).nic("vnet1", 100),
        run(1, 1).disk(medium("", 125)).nic("vnet1", 100),
        125,
        100,
    );
}

#[test]
fn a_hot_plugged_device_is_born_at_the_look_before() {
    let looks = [
        nothing(100),
        look(110, run(1, 1).started(100)),
        look(120, run(1, 1).disk(disk("a", 64)).nic("vnet5", 64)),
    ];
    let all = outcomes(&looks);
    let before = Some(looks[1].moment().wall);
    assert_eq!(all[2].readings.disks[0].epoch.born_at, before);
    assert_eq!(all[2].readings.nics[0].epoch.born_at, before);
    assert_eq!(billed(&all).written, 64);
}

#[test]
fn a_host_device_that_is_used_again_by_another_run_mixes_nothing() {
    let looks = [
        nothing(100),
        look(110, run(1, 1).nic("vnet1", 100).started(100)),
        look(120, run(2, 1).nic("vnet1", 100).started(115)),
    ];
    assert_eq!(billed(&outcomes(&looks)).received, 200);
}

#[test]
fn a_figure_that_falls_within_its_life_is_left_out_and_told() {
    let looks = [
        nothing(100),
        look(110, run(1, 50).disk(disk("a", 100)).nic("vnet1", 100).started(100)),
        look(120, run(1, 40).disk(disk("a", 90)).nic("vnet1", 90)),
        look(130, run(1, 60).disk(disk("a", 110)).nic("vnet1", 110)),
        look(140, run(1, u64::MAX).disk(disk("a", u64::MAX)).nic("vnet1", 111)),
    ];
    let parts = ["cpu", "vda", MAC, "cpu", "vda"].map(|part| Some(part.to_owned()));
    assert_eq!(gaps(&looks), parts.map(|part| (GapReason::Impossible, part)));
    check(
        &looks,
        Billed { cpu_ns: 60, running_s: 40, vcpu_s: 40, written: 110, received: 111, ..Billed::default() },
    );
}

#[test]
fn a_nic_that_nobody_counts_is_told_once_not_at_each_look() {
    let passed_through = Guest { nic: Some((None, None)), ..run(1, 1) };
    let looks = [100, 110, 120].map(|at| look(at, passed_through.clone()));
    assert_eq!(gaps(&looks), [(GapReason::NotCounted, Some(MAC.to_owned()))]);
}
