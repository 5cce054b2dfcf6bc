//! What is set on pages: quotas, budgets, contacts, tokens. Who may not is refused, what is wrong is told at its field, and
//! nobody's change is overwritten unseen.

mod support;

use accounts::Role;
use actix_web::test::TestRequest;
use billing::quota::{self, Existing};
use billing::store::terms;
use billing::terms::TenantTerms;
use billing::{Currency, budget};
use jiff::Timestamp;
use metering::InstanceId;
use migrations::Scope;
use migrations::testing::TestDatabase;
use usage::registry::{self, Tenant};
use uuid::Uuid;

use support::browser::{Answer, get, plain_answer, plain_page, send};
use support::{PLAN, YEN_PLAN, plan, session, tenant};

const MARKUP: &str = "<script>alert(1)</script> & \"'";

struct House {
    database: TestDatabase,
    acme: Tenant,
    admin: String,
    planner: String,
    ada: String,
    bob: String,
}

async fn house() -> House {
    let database = migrations::testing::database().await;
    let acme = tenant(&database, "acme", MARKUP, "Europe/Berlin").await;
    let other = tenant(&database, "other", "Other", "UTC").await;
    plan(&database, PLAN).await;
    House {
        admin: session(&database, "admin", Role::Provider, None).await,
        planner: session(&database, "planner", Role::Planner, None).await,
        ada: session(&database, "ada", Role::Tenant, Some(acme.id)).await,
        bob: session(&database, "bob", Role::Tenant, Some(other.id)).await,
        database,
        acme,
    }
}

/// Part of a name that must never be markup on a page.
const TAG: &str = "<script>";

impl House {
    async fn post(&self, session: &str, path: &str, form: &str) -> Answer {
        plain_answer(&self.database, session, (path, form), TAG).await
    }

    async fn page(&self, session: &str, path: &str) -> String {
        plain_page(&self.database, session, path, TAG).await
    }

    async fn quota(&self) -> quota::Quota {
        quota::get(&self.database, Scope::Provider, self.acme.id).await.unwrap()
    }
}

#[actix_web::test]
async fn a_quota_is_set_with_units_and_shown_beside_what_is_held() {
    let house = house().await;
    let now = Timestamp::now();
    let instance_id = InstanceId::from_uuid(Uuid::from_u128(1));
    let held = Existing { instance_id, tenant_id: house.acme.id, vcpus: 6, memory_kib: 12 << 20 };
    quota::reconcile(&house.database, &[held], now, now).await.unwrap();
    let form = "instances=5&vcpus=8&memory=1.5&unit=GiB&revision=0";
    let answer = house.post(&house.admin, "/tenants/acme/quota", form).await;
    assert_eq!((answer.status, answer.header("location").as_str()), (303, "/tenants/acme#quota"));
    let quota = house.quota().await;
    assert_eq!((quota.instances, quota.vcpus, quota.memory_kib), (Some(5), Some(8), Some(1_572_864)));
    for (session, forms) in [(&house.admin, 3), (&house.ada, 1)] {
        let page = house.page(session, "/tenants/acme").await;
        for shown in ["aria-label=\"vCPUs held\">75 %", "12\u{a0}GiB", "1.5\u{a0}GiB"] {
            assert!(page.contains(shown), "{shown}");
        }
        let main = page.split("<main").nth(1).unwrap();
        assert_eq!(main.matches("<form").count(), forms, "a tenant sets its budget and nothing else");
    }
}

#[actix_web::test]
async fn what_is_wrong_with_a_quota_is_told_at_its_field_and_what_was_typed_is_kept() {
    let house = house().await;
    let form = "instances=many&vcpus=8&memory=1%2C5&unit=MiB&revision=0";
    let answer = house.post(&house.admin, "/tenants/acme/quota", form).await;
    let page = answer.text();
    assert_eq!(answer.status, 422);
    for shown in [
        "value=\"many\" aria-invalid=\"true\" aria-describedby=\"instances-error\"",
        "id=\"instances-error\"",
        "id=\"memory-error\"",
        "value=\"1,5\" aria-invalid",
        "<option selected>MiB",
        "value=\"8\"",
    ] {
        assert!(page.contains(shown), "{shown}");
    }
    assert!(!page.contains("vcpus-error") && house.quota().await.revision == 0);
}

#[actix_web::test]
async fn two_who_set_a_quota_at_once_are_shown_both_and_decide() {
    let house = house().await;
    let first = "instances=5&vcpus=8&memory=16&unit=GiB&revision=0";
    assert_eq!(house.post(&house.admin, "/tenants/acme/quota", first).await.status, 303);
    let second = "instances=7&vcpus=&memory=16&unit=GiB&revision=0";
    let answer = house.post(&house.admin, "/tenants/acme/quota", second).await;
    let page = answer.text();
    assert_eq!(answer.status, 409);
    for shown in [
        "was changed meanwhile",
        "<bdi>5</bdi>",
        "<bdi>7</bdi>",
        "<bdi>no limit</bdi>",
        "Keep what stands now",
    ] {
        assert!(page.contains(shown), "{shown}");
    }
    assert_eq!(page.matches("class=\"differs\"").count(), 2, "memory is the same");
    assert_eq!(house.quota().await.instances, Some(5), "nothing was saved");
    // The form of that page insists, by the revision that it has seen.
    let insists: Vec<String> = page
        .split("<input type=\"hidden\" name=\"")
        .skip(1)
        .map(|field| {
            let mut parts = field.split('"');
            let name = parts.next().unwrap();
            format!("{name}={}", parts.nth(1).unwrap())
        })
        .collect();
    assert_eq!(house.post(&house.admin, "/tenants/acme/quota", &insists.join("&")).await.status, 303);
    assert_eq!(house.quota().await.instances, Some(7));
}

#[actix_web::test]
async fn only_the_provider_sets_quotas_and_contacts() {
    let house = house().await;
    let quota = "instances=5&vcpus=8&memory=16&unit=GiB&revision=0";
    let contact = "display_name=x&email=&address=&tax_number=&plan=&revision=1";
    for (path, form) in [("/tenants/acme/quota", quota), ("/tenants/acme/contact", contact)] {
        for session in [&house.planner, &house.ada, &house.bob] {
            assert_eq!(house.post(session, path, form).await.status, 403, "{path}");
        }
        assert_eq!(house.post("", path, form).await.status, 303, "{path}: to the log-in");
        let unknown = path.replace("acme", "none");
        assert_eq!(house.post(&house.admin, &unknown, form).await.status, 404, "{unknown}");
        let unassigned = path.replace("acme", "unassigned");
        assert_eq!(house.post(&house.admin, &unassigned, form).await.status, 404, "{unassigned}");
    }
    for bad in ["", "instances=5", "revision=x&instances=&vcpus=&memory=&unit=GiB"] {
        assert_eq!(house.post(&house.admin, "/tenants/acme/quota", bad).await.status, 400, "{bad}");
    }
    let huge = format!("instances={}&vcpus=&memory=&unit=GiB&revision=0", "9".repeat(40_000));
    let status = house.post(&house.admin, "/tenants/acme/quota", &huge).await.status;
    assert!(status == 400 || status == 413, "{status}");
    assert_eq!(house.quota().await.revision, 0);
}

#[actix_web::test]
async fn a_contact_is_changed_as_a_whole_and_a_stale_one_is_not() {
    let house = house().await;
    let path = "/tenants/acme/contact";
    let form = "display_name=ACME+%26+Sons&email=billing%40acme.example&address=1+Street%0D%0ATown%0D%0A&tax_number=DE1&plan=standard&revision=1";
    assert_eq!(house.post(&house.admin, path, form).await.status, 303);
    let acme = registry::find_tenant(&house.database, Scope::Provider, "acme").await.unwrap();
    assert_eq!(acme.display_name, "ACME & Sons");
    assert_eq!(acme.address, ["1 Street", "Town"]);
    assert_eq!(
        (acme.email.as_deref(), acme.plan_name.as_deref()),
        (Some("billing@acme.example"), Some("standard"))
    );
    let answer = house.post(&house.admin, path, &form.replace("acme.example", "other.example")).await;
    let page = answer.text();
    assert_eq!(answer.status, 409);
    assert!(page.contains("billing@acme.example") && page.contains("billing@other.example"));
    let revision = format!("revision={}", acme.revision);
    for (from, to, field) in [
        ("billing%40acme.example", "no+address", "email"),
        ("ACME+%26+Sons", "", "display_name"),
        ("DE1", "%E2%80%AE1", "tax_number"),
        ("plan=standard", "plan=gold", "plan"),
    ] {
        let form = form.replace("revision=1", &revision).replace(from, to);
        let answer = house.post(&house.admin, path, &form).await;
        assert_eq!(answer.status, 422, "{field}");
        let page = answer.text();
        assert!(
            page.contains(&format!("id=\"{field}-error\"")) && page.contains("1 Street\nTown"),
            "{field}"
        );
    }
}

#[actix_web::test]
async fn a_plan_that_breaks_the_tenants_own_terms_is_refused_at_its_field_and_nothing_is_changed() {
    let house = house().await;
    plan(&house.database, YEN_PLAN).await;
    let own =
        "[[terms]]\nfrom = \"2026-01-01\"\n[[terms.rate_card]]\nname = \"cpu_ns\"\nunit_price = \"0.03\"\n";
    let own = TenantTerms::parse("terms.toml", own.as_bytes()).unwrap();
    terms::apply(&house.database, house.acme.id, &own, Timestamp::now()).await.unwrap();
    let form = "display_name=Acme&email=&address=&tax_number=&plan=PLAN&revision=1";
    let answer = house.post(&house.admin, "/tenants/acme/contact", &form.replace("PLAN", "tokyo")).await;
    let page = answer.text();
    assert_eq!(answer.status, 422);
    assert!(page.contains("id=\"plan-error\"") && page.contains("do not fit plan tokyo"), "{page}");
    let acme = registry::find_tenant(&house.database, Scope::Provider, "acme").await.unwrap();
    assert_eq!((acme.revision, acme.plan_name), (1, house.acme.plan_name.clone()));
    let fits = form.replace("PLAN", "standard");
    assert_eq!(house.post(&house.admin, "/tenants/acme/contact", &fits).await.status, 303);
}

#[actix_web::test]
async fn a_tenant_sets_its_own_budget_and_nobody_elses() {
    let house = house().await;
    let path = "/tenants/acme/budget";
    let form =
        |amount: &str, revision: u64| format!("amount={amount}&currency=EUR&revision={revision}&back=budget");
    let get_budget = || async { budget::get(&house.database, Scope::Provider, house.acme.id).await.unwrap() };
    assert_eq!(house.post(&house.bob, path, &form("5", 0)).await.status, 404);
    assert_eq!(house.post(&house.planner, path, &form("5", 0)).await.status, 403);
    assert!(get_budget().await.is_none());
    let answer = house.post(&house.ada, path, &form("150.5", 0)).await;
    assert_eq!((answer.status, answer.header("location").as_str()), (303, "/budget"));
    let set = get_budget().await.unwrap();
    assert_eq!((set.amount.to_string().as_str(), set.revision), ("150.50 EUR", 1));
    let page = house.page(&house.ada, "/budget").await;
    assert!(page.contains("150.50") && page.contains("name=\"revision\" value=\"1\""));
    for (amount, said) in
        [("1%2C50", "with a point"), ("0.001", "2 decimals"), ("0", "more than nothing"), ("", "digits")]
    {
        let answer = house.post(&house.ada, path, &form(amount, 1)).await;
        assert!(answer.status == 422 && answer.text().contains(said), "{amount}");
    }
    // What is spent in another currency never reaches it: nobody would be warned.
    let yen = house.post(&house.ada, path, "amount=5&currency=JPY&revision=1&back=budget").await;
    assert!(yen.status == 422 && yen.text().contains("Prices are in EUR"), "{}", yen.status);
    // Of two who set it, the second is told, and so is who removes what was changed.
    assert_eq!(house.post(&house.admin, path, &form("200", 1)).await.status, 303);
    for stale in [form("300", 1), format!("{}&action=remove", form("", 1))] {
        let answer = house.post(&house.ada, path, &stale).await;
        let page = answer.text();
        assert!(
            answer.status == 409
                && page.contains("200.00\u{a0}EUR")
                && page.contains("name=\"revision\" value=\"2\"")
        );
    }
    assert_eq!(house.post(&house.ada, path, &format!("{}&action=remove", form("", 2))).await.status, 303);
    assert!(get_budget().await.is_none());
}

#[actix_web::test]
async fn a_budget_shows_what_is_spent_and_which_thresholds_were_crossed() {
    let house = house().await;
    let now = Timestamp::now();
    let euros = |text: &str| billing::Money::exact(text.parse().unwrap(), Currency::EUR).unwrap();
    budget::set(&house.database, Scope::Provider, house.acme.id, euros("100"), None, now).await.unwrap();
    let month = support::month(&house.acme, now, 0);
    budget::note(&house.database, house.acme.id, month, euros("81.20"), now).await.unwrap();
    let page = house.page(&house.ada, "/budget").await;
    assert_eq!(page.matches("class=\"crossed\"").count(), 2);
    assert!(page.contains("with 81.20\u{a0}EUR spent") && page.contains("not crossed in"));
}

#[actix_web::test]
async fn a_token_is_shown_once_opens_the_door_and_is_revoked() {
    let house = house().await;
    let form = "name=%3Cscript%3Emonitoring&access=write&lifetime=30";
    let answer = house.post(&house.ada, "/tokens", form).await;
    assert_eq!((answer.status, answer.header("cache-control").as_str()), (201, "no-store"));
    let page = answer.text();
    let secret = page.split("<code tabindex=\"0\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert!(secret.starts_with("weir_") && secret.len() == 48, "{secret}");
    let list = house.page(&house.ada, "/tokens").await;
    assert!(!list.contains(&secret) && list.contains("read and change"));
    let ask = |path: &str| {
        TestRequest::get().uri(path).insert_header(("Authorization", format!("Bearer {secret}")))
    };
    assert_eq!(send(&house.database, ask("/invoices")).await.status, 200);
    // A token makes no tokens.
    let more = TestRequest::post()
        .uri("/tokens")
        .insert_header(("Authorization", format!("Bearer {secret}")))
        .insert_header(("Content-Type", "application/x-www-form-urlencoded"))
        .set_payload("name=more");
    assert_eq!(send(&house.database, more).await.status, 403);
    let revoke = list.split("action=\"").find(|part| part.contains("/revoke")).unwrap();
    let revoke = revoke.split('"').next().unwrap().to_owned();
    assert_eq!(house.post(&house.bob, &revoke, "").await.status, 404, "not another user's");
    assert_eq!(send(&house.database, ask("/invoices")).await.status, 200);
    for _ in 0..2 {
        assert_eq!(house.post(&house.ada, &revoke, "").await.status, 303);
    }
    assert_eq!(send(&house.database, ask("/invoices")).await.status, 401);
    assert!(house.page(&house.ada, "/tokens").await.contains("revoked"));
}

#[actix_web::test]
async fn a_token_that_cannot_be_is_refused_with_what_was_typed() {
    let house = house().await;
    for name in ["", "+", "%00", &"x".repeat(101), "%E2%80%AEevil"] {
        let answer =
            house.post(&house.ada, "/tokens", &format!("name={name}&lifetime=365&access=write")).await;
        assert_eq!(answer.status, 422, "{name}");
        let page = answer.text();
        assert!(
            page.contains("id=\"name-error\"") && page.contains("<option value=\"365\" selected>"),
            "{name}"
        );
    }
    assert_eq!(house.post(&house.ada, "/tokens", "name=a&lifetime=forever").await.status, 400);
    assert_eq!(house.post(&house.ada, "/tokens/x/revoke", "").await.status, 404);
    assert_eq!(house.post(&house.ada, &format!("/tokens/{}/revoke", Uuid::nil()), "").await.status, 404);
    // A planner's never changes anything, whatever is asked for.
    house.post(&house.planner, "/tokens", "name=plan&access=write&lifetime=30").await;
    let page = house.page(&house.planner, "/tokens").await;
    assert!(!page.contains("read and change") && !page.contains("value=\"write\""));
}

#[actix_web::test]
async fn tenants_are_listed_by_the_page_and_found_by_name() {
    let house = house().await;
    for n in 0..55 {
        tenant(&house.database, &format!("t{n:02}"), &format!("Tenant {n}"), "UTC").await;
    }
    let first = house.page(&house.admin, "/tenants").await;
    assert!(first.contains("/tenants/acme\"") && !first.contains("/tenants/unassigned"));
    let next =
        first.split("href=\"").find(|part| part.contains("after=")).unwrap().split('"').next().unwrap();
    let second = house.page(&house.admin, next).await;
    let count = |page: &str| page.matches("<th scope=\"row\">").count();
    assert_eq!(count(&first) + count(&second), 57);
    let found = house.page(&house.admin, "/tenants?search=Tenant+4").await;
    assert_eq!(count(&found), 11);
    for bad in [
        "/tenants?after=%00",
        "/tenants?after=%3Cscript%3E",
        "/tenants?after=",
        &format!("/tenants?search={}", "x".repeat(300)),
    ] {
        assert_eq!(get(&house.database, &house.admin, bad).await.status, 400, "{bad}");
    }
}

#[actix_web::test]
async fn a_page_of_many_nodes_has_the_charts_of_all_together_and_leads_to_those_of_each() {
    let database = migrations::testing::database().await;
    usage::bench::load_history(&database, 1, 250, 2, Timestamp::now()).await.unwrap();
    let planner = session(&database, "planner", Role::Planner, None).await;
    let sections = |text: &str| text.matches("<section").count();
    let page = get(&database, &planner, "/capacity").await.text();
    assert_eq!(sections(&page), 1, "all nodes together");
    assert!(page.contains("bench-kvm-003"));
    let (_, link) = page.split_once("href=\"/capacity?node=").expect("a node of its own page");
    let id = link.split(['#', '"']).next().unwrap();
    let page = get(&database, &planner, &format!("/capacity?node={id}")).await.text();
    assert!(sections(&page) == 1 && page.contains(&format!("<h2 id=\"node-{id}\">")), "{id}");
    for nobodys in ["x", "0192f0c1-2222-7000-8000-00000000abcd"] {
        assert_eq!(get(&database, &planner, &format!("/capacity?node={nobodys}")).await.status, 404);
    }
}
