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
