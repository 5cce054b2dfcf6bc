//! Starts, stops, pauses, resizes, reboots and clocks.

use metering::Makeup;

use super::*;

#[test]
fn a_guest_that_ran_before_anybody_looked_is_adopted_and_pays_from_then_on() {
    let looks = [look(100, run(1, 50).started(10)), look(110, run(1, 57).started(10))];
    check(&looks, Billed { cpu_ns: 7, running_s: 10, vcpu_s: 10, ..Billed::default() });
    assert_eq!(outcomes(&looks)[0].readings.instances[0].epoch.born_at, None);
}

#[test]
fn a_guest_that_started_between_two_looks_pays_from_its_process_start() {
    for (started, running_s) in [
        (Some(103), 7),
        // Not known: the look before is the earliest instant possible.
        (None, 10),
        // Before that look it was not there, whatever the file says.
        (Some(50), 10),
    ] {
        let guest = Guest { started, ..run(1, 5) };
        check(
            &[nothing(100), look(110, guest)],
            Billed { cpu_ns: 5, running_s, vcpu_s: running_s, ..Billed::default() },
        );
    }
}

#[test]
fn a_restart_between_two_looks_that_passed_the_old_value_loses_nothing_but_the_end() {
    // 40 ns by the first run, then 40 and at last 60 by the second: only its number tells them apart.
    let looks = [
        nothing(100),
        look(110, run(1, 40).disk(disk("a", 500)).started(100)),
        look(120, run(2, 40).disk(disk("a", 500)).started(114)),
        look(130, run(2, 60).disk(disk("a", 900)).started(114)),
    ];
    check(&looks, Billed { cpu_ns: 100, running_s: 26, vcpu_s: 26, written: 1_400, ..Billed::default() });
}

#[test]
fn a_daemon_that_counts_runs_from_one_again_does_not_mix_two_runs() {
    let looks = [nothing(100), look(110, run(1, 40).started(103)), look(120, run(1, 45).started(113))];
    check(&looks, Billed { cpu_ns: 85, running_s: 14, vcpu_s: 14, ..Billed::default() });
}

#[test]
fn the_time_that_the_hypervisor_needs_for_a_start_is_not_sold_as_running() {
    // Seen 3 s after the birth of its process, as Weir sees it after a start of its own.
    let looks = [nothing(100), look(110, run(1, 40).started(107)), look(120, run(1, 45).started(107))];
    check(&looks, Billed { cpu_ns: 45, running_s: 10, vcpu_s: 13, ..Billed::default() });
}

#[test]
fn a_start_that_becomes_known_later_is_no_new_run() {
    let looks = [nothing(100), look(110, run(1, 40)), look(120, run(1, 45).started(104))];
    check(&looks, Billed { cpu_ns: 45, running_s: 20, vcpu_s: 20, ..Billed::default() });
}

#[test]
fn a_reboot_of_the_node_begins_new_epochs_even_with_the_same_numbers() {
    let rebooted = Look { kernel_life: 2, ..look(20, run(1, 45).started(10)) };
    check(
        &[nothing(100), look(110, run(1, 40).started(100)), rebooted],
        Billed { cpu_ns: 85, running_s: 20, vcpu_s: 20, ..Billed::default() },
    );
}

#[test]
fn what_ran_when_the_node_lost_its_power_has_a_gap_up_to_its_next_start_at_most() {
    for seen in [look(20, run(1, 45).started(10)), nothing(20)] {
        let before = look(110, run(1, 40).started(100));
        let rebooted = Look { kernel_life: 2, ..seen };
        let start = Look { kernel_life: 2, ..nothing(0) }.moment().wall;
        let all = outcomes(&[nothing(100), before.clone(), rebooted]);
        let gaps = &all[2].gaps;
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        assert_eq!(gaps[0].reason, GapReason::EndedUnread);
        assert_eq!((gaps[0].span.start(), gaps[0].span.end()), (before.moment().wall, start));
    }
}

#[test]
fn a_pause_stops_running_time_but_not_what_is_held() {
    let looks = [
        nothing(100),
        look(110, run(1, 1).started(100)),
        look(120, run(1, 1).paused()),
        look(150, run(1, 1)),
        look(155, run(1, 2)),
    ];
    // Paused was seen at 120, running last at 110: nobody knows when it paused, and the tenant is not the one to pay.
    check(&looks, Billed { cpu_ns: 2, running_s: 15, vcpu_s: 55, ..Billed::default() });
}

#[test]
fn a_resize_counts_from_the_look_that_saw_it() {
    let looks = [
        nothing(100),
        look(110, run(1, 1).started(100)),
        look(120, run(1, 1).vcpus(4)),
        look(130, run(1, 1).vcpus(4)),
    ];
    check(&looks, Billed { cpu_ns: 1, running_s: 30, vcpu_s: 60, ..Billed::default() });
}

#[test]
fn a_wall_clock_that_is_set_changes_no_duration() {
    for jump in [3_000, 86_400, -5] {
        let mut looks = vec![nothing(100), look(110, run(1, 1).started(100))];
        looks.extend([120, 130].map(|at| Look { wall_jump_s: jump, ..look(at, run(1, at)) }));
        let all = outcomes(&looks);
        let last = &all[3].readings.instances[0];
        assert_eq!(last.registers.running_ms, 30_000, "{jump}");
        assert_eq!(billed(&all).running_s, 30, "{jump}");
    }
}

#[test]
fn a_guest_that_vanishes_is_reported_once_as_gone() {
    let looks = [look(100, run(1, 1)), nothing(110), nothing(120)];
    let states: Vec<Vec<InstanceState>> = outcomes(&looks)
        .iter()
        .map(|outcome| outcome.readings.instances.iter().map(|one| one.state).collect())
        .collect();
    assert_eq!(states, [vec![InstanceState::Running], vec![InstanceState::Gone], vec![]]);
}

#[test]
fn a_guest_that_is_off_is_read_at_rest() {
    let reading = &outcomes(&[look(100, off())])[0].readings.instances[0];
    assert_eq!(reading.epoch, Epoch::NONE);
    assert_eq!(reading.state, InstanceState::Stopped);
    assert_eq!(reading.registers, Default::default());
}

#[test]
fn a_busy_guest_is_a_gap_and_its_time_counts_all_the_same() {
    let looks =
        [nothing(100), look(110, run(1, 5).started(100)), look(120, run(1, 0).busy()), look(130, run(1, 9))];
    assert_eq!(gaps(&looks), [(GapReason::InstanceBusy, None)]);
    check(&looks, Billed { cpu_ns: 9, running_s: 30, vcpu_s: 30, ..Billed::default() });
}

#[test]
fn a_guest_that_was_busy_while_it_started_pays_from_its_start() {
    let first = look(110, run(1, 0).busy().started(105));
    let looks = [nothing(100), first, look(120, run(1, 9).disk(disk("a", 70)).nic("vnet1", 30))];
    check(
        &looks,
        Billed { cpu_ns: 9, running_s: 15, vcpu_s: 15, written: 70, received: 30, ..Billed::default() },
    );
}

#[test]
fn an_hour_without_the_hypervisor_costs_resolution_not_quantity() {
    let away = |at| Look { hypervisor_away: true, ..nothing(at) };
    let looks =
        [nothing(100), look(110, run(1, 5).started(100)), away(120), away(130), look(3_710, run(1, 50))];
    let all = outcomes(&looks);
    let spans: Vec<_> = all.iter().flat_map(|outcome| &outcome.gaps).map(|gap| gap.span).collect();
    assert_eq!(spans[0].start(), looks[1].moment().wall);
    assert_eq!(spans[0].end(), spans[1].start());
    check(&looks, Billed { cpu_ns: 50, running_s: 3_610, vcpu_s: 3_610, ..Billed::default() });
}

#[test]
fn a_collector_that_lost_its_memory_adopts_under_new_epochs() {
    let forgot = Look { collector_forgot: true, ..look(120, run(1, 70).started(100)) };
    let looks =
        [nothing(100), look(110, run(1, 40).started(100)), forgot, look(130, run(1, 75).started(100))];
    let all = outcomes(&looks);
    let epoch = |n: usize| all[n].readings.instances[0].epoch;
    assert_ne!(epoch(1).id, epoch(2).id);
    assert_eq!(epoch(2).born_at, None);
    check(&looks, Billed { cpu_ns: 45, running_s: 20, vcpu_s: 20, ..Billed::default() });
}

#[test]
fn facts_are_told_when_they_are_new_and_when_they_change() {
    let mut state = State::new(Uuid::from_u128(1));
    let mut tell = |name: &str, label: Option<&str>, is_described| {
        let mut observation = look(100, off()).observation();
        observation.instances[0].name = name.into();
        observation.instances[0].tenant_label = label.map(str::to_owned);
        observation.instances[0].is_described = is_described;
        observe(NodeId::from_uuid(Uuid::nil()), &mut state, &observation).instances
    };
    assert_eq!(tell("web", Some("acme"), true).len(), 1);
    assert_eq!(tell("web", Some("acme"), true), []);
    assert_eq!(tell("web", None, false), [], "unreadable is not changed");
    assert_eq!(tell("web", None, true)[0].tenant_label, None);
    assert_eq!(tell("web \"<😀\n", None, true)[0].name, "web \"<😀\n");
}

#[test]
fn an_instance_that_is_switched_off_is_still_made_from_its_image_and_a_nic_that_moves_is_told() {
    let mut state = State::new(Uuid::from_u128(1));
    let mut tell = |guest: Option<u32>, image: Option<&str>, network: &str| {
        let shown = if let Some(run_id) = guest { run(run_id, 10).started(90) } else { off() };
        let mut observation = look(100, shown).observation();
        observation.instances[0].makeup = Makeup {
            image: image.map(str::to_owned),
            networks: [("52:54:00:00:00:01".to_owned(), network.to_owned())].into(),
        };
        let facts = observe(NodeId::from_uuid(Uuid::nil()), &mut state, &observation).instances;
        facts.into_iter().next().map(|facts| (facts.makeup.image, facts.makeup.networks.into_values().next()))
    };
    let told =
        |image: Option<&str>, network: &str| Some((image.map(str::to_owned), Some(network.to_owned())));
    assert_eq!(tell(None, None, "public"), told(None, "public"), "it never ran");
    assert_eq!(tell(Some(1), Some("/debian"), "public"), told(Some("/debian"), "public"));
    assert_eq!(tell(None, None, "public"), None, "it is switched off");
    assert_eq!(tell(None, None, "br0"), told(Some("/debian"), "br0"));
    assert_eq!(tell(Some(2), None, "br0"), told(None, "br0"), "its disk was made whole");
}
