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
async fn reports_reach_as_far_as_the_slowest_living_node() {
    let db = migrations::testing::database().await;
    assert_eq!(readings::reported_until(&db, at(0)).await.unwrap(), None);
    for second in [100, 50, -200_000] {
        let mut node = Node::new(&db);
        let batch = node.instances(vec![reading(instance_id(), second, epoch("a", None), 1)]);
        node.must_send(&batch).await;
    }
    assert_eq!(readings::reported_until(&db, at(200)).await.unwrap(), Some(at(50)));
    let nodes = usage::registry::nodes(&db, Scope::Provider).await.unwrap();
    assert_eq!((nodes.len(), nodes[0].last_seq), (3, 1));
}
