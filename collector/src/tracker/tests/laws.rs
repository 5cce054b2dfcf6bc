//! What holds for every story.

use std::collections::BTreeMap;

use metering::Coverage;
use proptest::prelude::*;

use super::*;

fn any_look() -> impl Strategy<Value = (u64, i64, u8, Option<Guest>)> {
    let guest = (0_u32..3, any::<bool>(), any::<bool>(), 0_u64..50, 0_u64..50, 0_u64..3).prop_map(
        |(number, executing, busy, cpu, written, mark)| Guest {
            run: (number != 0).then_some(number),
            started: None,
            executing,
            busy,
            disk: Some(Disk { mark: (mark != 0).then_some(mark), ..disk("a", written) }),
            nic: Some((Some("vnet1"), Some(written))),
            ..run(0, cpu)
        },
    );
    (1_u64..100, -50_i64..50, 1_u8..3, proptest::option::of(guest))
}

proptest! {
    #[test]
    fn registers_never_fall_within_an_epoch(script in proptest::collection::vec(any_look(), 1..40)) {
        let mut at = 0;
        let mut life = 1;
        let looks: Vec<Look> = script.into_iter().map(|(step, wall_jump_s, kernel_life, guest)| {
            at += step;
            life = life.max(kernel_life);
            Look { wall_jump_s, kernel_life: life, guest, ..nothing(at) }
        }).collect();
        let mut last: BTreeMap<(String, i64), Vec<u64>> = BTreeMap::new();
        for outcome in outcomes(&looks) {
            let readings = outcome.readings;
            let instances = readings.instances.iter().filter(|one| one.epoch != Epoch::NONE).map(|one| {
                let it = one.registers;
                let values = vec![it.cpu_ns, it.running_ms, it.vcpu_ms, it.memory_kib_s];
                (("instance".to_owned(), one.epoch.id.as_i64()), values)
            });
            let disks = readings.disks.iter().map(|one| {
                ((one.target.clone(), one.epoch.id.as_i64()), vec![one.registers.write_bytes])
            });
            let nics = readings.nics.iter().map(|one| {
                ((one.mac.clone(), one.epoch.id.as_i64()), vec![one.registers.rx_bytes])
            });
            for (key, values) in instances.chain(disks).chain(nics) {
                if let Some(before) = last.get(&key) {
                    prop_assert!(before.iter().zip(&values).all(|(before, after)| before <= after));
                }
                last.insert(key, values);
            }
        }
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
