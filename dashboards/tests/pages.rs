//! The pages over a real PostgreSQL: what each role sees, whose it is, and what hostile input does.

mod support;

use accounts::Role;
use actix_web::http::Method;
use actix_web::test::TestRequest;
use jiff::{SignedDuration, Timestamp};
use metering::InstanceState;
use migrations::testing::TestDatabase;

use support::browser::{get, post, send, with};
use support::node::{Guest, Node, instance_id};
use support::{PLAN, YEN_PLAN, invoice, month, plan, rate, session, tenant, usage_settings};

/// A name that would be markup, were it not text.
const MARKUP: &str = "<script>alert(1)</script> & \"'";

/// Two tenants with an instance each, one that is nobody's, and somebody of each role.
struct Cloud {
    database: TestDatabase,
    admin: String,
    planner: String,
    ada: String,
    /// The invoice of acme.
    number: String,
}

/// Instances, by their place in [`Cloud`].
const ACMES: usize = 0;
const OTHERS: usize = 1;

async fn cloud() -> Cloud {
    let database = migrations::testing::database().await;
    let now = Timestamp::now();
    let acme = tenant(&database, "acme", MARKUP, "Europe/Berlin").await;
    let other = tenant(&database, "other", "Other", "Asia/Tokyo").await;
    let (euro, yen) = (plan(&database, PLAN).await, plan(&database, YEN_PLAN).await);
    let guests = vec![
        Guest::new(MARKUP, Some("acme"), 2, 2_048, InstanceState::Running),
        Guest::new("others", Some("other"), 1, 512, InstanceState::Stopped),
        Guest::new("nobodys", None, 1, 512, InstanceState::Running),
    ];
    let born_at = month(&acme, now, 1).end() - SignedDuration::from_hours(30);
    let mut node = Node::new(database.database(), guests, born_at);
    node.look(born_at, now - SignedDuration::from_mins(10), SignedDuration::from_hours(6)).await;
    node.look(now - SignedDuration::from_mins(10), now, SignedDuration::from_mins(1)).await;
    node.derive(&database, usage_settings(), now).await;
    let number = invoice(&database, &acme, &euro, month(&acme, now, 1), now).await;
    rate(&database, &acme, &euro, now).await;
    rate(&database, &other, &yen, now).await;
    Cloud {
        admin: session(&database, "admin", Role::Provider, None).await,
        planner: session(&database, "planner", Role::Planner, None).await,
        ada: session(&database, "ada", Role::Tenant, Some(acme.id)).await,
        database,
        number,
    }
}

#[actix_web::test]
async fn each_role_sees_its_pages_and_others_are_refused() {
    let cloud = cloud().await;
    let (own, other) = (instance_id(ACMES), instance_id(OTHERS));
    let number = &cloud.number;
    // Path, and what provider, planner and tenant get.
    for (path, provider, planner, tenant) in [
        ("/".to_owned(), 200, 200, 200),
        ("/instances".to_owned(), 200, 200, 200),
        ("/status".to_owned(), 200, 200, 200),
        ("/invoices".to_owned(), 200, 403, 200),
        (format!("/instances/{own}"), 200, 200, 200),
        (format!("/instances/{own}/chart.json"), 200, 200, 200),
        (format!("/instances/{other}"), 200, 200, 404),
        (format!("/instances/{other}/chart.json"), 200, 200, 404),
        (format!("/tenants/acme/invoices/{number}"), 200, 403, 200),
        (format!("/tenants/acme/invoices/{number}.pdf"), 200, 403, 200),
        (format!("/tenants/other/invoices/{number}"), 404, 403, 404),
        ("/instances/others".to_owned(), 404, 404, 404),
        ("/nothing".to_owned(), 404, 404, 404),
    ] {
        for (who, session, expected) in [
            ("provider", &cloud.admin, provider),
            ("planner", &cloud.planner, planner),
            ("tenant", &cloud.ada, tenant),
        ] {
            let answer = get(&cloud.database, session, &path).await;
            assert_eq!(answer.status, expected, "{who} {path}");
            assert_eq!(answer.header("cache-control"), "no-store", "{who} {path}");
            assert!(
                answer.header("content-security-policy").starts_with("default-src 'none'"),
                "{who} {path}"
            );
        }
    }
}

#[actix_web::test]
async fn a_tenant_sees_its_own_month_and_nobody_elses_name() {
    let cloud = cloud().await;
    for path in ["/", "/instances", "/status", "/invoices"] {
        let page = get(&cloud.database, &cloud.ada, path).await.text();
        for foreign in ["others", "nobodys", "node-1", "JPY", "libvirt", "/tenants\"", "/capacity\""] {
            assert!(!page.contains(foreign), "{path} shows {foreign}");
        }
    }
    let page = get(&cloud.database, &cloud.ada, "/").await.text();
    for shown in [
        "Month to date",
        "\u{a0}EUR",
        "vCPU time",
        "vCPU·h",
        "Set a budget",
        "all times in Europe/Berlin",
        &cloud.number,
    ] {
        assert!(page.contains(shown), "{shown}");
    }
}

#[actix_web::test]
async fn the_provider_sees_every_currency_by_itself_and_the_planner_none() {
    let cloud = cloud().await;
    let page = get(&cloud.database, &cloud.admin, "/").await.text();
    for shown in
        ["Month to date, EUR", "Month to date, JPY", "/tenants/acme", "/tenants/other", "all times in UTC"]
    {
        assert!(page.contains(shown), "{shown}");
    }
    for path in ["/", "/instances", "/status", &format!("/instances/{}", instance_id(ACMES))] {
        let page = get(&cloud.database, &cloud.planner, path).await.text();
        for money in ["EUR", "JPY", "/invoices", "/usage", "/budget", "/tenants"] {
            assert!(!page.contains(money), "{path} shows {money}");
        }
    }
}

#[actix_web::test]
async fn names_with_markup_are_text_on_every_page() {
    let cloud = cloud().await;
    let paths = [
        "/".to_owned(),
        "/instances".to_owned(),
        "/status".to_owned(),
        "/invoices".to_owned(),
        format!("/instances/{}", instance_id(ACMES)),
        format!("/instances?q={}", "%3Cscript%3Ealert(1)%3C%2Fscript%3E%22'"),
        "/instances?tenant=%3Cscript%3E".to_owned(),
        format!("/tenants/acme/invoices/{}", cloud.number),
    ];
    for session in [&cloud.admin, &cloud.ada] {
        for path in &paths {
            let answer = get(&cloud.database, session, path).await;
            let page = answer.text();
            assert!(!page.contains("<script>") && !page.contains("<i>a"), "{path}");
            assert!(!page.contains("<b>libvirt"), "{path}");
            assert_eq!(answer.status, 200, "{path}");
        }
    }
}

#[actix_web::test]
async fn charts_are_json_with_gaps_and_an_unknown_range_says_which_there_are() {
    let cloud = cloud().await;
    let path = format!("/instances/{}/chart.json", instance_id(ACMES));
    for range in ["15m", "1h", "6h", "24h", "7d", "30d"] {
        let answer = get(&cloud.database, &cloud.ada, &format!("{path}?range={range}")).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json".to_owned()));
        let chart: serde_json::Value = serde_json::from_slice(&answer.bytes).unwrap();
        assert_eq!(
            (chart["range"].as_str(), chart["time_zone"].as_str()),
            (Some(range), Some("Europe/Berlin"))
        );
        let steps = chart["at"].as_array().unwrap().len();
        assert!(0 < steps && steps <= 241, "{range}: {steps}");
        for series in
            ["cpu_cores", "disk_read_bytes_s", "disk_write_bytes_s", "net_rx_bytes_s", "net_tx_bytes_s"]
        {
            let values = chart[series].as_array().unwrap();
            assert_eq!(values.len(), steps, "{range} {series}");
            assert!(values.iter().any(serde_json::Value::is_number), "{range} {series}");
        }
    }
    let page = get(&cloud.database, &cloud.ada, &format!("/instances/{}?range=1y", instance_id(ACMES))).await;
    assert!(page.status == 400 && page.text().contains("15m, 1h, 6h"));
    let other = format!("/instances/{}/chart.json", instance_id(OTHERS));
    let program =
        with(TestRequest::get().uri(&other), &cloud.ada).insert_header(("Accept", "application/json"));
    assert_eq!(send(&cloud.database, program).await.status, 404);
}

#[actix_web::test]
async fn a_list_goes_on_where_it_ended_and_a_bad_cursor_says_what_to_do() {
    let database = migrations::testing::database().await;
    let now = Timestamp::now();
    let guests = (0..120).map(|n| Guest::new(&format!("guest-{n:03}"), None, 1, 256, InstanceState::Stopped));
    let mut node = Node::new(database.database(), guests.collect(), now - SignedDuration::from_hours(1));
    node.look_at(&[now]).await;
    let admin = session(&database, "admin", Role::Provider, None).await;
    let mut path = "/instances?q=guest".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = get(&database, &admin, &path).await.text();
        seen.extend(page.split(">guest-").skip(1).map(|rest| rest[..3].to_owned()));
        let Some(link) = page.split("<a class=\"button\" href=\"").find(|part| part.contains("rel=\"next\""))
        else {
            break;
        };
        path = link.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&");
    }
    let expected: Vec<String> = (0..120).map(|n| format!("{n:03}")).collect();
    assert_eq!(seen, expected, "each instance once, by name");
    for bad in ["x", "..", "%00", "00000000-0000-0000-0000-00000000000g.web"] {
        let answer = get(&database, &admin, &format!("/instances?after={bad}")).await;
        assert!(answer.status == 400 && answer.text().contains("Begin at its first page"), "{bad}");
    }
    // A place that no list gave is a place all the same.
    let somewhere = format!("/instances?after={}.%00zzz", instance_id(0));
    assert_eq!(get(&database, &admin, &somewhere).await.status, 200);
}

#[actix_web::test]
async fn hostile_addresses_break_nothing() {
    let database = migrations::testing::database().await;
    let admin = session(&database, "admin", Role::Provider, None).await;
    let long = "a".repeat(20_000);
    for (path, status) in [
        (format!("/instances?q={long}"), 200),
        (format!("/instances?tenant={long}"), 200),
        (format!("/instances?unknown={long}"), 200),
        ("/instances?q=%00".to_owned(), 200),
        ("/instances?q=%27%20OR%201=1%25_%5C".to_owned(), 200),
        ("/instances?tenant=%00".to_owned(), 200),
        ("/instances?q=a&q=b".to_owned(), 400),
        ("/instances?state=dancing".to_owned(), 400),
        ("/instances?q=%FF%FE".to_owned(), 200),
        (format!("/instances/{long}"), 404),
        ("/instances/%00".to_owned(), 404),
        ("/instances/..%2f..%2fetc".to_owned(), 404),
        (format!("/tenants/{long}/invoices/x"), 404),
        ("/tenants/a%00b/invoices/x".to_owned(), 404),
        ("/tenants/acme/invoices/%00.pdf".to_owned(), 404),
        ("/static/x/..%2f..%2fetc/passwd".to_owned(), 404),
    ] {
        let answer = get(&database, &admin, &path).await;
        let shown: String = path.chars().take(60).collect();
        assert_eq!(answer.status, status, "{shown}");
        assert!(answer.header("content-type").starts_with("text/html"), "{shown}");
        assert!(answer.text().contains("<h1"), "{shown}");
    }
}

#[actix_web::test]
async fn pages_without_data_say_what_to_do_first() {
    let database = migrations::testing::database().await;
    let acme = tenant(&database, "acme", "ACME", "UTC").await;
    let admin = session(&database, "admin", Role::Provider, None).await;
    let ada = session(&database, "ada", Role::Tenant, Some(acme.id)).await;
    for (session, path, said) in [
        (&admin, "/", "weir plan apply"),
        (&admin, "/instances", "weir instance create"),
        (&admin, "/status", "No node has reported yet"),
        (&ada, "/", "Nothing has been rated this month yet"),
        (&ada, "/instances", "No instances yet"),
    ] {
        let page = get(&database, session, path).await;
        assert!(page.status == 200 && page.text().contains(said), "{path}: {said}");
    }
}

#[actix_web::test]
async fn pages_can_be_asked_for_their_head_and_reading_pages_cannot_be_written_to() {
    let database = migrations::testing::database().await;
    let admin = session(&database, "admin", Role::Provider, None).await;
    for path in ["/", "/instances", "/status"] {
        let head = with(TestRequest::default().method(Method::HEAD).uri(path), &admin);
        assert_eq!(send(&database, head).await.status, 200, "{path}");
        assert_eq!(post(&database, &admin, path, "").await.status, 405, "{path}");
    }
}

#[actix_web::test]
async fn probes_answer_everybody() {
    let database = migrations::testing::database().await;
    for path in ["/healthz", "/readyz", "/version"] {
        assert_eq!(get(&database, "", path).await.status, 200, "{path}");
    }
}

#[actix_web::test]
async fn static_files_are_kept_for_ever_and_a_page_weighs_less_than_200_kib() {
    let cloud = cloud().await;
    let page = get(&cloud.database, &cloud.ada, &format!("/instances/{}", instance_id(ACMES))).await;
    let text = page.text();
    let mut weight = page.bytes.len();
    let files: Vec<&str> = text.split('"').filter(|part| part.starts_with("/static/")).collect();
    assert_eq!(files.len(), 6, "{files:?}");
    for path in files {
        let file = get(&cloud.database, "", path).await;
        assert_eq!(file.status, 200, "{path}");
        assert!(file.header("cache-control").contains("immutable"), "{path}");
        weight += file.bytes.len();
        let tag = file.header("etag");
        assert!(tag.starts_with('"'), "{path}: a strong tag");
        let again = TestRequest::get().uri(path).insert_header(("If-None-Match", tag.as_str()));
        let again = send(&cloud.database, again).await;
        assert!(again.status == 304 && again.bytes.is_empty(), "{path}");
        let name = path.rsplit('/').next().unwrap();
        let other = get(&cloud.database, "", &format!("/static/0000000000000000/{name}")).await;
        assert_eq!(other.status, 404, "another version of {name}");
    }
    assert!(weight < 200 * 1024, "{weight} bytes");
    assert!(!text.contains(" style=") && !text.contains("onclick"), "nothing inline");
}

#[actix_web::test]
async fn the_status_page_says_what_is_wrong_with_which_node_and_what_to_do_but_not_to_tenants() {
    let cloud = cloud().await;
    let calm = get(&cloud.database, &cloud.admin, "/status").await.text();
    for shown in ["Nothing is wrong.", "node-1", "needs none"] {
        assert!(calm.contains(shown), "{shown}");
    }
    support::world::trouble(&cloud.database, Timestamp::now()).await;
    for who in [&cloud.admin, &cloud.planner] {
        let page = get(&cloud.database, who, "/status").await.text();
        for shown in [
            "A node is silent",
            "its certificate ends in 4h and was &#60;b&#62;not",
            "An instance&#39;s process does not answer",
            "seen 2 times",
            "What it means, and what to do",
            "state bad\">silent",
            "rack-7-&#60;b&#62;kvm",
            "+7,231\u{a0}s",
            "data-label=\"Waiting\">12",
        ] {
            assert!(page.contains(shown), "{shown}: {page}");
        }
        assert!(!page.contains("Metering works"));
    }
    let tenants = get(&cloud.database, &cloud.ada, "/status").await.text();
    for hidden in ["Alerts", "silent", "rack-7", "node-1"] {
        assert!(!tenants.contains(hidden), "{hidden}");
    }
}
