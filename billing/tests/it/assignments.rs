//! From when on which plan bills a tenant, on a real PostgreSQL: a month that has ended stays with the plan of then, and what was
//! issued stays as it was.

use billing::account::assignments::{self, Asked, AssignError, Assigned, EVER};
use billing::invoice::lifecycle;
use billing::{Basis, IssueError, Issued, Stage, hold};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use metering::{TenantId, Window};
use migrations::Scope;

use crate::issuing::{World, bill, desk, seller, taxation, world};

fn berlin(month: &str) -> Window {
    billing::period::month(month, &TimeZone::get("Europe/Berlin").unwrap()).unwrap()
}

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

/// Half past midnight in Berlin on that day: still the day before in UTC.
fn at(text: &str) -> Timestamp {
    day(text).at(0, 30, 0, 0).to_zoned(TimeZone::get("Europe/Berlin").unwrap()).unwrap().timestamp()
}

async fn assign(
    world: &World,
    tenant: TenantId,
    now: &str,
    plan: &str,
    from: Option<Date>,
) -> Result<Assigned, AssignError> {
    let mut session = world.database.session().await.unwrap();
    let transaction = session.begin(Scope::Provider).await.unwrap();
    let asked = Asked { plan: Some(plan).filter(|plan| *plan != "-"), from, by: "a test" };
    let assigned = assignments::assign(&transaction, tenant, asked, at(now)).await?;
    transaction.commit().await.unwrap();
    Ok(assigned)
}

/// Issues October by the plan of the world, `test`, or by the same one under another name.
async fn october_by(world: &World, tenant: TenantId, plan: &str) -> Result<Issued, IssueError> {
    let text = world.plan.source().replace("name = \"test\"", &format!("name = \"{plan}\""));
    let plan = billing::PricePlan::parse("plan.toml", text.as_bytes()).unwrap();
    billing::plans::apply(&world.database, &plan, at("2026-11-03")).await.unwrap();
    world.issue_by(tenant, &plan, &world.usage, berlin("2026-10"), at("2026-11-05")).await
}

/// What was said (day on which, plan, from when on if that was said), and which plan bills which month then.
async fn check(said: &[(&str, &str, &str)], months: &[(&str, &str)]) {
    let world = world().await;
    let tenant = world.tenant("acme").await;
    for (now, plan, from) in said {
        let from = match *from {
            "" => None,
            "ever" => Some(EVER),
            text => Some(day(text)),
        };
        assign(&world, tenant, now, plan, from).await.unwrap();
    }
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let held = assignments::get(&world.database, Scope::Tenant(tenant.uuid()), tenant).await.unwrap();
    for (month, plan) in months {
        assert_eq!(
            held.during(berlin(month), &zone).unwrap().unwrap_or("-"),
            *plan,
            "{month} after {said:?}"
        );
    }
    let other = Scope::Tenant(uuid::Uuid::new_v4());
    assert_eq!(assignments::get(&world.database, other, tenant).await.unwrap().all(), []);
}

#[tokio::test]
async fn a_plan_that_is_set_on_the_3rd_never_bills_the_month_that_ended() {
    let first = ("2026-09-10", "old", "ever");
    check(&[first, ("2026-11-03", "new", "")], &[("2026-10", "old"), ("2026-11", "new"), ("2027-03", "new")])
        .await;
    // In its zone: an hour before, it was October there.
    check(&[first, ("2026-11-01", "new", "")], &[("2026-10", "old"), ("2026-11", "new")]).await;
    check(&[first, ("2026-10-31", "new", "")], &[("2026-09", "old"), ("2026-10", "new")]).await;
    // Whoever had none is not billed for the time before, unless that is said.
    check(&[("2026-11-03", "new", "")], &[("2026-10", "-"), ("2026-11", "new")]).await;
    check(&[("2026-11-03", "new", "2026-10-01")], &[("2026-09", "-"), ("2026-10", "new")]).await;
    check(&[first, ("2026-11-03", "new", "2027-01-01")], &[("2026-12", "old"), ("2027-01", "new")]).await;
    check(&[first, ("2026-11-03", "-", "")], &[("2026-10", "old"), ("2026-11", "-")]).await;
}

#[tokio::test]
async fn what_holds_already_is_not_said_twice_and_only_months_begin_with_another_plan() {
    let world = world().await;
    let tenant = world.tenant("acme").await;
    let first = assign(&world, tenant, "2026-11-03", "test", Some(EVER)).await.unwrap();
    assert!(first.is_new);
    let again = assign(&world, tenant, "2026-11-04", "test", None).await.unwrap();
    assert_eq!((again.is_new, again.assignments.all().len()), (false, 1));
    let middle = assign(&world, tenant, "2026-11-04", "dearer", Some(day("2026-11-15"))).await;
    assert!(matches!(middle, Err(AssignError::MidMonth { .. })));
    let nobody = TenantId::from_uuid(uuid::Uuid::new_v4());
    for ghost in [nobody, TenantId::UNASSIGNED] {
        assert!(matches!(
            assign(&world, ghost, "2026-11-04", "test", None).await,
            Err(AssignError::NoTenant(_))
        ));
    }
    let held = assignments::get(&world.database, Scope::Provider, tenant).await.unwrap();
    assert_eq!(held, first.assignments);
}

#[tokio::test]
async fn a_month_that_was_issued_keeps_its_plan_until_the_invoice_is_taken_back() {
    let world = world().await;
    let tenant = world.tenant("acme").await;
    assign(&world, tenant, "2026-10-03", "test", Some(EVER)).await.unwrap();
    // Rated by a plan that another one replaced meanwhile.
    let stale = october_by(&world, tenant, "dearer").await;
    assert!(matches!(stale, Err(IssueError::PlanChanged { .. })), "{stale:?}");
    october_by(&world, tenant, "test").await.unwrap();
    let september = assign(&world, tenant, "2026-11-05", "dearer", Some(day("2026-10-01"))).await;
    let told = september.unwrap_err().to_string();
    assert!(told.starts_with("INV-2026-000001 bills ") && told.contains("from 2026-11-01 on"), "{told}");
    lifecycle::void(&world.database, "INV-2026-000001", "a slip", &desk(), at("2026-11-06")).await.unwrap();
    assign(&world, tenant, "2026-11-06", "dearer", Some(day("2026-10-01"))).await.unwrap();
    let issued = october_by(&world, tenant, "dearer").await.unwrap();
    assert_eq!(issued.invoice().document.plan.name, "dearer");
    // The running month is free, and the one that is issued by it already is no obstacle for the same plan.
    let later = assign(&world, tenant, "2026-11-07", "test", None).await.unwrap();
    assert_eq!((later.from, later.is_new), (day("2026-11-01"), true));
    assert!(!assign(&world, tenant, "2026-11-07", "test", None).await.unwrap().is_new);
}

#[tokio::test]
async fn what_somebody_looks_at_is_not_given_another_plan_under_their_eyes() {
    let world = world().await;
    let tenant = world.tenant("acme").await;
    assign(&world, tenant, "2026-10-03", "test", Some(EVER)).await.unwrap();
    let (seller, taxation) = (seller(), taxation(&world.plan));
    let waits = bill(&world.plan, &world.usage, berlin("2026-10"), &seller, &taxation);
    let stage = (Basis::default(), Stage::Review);
    hold(&world.database, tenant, waits, stage, &desk(), at("2026-11-03")).await.unwrap();
    let refused = assign(&world, tenant, "2026-11-03", "dearer", Some(day("2026-10-01"))).await;
    let told = refused.unwrap_err().to_string();
    assert!(told.contains("in review: send it back first"), "{told}");
    let default = assign(&world, tenant, "2026-10-31", "dearer", None).await.unwrap();
    assert_eq!(default.from, day("2026-11-01"), "the running month is taken");
}
