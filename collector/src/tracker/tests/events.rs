//! What events add to looks: when something happened. And what the kernel keeps of a run that has ended.

use super::*;

/// Running and existing seconds of the guest over the looks.
#[track_caller]
fn check_times(looks: &[Look], running_s: u64, vcpu_s: u64) {
    let billed = billed(&outcomes(looks));
    assert_eq!((billed.running_s, billed.vcpu_s), (running_s, vcpu_s));
}

fn started(at: u64) -> Look {
    look(at + 10, run(1, 1).started(at)).heard(at, What::Resumed).heard(at, What::Started)
}

#[test]
fn a_guest_that_is_stopped_by_anybody_pays_to_the_moment_of_its_stop() {
    check_times(&[nothing(90), started(100), look(120, off()).heard(117, What::Stopped)], 17, 17);
    check_times(&[nothing(90), started(100), nothing(120).heard(117, What::Stopped)], 17, 17);
    // Without the event the last look is the end, as it was.
    check_times(&[nothing(90), started(100), look(120, off())], 10, 10);
}

#[test]
fn a_guest_runs_from_the_moment_that_it_executes_and_exists_from_its_process_start() {
    let looks = [
        nothing(90),
        look(110, run(1, 1).started(100)).heard(103, What::Resumed).heard(103, What::Started),
        look(120, run(1, 1).started(100)),
    ];
    check_times(&looks, 17, 20);
}

#[test]
fn pauses_between_two_looks_are_not_sold_and_all_between_them_is() {
    let looks = [
        nothing(90),
        started(100),
        look(120, run(1, 1))
            .heard(112, What::Paused)
            .heard(115, What::Resumed)
            .heard(117, What::Paused)
            .heard(118, What::Resumed),
        look(130, run(1, 1).paused()).heard(127, What::Paused),
        look(140, run(1, 1)).heard(136, What::Resumed),
    ];
    check_times(&looks, 40 - 3 - 1 - 9, 40);
}

#[test]
fn a_start_that_is_heard_while_the_look_is_taken_that_sees_it_is_no_second_life() {
    // The bulk call began at 110 and ended after 112; nobody looks again before it has ended.
    let first = look(110, run(1, 1).started(105)).heard(111, What::Resumed).heard_of(1, 112, What::Started);
    let ended = |look: Look| look.heard(127, What::Stopped).end(1, 127, Some(9), None);
    for last in [ended(look(130, off())), ended(nothing(130)), look(130, off()).end(1, 127, Some(9), None)] {
        let looks = [nothing(90), first.clone(), last];
        check(&looks, Billed { cpu_ns: 9, running_s: 16, vcpu_s: 22, ..Billed::default() });
        assert_eq!(gaps(&looks), []);
    }
    // The next life began meanwhile, too.
    let again =
        ended(look(130, run(2, 1).started(128))).heard(128, What::Resumed).heard_of(2, 128, What::Started);
    let looks = [nothing(90), first, again];
    check(&looks, Billed { cpu_ns: 10, running_s: 16 + 2, vcpu_s: 22 + 2, ..Billed::default() });
}

#[test]
fn a_resize_in_mid_window_is_split_at_the_event_not_at_the_look() {
    let looks = [
        nothing(90),
        started(100),
        look(120, run(1, 1).vcpus(4)).heard(113, What::Resized),
        look(130, run(1, 1).vcpus(4)).heard(128, What::Resized),
    ];
    check_times(&looks, 30, 13 + 17 * 4);
}

#[test]
fn of_several_resizes_between_two_looks_what_shrinks_counts_from_the_first_and_what_grows_from_the_last() {
    let resized = |guest| look(130, guest).heard(113, What::Resized).heard(121, What::Resized);
    for (before, after, vcpu_s) in [(1, 4, 21 + 9 * 4), (4, 1, 13 * 4 + 17)] {
        let first = look(110, run(1, 1).vcpus(before).started(100)).heard(100, What::Started);
        check_times(&[nothing(90), first, resized(run(1, 1).vcpus(after))], 30, vcpu_s);
    }
}

#[test]
fn a_stop_and_a_start_between_two_looks_are_two_lives_and_the_time_between_is_free() {
    let second = look(120, run(2, 5).started(117))
        .heard(112, What::Stopped)
        .heard(117, What::Resumed)
        .heard(117, What::Started);
    check_times(&[nothing(90), started(100), second], 12 + 3, 12 + 3);
}

#[test]
fn a_life_that_no_look_saw_is_billed_by_its_events_and_what_it_did_is_a_gap() {
    let unseen =
        |look: Look| look.heard(103, What::Resumed).heard(103, What::Started).heard(107, What::Stopped);
    let looks = [look(90, off()), unseen(look(110, off()))];
    check_times(&looks, 4, 0);
    assert_eq!(gaps(&looks), [(GapReason::EndedUnread, None)]);
    // One that was never seen at all, and what the kernel kept of it.
    let looks = [nothing(90), unseen(nothing(110)).end(7, 107, Some(900), Some(50))];
    let all = outcomes(&looks);
    let paid = billed(&all);
    assert_eq!((paid.running_s, paid.cpu_ns, paid.received), (4, 900, 50));
    let states: Vec<_> = all[1].readings.instances.iter().map(|one| one.state).collect();
    assert_eq!(states, [InstanceState::Running, InstanceState::Stopped, InstanceState::Gone]);
    assert_eq!(all[1].instances.len(), 1, "the control plane must know whose it is");
    // What it held is guessed from its last run.
    let looks = [
        nothing(60),
        look(70, run(1, 1).vcpus(2).started(60)),
        look(80, off()).heard(75, What::Stopped),
        unseen(look(110, off())),
    ];
    check_times(&looks, 15 + 4, 2 * (15 + 4));
}

#[test]
fn a_guest_that_is_killed_is_billed_to_its_last_byte_and_nanosecond() {
    let last = run(1, 40).disk(disk("a", 100)).nic("vnet1", 100).started(100);
    let looks = [
        nothing(90),
        look(110, last).heard(100, What::Started),
        look(120, off()).heard(117, What::Stopped).end(1, 117, Some(77), Some(333)),
    ];
    check(
        &looks,
        Billed { cpu_ns: 77, running_s: 17, vcpu_s: 17, written: 100, received: 333, ..Billed::default() },
    );
    let all = outcomes(&looks);
    let gap = &all[2].gaps[0];
    assert_eq!(
        (gap.reason, gap.device.as_deref(), all[2].gaps.len()),
        (GapReason::EndedUnread, Some("vda"), 1)
    );
    assert_eq!(gap.span.start(), looks[1].moment().wall, "since the disk was read last");
    assert_eq!(gap.span.end(), Look { at: 117, ..looks[1].clone() }.moment().wall);
}

#[test]
fn the_kernel_alone_tells_when_a_run_ended_if_no_event_came() {
    let looks = [nothing(90), started(100), look(120, off()).end(1, 116, Some(50), None)];
    check(&looks, Billed { cpu_ns: 50, running_s: 16, vcpu_s: 16, ..Billed::default() });
}

#[test]
fn an_end_of_another_run_or_with_figures_that_fall_changes_nothing() {
    let looks = [nothing(90), started(100), look(120, run(1, 30)).end(9, 115, Some(9_000), Some(1))];
    check(&looks, Billed { cpu_ns: 30, running_s: 20, vcpu_s: 20, ..Billed::default() });
    let looks = [
        nothing(90),
        look(110, run(1, 40).started(100)),
        look(120, off()).heard(115, What::Stopped).end(1, 115, Some(3), None),
    ];
    assert_eq!(billed(&outcomes(&looks)).cpu_ns, 40);
    assert_eq!(gaps(&looks)[0], (GapReason::Impossible, Some("cpu".to_owned())));
}

#[test]
fn an_event_that_is_told_twice_or_late_changes_nothing() {
    let looks = [
        nothing(90),
        started(100),
        look(120, run(1, 1)).heard(112, What::Paused).heard(112, What::Paused).heard(115, What::Resumed),
        look(130, run(1, 1)).heard(112, What::Paused).heard(99, What::Stopped).heard(100, What::Started),
    ];
    check_times(&looks, 27, 30);
}

#[test]
fn a_look_that_saw_what_happened_right_after_it_began_is_explained_by_the_event() {
    // The bulk call began at 120 and found the guest paused, off, or running again.
    let after = |guest: Guest, what| look(120, guest).heard(121, what);
    let later = |guest: Guest| look(130, guest);
    check_times(
        &[nothing(90), started(100), after(run(1, 1).paused(), What::Paused), later(run(1, 1).paused())],
        21,
        30,
    );
    check_times(&[nothing(90), started(100), after(off(), What::Stopped), later(off())], 21, 21);
    let again = look(120, run(2, 1).started(121))
        .heard(121, What::Stopped)
        .heard(122, What::Resumed)
        .heard(122, What::Started);
    check_times(&[nothing(90), started(100), again, look(130, run(2, 1))], 21 + 8, 21 + 9);
}

#[test]
fn a_guest_on_its_way_to_this_node_is_not_here_until_it_executes_here() {
    let looks = [
        nothing(90),
        look(110, run(1, 500).moving().started(95)).heard(96, What::MigratedHere),
        look(120, run(1, 700).nic("vnet1", 30).started(95)).heard(114, What::Resumed),
        look(130, run(1, 900).nic("vnet1", 60).started(95)),
    ];
    let all = outcomes(&looks);
    assert_eq!((all[1].readings.instances.len(), all[1].instances.len()), (0, 0), "nothing is said of it");
    check(&looks, Billed { cpu_ns: 900, running_s: 16, vcpu_s: 16, received: 60, ..Billed::default() });
    // The migration is given up: the shell leaves nothing.
    let given_up = [looks[0].clone(), looks[1].clone(), nothing(120).heard(115, What::Stopped)];
    let all = outcomes(&given_up);
    assert!(all.iter().all(|outcome| outcome.readings.instances.is_empty() && outcome.gaps.is_empty()));
    // The event was not heard: it is here from the look that sees it execute.
    let unheard = [
        nothing(90),
        look(110, run(1, 500).moving().started(95)),
        look(120, run(1, 700).started(95)),
        look(130, run(1, 900).started(95)),
    ];
    check(&unheard, Billed { cpu_ns: 900, running_s: 10, vcpu_s: 10, ..Billed::default() });
}

#[test]
fn a_guest_that_leaves_is_here_until_it_was_paused_for_good_and_nothing_is_said_of_its_shell() {
    let switching = look(120, run(1, 40).moving()).heard(118, What::Paused);
    let left = |look: Look| look.heard(122, What::MigratedAway);
    for last in [left(look(130, off())), left(nothing(130))] {
        let looks = [nothing(90), started(100), switching.clone(), last, look(140, off())];
        check_times(&looks[..4], 18, 18);
        let all = outcomes(&looks[..4]);
        assert!(all[3].readings.instances.iter().all(|one| one.epoch != Epoch::NONE), "neither off nor gone");
    }
    // No look in between.
    let looks =
        [nothing(90), started(100), look(120, off()).heard(114, What::Paused).heard(116, What::MigratedAway)];
    check_times(&looks, 14, 14);
}

#[test]
fn a_migration_that_is_given_up_leaves_no_gap_in_what_is_held() {
    let looks = [
        nothing(90),
        started(100),
        look(120, run(1, 40).moving()).heard(118, What::Paused),
        look(130, run(1, 40)).heard(123, What::Resumed),
    ];
    check_times(&looks, 25, 30);
    assert_eq!(gaps(&looks), []);
}

#[test]
fn a_guest_that_comes_back_after_it_left_is_told_again() {
    let looks = [
        nothing(90),
        started(100),
        look(120, off()).heard(114, What::Paused).heard(116, What::MigratedAway),
        look(130, run(2, 1).moving().started(125)).heard(126, What::MigratedHere),
        look(140, run(2, 5).started(125)).heard(135, What::Resumed),
        look(150, off()).heard(145, What::Stopped),
    ];
    check_times(&looks, 14 + 10, 14 + 10);
    let last = outcomes(&looks).pop().unwrap();
    assert_eq!(last.readings.instances.last().unwrap().state, InstanceState::Stopped);
}

#[test]
fn a_guest_that_does_not_answer_is_told_once_and_so_is_its_answer() {
    let looks = [
        nothing(90),
        started(100),
        look(120, run(1, 1).busy()),
        look(130, run(1, 1).busy()),
        look(149, run(1, 1).busy()),
        look(150, run(1, 1).busy()),
        look(160, run(1, 9)),
    ];
    let notices: Vec<_> = outcomes(&looks)
        .iter()
        .enumerate()
        .flat_map(|(n, outcome)| outcome.notices.iter().map(move |notice| (n, notice.kind, notice.is_over)))
        .collect();
    assert_eq!(
        notices,
        [(5, metering::NoticeKind::InstanceHangs, false), (6, metering::NoticeKind::InstanceHangs, true)]
    );
    check(&looks, Billed { cpu_ns: 9, running_s: 60, vcpu_s: 60, ..Billed::default() });
}

#[test]
fn a_guest_that_somebody_else_holds_for_a_moment_alarms_nobody() {
    let busy = |at| look(at, run(1, 1).busy());
    let read = |at| look(at, run(1, 5));
    for looks in [
        // A look each second, by events, during a slow query.
        (110..139).map(busy).chain([read(139)]).collect::<Vec<_>>(),
        // Now and then, far apart.
        vec![busy(110), busy(170), read(230), busy(290), busy(350), read(410)],
        // It ends meanwhile, and the next run is as slow.
        vec![busy(110), busy(120), busy(130), look(140, run(2, 1).busy()), look(150, run(2, 1).busy())],
    ] {
        let looks: Vec<_> = [nothing(90), started(100)].into_iter().chain(looks).collect();
        let notices: Vec<_> = outcomes(&looks).into_iter().flat_map(|outcome| outcome.notices).collect();
        assert_eq!(notices, []);
    }
}

#[test]
fn what_was_not_asked_for_is_no_gap_and_disks_that_did_nothing_stand_where_they_stood() {
    let full = |at, cpu| look(at, run(1, cpu).disk(disk("a", 100)).nic("vnet1", 10).started(100));
    let idle =
        look(120, Guest { disk: None, nic: Some((Some("vnet1"), None)), ..run(1, 20) }).blocks(&[guest_id()]);
    let busy =
        look(130, Guest { nic: Some((Some("vnet1"), None)), ..run(1, 30).disk(disk("a", 150)) }).blocks(&[]);
    let looks =
        [nothing(90), full(110, 10), idle, busy, look(140, run(1, 40).disk(disk("a", 160)).nic("vnet1", 30))];
    assert_eq!(gaps(&looks), []);
    let all = outcomes(&looks);
    assert_eq!(all[2].readings.disks[0].registers.write_bytes, 100);
    assert_eq!(all[3].readings.disks[0].registers.write_bytes, 150);
    assert_eq!(all[4].readings.disks[0].epoch, all[1].readings.disks[0].epoch);
}

#[test]
fn a_device_that_is_unplugged_between_two_readings_leaves_a_gap() {
    let looks = [
        nothing(90),
        look(110, run(1, 1).disk(disk("a", 100)).nic("vnet1", 10).started(100)),
        look(120, run(1, 1)).heard(115, What::DevicesChanged),
    ];
    let expected = ["vda", MAC].map(|device| (GapReason::EndedUnread, Some(device.to_owned())));
    assert_eq!(gaps(&looks), expected);
}

#[test]
fn a_device_that_is_plugged_in_is_born_when_that_was_heard() {
    let looks = [
        nothing(90),
        look(110, run(1, 1).started(100)),
        look(120, run(1, 1).disk(disk("a", 64))).heard(115, What::DevicesChanged),
    ];
    let born_at = outcomes(&looks)[2].readings.disks[0].epoch.born_at;
    assert_eq!(born_at, Some(Look { at: 115, ..looks[1].clone() }.moment().wall));
}

#[test]
fn a_clock_that_is_set_back_before_an_adopted_guests_first_reading_loses_nothing() {
    let adopted = |at, counted| look(at, run(1, counted).disk(disk("a", counted)).nic("vnet1", counted));
    let back = |at, counted| Look { wall_jump_s: -30, ..adopted(at, counted) };
    let looks = [adopted(100, 50), back(110, 57), back(120, 60), back(140, 70)];
    check(
        &looks,
        Billed { cpu_ns: 20, running_s: 40, vcpu_s: 40, written: 20, received: 20, ..Billed::default() },
    );
}

#[test]
fn what_happened_while_the_clock_was_wrong_is_dated_by_the_look_that_tells_it() {
    for jump in [7_200, -7_200, 365 * 86_400, 30, -30] {
        let wrong = |look: Look| Look { wall_jump_s: jump, ..look };
        let looks = [
            nothing(90),
            look(110, run(1, 1).nic("vnet1", 10).started(100)),
            wrong(look(120, run(1, 2).nic("vnet1", 20))),
            // It ended before the clock was set right, and another life began.
            Look {
                heard_jump_s: jump,
                ..look(130, run(2, 1).nic("vnet2", 5).started(126))
                    .heard(125, What::Stopped)
                    .heard(126, What::Started)
                    .end(1, 125, Some(9), Some(77))
            },
            look(140, run(2, 2).nic("vnet2", 7)),
        ];
        let told = outcomes(&looks);
        let readings = &told[3].readings;
        let seconds = |at: Timestamp| at.duration_since(nothing(0).moment().wall).as_secs();
        let instances: Vec<i64> = readings.instances.iter().map(|one| seconds(one.observed_at)).collect();
        let nics: Vec<i64> = readings.nics.iter().map(|one| seconds(one.observed_at)).collect();
        assert_eq!((instances, nics), (vec![125, 125, 130], vec![125, 130]), "{jump}");
        let born_at = readings.instances[2].epoch.born_at.map(seconds);
        assert_eq!(born_at, Some(126), "{jump}");
        assert_eq!(billed(&told).received, 77 + 7, "{jump}");
    }
}
