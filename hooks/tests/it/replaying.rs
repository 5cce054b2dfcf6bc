//! Replay and tests of an endpoint.

use hooks::HookError;
use hooks::deliveries::{self, Replay, State};
use jiff::{SignedDuration, Timestamp};
use metering::TenantId;
use migrations::Scope;
use uuid::Uuid;

use crate::common::{scope, world};

#[tokio::test]
async fn an_event_is_sent_again_under_its_id_and_never_another_tenants() {
    let world = world().await;
    // Before there was an endpoint.
    let early = world.emit(world.acme, "invoice.issued").await;
    let foreign = world.emit(world.other, "invoice.issued").await;
    let endpoint = world.endpoint(world.acme, "ok").await;
    let providers = world.endpoint(TenantId::UNASSIGNED, "all").await;
    let (acme, now) = (scope(world.acme), Timestamp::now());
    let replay = async |as_whom, what| deliveries::replay(&world.db, as_whom, endpoint.id, what, now).await;
    assert_eq!(replay(acme, Replay::Event(early)).await.unwrap(), 1);
    assert_eq!(replay(acme, Replay::Event(early)).await.unwrap(), 1, "as often as it is asked for");
    for as_whom in [acme, Scope::Provider] {
        for event in [foreign, Uuid::new_v4()] {
            let refused = replay(as_whom, Replay::Event(event)).await;
            assert!(matches!(refused, Err(HookError::NoEvent)), "{refused:?}");
        }
    }
    let refused =
        deliveries::replay(&world.db, scope(world.other), endpoint.id, Replay::Event(foreign), now).await;
    assert!(matches!(refused, Err(HookError::NoEndpoint)));
    assert_eq!(world.pass().await.delivered, 2);
    let ids: Vec<_> =
        world.receiver.heard("ok").iter().map(|told| told["headers"]["webhook-id"].clone()).collect();
    assert_eq!(ids, [early.to_string(), early.to_string()]);
    assert_eq!(
        deliveries::replay(&world.db, Scope::Provider, providers.id, Replay::Event(foreign), now)
            .await
            .unwrap(),
        1
    );
}

#[tokio::test]
async fn all_since_an_instant_is_sent_again_once() {
    let world = world().await;
    let start = Timestamp::now();
    world.emit(world.acme, "invoice.issued").await;
    let between = Timestamp::now();
    world.emit(world.acme, "invoice.sent").await;
    world.emit(world.other, "invoice.sent").await;
    let endpoint = world.endpoint(world.acme, "ok").await;
    let replay = async |since| {
        let now = Timestamp::now();
        deliveries::replay(&world.db, scope(world.acme), endpoint.id, Replay::Since(since), now)
            .await
            .unwrap()
    };
    assert_eq!(replay(between).await, 1);
    assert_eq!(replay(start).await, 1, "what is on its way is not ordered twice");
    assert_eq!(replay(start).await, 0);
    assert_eq!(world.pass().await.delivered, 2);
    assert_eq!(replay(start).await, 2);
    assert_eq!(replay(Timestamp::now() + SignedDuration::from_secs(1)).await, 0);
}

#[tokio::test]
async fn a_test_goes_to_its_endpoint_alone_whatever_it_wants() {
    let world = world().await;
    let types = ["invoice.paid".to_owned()];
    let url = format!("http://127.0.0.1:{}/tested", world.receiver.port);
    let endpoint = world.endpoint_at(world.acme, &url, Some(&types)).await;
    world.endpoint(world.acme, "ok").await;
    world.endpoint(TenantId::UNASSIGNED, "all").await;
    let event = deliveries::test(&world.db, scope(world.acme), endpoint.id, Timestamp::now()).await.unwrap();
    assert_eq!(world.pass().await.delivered, 1);
    let [delivery] = &world.log(&endpoint).await[..] else { panic!("not one delivery") };
    assert_eq!((delivery.event_id, delivery.event_type.as_str()), (event, "webhook.test"));
    assert!(matches!(delivery.state, State::Delivered(_)));
    assert_eq!(world.receiver.heard("tested").len(), 1);
}

#[tokio::test]
async fn what_is_old_is_forgotten_and_pages_show_each_delivery_once() {
    let world = world().await;
    let endpoint = world.endpoint(world.acme, "ok").await;
    for _ in 0..5 {
        world.emit(world.acme, "invoice.issued").await;
    }
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = deliveries::page(&world.db, scope(world.acme), endpoint.id, after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.created_at, last.id));
        seen.extend(page.iter().map(|delivery| delivery.id));
    }
    assert_eq!(seen.len(), 5);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 5);
    let later = |days: i64| Timestamp::now() + SignedDuration::from_hours(24 * days);
    assert_eq!(deliveries::sweep(&world.db, later(29)).await.unwrap(), 0);
    assert_eq!(deliveries::sweep(&world.db, later(31)).await.unwrap(), 5);
    assert_eq!(world.log(&endpoint).await, []);
}
