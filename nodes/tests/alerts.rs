//! Alerts against a real database: how often they are raised, counted, announced and ended.

use jiff::{SignedDuration, Timestamp, ToSpan};
use metering::batch::{Notice, NoticeKind};
use metering::{InstanceId, NodeId};
use migrations::testing::{TestDatabase, database};
use nodes::alerts::watch::{self, Watch};
use nodes::alerts::{self, Alert, Kind};
use serde_json::Value;
use uuid::Uuid;

fn at(minute: i64) -> Timestamp {
    "2026-11-22T12:00:00Z".parse::<Timestamp>().expect("an instant") + minute.minutes()
}

/// A database with a node that is called `web-1`.
async fn world() -> (TestDatabase, NodeId) {
    let db = database().await;
    let node_id = NodeId::from_uuid(Uuid::new_v4());
    db.owner_client()
        .await
        .execute("INSERT INTO node (node_id, name) VALUES ($1, 'web-1')", &[&node_id.uuid()])
        .await
        .expect("a node");
    (db, node_id)
}

/// What the letters in the outbox are about.
async fn mails(db: &TestDatabase) -> Vec<Value> {
    let rows = db
        .owner_client()
        .await
        .query("SELECT about FROM mail_outbox WHERE kind = 'alert' ORDER BY created_at, mail_id", &[])
        .await
        .expect("the outbox");
    rows.iter().map(|row| row.get("about")).collect()
}

fn notice(instance_id: Option<InstanceId>, device: Option<&str>, is_over: bool, detail: &str) -> Notice {
    Notice {
        kind: NoticeKind::PathsDiffer,
        instance_id,
        device: device.map(str::to_owned),
        is_over,
        detail: detail.to_owned(),
    }
}

#[tokio::test]
async fn an_alert_that_is_raised_again_is_counted_and_not_announced_again() {
    let (db, node_id) = world().await;
    let alert = |detail: &str| Alert::of_node(Kind::NodeSilent, node_id, detail);
    assert!(alerts::raise(&db, &alert("for 3 min"), at(0)).await.expect("raised"));
    assert!(!alerts::raise(&db, &alert("for 90 min"), at(90)).await.expect("raised"));
    let open = alerts::open(&db).await.expect("alerts");
    let [entry] = &open[..] else { panic!("one alert: {open:?}") };
    assert_eq!((entry.times, entry.raised_at, entry.seen_at), (2, at(0), at(90)));
    assert_eq!(entry.detail, "for 90 min");
    assert_eq!(entry.node_name.as_deref(), Some("web-1"));
    assert_eq!(alerts::counts(&db).await.expect("counts"), [("node_silent".to_owned(), 1)]);
    let mails = mails(&db).await;
    let [about] = &mails[..] else { panic!("one mail: {mails:?}") };
    assert_eq!((&about["node"], &about["detail"]), (&"web-1".into(), &"for 3 min".into()));
    assert_eq!((&about["title"], &about["instance"]), (&"A node is silent".into(), &Value::Null));
}

#[tokio::test]
async fn what_flaps_is_announced_once_an_hour_and_at_last_if_it_stays() {
    let (db, node_id) = world().await;
    let alert = Alert::of_node(Kind::NodeSilent, node_id, "again");
    let subject = alerts::node_subject(node_id);
    for minute in 0..50 {
        assert!(alerts::raise(&db, &alert, at(minute)).await.expect("raised"));
        assert!(alerts::end(&db, Kind::NodeSilent, &subject, at(minute)).await.expect("ended"));
    }
    assert!(!alerts::end(&db, Kind::NodeSilent, &subject, at(50)).await.expect("nothing to end"));
    assert_eq!(mails(&db).await.len(), 1);
    assert_eq!(alerts::list(&db, 1_000).await.expect("alerts").len(), 50);
    // It comes once more, within the hour, and stays: nobody raises it again, and still it is announced.
    alerts::raise(&db, &alert, at(51)).await.expect("raised");
    assert_eq!(alerts::announce_kept_back(&db, at(59)).await.expect("announced"), 0);
    assert_eq!(alerts::announce_kept_back(&db, at(61)).await.expect("announced"), 1);
    assert_eq!(alerts::announce_kept_back(&db, at(62)).await.expect("announced"), 0);
    assert_eq!(mails(&db).await.len(), 2);
}

#[tokio::test]
async fn two_hundred_instances_that_hang_are_ten_mails_and_two_hundred_alerts() {
    let (db, node_id) = world().await;
    let instances: Vec<InstanceId> = (0..200).map(|_| InstanceId::from_uuid(Uuid::new_v4())).collect();
    let hang = |is_over: bool| -> Vec<Notice> {
        let of = |id: &InstanceId| Notice {
            kind: NoticeKind::InstanceHangs,
            ..notice(Some(*id), None, is_over, "its monitor did not answer for 30 s")
        };
        instances.iter().map(of).collect()
    };
    alerts::from_notices(&db, node_id, &hang(false), at(0)).await.expect("raised");
    assert_eq!(alerts::open(&db).await.expect("alerts").len(), 200);
    let mails = mails(&db).await;
    assert_eq!(mails.len(), 10);
    assert_eq!(mails.iter().map(|about| about["open_beside"].as_i64()).max(), Some(Some(9)));
    alerts::from_notices(&db, node_id, &hang(true), at(1)).await.expect("ended");
    assert_eq!(alerts::open(&db).await.expect("alerts"), []);
    assert_eq!(alerts::announce_kept_back(&db, at(90)).await.expect("announced"), 0);
}

#[tokio::test]
async fn a_notice_is_known_by_its_kind_instance_and_device() {
    let (db, node_id) = world().await;
    let instance = Some(InstanceId::from_uuid(Uuid::from_u128(7)));
    let raised = [
        notice(None, None, false, "node"),
        notice(instance, None, false, "instance"),
        notice(instance, Some("vda"), false, "disk"),
        notice(instance, Some("vda"), false, "disk again"),
        notice(instance, Some("vdb"), false, "over at once"),
        notice(instance, Some("vdb"), true, "over"),
    ];
    alerts::from_notices(&db, node_id, &raised, at(0)).await.expect("raised");
    alerts::from_notices(&db, node_id, &[notice(instance, None, true, "over")], at(1)).await.expect("ended");
    let mut open: Vec<(String, u64, String)> = alerts::open(&db)
        .await
        .expect("alerts")
        .into_iter()
        .map(|entry| (entry.subject, entry.times, entry.detail))
        .collect();
    open.sort();
    let disk = format!("instance/{}/vda", Uuid::from_u128(7));
    assert_eq!(
        open,
        [(disk, 2, "disk again".to_owned()), (alerts::node_subject(node_id), 1, "node".to_owned())]
    );
}

#[tokio::test]
async fn an_operator_ends_an_alert_and_it_comes_again_as_another_one() {
    let (db, node_id) = world().await;
    let alert = Alert::of_node(Kind::ClockWrong, node_id, "5 s ahead");
    alerts::raise(&db, &alert, at(0)).await.expect("raised");
    let first = alerts::open(&db).await.expect("alerts")[0].alert_id;
    assert!(alerts::end_by_id(&db, first, at(1)).await.expect("ended"));
    assert!(!alerts::end_by_id(&db, first, at(1)).await.expect("it is over"));
    assert!(!alerts::end_by_id(&db, Uuid::nil(), at(1)).await.expect("there is none"));
    assert!(alerts::raise(&db, &alert, at(2)).await.expect("raised"));
    assert_ne!(alerts::open(&db).await.expect("alerts")[0].alert_id, first);
}

#[tokio::test]
async fn a_node_cannot_fill_the_table_with_one_word_or_break_it_with_a_nul() {
    let (db, node_id) = world().await;
    let long = notice(None, Some(&"x\0".repeat(5_000)), false, &"\0y".repeat(100_000));
    alerts::from_notices(&db, node_id, &[long], at(0)).await.expect("raised");
    let open = alerts::open(&db).await.expect("alerts");
    assert_eq!(open[0].detail.len(), 2_000);
    assert!(open[0].subject.len() < 300);
}

#[tokio::test]
async fn a_node_that_talks_without_end_fills_neither_table_nor_mailbox_nor_terminal() {
    let (db, node_id) = world().await;
    let flood = |round: usize, is_over: bool| -> Vec<Notice> {
        let of =
            |n: usize| notice(None, Some(&format!("{round}-{n}")), is_over, "\u{1b}[2J<b>x\r\n\u{202e}y");
        (0..10_000).map(of).collect()
    };
    for round in 0..2 {
        alerts::from_notices(&db, node_id, &flood(round, false), at(0)).await.expect("raised");
    }
    let open = alerts::open(&db).await.expect("alerts");
    assert_eq!((open.len(), mails(&db).await.len()), (1_000, 10));
    assert_eq!(open[0].detail, " [2J<b>x   y");
    // What is open is still heard, and ended.
    let again = &flood(0, false)[..1];
    alerts::from_notices(&db, node_id, again, at(1)).await.expect("raised");
    assert_eq!(alerts::open(&db).await.expect("alerts").iter().filter(|entry| entry.times == 2).count(), 1);
    alerts::from_notices(&db, node_id, &flood(0, true), at(2)).await.expect("ended");
    assert_eq!(alerts::open(&db).await.expect("alerts"), []);
}

#[tokio::test]
async fn looking_raises_what_is_wrong_and_ends_what_is_right_again_or_gone() {
    let (db, node_id) = world().await;
    let owner = db.owner_client().await;
    let change = |sql: &'static str| owner.execute(sql, &[]);
    change("UPDATE node SET joined_at = '2026-11-22T00:00Z', last_heard_at = '2026-11-22T11:00Z', clock_error_us = 9000000")
        .await
        .expect("a silent node");
    owner
        .execute(
            "INSERT INTO quarantine (node_id, seq, received_at, kind, reason, payload) \
             SELECT $1, 1, '2026-11-22T11:30Z', 'nic', 'faster than its link ' || n % 5, '{}' FROM generate_series(1, 11) n",
            &[&node_id.uuid()],
        )
        .await
        .expect("quarantine");
    let watch = Watch {
        reading_interval: std::time::Duration::from_secs(60),
        certificate_life: std::time::Duration::from_secs(24 * 3_600),
        listening_since: at(-60),
        own: None,
        authority_ends_at: None,
    };
    watch::look(&db, &watch, at(0)).await.expect("a look");
    watch::look(&db, &watch, at(1)).await.expect("a look");
    let open = alerts::open(&db).await.expect("alerts");
    let mut kinds: Vec<(&str, u64)> = open.iter().map(|entry| (entry.kind.as_str(), entry.times)).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, [("clock_wrong", 2), ("node_silent", 2), ("quarantine_grew", 2)]);
    let quarantine = open.iter().find(|entry| entry.kind == "quarantine_grew").expect("it grew");
    assert!(quarantine.detail.starts_with("11 readings in the last hour: faster than its link 1 (3); "));
    // It is back and its clock is right; nothing was set aside for an hour.
    change("UPDATE node SET last_heard_at = '2026-11-22T12:45Z', clock_error_us = 10")
        .await
        .expect("it is back");
    watch::look(&db, &watch, at(46)).await.expect("a look");
    assert_eq!(alerts::open(&db).await.expect("alerts"), []);
    // And a node that is removed while it is silent is nobody's worry.
    watch::look(&db, &watch, at(90)).await.expect("a look");
    assert_eq!(alerts::open(&db).await.expect("alerts").len(), 1);
    // Nor is what it said of itself, nor is any of it forgotten because much is open beside it.
    let many: Vec<Notice> = (0..1_000).map(|n| notice(None, Some(&n.to_string()), false, "differ")).collect();
    alerts::from_notices(&db, node_id, &many, at(91)).await.expect("raised");
    change("UPDATE node SET state = 'removed', removed_at = '2026-11-22T13:30Z'").await.expect("removed");
    watch::look(&db, &watch, at(91)).await.expect("a look");
    assert_eq!(alerts::open(&db).await.expect("alerts"), []);
}

#[tokio::test]
async fn alerts_that_are_over_are_forgotten_by_age_and_by_number_and_open_ones_never() {
    let db = database().await;
    let owner = db.owner_client().await;
    let now = metering::micros(Timestamp::now());
    let fill = "INSERT INTO alert (alert_id, kind, subject, title, detail, raised_at, seen_at, ended_at)
                SELECT gen_random_uuid(), 'clock_wrong', 'flaps', '', '', $1, $1, $1::timestamptz + n * INTERVAL '1 second'
                FROM generate_series(1, $2::bigint) AS n";
    let kept = now.checked_sub(alerts::ENDED_AGE_MAX).expect("an instant") + SignedDuration::from_hours(1);
    let aged = kept - SignedDuration::from_hours(2);
    owner.execute(fill, &[&kept, &(alerts::ENDED_MAX + 2)]).await.expect("ended ones");
    owner.execute(fill, &[&aged, &3_i64]).await.expect("old ones");
    let open = "INSERT INTO alert (alert_id, kind, subject, title, detail, raised_at, seen_at)
                VALUES (gen_random_uuid(), 'clock_wrong', 'still', '', '', $1, $1)";
    owner.execute(open, &[&aged]).await.expect("an open one");
    assert_eq!(alerts::sweep(&db, now).await.expect("a sweep"), 5, "three by age, two by number");
    assert_eq!(alerts::sweep(&db, now).await.expect("a sweep"), 0);
    let left = "SELECT count(*) FILTER (WHERE ended_at IS NULL) AS open, count(ended_at) AS ended, min(ended_at) AS oldest FROM alert";
    let row = owner.query_one(left, &[]).await.expect("a count");
    assert_eq!((row.get::<_, i64>("open"), row.get::<_, i64>("ended")), (1, alerts::ENDED_MAX));
    assert_eq!(row.get::<_, Timestamp>("oldest"), kept + SignedDuration::from_secs(3), "the oldest went");
}

#[tokio::test]
async fn every_statement_fits_the_database() {
    let db = database().await;
    let owner = db.owner_client().await;
    for (name, statement) in alerts::STATEMENTS {
        owner.prepare(statement).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
}

#[test]
fn every_kind_is_known_by_its_name_and_says_what_to_do() {
    for name in [
        "node_silent",
        "clock_wrong",
        "certificate_ending",
        "authority_ending",
        "quarantine_grew",
        "node_copied",
        "node_barred",
        "paths_differ",
        "kernel_path_away",
        "clock_stepped",
        "spool_thinned",
        "spool_failing",
        "spool_damaged",
        "batch_refused",
        "refill_incomplete",
        "instance_hangs",
    ] {
        let kind = Kind::parse(name).expect(name);
        assert_eq!(kind.as_str(), name);
        for words in [kind.title(), kind.meaning(), kind.remedy()] {
            assert!(!words.is_empty() && !words.contains("  "), "{words}");
        }
    }
    assert_eq!(Kind::parse("something_newer"), None);
}
