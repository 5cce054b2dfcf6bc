//! The provider corrects usage beside the records: with a reason, never below zero, and never without a trace.

use metering::{MeterName, Resource};
use migrations::Scope;
use usage::corrections::{self, Action, CorrectionError, NewCorrection};
use usage::registry;
use uuid::Uuid;

use crate::close::{hours, lines, of};
use crate::story::*;

fn new<'a>(resource: &'a Resource, from: i64, to: i64, action: Action) -> NewCorrection<'a> {
    let meter = MeterName::parse("cpu_ns").unwrap();
    NewCorrection {
        id: Uuid::now_v7(),
        resource,
        meter,
        window: window(from * 3_600, to * 3_600),
        action,
        reason: "the node's clock was wrong",
        author: "operator",
    }
}

#[tokio::test]
async fn what_is_excluded_counts_nothing_until_it_is_withdrawn() {
    let db = migrations::testing::database().await;
    let a = tenant(&db, "a").await;
    let instance = Resource::Instance(hours(&db, "a", 0, 10).await);
    let records = count(&db, Scope::Provider, "usage_record").await;
    let pieces = [window(0, 5 * 3_600), window(5 * 3_600, 10 * 3_600)];
    let now = at(90_000);
    let remark =
        corrections::correct(&db, &new(&instance, 0, 10, Action::Annotate), settings(), now).await.unwrap();
    assert_eq!(lines(&of(&db, a.id, &pieces).await, "cpu_ns"), ["- 0..5 5", "- 5..10 5"]);
    let excluded =
        corrections::correct(&db, &new(&instance, 2, 6, Action::Exclude), settings(), now).await.unwrap();
    let usage = of(&db, a.id, &pieces).await;
    assert_eq!(lines(&usage, "cpu_ns"), ["- 0..5 2", "- 5..10 4"]);
    assert_eq!(lines(&usage, "running_ms"), ["- 0..5 5", "- 5..10 5"], "another meter");
    // Twice is once: nothing goes below zero.
    let twice =
        corrections::correct(&db, &new(&instance, 0, 10, Action::Exclude), settings(), now).await.unwrap();
    assert_eq!(lines(&of(&db, a.id, &pieces).await, "cpu_ns"), ["- 0..5 0", "- 5..10 0"]);
    for correction in [twice, excluded] {
        let done = corrections::withdraw(&db, correction.id, (Uuid::new_v4(), "a slip", "operator"), now)
            .await
            .unwrap();
        assert_eq!(done.withdrawn.unwrap().reason, "a slip");
        let again =
            corrections::withdraw(&db, correction.id, (Uuid::new_v4(), "a slip", "operator"), now).await;
        assert!(matches!(again, Err(CorrectionError::Withdrawn(id)) if id == correction.id));
    }
    assert_eq!(lines(&of(&db, a.id, &pieces).await, "cpu_ns"), ["- 0..5 5", "- 5..10 5"]);
    assert_eq!(count(&db, Scope::Provider, "usage_record").await, records, "no record was touched");
    let unknown =
        corrections::withdraw(&db, Uuid::new_v4(), (Uuid::new_v4(), "a slip", "operator"), now).await;
    assert!(matches!(unknown, Err(CorrectionError::NoCorrection(_))));

    let of_a = Scope::Tenant(a.id.uuid());
    let all = corrections::list(&db, of_a, None, None, None, 10).await.unwrap();
    assert_eq!((all.len(), all[2].id, all[2].withdrawn.is_none()), (3, remark.id, true));
    let rest = corrections::list(&db, Scope::Provider, Some(a.id), None, Some(all[0].id), 10).await.unwrap();
    assert_eq!(rest, all[1..]);
    let touching = Some(window(7 * 3_600, 8 * 3_600));
    assert_eq!(corrections::list(&db, of_a, None, touching, None, 10).await.unwrap().len(), 2);
    let b = tenant(&db, "b").await;
    let of_b = Scope::Tenant(b.id.uuid());
    assert_eq!(corrections::list(&db, of_b, Some(a.id), None, None, 10).await.unwrap(), []);
    assert_eq!(corrections::find(&db, of_b, remark.id).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_added_counts_in_the_pieces_that_it_touches_and_to_the_last_unit() {
    let db = migrations::testing::database().await;
    let a = tenant(&db, "a").await;
    let instance = Resource::Instance(hours(&db, "a", 0, 10).await);
    corrections::correct(&db, &new(&instance, 8, 11, Action::Add(1_000)), settings(), at(90_000))
        .await
        .unwrap();
    let pieces = [window(0, 9 * 3_600), window(9 * 3_600, 10 * 3_600), window(10 * 3_600, 24 * 3_600)];
    let usage = of(&db, a.id, &pieces).await;
    assert_eq!(lines(&usage, "cpu_ns"), ["- 0..9 342", "- 9..10 334", "- 10..24 334"]);
    assert_eq!(total(&usage, "cpu_ns"), 1_010);
}

#[tokio::test]
async fn a_correction_that_cannot_be_right_is_refused() {
    let db = migrations::testing::database().await;
    let (_, b) = (tenant(&db, "a").await, tenant(&db, "b").await);
    let id = hours(&db, "a", 0, 10).await;
    registry::assign(&db, id, b.id, Some(at(4 * 3_600)), settings()).await.unwrap();
    let instance = Resource::Instance(id);
    let disk = Resource::Disk(id, "vda".to_owned());
    let refused = async |new: NewCorrection<'_>| {
        corrections::correct(&db, &new, settings(), at(90_000)).await.unwrap_err()
    };
    let good = new(&instance, 0, 2, Action::Exclude);
    let check = |error: CorrectionError, text: &str| assert!(error.to_string().contains(text), "{error}");
    check(
        refused(NewCorrection { resource: &disk, ..good }).await,
        "cpu_ns is a meter of kind instance, and the resource is of kind disk",
    );
    check(refused(NewCorrection { window: window(0, 1_800), ..good }).await, "whole usage windows of 3600 s");
    check(refused(NewCorrection { window: window(0, 400 * 86_400), ..good }).await, "longer than 366 days");
    check(refused(NewCorrection { action: Action::Add(0), ..good }).await, "0 cannot be added");
    check(refused(NewCorrection { action: Action::Add(u64::MAX), ..good }).await, "cannot be added");
    check(refused(NewCorrection { reason: " ", ..good }).await, "a reason of 1 to 500 characters");
    check(
        refused(NewCorrection { reason: &"x".repeat(501), ..good }).await,
        "a reason of 1 to 500 characters",
    );
    check(refused(NewCorrection { author: "", ..good }).await, "1 to 100 characters");
    check(refused(new(&instance, 2, 6, Action::Exclude)).await, "no single tenant pays");
    check(refused(new(&instance, -2, 0, Action::Exclude)).await, "no single tenant pays");
    let nobody = Resource::Instance(instance_id());
    check(refused(new(&nobody, 0, 2, Action::Exclude)).await, "there is no instance");
}

#[tokio::test]
async fn what_was_corrected_cannot_be_changed_by_anybody() {
    let db = migrations::testing::database().await;
    tenant(&db, "a").await;
    let instance = Resource::Instance(hours(&db, "a", 0, 10).await);
    corrections::correct(&db, &new(&instance, 2, 6, Action::Exclude), settings(), at(90_000)).await.unwrap();
    let owner = db.owner_client().await;
    owner.batch_execute("SET weir.scope = 'provider'").await.unwrap();
    for sql in [
        "UPDATE usage_correction SET reason = 'y'",
        "DELETE FROM usage_correction",
        "TRUNCATE usage_correction",
    ] {
        assert!(owner.batch_execute(sql).await.is_err(), "{sql}");
    }
}

#[tokio::test]
async fn why_a_line_is_less_or_more_than_what_was_read_is_an_entry_of_its_own() {
    let db = migrations::testing::database().await;
    let a = tenant(&db, "a").await;
    let instance = Resource::Instance(hours(&db, "a", 0, 10).await);
    let (meter, now) = (MeterName::parse("cpu_ns").unwrap(), at(90_000));
    let scope = Scope::Tenant(a.id.uuid());
    // It begins and ends within a window.
    let period = window(1_800, 9 * 3_600 + 1_800);
    let asked = [
        new(&instance, 0, 3, Action::Exclude),
        new(&instance, 2, 4, Action::Exclude),
        new(&instance, 8, 10, Action::Add(400)),
        new(&instance, 5, 6, Action::Annotate),
        new(&instance, 20, 22, Action::Add(7)),
    ];
    for (n, asked) in (0..).zip(&asked) {
        let made = corrections::correct(&db, asked, settings(), at(90_000 + n)).await.unwrap();
        assert_eq!(corrections::correct(&db, asked, settings(), now).await.unwrap(), made, "once");
    }
    let part = metering::UsagePart::whole(meter, period);
    let recorded = usage::why::resources_of(&db, scope, a.id, &part, settings(), now).await.unwrap();
    assert_eq!((recorded.len(), recorded[0].quantity), (1, 9));
    let entries = usage::why::corrections_of(&db, scope, a.id, &part, settings(), now).await.unwrap();
    let mut found: Vec<_> =
        entries.iter().map(|one| (one.correction.action.as_str(), one.excluded, one.added)).collect();
    found.sort_unstable();
    assert_eq!(found, [("add", 0, 300), ("annotate", 0, 0), ("exclude", 1, 0), ("exclude", 3, 0)]);
    assert_eq!(total(&of(&db, a.id, &[period]).await, "cpu_ns"), 9 - 4 + 300);
    let b = tenant(&db, "b").await;
    let other = Scope::Tenant(b.id.uuid());
    assert_eq!(usage::why::corrections_of(&db, other, a.id, &part, settings(), now).await.unwrap(), []);
}
