//! Bad input: rows that cannot be true, names that nobody would choose, clocks that are wrong.

use jiff::{SignedDuration, Timestamp};
use metering::{Epoch, EpochId, GapReason, InstanceReading, Window};
use migrations::Scope;
use usage::{Delivery, quarantine, registry};

use crate::story::*;

#[tokio::test]
async fn a_row_that_cannot_be_true_is_kept_aside_and_the_rest_counts() {
    let db = migrations::testing::database().await;
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", Some(0)));
    let good = reading(id, 10, a, 10);
    let received = at(86_400);
    let with = |change: fn(&mut InstanceReading)| {
        let mut reading = good.clone();
        change(&mut reading);
        reading
    };
    let mut future = good.clone();
    future.observed_at = received + SignedDuration::from_secs(301);
    let mut batch = node.instances(vec![
        good.clone(),
        future,
        with(|r| r.observed_at = "2019-12-31T23:59:59Z".parse().unwrap()),
        with(|r| r.observed_at = Timestamp::MIN),
        with(|r| r.observed_at = Timestamp::MAX),
        with(|r| r.epoch.id = EpochId::from_i64(-1)),
        with(|r| r.epoch.born_at = Some(Timestamp::MIN)),
        with(|r| r.registers.cpu_ns = u64::MAX),
    ]);
    batch.readings.disks = vec![
        disk(id, &"x".repeat(10_000), 10, a, 1),
        disk(id, "a\0b", 10, a, 1),
        disk(id, "vda", 10, a, 1),
        disk(id, "vdb", 10, a, 1 << 63),
    ];
    batch.readings.node =
        Some(metering::NodeReading { observed_at: Timestamp::UNIX_EPOCH, ..Default::default() });
    assert_eq!(taken(&node.send(&batch).await.unwrap()), (2, 11));
    let reasons = query(&db, Scope::Provider, "SELECT reason, payload FROM quarantine ORDER BY reason").await;
    assert_eq!(reasons.len(), 11);
    assert!(reasons.iter().all(|row| row.get::<_, String>("reason").len() > 10));
    derive(&db, 10).await;
    check(&db, "cpu_ns", "unassigned 0 10 10 0 0").await;
    check_conservation(&db).await;
    // What cannot be taken in stays, and for each row it is said why, and what can be done. A NUL is replaced in quarantine.
    let settings = usage::IngestSettings::new(settings().window);
    let released = quarantine::release(&db, settings, node.id, batch.seq, received).await.unwrap();
    assert_eq!((released.rows, released.kept.len()), (1, 10));
    let says = |part: &str, remedy: &str| {
        let is_said = |row: &&quarantine::Kept| row.why.contains(part) && row.remedy.contains(remedy);
        released.kept.iter().filter(is_said).count()
    };
    for (why, remedy, rows) in [
        ("after it was received", "release the batch again after", 2),
        ("before 2020", "weir usage correct add", 3),
        ("negative epoch", "weir usage correct add", 1),
        ("above 2^63", "weir usage correct add", 2),
        ("longer than", "weir usage correct add", 1),
        ("of the node itself", "nothing is to be done", 1),
    ] {
        assert_eq!(says(why, remedy), rows, "{why}: {:#?}", released.kept);
    }
}

#[tokio::test]
async fn a_clock_that_is_a_little_ahead_is_believed() {
    let db = migrations::testing::database().await;
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", Some(0)));
    let batch = node.instances(vec![reading(id, 310, a, 10)]);
    let ingested = node.ingestor.ingest(&batch, &Delivery::default(), at(10)).await.unwrap();
    assert_eq!(taken(&ingested), (1, 0));
}

#[tokio::test]
async fn a_batch_from_every_day_since_2020_takes_only_so_many_partitions() {
    let db = migrations::testing::database().await;
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", None));
    let batch = node.instances((0..100).map(|day| reading(id, -day * 86_400, a, 1)).collect());
    assert_eq!(taken(&node.send(&batch).await.unwrap()), (62, 38));
}

#[tokio::test]
async fn names_with_quotes_newlines_emoji_and_ten_thousand_characters_come_back_as_they_went() {
    let db = migrations::testing::database().await;
    let mut node = Node::new(&db);
    let a = epoch("a", Some(0));
    let long = "n".repeat(10_000);
    let names = [
        "a'b\"c",
        "<b>&amp;</b>",
        "two\nlines\r\n",
        "😀 \u{202e}olleh",
        "'; DROP TABLE tenant; --",
        &long,
        "",
    ];
    for name in names {
        let id = instance_id();
        let mut batch = node.instances(vec![reading(id, 10, a, 10)]);
        batch.instances = vec![facts(id, name, Some(name))];
        let vol = metering::VolumeId::of(node.id, name, name);
        batch.volumes = vec![volume_facts(vol, name, Some(id))];
        batch.readings.volumes = vec![volume(vol, 10, a, 1)];
        let mut paths = disk(id, "vda", 10, a, 1);
        paths.source = name.into();
        batch.readings.disks = vec![paths];
        batch.gaps = vec![metering::Gap { detail: name.into(), ..gap(id, Some("vdz"), 1, 2) }];
        batch.node_name = name.into();
        node.must_send(&batch).await;
        let found = registry::find_instance(&db, Scope::Provider, &id.to_string()).await.unwrap();
        assert_eq!((found.name.as_str(), found.tenant_label.as_deref()), (name, Some(name)));
        let by_name = registry::find_instance(&db, Scope::Provider, name).await.unwrap();
        assert_eq!(by_name.id, id);
    }
    derive(&db, 10).await;
    let records = usage::records::unassigned(&db, &[window(0, 3_600)], settings(), at(10)).await.unwrap();
    assert!(records.iter().any(|record| record.resource_name == long));
    check_conservation(&db).await;
}

#[tokio::test]
async fn a_nul_in_a_name_and_a_gap_of_ten_thousand_years_do_not_stop_a_batch() {
    let db = migrations::testing::database().await;
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", Some(0)));
    let first = node.instances(vec![reading(id, 10, a, 10)]);
    node.must_send(&first).await;
    let mut batch = node.instances(vec![reading(id, 20, a, 20)]);
    batch.instances = vec![facts(id, "a\0b", Some("\0"))];
    batch.collected_at = Timestamp::MIN;
    let ages = Window::new(Timestamp::MIN, Timestamp::MAX).unwrap();
    batch.gaps = vec![metering::Gap {
        instance_id: Some(id),
        device: Some("\0".into()),
        span: ages,
        reason: GapReason::NotCounted,
        detail: "\0".into(),
    }];
    node.must_send(&batch).await;
    assert!(count(&db, Scope::Provider, "dirty_window").await < 2_600);
    derive(&db, 20).await;
    check(&db, "cpu_ns", "unassigned 0 20 20 0 0").await;
    assert_eq!(registry::instances(&db, Scope::Provider).await.unwrap()[0].name, "a\u{FFFD}b");
}

#[tokio::test]
async fn the_night_with_an_hour_more_has_an_hour_more_usage() {
    let db = migrations::testing::database().await;
    let acme = tenant(&db, "acme").await;
    let (mut node, id) = (Node::new(&db), instance_id());
    // Berlin, 25 October 2026: the day has 25 hours, from 22:00 UTC to 23:00 UTC.
    let (midnight, next) = (-14 * 3_600, 11 * 3_600);
    let a = epoch("a", Some(midnight - 3_600));
    let mut batch = node.instances(
        (0..=27)
            .map(|hour| reading(id, midnight - 3_600 + hour * 3_600, a, hour.unsigned_abs() * 3_600_000))
            .collect(),
    );
    batch.instances = vec![facts(id, "night", Some("acme"))];
    node.must_send(&batch).await;
    derive(&db, next + 3_600).await;
    let records =
        usage::records::usage_of(&db, acme.id, &[window(midnight, next)], settings(), at(next + 3_600))
            .await
            .unwrap();
    assert_eq!(total(&records, "running_ms"), 25 * 3_600_000);
}

#[tokio::test]
async fn a_register_that_falls_within_a_life_never_makes_usage_negative() {
    let db = migrations::testing::database().await;
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", Some(0)));
    let batch = node.instances(vec![reading(id, 5, a, 50), reading(id, 6, a, 40), reading(id, 7, a, 60)]);
    node.must_send(&batch).await;
    let adopted = epoch("b", None);
    let other = instance_id();
    let batch = node.instances(vec![
        reading(other, 5, adopted, 50),
        reading(other, 6, adopted, 40),
        reading(other, 7, Epoch { ..adopted }, 60),
    ]);
    node.must_send(&batch).await;
    derive(&db, 7).await;
    check(&db, "cpu_ns", "unassigned 0 10 2 0 0\nunassigned 0 60 7 0 0").await;
    check_conservation(&db).await;
}

#[tokio::test]
async fn a_register_that_rises_faster_than_anything_can_is_kept_aside_and_the_next_true_one_counts() {
    let db = migrations::testing::database().await;
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", Some(0)));
    let mac = "52:54:00:00:00:01";
    let mut batch = node.instances(vec![reading(id, 10, a, 10)]);
    batch.readings.disks = vec![disk(id, "vda", 10, a, 10)];
    batch.readings.nics = vec![nic(id, mac, 10, a, 10)];
    node.must_send(&batch).await;
    let spikes: [(i64, u64, usize); 3] = [(20, 1 << 62, 3), (30, 5, 3), (40, 40, 0)];
    for (second, value, refused) in spikes {
        let mut batch = node.instances(vec![reading(id, second, a, value)]);
        batch.readings.disks = vec![disk(id, "vda", second, a, value)];
        batch.readings.nics = vec![nic(id, mac, second, a, value)];
        // A device of which nothing is known yet begins with the batch.
        batch.readings.nics.push(nic(id, &format!("new {second}"), second, a, 1));
        assert_eq!(taken(&node.send(&batch).await.unwrap()), (4 - refused, refused), "{second}");
    }
    let reasons = query(&db, Scope::Provider, "SELECT kind, reason FROM quarantine ORDER BY reason").await;
    let of = |word: &str| reasons.iter().filter(|row| row.get::<_, String>("reason").contains(word)).count();
    assert_eq!((of("rose by"), of("fell from 10")), (3, 3));
    derive(&db, 40).await;
    check(&db, "cpu_ns", "unassigned 0 40 10 30 0").await;
    check_conservation(&db).await;
}
