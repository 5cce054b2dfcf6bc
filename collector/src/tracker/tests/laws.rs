//! What holds for every story.

use std::collections::BTreeMap;

use metering::Coverage;
use proptest::prelude::*;

use super::*;

fn any_guest() -> impl Strategy<Value = Guest> {
    (0_u32..3, any::<bool>(), any::<bool>(), any::<bool>(), 0_u64..50, 0_u64..50, 0_u64..3).prop_map(
        |(number, executing, moving, busy, cpu, written, mark)| Guest {
            run: (number != 0).then_some(number),
            started: None,
            executing,
            moving: moving && !executing,
            busy,
            disk: Some(Disk { mark: (mark != 0).then_some(mark), ..disk("a", written) }),
            nic: Some((Some("vnet1"), Some(written))),
            ..run(0, cpu)
        },
    )
}

fn any_event() -> impl Strategy<Value = What> {
    use What::{DevicesChanged, MigratedAway, MigratedHere, Paused, Resized, Resumed, Started, Stopped};
    proptest::sample::select(vec![
        DevicesChanged,
        MigratedAway,
        MigratedHere,
        Paused,
        Resized,
        Resumed,
        Started,
        Stopped,
    ])
}

/// A look `step` seconds after the one before, with what was heard (up to 3 s after it began) and what the kernel kept.
#[derive(Clone, Debug)]
struct Scene {
    step: u64,
    wall_jump_s: i64,
    kernel_life: u8,
    guest: Option<Guest>,
    heard: Vec<(u64, What)>,
    end: Option<(u32, u64, u64)>,
}

fn any_scene() -> impl Strategy<Value = Scene> {
    let heard = proptest::collection::vec((0_u64..100, any_event()), 0..6);
    let end = proptest::option::of((1_u32..3, 0_u64..100, 0_u64..80));
    (1_u64..100, -50_i64..50, 1_u8..3, proptest::option::of(any_guest()), heard, end).prop_map(
        |(step, wall_jump_s, kernel_life, guest, heard, end)| Scene {
            step,
            wall_jump_s,
            kernel_life,
            guest,
            heard,
            end,
        },
    )
}

fn looks(scenes: Vec<Scene>, sets_the_clock: bool) -> Vec<Look> {
    let (mut at, mut life) = (0, 1);
    let look = |scene: Scene| {
        let (before, wall_jump_s) = (at, if sets_the_clock { scene.wall_jump_s } else { 0 });
        at += scene.step;
        life = if sets_the_clock { life.max(scene.kernel_life) } else { 1 };
        let within = |part: u64| before + (scene.step + 3) * part / 100;
        Look {
            wall_jump_s,
            kernel_life: life,
            guest: scene.guest.clone(),
            events: scene.heard.iter().map(|(part, what)| (within(*part), *what, None)).collect(),
            ends: scene
                .end
                .iter()
                .map(|(run, part, figure)| (*run, within(*part), Some(*figure), Some(*figure)))
                .collect(),
            ..nothing(at)
        }
    };
    scenes.into_iter().map(look).collect()
}

/// All registers of a life by their kind and epoch, in the order in which they were read.
fn registers(readings: &Readings) -> Vec<((String, i64), Vec<u64>)> {
    let instances = readings.instances.iter().filter(|one| one.epoch != Epoch::NONE).map(|one| {
        let it = one.registers;
        let values = vec![it.cpu_ns, it.running_ms, it.vcpu_ms, it.memory_kib_s];
        (("instance".to_owned(), one.epoch.id.as_i64()), values)
    });
    let disks = readings
        .disks
        .iter()
        .map(|one| ((one.target.clone(), one.epoch.id.as_i64()), vec![one.registers.write_bytes]));
    let nics = readings
        .nics
        .iter()
        .map(|one| ((one.mac.clone(), one.epoch.id.as_i64()), vec![one.registers.rx_bytes]));
    instances.chain(disks).chain(nics).collect()
}

proptest! {
    #[test]
    fn registers_never_fall_within_an_epoch(script in proptest::collection::vec(any_scene(), 1..40)) {
        let mut last: BTreeMap<(String, i64), Vec<u64>> = BTreeMap::new();
        for outcome in outcomes(&looks(script, true)) {
            for (key, values) in registers(&outcome.readings) {
                if let Some(before) = last.get(&key) {
                    prop_assert!(before.iter().zip(&values).all(|(before, after)| before <= after));
                }
                last.insert(key, values);
            }
        }
    }

    #[test]
    fn nobody_pays_for_more_time_than_has_passed_whatever_is_heard(script in proptest::collection::vec(any_scene(), 1..40)) {
        let looks = looks(script, false);
        let passed_s = looks.last().unwrap().at + 3;
        let billed = billed(&outcomes(&looks));
        prop_assert!(billed.running_s <= passed_s, "{} s of {passed_s}", billed.running_s);
        prop_assert!(billed.vcpu_s <= passed_s, "{} s of {passed_s}", billed.vcpu_s);
    }

    #[test]
    fn what_is_told_twice_is_counted_once(script in proptest::collection::vec(any_scene(), 1..20)) {
        let once = looks(script, false);
        let mut twice = once.clone();
        for n in 1..twice.len() {
            // What came later than the look is handed over once: it is kept in the memory that goes with the look.
            let before = &once[n - 1];
            let told = before.events.iter().copied().filter(|(at, ..)| *at <= before.at);
            twice[n].events.extend(told);
            let again = twice[n].events.clone();
            twice[n].events.extend(again);
        }
        prop_assert_eq!(billed(&outcomes(&once)), billed(&outcomes(&twice)));
    }
}

#[test]
fn coverage_of_an_unbroken_life_is_all_measured() {
    let looks: Vec<Look> = (10..20).map(|n| look(n * 10, run(1, n).started(100))).collect();
    let points: Vec<Point<1>> = outcomes(&looks)
        .iter()
        .flat_map(|outcome| &outcome.readings.instances)
        .map(|one| Point {
            observed_at: one.observed_at,
            epoch: one.epoch,
            registers: [one.registers.running_ms],
            is_last: false,
        })
        .collect();
    let span = Window::new(points[0].observed_at, points[9].observed_at).unwrap();
    let usage = derive(&points, &[span], Duration::from_secs(20), span.end());
    assert_eq!(usage[0].quantities, [90_000]);
    assert_eq!(usage[0].coverage, Coverage { measured_us: 90_000_000, ..Coverage::default() });
}
