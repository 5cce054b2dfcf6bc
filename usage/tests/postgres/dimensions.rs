//! What a price may depend on holds from the next window on, for the device or for all of the instance.

use metering::{InstanceFacts, Makeup, Resource, VolumeId, WindowLength};
use migrations::Scope;
use usage::dimensions::{self, DimensionError, Match, NewDimension, Rule};
use uuid::Uuid;

use crate::close::{NOW, hours, lines, of};
use crate::story::*;

const MAC: &str = "52:54:00:00:00:01";

fn licence<'a>(resource: &'a Resource, value: Option<&'a str>) -> NewDimension<'a> {
    NewDimension { resource, name: "licence", value, author: "operator" }
}

#[tokio::test]
async fn a_licence_that_is_set_in_mid_window_counts_from_the_next_one_on() {
    let db = migrations::testing::database().await;
    let a = tenant(&db, "a").await;
    let id = hours(&db, "a", 0, 10).await;
    let instance = Resource::Instance(id);
    let set = |value, hour_and_a_half| {
        let (db, instance) = (&db, &instance);
        async move {
            let new = licence(instance, value);
            dimensions::set(db, &new, WindowLength::HOUR, at(hour_and_a_half)).await.unwrap()
        }
    };
    let change = set(Some("windows"), 2 * 3_600 + 1_800).await;
    assert_eq!((change.valid_from, change.value.as_deref()), (at(3 * 3_600), Some("windows")));
    let again = set(Some("windows"), 4 * 3_600).await;
    assert_eq!(again, change, "saying it again changes nothing");
    set(None, 6 * 3_600).await;
    let piece = [window(0, 5 * 3_600), window(5 * 3_600, 10 * 3_600)];
    let usage = of(&db, a.id, &piece).await;
    let expected = ["- 0..3 3", "- 3..5 licence=windows 2", "- 5..7 licence=windows 2", "- 7..10 3"];
    assert_eq!(lines(&usage, "cpu_ns"), expected);
    // Its NIC has it, too, and what is its own beside it.
    let nic = Resource::Nic(id, MAC.to_owned());
    let new = NewDimension { resource: &nic, name: "network", value: Some("internet"), author: "operator" };
    dimensions::set(&db, &new, WindowLength::HOUR, at(-3_600)).await.unwrap();
    let usage = of(&db, a.id, &[window(0, 10 * 3_600)]).await;
    let expected = [
        format!("{MAC} 0..3 network=internet 3"),
        format!("{MAC} 3..7 licence=windows+network=internet 4"),
        format!("{MAC} 7..10 network=internet 3"),
    ];
    assert_eq!(lines(&usage, "net_rx_bytes"), expected);
    assert_eq!(lines(&usage, "disk_read_bytes").len(), 3);

    let history = dimensions::history(&db, Scope::Tenant(a.id.uuid()), &instance).await.unwrap();
    let said: Vec<_> = history.iter().map(|one| (one.name.as_str(), one.value.as_deref())).collect();
    assert_eq!(said, [("licence", None), ("licence", Some("windows")), ("network", Some("internet"))]);
    let b = tenant(&db, "b").await;
    assert_eq!(dimensions::history(&db, Scope::Tenant(b.id.uuid()), &instance).await.unwrap(), []);
}

#[tokio::test]
async fn words_that_are_none_and_resources_that_are_none_are_refused() {
    let db = migrations::testing::database().await;
    tenant(&db, "a").await;
    let instance = Resource::Instance(hours(&db, "a", 0, 1).await);
    for name in ["", "Licence", "1st", "a-b", "ä", "a".repeat(33).as_str(), "a b"] {
        let new = NewDimension { name, ..licence(&instance, None) };
        let error = dimensions::set(&db, &new, WindowLength::HOUR, at(0)).await.unwrap_err();
        assert!(matches!(error, DimensionError::Name(_)), "{name}: {error}");
    }
    for value in ["", "Windows", "-a", "a b", "a\n", "ü", "a".repeat(64).as_str()] {
        let error = dimensions::set(&db, &licence(&instance, Some(value)), WindowLength::HOUR, at(0)).await;
        assert!(matches!(error, Err(DimensionError::Value(_))), "{value}");
    }
    let nobody = NewDimension { author: "", ..licence(&instance, None) };
    let error = dimensions::set(&db, &nobody, WindowLength::HOUR, at(0)).await.unwrap_err();
    assert!(matches!(error, DimensionError::Author));
    let unknown = [
        Resource::Volume(VolumeId::from_uuid(Uuid::new_v4())),
        Resource::Instance(instance_id()),
        Resource::Nic(instance.instance_id().unwrap(), "52:54:00:ff:ff:ff".to_owned()),
    ];
    for resource in &unknown {
        let error = dimensions::set(&db, &licence(resource, Some("x")), WindowLength::HOUR, at(0)).await;
        assert!(matches!(error, Err(DimensionError::NoResource { .. })), "{resource:?}");
    }
}

#[tokio::test]
async fn what_was_said_cannot_be_changed_by_anybody() {
    let db = migrations::testing::database().await;
    tenant(&db, "a").await;
    let instance = Resource::Instance(hours(&db, "a", 0, 1).await);
    dimensions::set(&db, &licence(&instance, Some("x")), WindowLength::HOUR, at(0)).await.unwrap();
    let owner = db.owner_client().await;
    owner.batch_execute("SET weir.scope = 'provider'").await.unwrap();
    for sql in [
        "UPDATE resource_dimension SET value = 'y'",
        "DELETE FROM resource_dimension",
        "TRUNCATE resource_dimension",
    ] {
        assert!(owner.batch_execute(sql).await.is_err(), "{sql}");
    }
}

#[tokio::test]
async fn a_rule_gives_a_value_until_it_is_taken_out_and_a_person_goes_before_it() {
    let db = migrations::testing::database().await;
    let a = tenant(&db, "a").await;
    let id = hours(&db, "a", 0, 10).await;
    let instance = Resource::Instance(id);
    let rule = |pattern: &str, value: &str| {
        Rule::new(Match::Instance(pattern.to_owned()), "licence", value).unwrap()
    };
    let apply = async |rules: &[Rule], hour: i64| {
        dimensions::apply_rules(&db, rules, WindowLength::HOUR, at(hour * 3_600 + 60)).await.unwrap()
    };
    let node = Rule::new(Match::Node("kvm*".to_owned()), "node_class", "large").unwrap();
    // Seen for the first time in this hour: from its beginning on. The first rule that matches counts.
    assert_eq!(apply(&[rule("w*", "windows"), rule("web", "linux"), node], 1).await, 2);
    assert_eq!(apply(&[rule("w_b", "none"), rule("w*", "windows")], 2).await, 1, "the node's was taken out");
    assert_eq!(apply(&[rule("w*", "windows")], 3).await, 0);
    dimensions::set(&db, &licence(&instance, Some("own")), WindowLength::HOUR, at(4 * 3_600)).await.unwrap();
    assert_eq!(apply(&[rule("w*", "other")], 6).await, 1);
    dimensions::set(&db, &licence(&instance, None), WindowLength::HOUR, at(7 * 3_600)).await.unwrap();
    let usage = of(&db, a.id, &[window(0, 10 * 3_600)]).await;
    let expected = [
        "- 0..3 licence=windows+node_class=large 3",
        "- 3..5 licence=windows 2",
        "- 5..8 licence=own 3",
        "- 8..10 licence=other 2",
    ];
    assert_eq!(lines(&usage, "cpu_ns"), expected);
    assert!(Rule::new(Match::Pool("x".to_owned()), "Class", "ssd").is_err());
    assert_eq!(apply(&[], 20).await, 1);
}

#[tokio::test]
async fn traffic_is_told_apart_by_the_network_a_nic_is_plugged_into_and_a_licence_by_the_image() {
    let db = migrations::testing::database().await;
    let a = tenant(&db, "a").await;
    let (mut node, id) = (Node::new(&db), instance_id());
    let (old, new) = ("52:54:00:00:00:01", "52:54:00:00:00:02");
    let described = |image: Option<&str>, networks: &[(&str, &str)]| InstanceFacts {
        makeup: Makeup {
            image: image.map(str::to_owned),
            networks: networks.iter().map(|(mac, network)| ((*mac).into(), (*network).into())).collect(),
        },
        ..facts(id, "web", Some("a"))
    };
    let life = epoch("run", Some(0));
    let tell =
        async |node: &mut Node, facts: InstanceFacts, macs: &[&str], hours: std::ops::RangeInclusive<i64>| {
            let mut batch = node.batch();
            batch.collected_at = at(hours.end() * 3_600);
            batch.instances = vec![facts];
            for hour in hours {
                let (second, value) = (hour * 3_600, hour.unsigned_abs());
                batch.readings.instances.push(reading(id, second, life, value));
                batch.readings.nics.extend(macs.iter().map(|mac| nic(id, mac, second, life, value)));
            }
            node.must_send(&batch).await;
        };
    let rule = |applies_to, name, value| Rule::new(applies_to, name, value).unwrap();
    let rules = [
        rule(Match::Network("public*".into()), "network", "internet"),
        rule(Match::Network("*".into()), "network", "internal"),
        rule(Match::Image("*/win*".into()), "licence", "windows"),
    ];
    let apply = async |hour: i64| {
        dimensions::apply_rules(&db, &rules, WindowLength::HOUR, at(hour * 3_600 + 60)).await.unwrap()
    };
    let image = Some("/images/win2022.qcow2");
    tell(&mut node, described(image, &[(old, "public-1"), (new, "br0")]), &[old, new], 1..=1).await;
    assert_eq!(apply(1).await, 3);
    assert_eq!(apply(2).await, 0, "nothing has changed");
    // A NIC moves to another network; the other is unplugged. An older description that comes late changes nothing.
    tell(&mut node, described(image, &[(old, "br0")]), &[old], 2..=4).await;
    tell(&mut node, described(None, &[(new, "public-2")]), &[], 3..=3).await;
    assert_eq!(apply(4).await, 1);
    derive(&db, NOW).await;
    let usage = of(&db, a.id, &[window(0, 8 * 3_600)]).await;
    assert_eq!(lines(&usage, "cpu_ns"), ["- 0..8 licence=windows 4"]);
    let received = [
        format!("{old} 0..5 licence=windows+network=internet 4"),
        format!("{new} 0..8 licence=windows+network=internal 1"),
    ];
    assert_eq!(lines(&usage, "net_rx_bytes"), received);
}
