//! Allowances and corrections of usage on pages: who sees and changes them, what is wrong is told and kept, and two at once
//! overwrite nothing.

mod support;

use accounts::Role;
use actix_web::test::TestRequest;
use billing::limits::allowances::{self, MonthToDate};
use billing::limits::{Action, Allowed, Basis, Threshold};
use billing::{Currency, Money};
use jiff::{SignedDuration, Timestamp};
use metering::{InstanceState, MeterName};
use migrations::Scope;
use migrations::testing::TestDatabase;
use usage::registry::Tenant;
use uuid::Uuid;

use support::browser::{Answer, get, plain_answer, plain_page, send, with};
use support::node::{Guest, Node, instance_id};
use support::{PLAN, month, plan, rate, session, tenant, usage_settings};

struct House {
    database: TestDatabase,
    acme: Tenant,
    admin: String,
    planner: String,
    ada: String,
    bob: String,
}

/// A tenant with two running instances, read for some hours of this month and rated.
async fn house() -> House {
    let database = migrations::testing::database().await;
    let now = Timestamp::now();
    let acme = tenant(&database, "acme", "ACME & <b>Sons</b>", "Europe/Berlin").await;
    let other = tenant(&database, "other", "Other", "UTC").await;
    let plan = plan(&database, PLAN).await;
    let guest = |name: &str| Guest::new(name, Some("acme"), 2, 1_024, InstanceState::Running);
    let born_at = now - SignedDuration::from_hours(30);
    let mut node = Node::new(database.database(), vec![guest("web"), guest("<i>db</i>")], born_at);
    node.look(born_at, now, SignedDuration::from_hours(1)).await;
    node.derive(&database, usage_settings(), now).await;
    rate(&database, &acme, &plan, now).await;
    House {
        admin: session(&database, "admin", Role::Provider, None).await,
        planner: session(&database, "planner", Role::Planner, None).await,
        ada: session(&database, "ada", Role::Tenant, Some(acme.id)).await,
        bob: session(&database, "bob", Role::Tenant, Some(other.id)).await,
        database,
        acme,
    }
}

const SET: &str = "/tenants/acme/allowances";
const CORRECT: &str = "/usage/corrections";

/// Part of a name that must never be markup on a page.
const TAG: &str = "<i>db";

impl House {
    async fn post(&self, session: &str, path: &str, form: &str) -> Answer {
        plain_answer(&self.database, session, (path, form), TAG).await
    }

    async fn page(&self, session: &str, path: &str) -> String {
        plain_page(&self.database, session, path, TAG).await
    }

    async fn allowances(&self) -> Vec<allowances::Allowance> {
        allowances::list(&self.database, Scope::Provider, self.acme.id).await.unwrap()
    }
}

#[actix_web::test]
async fn an_allowance_is_set_shown_with_what_is_used_changed_and_removed() {
    let house = house().await;
    assert!(house.page(&house.ada, "/allowances").await.contains("No allowances are set"));
    assert!(house.page(&house.admin, "/allowances").await.contains("No tenant has an allowance"));
    let form = "revision=0&name=cpu&what=cpu_ns&figure=0.5&percent=80&basis=actual&percent=100&basis=forecast&percent=";
    let answer = house.post(&house.ada, SET, form).await;
    assert_eq!((answer.status, answer.header("location").as_str()), (303, SET));
    let page = house.page(&house.ada, "/allowances").await;
    for shown in
        ["0.5\u{a0}CPU·h", "a month, CPU time", "your own", ">Used<", "<progress class=\"bar", "value=\"80\""]
    {
        assert!(page.contains(shown), "{shown}");
    }
    // The provider's acts, and the tenant may not change it.
    let form = "revision=0&name=money&what=money:EUR&figure=0.01&percent=100&basis=actual&then=suspend";
    assert_eq!(house.post(&house.admin, SET, form).await.status, 303);
    let form = "revision=1&name=money&what=money:EUR&figure=500&percent=100";
    assert_eq!(house.post(&house.ada, SET, form).await.status, 403);
    let form = "revision=0&name=own&what=money:EUR&figure=5&percent=100&basis=actual&then=stop";
    assert_eq!(house.post(&house.ada, SET, form).await.status, 403, "a tenant's own tells");
    let period = month(&house.acme, Timestamp::now(), 0);
    let spent = Money::exact("5.00".parse().unwrap(), Currency::EUR).unwrap();
    let month = MonthToDate { period, spent, usage: &[] };
    allowances::note(&house.database, house.acme.id, &month, Timestamp::now()).await.unwrap();
    let page = house.page(&house.ada, "/allowances").await;
    assert!(page.contains("Running instances are paused") && page.contains("set by your provider"));
    assert!(page.contains("Crossed on <time") && page.contains("with 5.00\u{a0}EUR"));
    assert_eq!(page.matches("Change or remove").count(), 1);
    let all = house.page(&house.admin, "/allowances").await;
    assert!(all.contains("Running instances are paused") && all.contains("0.5\u{a0}CPU·h of CPU time"));
    let own = house.page(&house.admin, SET).await;
    assert_eq!(own.matches("Change or remove").count(), 2);
    let revision = house.allowances().await[0].revision;
    let form = format!("revision={revision}&name=cpu&action=remove");
    assert_eq!(house.post(&house.ada, SET, &form).await.status, 303);
    assert_eq!(house.allowances().await.len(), 1);
}

#[actix_web::test]
async fn odd_allowances_are_told_and_what_was_typed_is_kept() {
    let house = house().await;
    let huge = "9".repeat(3_000);
    for (form, status, said) in [
        ("revision=0&name=cpu&what=cpu_ns&figure=1,5&percent=80", 422, "Write how much in digits"),
        ("revision=0&name=CPU time&what=cpu_ns&figure=5&percent=80", 422, "is no name of an allowance"),
        ("revision=0&name=cpu&what=cpu_ns&figure=5&percent=0", 422, "from 1 to 1000 percent"),
        ("revision=0&name=cpu&what=cpu_ns&figure=5&percent=80&percent=80", 422, "of its own"),
        ("revision=0&name=cpu&what=cpu_ns&figure=5&percent=", 422, "at least one percentage"),
        ("revision=0&name=cpu&what=money:JPY&figure=5&percent=80", 422, "Prices are in EUR"),
        ("revision=0&name=cpu&what=%00&figure=5&percent=80", 422, "Choose what is limited"),
        ("revision=x&name=cpu", 400, "what it was opened for"),
        ("name=cpu", 400, "what it was opened for"),
        (&format!("revision=0&name=cpu&what=cpu_ns&figure={huge}&percent=80"), 400, "longer than anything"),
        ("revision=0&name=%00&action=remove", 404, "nothing at this address"),
    ] {
        let answer = house.post(&house.ada, SET, form).await;
        let page = answer.text();
        assert!(answer.status == status && page.contains(said), "{form}: {} {said}", answer.status);
        assert!(status != 422 || page.contains("role=\"alert\""), "{form}");
    }
    let kept = house
        .post(&house.ada, SET, "revision=0&name=a-b&what=memory_kib_s&figure=x&percent=77&basis=forecast")
        .await
        .text();
    for shown in [
        "value=\"a-b\"",
        "value=\"memory_kib_s\" selected",
        "value=\"x\"",
        "value=\"77\"",
        "value=\"forecast\" selected",
    ] {
        assert!(kept.contains(shown), "{shown}");
    }
    assert!(house.post(&house.ada, SET, &"percent=1&".repeat(3_000)).await.status < 500);
    assert_eq!(house.allowances().await, []);
}

#[actix_web::test]
async fn two_who_change_an_allowance_at_once_are_shown_both() {
    let house = house().await;
    let first = "revision=0&name=cpu&what=cpu_ns&figure=100&percent=80";
    assert_eq!(house.post(&house.ada, SET, first).await.status, 303);
    let second = "revision=0&name=cpu&what=cpu_ns&figure=7&percent=50&basis=forecast";
    let answer = house.post(&house.ada, SET, second).await;
    let page = answer.text();
    assert_eq!(answer.status, 409);
    for shown in [
        "<bdi>100\u{a0}CPU·h</bdi>",
        "<bdi>7 CPU time, CPU·h</bdi>",
        "50\u{a0}% expected",
        "Keep what stands now",
    ] {
        assert!(page.contains(shown), "{shown}");
    }
    assert_eq!(house.allowances().await[0].allowed.figure().to_string(), "100");
    let fields = page.split("<input type=\"hidden\" name=\"").skip(1).map(|field| {
        let mut parts = field.split('"');
        let name = parts.next().unwrap();
        format!("{name}={}", parts.nth(1).unwrap())
    });
    let insists = fields.collect::<Vec<_>>().join("&");
    assert_eq!(house.post(&house.ada, SET, &insists).await.status, 303);
    let stands = &house.allowances().await[0];
    let expected = Threshold { basis: Basis::Forecast, percent: 50, action: Action::Notify };
    let meter = MeterName::parse("cpu_ns").unwrap();
    assert_eq!(
        (stands.allowed, &stands.thresholds[..]),
        (Allowed::Quantity(meter, 7.into()), &[expected][..])
    );
}

#[actix_web::test]
async fn nobody_sees_or_changes_anothers() {
    let house = house().await;
    let allowance = "revision=0&name=cpu&what=cpu_ns&figure=5&percent=80";
    let correction = form("cpu_ns", "exclude", "");
    for (path, form) in [(SET, allowance), (CORRECT, correction.as_str())] {
        for (session, status) in [(&house.planner, 403), (&house.bob, if path == SET { 404 } else { 403 })] {
            assert_eq!(house.post(session, path, form).await.status, status, "{path}");
        }
        assert_eq!(house.post("", path, form).await.status, 303, "nobody is led to the log-in");
        // From another site's page.
        for origin in [Some("https://evil.test"), None] {
            let request = TestRequest::post()
                .uri(path)
                .insert_header(("Content-Type", "application/x-www-form-urlencoded"));
            let request =
                origin.into_iter().fold(request, |request, origin| request.insert_header(("Origin", origin)));
            let request = with(request.set_payload(form.to_owned()), &house.admin);
            assert_eq!(send(&house.database, request).await.status, 403, "{path} {origin:?}");
        }
    }
    assert_eq!(house.post(&house.ada, CORRECT, &correction).await.status, 403);
    assert_eq!(house.allowances().await, []);
    for (path, provider, planner, ada, bob) in [
        ("/allowances", 200, 403, 200, 200),
        (SET, 200, 403, 200, 404),
        ("/tenants/none/allowances", 404, 403, 404, 404),
        (CORRECT, 200, 403, 200, 200),
        ("/usage/corrections?tenant=acme", 200, 403, 200, 200),
        ("/usage/corrections?tenant=none", 404, 403, 200, 200),
        ("/usage/corrections?after=x", 400, 400, 400, 400),
        ("/usage/corrections?tenant=%00&resource=x&meter=%00&window=x/y", 404, 403, 200, 200),
        ("/allowances?tenant=%00&name=x", 404, 403, 200, 200),
        ("/allowances?tenant=zzz&name=zzz", 200, 403, 200, 200),
    ] {
        for (session, status) in
            [(&house.admin, provider), (&house.planner, planner), (&house.ada, ada), (&house.bob, bob)]
        {
            assert_eq!(get(&house.database, session, path).await.status, status, "{path}");
        }
        assert_eq!(get(&house.database, "", path).await.status, 303, "nobody {path}");
    }
    let made = house.post(&house.admin, CORRECT, &correction).await;
    assert_eq!((made.status, made.header("location").as_str()), (303, CORRECT));
    assert!(house.page(&house.ada, CORRECT).await.contains("a fault of ours"));
    assert!(!house.page(&house.bob, CORRECT).await.contains("a fault of ours"));
    assert!(!house.page(&house.bob, "/usage/corrections?tenant=acme").await.contains("a fault of ours"));
}

/// A correction of two hours of yesterday.
fn form(meter: &str, action: &str, quantity: &str) -> String {
    let hour = usage_settings().window.window_of(Timestamp::now() - SignedDuration::from_hours(20)).start();
    let local = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M").to_string();
    let (from, to) = (local(hour), local(hour + SignedDuration::from_hours(2)));
    let (id, resource) = (Uuid::from_u128(7), instance_id(1));
    format!(
        "id={id}&resource={resource}&device=&meter={meter}&from={from}&to={to}&action={action}&quantity={quantity}\
         &reason=a fault of ours"
    )
}

#[actix_web::test]
async fn usage_is_corrected_once_and_withdrawn_once_by_a_form() {
    let house = house().await;
    assert!(house.page(&house.ada, CORRECT).await.contains("Nothing was corrected"));
    let wanted = form("cpu_ns", "add", "1234567");
    for _ in 0..2 {
        assert_eq!(house.post(&house.admin, CORRECT, &wanted).await.status, 303);
    }
    let page = house.page(&house.admin, CORRECT).await;
    assert_eq!(page.matches("+1,234,567").count(), 1, "sent twice, it is made once");
    assert!(page.contains("&#60;i&#62;db") && page.contains("Withdraw it"));
    let read = house.page(&house.ada, CORRECT).await;
    assert!(!read.split("<main").nth(1).unwrap().contains("<form"), "tenants read");
    let path = format!("{CORRECT}/{}/withdrawal", Uuid::from_u128(7));
    let withdrawal = |id: u128, reason: &str| format!("id={}&reason={reason}", Uuid::from_u128(id));
    let refused = house.post(&house.admin, &path, &withdrawal(8, "%20")).await;
    assert!(refused.status == 422 && refused.text().contains("needs a reason"));
    assert_eq!(house.post(&house.ada, &path, &withdrawal(8, "x")).await.status, 403);
    for (id, status) in [(8, 303), (8, 303), (9, 409)] {
        assert_eq!(house.post(&house.admin, &path, &withdrawal(id, "it was right")).await.status, status);
    }
    let nobodys = format!("{CORRECT}/{}/withdrawal", Uuid::from_u128(77));
    assert_eq!(house.post(&house.admin, &nobodys, &withdrawal(10, "x")).await.status, 404);
    let page = house.page(&house.ada, CORRECT).await;
    assert!(page.contains("Withdrawn by <bdi>admin</bdi>") && page.contains("it was right"));
}

#[actix_web::test]
async fn odd_corrections_are_told_and_what_was_typed_is_kept() {
    let house = house().await;
    let right = form("cpu_ns", "exclude", "");
    let wrong = |from: &str, to: &str| right.replace(from, to);
    let essay = format!("a fault of ours{}", "x".repeat(600));
    for (form, said) in [
        (wrong("meter=cpu_ns", "meter=disk_read_bytes"), "name it as device"),
        (wrong("meter=cpu_ns", "meter=x"), "Choose a meter"),
        (wrong("device=", "device=vda"), "leave device empty"),
        (wrong("quantity=", "quantity=5"), "goes with adding alone"),
        (wrong("action=exclude", "action=add"), "whole number"),
        (wrong("action=exclude&quantity=", "action=add&quantity=0"), "cannot be added"),
        (wrong("action=exclude&quantity=", "action=add&quantity=18446744073709551615"), "cannot be added"),
        (wrong("a fault of ours", "%20"), "needs a reason"),
        (wrong("a fault of ours", &essay), "needs a reason"),
        (wrong(":00&to=", ":13&to="), "not made of whole usage windows"),
        (wrong("from=2", "from=1"), "longer than 366 days"),
        (wrong("from=2", "from=x2"), "Write from and to"),
        (wrong(&instance_id(1).to_string(), &Uuid::from_u128(3).to_string()), "There is no instance"),
        (wrong(&instance_id(1).to_string(), "web"), "Write the id"),
    ] {
        let answer = house.post(&house.admin, CORRECT, &form).await;
        let page = answer.text();
        assert!(answer.status == 422 && page.contains(said), "{form}: {} {said}", answer.status);
        assert!(page.contains("role=\"alert\"") && page.contains("<details class=\"below\" open"), "{form}");
    }
    let kept = house.post(&house.admin, CORRECT, &wrong("quantity=", "quantity=5")).await.text();
    for shown in [
        "a fault of ours</textarea>",
        "value=\"5\"",
        "value=\"cpu_ns\" selected",
        "value=\"exclude\" selected",
    ] {
        assert!(kept.contains(shown), "{shown}");
    }
    assert_eq!(house.post(&house.admin, CORRECT, "id=x").await.status, 400);
}
