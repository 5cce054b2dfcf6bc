//! Delivery: who hears what, and what becomes of it when the receiver is not as it should be.

use hooks::deliveries::State;
use hooks::endpoints;
use hooks::{Passed, deliver_due};
use jiff::Timestamp;
use metering::TenantId;
use migrations::Scope;

use crate::common::{Receiver, STRICT, scope, verify, world};

const DELIVERED: Passed = Passed { delivered: 1, deferred: 0, given_up: 0 };
const DEFERRED: Passed = Passed { delivered: 0, deferred: 1, given_up: 0 };
const GIVEN_UP: Passed = Passed { delivered: 0, deferred: 0, given_up: 1 };

#[tokio::test]
async fn a_receiver_verifies_what_it_hears_with_the_library_of_standard_webhooks() {
    let world = world().await;
    let endpoint = world.endpoint(world.acme, "ok").await;
    let event = world.emit(world.acme, "invoice.issued").await;
    assert_eq!(world.pass().await, DELIVERED);
    assert_eq!(world.pass().await, Passed::default(), "once");
    let [told] = &world.receiver.heard("ok")[..] else { panic!("not heard once") };
    assert_eq!(told["headers"]["webhook-id"], event.to_string());
    assert_eq!(told["headers"]["content-type"], "application/json");
    assert!(told["body"].as_str().unwrap().contains("Zoë \u{1F30A}"), "{told}");
    assert_eq!(verify(&endpoint.secret(), told), "verified");
    let stranger = world.endpoint(world.other, "ok").await;
    assert_eq!(verify(&stranger.secret(), told), "refused: No matching signature found");
    let mut forged = told.clone();
    forged["body"] = forged["body"].as_str().unwrap().replace("invoice.issued", "invoice.voided").into();
    assert_eq!(verify(&endpoint.secret(), &forged), "refused: No matching signature found");
    let [delivery] = &world.log(&endpoint).await[..] else { panic!("not one delivery") };
    assert!(matches!(delivery.state, State::Delivered(_)), "{delivery:?}");
    assert_eq!((delivery.attempts, delivery.last_status), (1, Some(200)));
    assert_eq!(delivery.last_answer.as_deref(), Some("heard at ok"));
}

#[tokio::test]
async fn after_a_rotation_both_secrets_sign_until_the_former_one_ends() {
    let world = world().await;
    let before = world.endpoint(world.acme, "ok").await;
    let now = Timestamp::now();
    let after = endpoints::rotate(&world.db, scope(world.acme), before.id, None, now).await.unwrap();
    assert_ne!(before.secret(), after.secret());
    let heard = async |count: usize| {
        world.emit(world.acme, "invoice.paid").await;
        assert_eq!(world.pass().await, DELIVERED);
        let heard = world.receiver.heard("ok");
        assert_eq!(heard.len(), count);
        heard[count - 1].clone()
    };
    let told = heard(1).await;
    assert_eq!(
        (verify(&before.secret(), &told).as_str(), verify(&after.secret(), &told).as_str()),
        ("verified", "verified")
    );
    world.hours_later(25).await;
    let told = heard(2).await;
    assert_eq!(verify(&after.secret(), &told), "verified");
    assert_eq!(verify(&before.secret(), &told), "refused: No matching signature found");
}

#[tokio::test]
async fn a_tenant_hears_of_itself_the_provider_of_all_and_each_of_the_types_it_wants() {
    let world = world().await;
    let port = world.receiver.port;
    world.endpoint(world.acme, "acme").await;
    world.endpoint(world.other, "other").await;
    world.endpoint(TenantId::UNASSIGNED, "provider").await;
    let types = ["payment.recorded".to_owned()];
    world.endpoint_at(world.acme, &format!("http://127.0.0.1:{port}/payments"), Some(&types)).await;
    let removed = world.endpoint(world.acme, "removed").await;
    assert!(
        endpoints::remove(&world.db, scope(world.acme), removed.id, None, Timestamp::now()).await.unwrap()
    );
    world.emit(world.acme, "invoice.issued").await;
    world.emit(world.acme, "payment.recorded").await;
    world.emit(world.other, "invoice.issued").await;
    world.emit(TenantId::UNASSIGNED, "meter.gap").await;
    world.pass().await;
    let heard = |path: &str| world.receiver.heard(path).len();
    assert_eq!(
        [heard("acme"), heard("other"), heard("provider"), heard("payments"), heard("removed")],
        [2, 1, 4, 1, 0]
    );
}

#[tokio::test]
async fn whatever_a_receiver_does_is_written_down_and_tried_again() {
    let world = world().await;
    for (path, status, error) in [
        ("fails", Some(500), "it answered 500"),
        ("moved", Some(302), "redirects are not followed"),
        ("slow", None, "it did not answer in time"),
        ("breaks", None, "it could not be reached"),
    ] {
        let endpoint = world.endpoint(world.acme, path).await;
        world.emit(world.acme, "budget.crossed").await;
        assert_eq!(world.pass().await, DEFERRED, "{path}");
        let [delivery] = &world.log(&endpoint).await[..] else { panic!("not one delivery") };
        assert!(matches!(delivery.state, State::Waiting(at) if Timestamp::now() < at), "{delivery:?}");
        assert_eq!(delivery.last_status, status, "{path}");
        assert!(delivery.last_error.as_ref().unwrap().contains(error), "{path}: {delivery:?}");
        assert!(world.again(&endpoint).await.failing_since.is_some());
        endpoints::remove(&world.db, Scope::Provider, endpoint.id, None, Timestamp::now()).await.unwrap();
    }
    assert_eq!(world.receiver.heard("ok").len(), 0, "a redirect was followed");
    // One that asks for an hour gets it.
    let busy = world.endpoint(world.acme, "busy").await;
    world.emit(world.acme, "budget.crossed").await;
    assert_eq!(world.pass().await, DEFERRED);
    let State::Waiting(at) = world.log(&busy).await[0].state else { panic!("not waiting") };
    assert!(3_500 < at.duration_since(Timestamp::now()).as_secs());
    // Of a long answer, the first KiB.
    let long = world.endpoint(world.other, "long").await;
    world.emit(world.other, "budget.crossed").await;
    assert_eq!(world.pass().await, DELIVERED);
    assert_eq!(world.log(&long).await[0].last_answer.as_ref().unwrap().len(), 1_024);
    endpoints::remove(&world.db, Scope::Provider, long.id, None, Timestamp::now()).await.unwrap();
    // So too of one that would never end; and of one that says 200 and then nothing more, the 200 counts.
    for (path, length) in [("endless", 1_024), ("silent", 0)] {
        let endpoint = world.endpoint(world.other, path).await;
        world.emit(world.other, "budget.crossed").await;
        assert_eq!(world.pass().await, DELIVERED, "{path}");
        let [delivery] = &world.log(&endpoint).await[..] else { panic!("not one delivery") };
        assert_eq!(delivery.last_answer.as_ref().unwrap().len(), length, "{path}");
        endpoints::remove(&world.db, Scope::Provider, endpoint.id, None, Timestamp::now()).await.unwrap();
    }
}

#[tokio::test]
async fn a_receiver_that_was_away_hears_all_when_it_is_back_and_the_same_bytes() {
    let mut world = world().await;
    let endpoint = world.endpoint(world.acme, "ok").await;
    let port = world.receiver.port;
    // A failed connection is a port that nobody listens on: the receiver's own, after its end.
    world.receiver = Receiver::start(0);
    let events =
        [world.emit(world.acme, "invoice.issued").await, world.emit(world.acme, "invoice.sent").await];
    assert_eq!(world.pass().await, DEFERRED, "the endpoint rests after the first");
    world.receiver = Receiver::start(port);
    world.hours_later(1).await;
    assert_eq!(world.pass().await.delivered, 2);
    let mut heard: Vec<String> = world
        .receiver
        .heard("ok")
        .iter()
        .map(|told| told["headers"]["webhook-id"].as_str().unwrap().to_owned())
        .collect();
    heard.sort_unstable();
    assert_eq!(heard, events.map(|event| event.to_string()));
    assert_eq!(world.again(&endpoint).await.failing_since, None);
}

#[tokio::test]
async fn one_that_is_gone_is_disabled_at_once_and_one_that_is_away_after_three_days() {
    let world = world().await;
    let gone = world.endpoint(world.acme, "gone").await;
    let dead = world.endpoint(world.other, "fails").await;
    world.emit(world.acme, "invoice.issued").await;
    world.emit(world.other, "invoice.issued").await;
    assert_eq!(world.pass().await, Passed { delivered: 0, deferred: 1, given_up: 1 });
    let (_, because) = world.again(&gone).await.disabled.unwrap();
    assert!(because.contains("410"), "{because}");
    world.emit(world.acme, "invoice.paid").await;
    assert_eq!(world.log(&gone).await.len(), 1, "nothing is written for it any more");
    world.hours_later(71).await;
    assert_eq!(world.pass().await, DEFERRED);
    assert_eq!(world.again(&dead).await.disabled, None);
    world.hours_later(2).await;
    assert_eq!(world.pass().await, GIVEN_UP);
    let (_, because) = world.again(&dead).await.disabled.unwrap();
    assert_eq!(because, "nothing got through for 72 hours: it answered 500 Internal Server Error");
    let disabled = endpoints::disabled_by_failures(&world.db).await.unwrap();
    assert_eq!(disabled.len(), 2);
    // Whoever enables it again begins anew.
    let wanted = endpoints::Wanted { url: &dead.url, description: "", types: None, is_enabled: true };
    let now = Timestamp::now();
    let back =
        endpoints::change(&world.db, scope(world.other), crate::common::LAX, dead.id, None, &wanted, now)
            .await;
    assert_eq!(back.unwrap().disabled, None);
    assert_eq!(endpoints::disabled_by_failures(&world.db).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_dies_while_sending_leaves_the_same_event_under_the_same_id() {
    let world = world().await;
    world.endpoint(world.acme, "slow").await;
    let event = world.emit(world.acme, "invoice.issued").await;
    let (db, sender, receiver) = (world.db.database(), world.sender.clone(), &world.receiver);
    std::thread::scope(|scope| {
        // Its runtime ends with it, and everything that it does.
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let is_heard = async {
                    while receiver.heard("slow").is_empty() {
                        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                    }
                };
                tokio::select! {
                    passed = deliver_due(&db, &sender, Timestamp::now) => panic!("it was slow: {passed:?}"),
                    () = is_heard => {}
                }
            });
        });
    });
    assert_eq!(world.pass().await, Passed::default(), "it is leased to the one that died");
    world.hours_later(1).await;
    world.pass().await;
    let heard = world.receiver.heard("slow");
    assert_eq!(heard.len(), 2);
    for told in &heard {
        assert_eq!(told["headers"]["webhook-id"], event.to_string());
        assert_eq!(told["body"], heard[0]["body"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_who_deliver_at_once_send_each_event_once() {
    let world = world().await;
    for path in ["ok/1", "ok/2", "ok/3"] {
        world.endpoint(world.acme, path).await;
    }
    for _ in 0..10 {
        world.emit(world.acme, "invoice.issued").await;
    }
    let (one, two) = tokio::join!(world.pass(), world.pass());
    assert_eq!(one.delivered + two.delivered, 30);
    for path in ["ok/1", "ok/2", "ok/3"] {
        assert_eq!(world.receiver.heard(path).len(), 10);
    }
}

#[tokio::test]
async fn an_inner_address_is_not_spoken_to_whatever_name_leads_there() {
    let world = world().await;
    let strict = hooks::Sender::new(STRICT).unwrap();
    // Added while it was allowed. That names are looked at when they are resolved is tested in `sender`.
    for url in ["https://localhost:1/", "https://10.0.0.1/"] {
        let endpoint = world.endpoint_at(world.acme, url, None).await;
        world.emit(world.acme, "invoice.issued").await;
        assert_eq!(deliver_due(&world.db, &strict, Timestamp::now).await.unwrap(), DEFERRED, "{url}");
        let error = world.log(&endpoint).await[0].last_error.clone().unwrap();
        assert!(error.contains("private, local or reserved address"), "{url}: {error}");
        endpoints::remove(&world.db, Scope::Provider, endpoint.id, None, Timestamp::now()).await.unwrap();
    }
}
