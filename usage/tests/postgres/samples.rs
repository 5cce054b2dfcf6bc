//! Samples of a line's rate add up to what is billed, to the byte.

use std::time::Duration;

use metering::{MeterName, WindowLength};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use usage::registry;

use crate::close::{hours, of};
use crate::story::*;

fn rx() -> MeterName {
    MeterName::parse("net_rx_bytes").unwrap()
}

#[tokio::test]
async fn samples_of_all_nics_of_a_tenant_are_one_rate() {
    let db = migrations::testing::database().await;
    let a = tenant(&db, "a").await;
    for _ in 0..2 {
        hours(&db, "a", 0, 3).await;
    }
    let five = WindowLength::new(Duration::from_secs(300)).unwrap();
    let period = window(-600, 4 * 3_600);
    let samples = usage::samples(&db, a.id, rx(), period, five, settings(), at(90_000)).await.unwrap();
    assert_eq!(samples.len(), 2 + 4 * 12, "every interval, with usage or without");
    assert_eq!(samples.iter().map(|sample| sample.quantity).sum::<u64>(), 6);
    // The last five minutes of each hour, in which the floor of both rises.
    let risen: Vec<usize> = (0..samples.len()).filter(|n| samples[*n].quantity == 2).collect();
    assert_eq!(risen, [13, 25, 37]);
}

#[test]
fn samples_add_up_to_the_usage_of_the_period_to_the_byte() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let db = runtime.block_on(migrations::testing::database());
    let steps = proptest::collection::vec((60_i64..20_000, any::<u32>(), 0_u8..6), 1..20);
    let cases = (steps, 0_i64..90_000, -30_000_i64..60_000, 1_i64..150_000, 0_usize..3);
    let names = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    runner
        .run(&cases, |(steps, handed_over, start, length, interval)| {
            names.set(names.get() + 1);
            runtime.block_on(async {
                let (a, b) = (format!("a{}", names.get()), format!("b{}", names.get()));
                let (a, b) = (tenant(&db, &a).await, tenant(&db, &b).await);
                let (mut node, id) = (Node::new(&db), instance_id());
                let mut batch = node.batch();
                batch.instances = vec![facts(id, "web", Some(a.name.as_str()))];
                let (mut second, mut value, mut life) = (-20_000, 0_u64, 0_u32);
                for (pause, rise, dice) in &steps {
                    second += pause;
                    if *dice == 0 {
                        (life, value) = (life + 1, 0);
                    }
                    value += u64::from(*rise);
                    let epoch = epoch(&life.to_string(), None);
                    batch.readings.instances.push(reading(id, second, epoch, value));
                    batch.readings.nics.push(nic(id, "52:54:00:00:00:01", second, epoch, value));
                }
                node.ingestor.ingest(&batch, &usage::Delivery::default(), at(900_000)).await.unwrap();
                registry::assign(&db, id, b.id, Some(at(handed_over)), settings()).await.unwrap();
                derive(&db, 600_000).await;
                let period = window(start, start + length);
                let interval = WindowLength::new(Duration::from_secs([60, 300, 3_600][interval])).unwrap();
                for tenant in [a.id, b.id] {
                    let samples =
                        usage::samples(&db, tenant, rx(), period, interval, settings(), at(600_000))
                            .await
                            .unwrap();
                    let sum: u64 = samples.iter().map(|sample| sample.quantity).sum();
                    prop_assert_eq!(sum, total(&of(&db, tenant, &[period]).await, "net_rx_bytes"));
                    for pair in samples.windows(2) {
                        prop_assert_eq!(pair[0].window.end(), pair[1].window.start());
                    }
                }
                Ok(())
            })
        })
        .unwrap();
}
