//! Clocks that are wrong, on either side: nothing is lost, nothing counts twice, and the figures are exact to the unit.

use std::time::Duration;

use jiff::tz::{TimeZone, db};
use jiff::{Timestamp, ToSpan};
use metering::{Batch, BatchSeq, BootId, Epoch, InstanceId, Window, WindowLength};
use migrations::{Database, Scope};
use usage::quarantine::{self, ReleaseError, Released};
use usage::{Delivery, IngestSettings, Ingested, NodeClock};

use crate::story::*;

const YEAR: i64 = 365 * 86_400;

/// A second's worth of registers: a little less than 1 MiB allows.
fn value(second: i64) -> u64 {
    second.unsigned_abs() * 1_000
}

/// A look at `second` by a node whose wall clock is ahead by `error`: all registers stand at what was used since `born`.
fn look(node: &mut Node, id: InstanceId, life: Epoch, born: i64, second: i64, error: i64) -> Batch {
    let mut batch = node.instances(vec![reading(id, second + error, life, value(second - born))]);
    batch.collected_at = at(second + error);
    batch.collected_boot = Some(boot(second));
    batch
}

/// The kernel had been up for ten minutes at noon.
fn boot(second: i64) -> Duration {
    Duration::from_secs((second + 600).unsigned_abs())
}

/// Delivers at `second` by the control plane's clock, which is ahead by `server`.
async fn deliver(node: &Node, batch: &Batch, second: i64, error: i64, server: i64) -> Ingested {
    let boot_id = Some(BootId::from_uuid(node.id.uuid()));
    let sent = NodeClock { wall: at(second + error), boot: boot(second), boot_id };
    let delivery = Delivery { after: BatchSeq(0), sent: Some(sent) };
    node.ingestor.ingest(batch, &delivery, at(second + server)).await.unwrap()
}

/// Looks every ten seconds for a minute, then an hour of looks by a clock that is wrong, then a minute by one that is right.
async fn an_hour_of_error(db: &Database, error: i64) -> Vec<Ingested> {
    let (mut node, id, life) = (Node::new(db), instance_id(), epoch("a", Some(0)));
    let mut wrong = Vec::new();
    for second in (0..=60).step_by(10) {
        let batch = look(&mut node, id, life, 0, second, 0);
        assert_eq!(taken(&deliver(&node, &batch, second, 0, 0).await), (1, 0));
    }
    for second in (70..3_600).step_by(600) {
        let batch = look(&mut node, id, life, 0, second, error);
        wrong.push(deliver(&node, &batch, second + 1, error, 0).await);
    }
    for second in (3_600..=3_660).step_by(10) {
        let batch = look(&mut node, id, life, 0, second, 0);
        assert_eq!(taken(&deliver(&node, &batch, second, 0, 0).await), (1, 0), "{error}");
    }
    derive(db, 3_660).await;
    wrong
}

#[tokio::test]
async fn a_node_whose_clock_is_hours_or_a_year_off_is_billed_to_the_unit_once_it_is_right_again() {
    for error in [7_200, -7_200, YEAR, -YEAR, 61, -61] {
        let db = migrations::testing::database().await;
        let wrong = an_hour_of_error(&db, error).await;
        assert!(wrong.iter().all(|ingested| taken(ingested) == (0, 1)), "{error}");
        assert!(wrong.iter().all(|i| i.clock_error.map(|error| error.as_secs()) == Some(error)));
        let reasons = query(&db, Scope::Provider, "SELECT DISTINCT reason FROM quarantine").await;
        let side = if 0 < error { "ahead" } else { "behind" };
        let expected = format!(
            "the node's clock was {}.000000 s {side} when this was read, more than 60 s",
            error.abs()
        );
        assert_eq!(reasons.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>(), [expected]);
        let expected = "unassigned 0 3600000 60 3540 0\nunassigned 3600 60000 60 0 0";
        check(&db, "cpu_ns", expected).await;
        check_conservation(&db).await;
    }
}

#[tokio::test]
async fn a_smeared_leap_second_or_a_clock_that_is_a_minute_off_is_believed_and_no_unit_is_lost() {
    for error in [1, -1, 59, -59] {
        let db = migrations::testing::database().await;
        let wrong = an_hour_of_error(&db, error).await;
        assert!(wrong.iter().all(|ingested| taken(ingested) == (1, 0)), "{error}");
        check_upright(&db).await;
        let total = query(
            &db,
            Scope::Provider,
            "SELECT sum(quantity)::bigint FROM usage_record WHERE meter = 'cpu_ns'",
        )
        .await;
        assert_eq!(total[0].get::<_, i64>(0), 3_660_000, "{error}");
        check_conservation(&db).await;
    }
}

/// No register stands lower than at an earlier instant of its life.
async fn check_upright(db: &Database) {
    let fallen = query(
        db,
        Scope::Provider,
        "SELECT r.observed_at FROM visible_nic_reading r JOIN visible_nic_reading e USING (instance_id, mac, epoch)
         WHERE e.observed_at < r.observed_at AND r.rx_bytes < e.rx_bytes
         UNION ALL
         SELECT r.observed_at FROM visible_instance_reading r JOIN visible_instance_reading e USING (instance_id, epoch)
         WHERE e.observed_at < r.observed_at AND r.cpu_ns < e.cpu_ns
         UNION ALL
         SELECT observed_at FROM visible_instance_reading GROUP BY instance_id, observed_at HAVING 1 < count(*)",
    )
    .await;
    assert!(fallen.is_empty(), "{} at {:?}", fallen.len(), fallen[0].get::<_, Timestamp>(0));
}

/// A guest that does something every second, with a node whose clock is wrong from 3,590 s to 3,597 s, over the border of a
/// window. It receives its last frame and ends at `ends`, when the clock is right; another life begins 2 s later.
async fn an_end_after_an_error(db: &Database, error: i64, is_idle: bool, ends: i64) {
    const MAC: &str = "52:54:00:00:00:01";
    let (mut node, id) = (Node::new(db), instance_id());
    let (first, second) = (epoch("first", Some(3_550)), epoch("second", Some(ends + 2)));
    let received = |at: i64| if is_idle && at < ends { value(3_560) } else { value(at) };
    for now in 3_570..=ends + 20 {
        let error = if (3_590..3_597).contains(&now) { error } else { 0 };
        let mut batch = node.batch();
        batch.collected_at = at(now + error);
        batch.collected_boot = Some(boot(now));
        let (life, born) = if now <= ends { (first, 3_550) } else { (second, ends + 2) };
        match now - ends {
            1 => batch.readings.instances.push(reading(id, now + error, Epoch::NONE, 0)),
            past => {
                batch.readings.instances.push(reading(id, now + error, life, value(now - born)));
                let received = if past < 1 { received(now) } else { value(now - born) };
                batch.readings.nics.push(nic(id, MAC, now + error, life, received));
            }
        }
        let rows = batch.readings.len();
        let ingested = deliver(&node, &batch, now, error, 0).await;
        assert_eq!(taken(&ingested), (rows, 0), "{error} at {now}");
    }
    derive(db, ends + 20).await;
    check_upright(db).await;
    for (meter, expected) in
        [("net_rx_bytes", value(ends) + value(18)), ("cpu_ns", value(ends - 3_550) + value(18))]
    {
        let total = query(
            db,
            Scope::Provider,
            &format!("SELECT sum(quantity)::bigint FROM usage_record WHERE meter = '{meter}'"),
        )
        .await;
        assert_eq!(total[0].get::<_, i64>(0).unsigned_abs(), expected, "{meter}, {error}");
    }
    check_conservation(db).await;
}

#[tokio::test]
async fn a_guest_that_ends_right_after_the_clock_was_set_is_billed_to_its_last_byte_and_its_readings_stay_in_order()
 {
    for (error, is_idle, ends) in [
        (30, false, 3_598),
        (30, true, 3_605),
        (59, false, 3_605),
        (59, true, 3_640),
        (-30, false, 3_640),
        (-30, true, 3_598),
        (-59, false, 3_598),
        (-59, true, 3_605),
    ] {
        let db = migrations::testing::database().await;
        an_end_after_an_error(&db, error, is_idle, ends).await;
    }
}

#[tokio::test]
async fn the_error_is_kept_with_the_node_for_its_operator() {
    let db = migrations::testing::database().await;
    let (mut node, id, life) = (Node::new(&db), instance_id(), epoch("a", Some(0)));
    let batch = look(&mut node, id, life, 0, 10, 7_200);
    deliver(&node, &batch, 20, 7_200, 0).await;
    let rows =
        query(&db, Scope::Provider, "SELECT clock_error_us, clock_error_at, last_heard_at FROM node").await;
    assert_eq!(rows[0].get::<_, i64>("clock_error_us"), 7_200_000_000);
    assert_eq!(rows[0].get::<_, Timestamp>("clock_error_at"), at(20));
    assert_eq!(rows[0].get::<_, Timestamp>("last_heard_at"), at(20));
}

#[tokio::test]
async fn a_life_that_was_born_by_a_wrong_clock_is_billed_from_its_first_nanosecond() {
    for error in [YEAR, -7_200, 7_200] {
        let db = migrations::testing::database().await;
        let (mut node, id) = (Node::new(&db), instance_id());
        let (old, new) = (epoch("old", Some(0)), epoch("new", Some(100 + error)));
        let batch = look(&mut node, id, old, 0, 60, 0);
        deliver(&node, &batch, 60, 0, 0).await;
        let batch = look(&mut node, id, new, 100, 160, error);
        assert_eq!(taken(&deliver(&node, &batch, 160, error, 0).await), (0, 1));
        let batch = look(&mut node, id, new, 100, 1_160, 0);
        assert_eq!(taken(&deliver(&node, &batch, 1_160, 0, 0).await), (1, 0), "{error}");
        derive(&db, 1_160).await;
        let lines = usage_lines(&db, Scope::Provider, "cpu_ns").await;
        assert!(lines[0].starts_with("unassigned 0 1120000 "), "{error}: {lines:?}");
        check_conservation(&db).await;
    }
}

#[tokio::test]
async fn what_lived_and_died_while_the_clock_was_wrong_is_released_at_its_true_time_and_once() {
    let db = migrations::testing::database().await;
    let (mut node, id, error) = (Node::new(&db), instance_id(), 7_200);
    let life = epoch("short", Some(1_000 + error));
    let mut batch = look(&mut node, id, life, 1_000, 1_600, error);
    batch.readings.nics = vec![nic(id, "52:54:00:00:00:01", 1_600 + error, life, 77)];
    batch.readings.instances.push(gone(id, 1_605 + error));
    batch.readings.node =
        Some(metering::NodeReading { observed_at: at(1_600 + error), ..Default::default() });
    batch.collected_at = at(1_605 + error);
    batch.collected_boot = Some(boot(1_605));
    assert_eq!(taken(&deliver(&node, &batch, 1_605, error, 0).await), (0, 4));
    let listed = quarantine::list(&db, 10).await.unwrap();
    assert_eq!(listed.len(), 4);
    assert!(listed.iter().all(|row| row.clock_error.unwrap().as_secs() == error && row.seq == batch.seq));
    let settings = IngestSettings::new(settings().window);
    let release = || quarantine::release(&db, settings, node.id, batch.seq, at(5_000));
    // Two at once: one of them finds nothing.
    let (one, other) = tokio::join!(release(), release());
    let done = if one.is_ok() { one } else { other };
    let done = done.unwrap();
    assert_eq!((done.rows, done.kept.len()), (3, 1));
    assert_eq!(done.kept[0].kind, "node");
    assert!(
        done.kept[0].why.contains("no usage comes") && done.kept[0].remedy.contains("nothing is to be done")
    );
    derive(&db, 5_000).await;
    check(&db, "cpu_ns", "unassigned 0 600000 5 600 0").await;
    check(&db, "net_rx_bytes", "unassigned 52:54:00:00:00:01 0 77 5 600 0").await;
    check_conservation(&db).await;
    // A node's own figures are no usage: they stay.
    assert_eq!(release().await.unwrap(), Released { kept: done.kept, rows: 0 });
    let nothing = quarantine::release(&db, settings, node.id, BatchSeq(99), at(5_000)).await;
    assert!(matches!(nothing, Err(ReleaseError::Nothing { .. })));
    derive(&db, 5_000).await;
    check(&db, "cpu_ns", "unassigned 0 600000 5 600 0").await;
}

#[tokio::test]
async fn a_control_plane_whose_clock_jumps_loses_nothing_either() {
    for server in [YEAR, -7_200, -YEAR] {
        let db = migrations::testing::database().await;
        let (mut node, id, life) = (Node::new(&db), instance_id(), epoch("a", Some(0)));
        for (second, server) in [(10, 0), (20, server), (30, server), (40, 0), (50, 0)] {
            let batch = look(&mut node, id, life, 0, second, 0);
            deliver(&node, &batch, second, 0, server).await;
        }
        derive(&db, 50).await;
        check(&db, "cpu_ns", "unassigned 0 50000 20 30 0").await;
        check_conservation(&db).await;
        // Nor does one that is told nothing of the node's clocks.
        let other = instance_id();
        for (second, server) in [(10, 0), (20, server), (30, 0)] {
            let batch = look(&mut node, other, life, 0, second, 0);
            node.ingestor.ingest(&batch, &Delivery::default(), at(second + server)).await.unwrap();
        }
        derive(&db, 50).await;
        let total = query(
            &db,
            Scope::Provider,
            "SELECT sum(quantity)::bigint FROM usage_record WHERE meter = 'cpu_ns'",
        )
        .await;
        assert_eq!(total[0].get::<_, i64>(0), 80_000, "{server}");
    }
}

/// Every zone that there is, month by month: what a tenant is billed for has no hole and no overlap, is whole windows,
/// and never more time than the month has.
#[test]
fn months_of_every_zone_tile_with_windows_of_a_quarter_of_an_hour() {
    let quarter = WindowLength::new(Duration::from_secs(900)).unwrap();
    let mut zones = 0;
    for name in db().available() {
        let zone = TimeZone::get(name.as_str()).unwrap();
        zones += 1;
        let start = |month: i64| {
            let first = jiff::civil::date(2024, 1, 1).checked_add(month.months()).unwrap();
            first.to_zoned(zone.clone()).unwrap().start_of_day().unwrap().timestamp()
        };
        for month in 0..48 {
            let period = Window::new(start(month), start(month + 1)).unwrap();
            assert!(quarter.aligns_with(period.start()), "{} {period}", name.as_str());
            let windows: Vec<Window> = quarter.windows_touching(period).collect();
            assert_eq!(
                (windows[0].start(), windows[windows.len() - 1].end()),
                (period.start(), period.end())
            );
            assert!(windows.windows(2).all(|pair| pair[0].end() == pair[1].start()));
            let summed: i64 = windows.iter().map(|window| window.microseconds()).sum();
            assert_eq!(summed, period.microseconds(), "{}", name.as_str());
        }
    }
    assert!(400 <= zones, "{zones} zones: the database of zones is not here");
}
