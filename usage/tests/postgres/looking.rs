//! Looking at readings.

use metering::{Resource, VolumeId};
use migrations::Scope;
use usage::readings;
use uuid::Uuid;

use crate::story::*;

#[tokio::test]
async fn first_and_last_of_every_life_can_be_looked_at() {
    let db = migrations::testing::database().await;
    let (mut node, id, a, b) = (Node::new(&db), instance_id(), epoch("a", Some(0)), epoch("b", Some(25)));
    let vol = VolumeId::from_uuid(Uuid::new_v4());
    let mut batch = node.instances(vec![
        reading(id, 10, a, 10),
        reading(id, 15, a, 15),
        reading(id, 20, a, 20),
        reading(id, 30, b, 5),
    ]);
    batch.instances = vec![facts(id, "web", None)];
    batch.readings.nics =
        vec![nic(id, "52:54:00:00:00:01", 10, a, 1), nic(id, "52:54:00:00:00:01", 20, a, 9)];
    batch.volumes = vec![volume_facts(vol, "web.qcow2", Some(id))];
    batch.readings.volumes = vec![volume(vol, 10, a, 100)];
    node.must_send(&batch).await;
    let epochs = readings::epochs_of(&db, Scope::Provider, id, window(0, 100)).await.unwrap();
    let lines: Vec<_> = epochs
        .iter()
        .map(|e| {
            let (name, first) = e.first.registers[0];
            format!("{:?} {name} {first} {} {}", load_kind(&e.resource), e.last.registers[0].1, e.readings)
        })
        .collect();
    assert_eq!(
        lines,
        [
            "\"instance\" cpu_ns 10 20 3",
            "\"instance\" cpu_ns 5 5 1",
            "\"nic\" rx_bytes 1 9 2",
            "\"volume\" provisioned_kib_s 100 100 1",
        ]
    );
    assert_eq!(epochs[1].epoch, b);
    assert_eq!(readings::epochs_of(&db, Scope::Provider, id, window(0, 15)).await.unwrap().len(), 3);

    let latest = readings::latest(&db, Scope::Provider).await.unwrap();
    assert_eq!(
        (latest.len(), latest[0].name.as_str(), &latest[0].reading),
        (1, "web", &reading(id, 30, b, 5))
    );
}

fn load_kind(resource: &Resource) -> &'static str {
    match resource {
        Resource::Instance(_) => "instance",
        Resource::Disk(..) => "disk",
        Resource::Nic(..) => "nic",
        Resource::Volume(_) => "volume",
    }
}

#[tokio::test]
async fn a_node_that_joined_holds_an_invoice_up_until_it_has_reported_or_is_removed() {
    let db = migrations::testing::database().await;
    let day = 86_400;
    // What each has reported last, and when it joined; `None`: it is a control plane's own.
    let nodes = [
        ("own", Some(50), None),
        ("own of former times", Some(-2 * day), None),
        ("away for days", Some(-9 * day), Some(-30 * day)),
        ("joined again after its outage", Some(-9 * day), Some(150)),
        ("joined and never ran", None, Some(-day)),
        ("joined after the end", None, Some(150)),
        ("up to date", Some(120), Some(-day)),
        ("gone for good", Some(-9 * day), Some(-30 * day)),
    ];
    let owner = db.owner_client().await;
    for (name, reported, joined) in nodes {
        let instants = [reported.map(at), joined.map(at)];
        let sql = "INSERT INTO node (node_id, name, last_observed_at, joined_at) VALUES (gen_random_uuid(), $1, $2, $3)";
        owner.execute(sql, &[&name, &instants[0], &instants[1]]).await.unwrap();
    }
    let removed = "UPDATE node SET state = 'removed', removed_at = now() WHERE name = 'gone for good'";
    assert_eq!(owner.execute(removed, &[]).await.unwrap(), 1);
    let behind = readings::behind(&db, at(100), at(200)).await.unwrap();
    let names: Vec<&str> = behind.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["joined and never ran", "away for days", "joined again after its outage", "own"]);
    assert_eq!(behind[3].reported_until, Some(at(50)));
    assert_eq!(
        readings::behind(&db, at(100), at(2 * day)).await.unwrap().len(),
        3,
        "the own one is dismantled"
    );
}

/// A tenant's instance: its name, its node, when it was seen last, whether it is gone; if it moved, from where and when.
type Held = (&'static str, &'static str, i64, bool, Option<(&'static str, i64)>);

/// The nodes that a tenant waits for, and of which resource.
type Waits = &'static [(&'static str, &'static str)];

async fn hold(owner: &tokio_postgres::Client, tenant: Uuid, held: Held) {
    let (name, node, seen, is_gone, moved) = held;
    let state = if is_gone { "gone" } else { "running" };
    let (gone_at, former, moved_at) =
        (is_gone.then(|| at(seen)), moved.map(|moved| moved.0), moved.map(|moved| at(moved.1)));
    let sql = "INSERT INTO instance (instance_id, node_id, name, first_seen_at, last_seen_at, state, gone_at,
                                     former_node_id, moved_at)
               VALUES (md5($1)::uuid, md5($2)::uuid, $1, $3, $4, $5, $6, md5($7)::uuid, $8)";
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
        [&name, &node, &at(0), &at(seen), &state, &gone_at, &former, &moved_at];
    owner.execute(sql, &values).await.unwrap();
    let sql = "INSERT INTO instance_tenant (instance_id, tenant_id, since) VALUES (md5($1)::uuid, $2, $3)";
    owner.execute(sql, &[&name, &tenant, &at(0)]).await.unwrap();
}

#[tokio::test]
async fn a_silent_node_holds_up_those_alone_of_whom_it_may_have_readings() {
    let db = migrations::testing::database().await;
    let owner = db.owner_client().await;
    let day = 86_400;
    let (start, end, now, silence) = (0, 100 * day, 101 * day, 40 * day);
    // The silent one reported up to the 40th day of a period of 100; "new" joined and was never heard.
    let reports = [("silent", Some(silence)), ("well", Some(now)), ("further", Some(now)), ("new", None)];
    for (name, reported) in reports {
        let sql = "INSERT INTO node (node_id, name, last_observed_at, joined_at) VALUES (md5($1)::uuid, $1, $2, $3)";
        owner.execute(sql, &[&name, &reported.map(at), &at(-day)]).await.unwrap();
    }
    let cases: [(&str, Option<Held>, Waits); 9] = [
        ("nothing", None, &[]),
        ("elsewhere", Some(("a", "well", now, false, None)), &[]),
        ("on-it", Some(("b", "silent", silence, false, None)), &[("silent", "b")]),
        ("gone-before", Some(("c", "silent", 30 * day, true, None)), &[]),
        ("left-before", Some(("d", "well", now, false, Some(("silent", 30 * day)))), &[]),
        ("left-since", Some(("e", "well", now, false, Some(("silent", 41 * day)))), &[("silent", "e")]),
        ("lost", Some(("f", "well", 50 * day, false, None)), &[("new", "f"), ("silent", "f")]),
        ("left-twice", Some(("g", "further", now, false, Some(("well", 60 * day)))), &[("silent", "g")]),
        ("has-a-disk", Some(("h", "well", now, true, None)), &[("silent", "disk")]),
    ];
    for (who, held, expected) in cases {
        let tenant = tenant(&db, who).await.id;
        if let Some(held) = held {
            hold(&owner, tenant.uuid(), held).await;
        }
        if who == "has-a-disk" {
            let sql =
                "INSERT INTO volume (volume_id, pool, name, path, first_seen_at, last_observed_at, node_id)
                       VALUES (md5('disk')::uuid, 'p', 'disk', '', $1, $1, md5('silent')::uuid)";
            owner.execute(sql, &[&at(silence)]).await.unwrap();
            let sql =
                "INSERT INTO volume_tenant (volume_id, tenant_id, since) VALUES (md5('disk')::uuid, $1, $2)";
            owner.execute(sql, &[&tenant.uuid(), &at(0)]).await.unwrap();
        }
        if who == "left-twice" {
            let (from, to) = (at(silence - day), at(silence + day));
            migrations::ensure_partitions(&db, "instance_reading", from, to).await.unwrap();
            let sql = "INSERT INTO instance_reading (instance_id, node_id, observed_at, received_at, epoch, vcpus, memory_kib,
                                                     cpu_ns, running_ms, vcpu_ms, memory_kib_s, state)
                       VALUES (md5('g')::uuid, md5('silent')::uuid, $1, $1, 1, 1, 1, 1, 1, 1, 1, 'running')";
            db_insert(&db, sql, at(silence)).await;
        }
        let period = window(start, end);
        let behind = readings::behind_of(&db, tenant, period, None, at(now)).await.unwrap();
        let found: Vec<(&str, &str)> =
            behind.iter().map(|node| (node.name.as_str(), node.about[0].as_str())).collect();
        assert_eq!(found, expected, "{who}");
    }
}

async fn db_insert(db: &migrations::Database, sql: &str, instant: jiff::Timestamp) {
    let mut session = db.session().await.unwrap();
    let transaction = session.begin(Scope::Provider).await.unwrap();
    let statement = transaction.prepare_cached(sql).await.unwrap();
    transaction.execute(&statement, &[&instant]).await.unwrap();
    transaction.commit().await.unwrap();
}
