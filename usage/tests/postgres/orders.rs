//! The order in which batches come does not show.

use std::collections::BTreeMap;

use metering::{Batch, Epoch, InstanceId, Readings};
use migrations::{Database, Scope};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use uuid::Uuid;

use crate::story::*;

/// One step of a story: how long after the last one, how much was used, and what else happened.
type Step = (i64, u32, u8);

/// The story as batches of one to four steps, told about these two instances.
fn batches(steps: &[Step], sizes: &[usize], node: &mut Node, ids: [InstanceId; 2]) -> Vec<Batch> {
    let mut readings = Vec::new();
    let (mut second, mut value, mut life, mut plug) = (0, 0_u64, 0_u32, 0_u32);
    let (mut birth, mut plugged_at) = (Some(-3), Some(-3));
    let (mut is_plugged, mut is_off) = (true, false);
    for (pause, rise, dice) in steps {
        second += pause;
        // No register of what holds 1 MiB rises faster than that.
        let rise = &(rise % u32::try_from(pause * 400).unwrap());
        value += u64::from(*rise);
        // What was switched off starts a new life.
        let dice = if std::mem::take(&mut is_off) && 1 < *dice { &0 } else { dice };
        is_off = *dice == 4;
        match dice {
            0 => {
                (life, birth, value) = (life + 1, Some(second - pause / 2), u64::from(*rise));
                plugged_at = birth;
            }
            1 => (life, birth, value) = (life + 1, None, u64::from(*rise)),
            2 => is_plugged = false,
            3 if !is_plugged => (is_plugged, plug, plugged_at) = (true, plug + 1, Some(second)),
            _ => {}
        }
        let mut batch = Readings::default();
        let epoch_now = epoch(&format!("{life}"), birth);
        for id in ids {
            let reading = if *dice == 4 {
                reading(id, second, Epoch::NONE, 0)
            } else {
                reading(id, second, epoch_now, value)
            };
            batch.instances.push(reading);
        }
        if is_plugged && *dice != 4 {
            let attachment =
                epoch(&format!("{life} {plug}"), if birth.is_none() { None } else { plugged_at });
            batch.disks.push(disk(ids[0], "vda", second, attachment, value));
        }
        readings.push(batch);
    }
    let mut batches = Vec::new();
    let (mut rest, mut n) = (&readings[..], 0);
    while !rest.is_empty() {
        let (now, later) = rest.split_at(sizes[n % sizes.len()].min(rest.len()));
        let mut batch = node.batch();
        for part in now {
            batch.readings.instances.extend(part.instances.clone());
            batch.readings.disks.extend(part.disks.clone());
        }
        batches.push(batch);
        (rest, n) = (later, n + 1);
    }
    batches
}

/// Usage of the instances, which are told apart by their place.
async fn usage(db: &Database, ids: [InstanceId; 2]) -> Vec<String> {
    let mut places: BTreeMap<Uuid, usize> = BTreeMap::new();
    for (n, id) in ids.iter().enumerate() {
        places.insert(id.uuid(), n);
    }
    let mut lines: Vec<String> = query(
        db,
        Scope::Provider,
        &format!(
            "SELECT resource, concat_ws(' ', device, meter, window_start, window_end, quantity, measured_us,
                                        estimated_us, missing_us) AS line
             FROM usage_record WHERE resource IN ('{}', '{}')",
            ids[0], ids[1]
        ),
    )
    .await
    .iter()
    .map(|row| format!("{} {}", places[&row.get("resource")], row.get::<_, String>("line")))
    .collect();
    lines.sort();
    lines
}

#[test]
fn shuffled_doubled_and_derived_in_between_it_is_the_same_usage_to_the_last_unit() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let db = runtime.block_on(migrations::testing::database());
    let steps = proptest::collection::vec((1_i64..2_500, any::<u32>(), 0_u8..16), 1..25);
    let sizes = proptest::collection::vec(1_usize..4, 1..6);
    let order = proptest::collection::vec((any::<proptest::sample::Index>(), any::<bool>()), 0..40);
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    runner
        .run(&(steps, sizes, order), |(steps, sizes, order)| {
            runtime.block_on(async {
                let now = 90_000;
                let ids = [instance_id(), instance_id()];
                let mut node = Node::new(&db);
                for batch in batches(&steps, &sizes, &mut node, ids) {
                    node.must_send(&batch).await;
                }
                derive(&db, now).await;
                let expected = usage(&db, ids).await;

                let ids = [instance_id(), instance_id()];
                let mut node = Node::new(&db);
                let batches = batches(&steps, &sizes, &mut node, ids);
                // Some in any order, some twice, then all: every batch comes at least once.
                for (which, derives) in &order {
                    let _ = node.send(which.get(&batches)).await.unwrap();
                    if *derives {
                        derive(&db, now).await;
                    }
                }
                for batch in batches.iter().rev() {
                    let _ = node.send(batch).await.unwrap();
                }
                derive(&db, now).await;
                prop_assert_eq!(usage(&db, ids).await, expected);
                for id in ids {
                    let audit = usage::audit::conservation(&db, Some(id.uuid())).await.unwrap();
                    prop_assert_eq!(audit.discrepancies, vec![]);
                }
                Ok(())
            })
        })
        .unwrap();
}
