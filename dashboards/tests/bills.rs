//! Usage, invoices and their explanation over a real PostgreSQL with real readings: every sum is the figure that it
//! explains, to the last base unit, and nobody sees another's.

mod support;

use std::collections::BTreeMap;

use accounts::Role;
use billing::InvoiceDocument;
use jiff::{SignedDuration, Timestamp};
use metering::{InstanceState, MeterName, Resource, Window};
use migrations::testing::TestDatabase;
use usage::corrections::{self, Action, NewCorrection};
use usage::dimensions;
use usage::registry::{self, Tenant};
use uuid::Uuid;

use support::browser::get;
use support::node::{Guest, Node, instance_id};
use support::{invoice, month, plan, rate, session, tenant, usage_settings};

/// A name that would be markup, were it not text.
const MARKUP: &str = "<script>alert(1)</script> & \"'";

/// CPU time has an allowance, so that one sum is split over two lines; disk operations have no price.
const PLAN: &str = r#"
name = "standard"
currency = "EUR"
time_zone = "Europe/Berlin"
[tax]
name = "VAT"
rate = "0.19"
[[version]]
from = "2026-01-01"
[[version.rate_card]]
meter = "cpu_ns"
unit_price = "0.012"
included = "1.5"
[[version.rate_card]]
meter = "memory_kib_s"
unit_price = "0.0031"
[[version.rate_card]]
meter = "net_tx_bytes"
unit_price = "0.004"
[[version.rate_card]]
meter = "provisioned_kib_s"
unit_price = "0.00006"
"#;

struct Cloud {
    database: TestDatabase,
    now: Timestamp,
    node: Node,
    acme: Tenant,
    admin: String,
    planner: String,
    ada: String,
    number: String,
    /// The last month, as addresses write it.
    month: String,
}

const OTHERS: usize = 3;
const NOBODYS: usize = 4;

/// Two tenants, read every 47 minutes through the last days of the last month and the running one: hardly a window has a
/// reading at its edge.
async fn cloud() -> Cloud {
    let database = migrations::testing::database().await;
    let now = Timestamp::now();
    let acme = tenant(&database, "acme", MARKUP, "Europe/Berlin").await;
    let other = tenant(&database, "other", "Other", "Asia/Tokyo").await;
    let plan = plan(&database, PLAN).await;
    let guests = vec![
        Guest::new(MARKUP, Some("acme"), 2, 2_048, InstanceState::Running),
        Guest::new(&"n".repeat(64), Some("acme"), 1, 1_536, InstanceState::Running),
        Guest::new("off", Some("acme"), 1, 512, InstanceState::Stopped),
        Guest::new("others", Some("other"), 1, 512, InstanceState::Running),
        Guest::new("nobodys", None, 1, 512, InstanceState::Running),
    ];
    let last = month(&acme, now, 1);
    let born_at = last.end() - SignedDuration::from_hours(55);
    let mut node = Node::new(database.database(), guests, born_at);
    let until = (last.end() + SignedDuration::from_hours(30)).min(now);
    node.look(born_at, until, SignedDuration::from_mins(47)).await;
    node.derive(&database, usage_settings(), now).await;
    let number = invoice(&database, &acme, &plan, last, now).await;
    invoice(&database, &other, &plan, month(&other, now, 1), now).await;
    rate(&database, &acme, &plan, now).await;
    Cloud {
        admin: session(&database, "admin", Role::Provider, None).await,
        planner: session(&database, "planner", Role::Planner, None).await,
        ada: session(&database, "ada", Role::Tenant, Some(acme.id)).await,
        month: last
            .start()
            .to_zoned(jiff::tz::TimeZone::get("Europe/Berlin").unwrap())
            .strftime("%Y-%m")
            .to_string(),
        database,
        now,
        node,
        acme,
        number,
    }
}

impl Cloud {
    async fn page(&self, path: &str) -> String {
        let answer = get(&self.database, &self.ada, path).await;
        assert_eq!(answer.status, 200, "{path}");
        let page = answer.text();
        assert!(!page.contains("<script>") && !page.contains(" style="), "{path}");
        page
    }

    fn path(&self) -> String {
        format!("/tenants/acme/invoices/{}", self.number)
    }

    async fn document(&self) -> InvoiceDocument {
        let json = get(&self.database, &self.ada, &format!("{}.json", self.path())).await;
        serde_json::from_slice(&json.bytes).unwrap()
    }
}

/// The exact figures of the table under a heading: those of its rows, and those of its foot.
fn exact(page: &str, heading: &str) -> (Vec<u128>, Vec<u128>) {
    let table = page.split(&format!("<h2 id=\"{heading}\">")).nth(1).expect("the heading is there");
    let table = table.split("</table>").next().unwrap();
    let (body, foot) = table.split_once("<tfoot>").expect("the table has a foot");
    let figures = |part: &str| {
        let cells = part.split("data-label=\"Exactly as read\">").skip(1);
        let digits = |cell: &str| cell.split(' ').next().unwrap().replace(',', "");
        cells.map(|cell| digits(cell).parse().expect("a whole number")).collect::<Vec<u128>>()
    };
    (figures(body), figures(foot))
}

/// The paths of the links that contain `part`.
fn links(page: &str, part: &str) -> Vec<String> {
    let hrefs = page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    hrefs
        .map(|href| href.replace("&#38;", "&").replace("&amp;", "&"))
        .filter(|href| href.contains(part))
        .collect()
}

#[actix_web::test]
async fn a_line_is_the_sum_of_its_resources_their_windows_and_what_was_read_at_the_edges() {
    let cloud = cloud().await;
    let document = cloud.document().await;
    let mut billed = BTreeMap::<String, u128>::new();
    for line in &document.lines {
        *billed.entry(line.meter.expect("this plan has metered lines only").to_string()).or_default() +=
            line.base_quantity;
    }
    assert_eq!((document.lines.len(), billed.len()), (5, 4), "the allowance makes two lines of one meter");
    let (mut windows, mut interpolated) = (0, 0);
    for (n, line) in document.lines.iter().enumerate() {
        let page = cloud.page(&format!("{}/lines/{}", cloud.path(), n + 1)).await;
        let (resources, sum) = exact(&page, "resources");
        assert_eq!(sum, [billed[line.meter.unwrap().as_str()]], "{}", line.key);
        assert_eq!(resources.iter().sum::<u128>(), sum[0], "{}", line.key);
        assert!(!page.contains("has changed since"), "{}", line.key);
        assert_eq!(page.contains("How the sum is split"), line.meter.unwrap().as_str() == "cpu_ns");
        let all = links(&page, "/windows?resource=");
        assert_eq!(all.len(), resources.len());
        for (path, quantity) in all.iter().zip(&resources) {
            let page = cloud.page(path).await;
            let (days, sum) = exact(&page, "days");
            assert_eq!(
                (days.iter().sum::<u128>(), sum.as_slice()),
                (*quantity, [*quantity].as_slice()),
                "{path}"
            );
            let (here, day) = exact(&page, "windows");
            assert_eq!(here.iter().sum::<u128>(), day[0], "{path}");
            assert!(*quantity == 0 || days.contains(&day[0]));
            for (path, quantity) in links(&page, "/readings?").iter().zip(&here).take(3) {
                let page = cloud.page(path).await;
                let (start, end, difference) = edges(&page);
                assert_eq!((end - start, difference), (*quantity, *quantity), "{path}");
                windows += 1;
                interpolated += page.matches("interpolated").count();
            }
        }
    }
    assert!(20 < windows && 20 < interpolated, "{windows} windows, {interpolated} interpolated edges");
}

/// CPU time is cheaper at night; storage and traffic have two prices each, by a
/// dimension.
const PLAN_BY_PARTS: &str = r#"
name = "parts"
currency = "EUR"
time_zone = "Europe/Berlin"
[tax]
name = "VAT"
rate = "0.19"
[[version]]
from = "2026-01-01"
[[version.rate_card]]
meter = "cpu_ns"
unit_price = "0.012"
[[version.rate_card.time_of_use]]
name = "night"
from = "22:00"
to = "06:00"
unit_price = "0.006"
[[version.rate_card]]
name = "fast-storage"
meter = "provisioned_kib_s"
only = { storage_class = ["nvme", "ssd"] }
unit_price = "0.0002"
[[version.rate_card]]
meter = "provisioned_kib_s"
unit_price = "0.00006"
[[version.rate_card]]
name = "internal"
meter = "net_tx_bytes"
only = { network = "internal" }
unit_price = "0"
[[version.rate_card]]
meter = "net_tx_bytes"
unit_price = "0.004"
"#;

/// A tenant with two running instances, an SSD that became one in mid-month and an internal network; some usage is excluded,
/// some added, some remarked on, and one correction withdrawn. Its invoice, and a session.
async fn house_of_parts(database: &TestDatabase) -> (String, String) {
    let now = Timestamp::now();
    let acme = tenant(database, "acme", "ACME", "Europe/Berlin").await;
    let plan = plan(database, PLAN_BY_PARTS).await;
    let guest = |name: &str, vcpus| Guest::new(name, Some("acme"), vcpus, 1_024, InstanceState::Running);
    let last = month(&acme, now, 1);
    let born_at = last.end() - SignedDuration::from_hours(60);
    let mut node = Node::new(database.database(), vec![guest("web", 2), guest("db", 1)], born_at);
    node.look(born_at, last.end() + SignedDuration::from_hours(3), SignedDuration::from_mins(47)).await;
    node.derive(database, usage_settings(), now).await;
    let (length, hours) = (usage_settings().window, SignedDuration::from_hours);
    let dimension = async |resource: &Resource, name, value, at| {
        let new = dimensions::NewDimension { resource, name, value: Some(value), author: "operator" };
        dimensions::set(database, &new, length, at).await.unwrap();
    };
    let (web, db) = (instance_id(0), instance_id(1));
    let volume = |n| Resource::Volume(support::node::volume_id(n));
    dimension(&volume(0), "storage_class", "ssd", born_at + hours(20)).await;
    dimension(&volume(1), "storage_class", "tape", born_at).await;
    let nic = |n: usize| Resource::Nic(instance_id(n), support::node::mac(n));
    dimension(&nic(1), "network", "internal", born_at).await;
    let start = length.window_of(born_at + hours(8)).start();
    let cpu = [
        (web, 0, 6, Action::Exclude),
        (db, 2, 30, Action::Add(5_000_000_000_001)),
        (web, 7, 8, Action::Annotate),
    ];
    let cpu = cpu.map(|(id, from, to, action)| (Resource::Instance(id), "cpu_ns", from, to, action));
    let others = [
        (volume(0), "provisioned_kib_s", 5, 20, Action::Exclude),
        (nic(1), "net_tx_bytes", 3, 9, Action::Exclude),
        (nic(0), "net_tx_bytes", 3, 9, Action::Add(77)),
        (Resource::Instance(db), "cpu_ns", 10, 12, Action::Exclude),
    ];
    for (n, (resource, meter, from, to, action)) in (1..).zip(cpu.into_iter().chain(others)) {
        let window = Window::new(start + hours(from), start + hours(to)).unwrap();
        let (id, meter) = (Uuid::from_u128(n), MeterName::parse(meter).unwrap());
        let (reason, author) = ("<b>a fault</b> of ours", "operator");
        let new = NewCorrection { id, resource: &resource, meter, window, action, reason, author };
        corrections::correct(database, &new, usage_settings(), now).await.unwrap();
    }
    let withdrawn = (Uuid::from_u128(99), "it was right", "operator");
    corrections::withdraw(database, Uuid::from_u128(7), withdrawn, now).await.unwrap();
    let number = invoice(database, &acme, &plan, last, now).await;
    (number, session(database, "ada", Role::Tenant, Some(acme.id)).await)
}

#[actix_web::test]
async fn a_line_by_hours_or_dimensions_is_explained_by_its_own_usage_with_what_was_corrected() {
    let database = migrations::testing::database().await;
    let (number, ada) = house_of_parts(&database).await;
    let path = format!("/tenants/acme/invoices/{number}");
    let json = get(&database, &ada, &format!("{path}.json")).await;
    let document: InvoiceDocument = serde_json::from_slice(&json.bytes).unwrap();
    let page = async |path: &str| {
        let answer = get(&database, &ada, path).await;
        assert_eq!(answer.status, 200, "{path}");
        answer.text()
    };
    let (mut kinds, mut corrected) = (Vec::new(), 0);
    for (n, line) in document.lines.iter().enumerate() {
        let kind = line.band.clone().unwrap_or_else(|| line.dimensions.values().cloned().collect());
        kinds.push(format!("{}/{kind}", line.meter.unwrap()));
        let line_path = format!("{path}/lines/{}", n + 1);
        let text = page(&line_path).await;
        assert!(!text.contains("has changed since") && !text.contains("<b>a fault"), "{}", line.key);
        let (resources, sum) = exact(&text, "resources");
        assert_eq!(resources.iter().sum::<u128>(), sum[0], "{}", line.key);
        if text.contains("id=\"corrections\"") {
            corrected += 1;
            let (steps, result) = exact(&text, "corrections");
            assert_eq!((steps[0], result[0]), (sum[0], line.base_quantity), "{}", line.key);
            assert!(text.contains("&#60;b&#62;a fault"));
        } else {
            assert_eq!(sum[0], line.base_quantity, "{}", line.key);
        }
        for (path, quantity) in links(&text, "/windows?resource=").iter().zip(&resources) {
            let text = page(path).await;
            let (days, sum) = exact(&text, "days");
            assert_eq!((days.iter().sum::<u128>(), sum[0]), (*quantity, *quantity), "{path}");
            let (here, _) = exact(&text, "windows");
            for (path, quantity) in links(&text, "/readings?").iter().zip(&here).take(2) {
                let (start, end, difference) = edges(&page(path).await);
                assert_eq!((end - start, difference), (*quantity, *quantity), "{path}");
            }
        }
    }
    let expected = [
        "cpu_ns/night",
        "cpu_ns/",
        "net_tx_bytes/internal",
        "net_tx_bytes/",
        "provisioned_kib_s/nvme, ssd",
        "provisioned_kib_s/",
    ];
    kinds.sort();
    let mut wanted = expected.map(str::to_owned);
    wanted.sort();
    assert_eq!(kinds, wanted);
    assert!(5 <= corrected, "{corrected} lines are corrected");
    // A window by day is none of the night's line.
    let of = |band: Option<&str>| {
        let same = |line: &billing::InvoiceLine| {
            line.meter.unwrap().as_str() == "cpu_ns" && line.band.as_deref() == band
        };
        document.lines.iter().position(same).unwrap() + 1
    };
    let (night, day) = (of(Some("night")), of(None));
    let windows = links(&page(&format!("{path}/lines/{day}")).await, "/windows?").remove(0);
    let readings = links(&page(&windows).await, "/readings?").remove(0);
    let swapped = readings.replace(&format!("/lines/{day}/"), &format!("/lines/{night}/"));
    assert_eq!(get(&database, &ada, &swapped).await.status, 404, "{swapped}");
}

/// `C(start)`, `C(end)` and their difference on a page with one life.
fn edges(page: &str) -> (u128, u128, u128) {
    if page.contains("No readings of this window are kept") {
        return (0, 0, 0);
    }
    let figure = |row: &str| {
        let cell = page.split(&format!("<th scope=\"row\">{row}")).nth(1).unwrap();
        let cell = cell.split("data-label=\"Register\">").nth(1).unwrap();
        cell.split(' ').next().unwrap().replace(',', "").parse::<u128>().unwrap()
    };
    (figure("Start"), figure("End"), figure("Difference"))
}

#[actix_web::test]
async fn what_the_usage_page_shows_of_a_month_is_what_its_invoice_says() {
    let cloud = cloud().await;
    let document = cloud.document().await;
    let mut used = BTreeMap::<String, u128>::new();
    for (meter, quantity) in document
        .lines
        .iter()
        .map(|line| (line.meter.unwrap(), line.base_quantity))
        .chain(document.unpriced.iter().map(|usage| (usage.meter, usage.base_quantity)))
    {
        *used.entry(meter.to_string()).or_default() += quantity;
    }
    assert_eq!(used.len(), 11, "every meter was used");
    for (meter, quantity) in &used {
        let page = cloud.page(&format!("/usage?month={}&meter={meter}", cloud.month)).await;
        for table in ["resources", "days"] {
            let (rows, sum) = exact(&page, table);
            assert_eq!((rows.iter().sum::<u128>(), sum[0]), (*quantity, *quantity), "{meter} by {table}");
        }
    }
    let overview = cloud.page(&format!("/usage?month={}", cloud.month)).await;
    assert_eq!(overview.matches("<li><h2><a href=").count(), 11);
    let one = cloud.page(&format!("/usage?month={}&resource={}", cloud.month, instance_id(0))).await;
    assert!(one.contains("&#60;script&#62;alert(1)") && !one.contains(&"n".repeat(64)));
}

#[actix_web::test]
async fn late_readings_change_no_invoice_and_are_told() {
    let cloud = cloud().await;
    let path = format!("{}/lines/1", cloud.path());
    let before = cloud.document().await;
    registry::assign(&cloud.database, instance_id(NOBODYS), cloud.acme.id, None, usage_settings())
        .await
        .unwrap();
    cloud.node.derive(&cloud.database, usage_settings(), cloud.now).await;
    let page = cloud.page(&path).await;
    assert!(
        page.contains("What is known has changed since the invoice was issued") && page.contains("nobodys")
    );
    let billed: u128 = before
        .lines
        .iter()
        .filter(|line| line.meter == before.lines[0].meter)
        .map(|line| line.base_quantity)
        .sum();
    let (rows, sum) = exact(&page, "resources");
    assert!(billed < sum[0] && rows.iter().sum::<u128>() == sum[0]);
    assert_eq!(cloud.document().await, before);
}

#[actix_web::test]
async fn another_tenants_bill_line_resource_or_window_is_nothing() {
    let cloud = cloud().await;
    let line = format!("{}/lines/1", cloud.path());
    let page = cloud.page(&line).await;
    let windows = links(&page, "/windows?resource=").remove(0);
    let page = cloud.page(&windows).await;
    let readings = links(&page, "/readings?").remove(0);
    let id = |n: usize| instance_id(n).to_string();
    let (own, others, nobodys) = (id(0), id(OTHERS), id(NOBODYS));
    assert!(windows.contains(&own) || windows.contains(&id(1)), "{windows}");
    let swap = |path: &str, to: &str| path.replace(&own, to).replace(&id(1), to);
    let number = &cloud.number;
    let mut paths = vec![
        format!("/tenants/other/invoices/{number}"),
        format!("/tenants/other/invoices/{number}/lines/1"),
        format!("/tenants/none/invoices/{number}/lines/1"),
        "/tenants/unassigned".to_owned(),
        "/tenants/none".to_owned(),
        "/tenants/none/draft".to_owned(),
        format!("{}/lines/0", cloud.path()),
        format!("{}/lines/99", cloud.path()),
        format!("{}/lines/-1", cloud.path()),
        format!("{}/lines/18446744073709551616", cloud.path()),
        format!("{}.exe", cloud.path()),
        format!("{line}/windows"),
        format!("{line}/windows?resource=nonsense"),
        format!("{line}/readings?resource=instance:{own}"),
        format!("{line}/readings?resource=instance:{own}&window=x"),
        // Before and after the line's time, and all of it at once.
        format!("{line}/readings?resource=instance:{own}&window=2026-01-01T00:00:00Z/2026-01-01T01:00:00Z"),
        format!("{line}/readings?resource=instance:{own}&window=2026-01-01T00:00:00Z/2099-01-01T01:00:00Z"),
    ];
    for foreign in [&others, &nobodys] {
        paths.extend([swap(&windows, foreign), swap(&readings, foreign)]);
    }
    for (who, session) in [("tenant", &cloud.ada), ("provider", &cloud.admin)] {
        for path in &paths {
            assert_eq!(get(&cloud.database, session, path).await.status, 404, "{who} {path}");
        }
    }
    for path in
        ["/tenants/other", "/tenants/other/draft", "/usage?resource=6e0de000-0000-4000-8000-000000000003"]
    {
        assert_eq!(get(&cloud.database, &cloud.ada, path).await.status, 404, "{path}");
    }
    // A tenant's own usage is shown, whatever tenant it asks for.
    let asked = cloud.page(&format!("/usage?month={}&tenant=other&meter=cpu_ns", cloud.month)).await;
    assert!(!asked.contains("others"));
}

#[actix_web::test]
async fn planners_see_no_money_and_tenants_no_others() {
    let cloud = cloud().await;
    for (path, provider, planner, tenant) in [
        ("/usage".to_owned(), 200, 403, 200),
        ("/usage?tenant=other".to_owned(), 200, 403, 200),
        ("/invoices?tenant=other".to_owned(), 200, 403, 200),
        (format!("{}/lines/1", cloud.path()), 200, 403, 200),
        (format!("{}.html", cloud.path()), 200, 403, 200),
        ("/tenants/acme/draft".to_owned(), 200, 403, 200),
        ("/tenants/acme/draft/lines/1".to_owned(), 200, 403, 200),
        ("/tenants/other/draft".to_owned(), 200, 403, 404),
        ("/tenants".to_owned(), 200, 403, 403),
        ("/tenants/acme".to_owned(), 200, 403, 200),
        ("/tenants/other".to_owned(), 200, 403, 404),
        ("/budget".to_owned(), 303, 403, 200),
        ("/tokens".to_owned(), 200, 200, 200),
        ("/capacity".to_owned(), 200, 200, 403),
        ("/capacity.pdf".to_owned(), 200, 200, 403),
    ] {
        for (who, session, expected) in [
            ("provider", &cloud.admin, provider),
            ("planner", &cloud.planner, planner),
            ("tenant", &cloud.ada, tenant),
        ] {
            let answer = get(&cloud.database, session, &path).await;
            assert_eq!(answer.status, expected, "{who} {path}");
            assert_eq!(answer.header("cache-control"), "no-store", "{who} {path}");
            assert_eq!(get(&cloud.database, "", &path).await.status, 303, "nobody {path}");
        }
    }
    let list = cloud.page("/invoices?tenant=other").await;
    assert!(
        list.contains(&cloud.number) && !list.contains("INV-2026-000002") && !list.contains("id=\"tenant\"")
    );
}

#[actix_web::test]
async fn the_running_month_says_that_it_is_not_final_and_why_it_is_what_it_is() {
    let cloud = cloud().await;
    let page = cloud.page("/tenants/acme/draft").await;
    assert!(page.contains("Not an invoice.") && page.contains("so far") && !page.contains(".pdf\""));
    let lines = links(&page, "/draft/lines/");
    assert!(!lines.is_empty());
    for path in &lines {
        let page = cloud.page(path).await;
        assert!(page.contains("not final"), "{path}");
        let (rows, sum) = exact(&page, "resources");
        assert_eq!(rows.iter().sum::<u128>(), sum[0], "{path}");
        cloud.page(&links(&page, "/windows?resource=")[0]).await;
    }
}

#[actix_web::test]
async fn documents_stand_by_themselves_and_may_style_themselves() {
    let cloud = cloud().await;
    for (form, kind) in [(".html", "text/html"), (".json", "application/json"), (".pdf", "application/pdf")] {
        let answer = get(&cloud.database, &cloud.ada, &format!("{}{form}", cloud.path())).await;
        assert!(answer.status == 200 && answer.header("content-type").starts_with(kind), "{form}");
        let inline = answer.header("content-security-policy").contains("style-src 'unsafe-inline'");
        assert_eq!(inline, form == ".html", "{form}");
    }
}

#[actix_web::test]
async fn a_month_meter_or_status_that_is_none_is_told_and_breaks_nothing() {
    let cloud = cloud().await;
    for (path, status) in [
        ("/usage?month=2026-13", 400),
        ("/usage?month=october", 400),
        ("/usage?month=1999-01", 400),
        ("/usage?month=9999-12", 400),
        ("/usage?month=%00", 400),
        ("/usage?month=", 200),
        ("/usage?month=2099-12", 200),
        ("/usage?meter=%00", 404),
        ("/usage?meter=nothing", 404),
        ("/usage?resource=x", 400),
        ("/usage?meter=cpu_ns&from=99999999999", 200),
        ("/usage?meter=cpu_ns&from=-1", 400),
        ("/invoices?status=draft", 400),
        ("/invoices?status=%00", 400),
        ("/invoices?status=paid", 200),
        ("/invoices?after=x", 400),
        ("/invoices?after=1.INV-2026-1", 400),
        ("/invoices?after=1793610000000000.INV-2026-000001%27--", 400),
        ("/invoices?after=99999999999999999999.INV-2026-000001", 400),
        ("/invoices?after=", 400),
    ] {
        let answer = get(&cloud.database, &cloud.admin, path).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.text().contains("<h1"), "{path}");
    }
    for path in ["/usage?tenant=none", "/invoices?tenant=none", "/usage?tenant=%00"] {
        assert_eq!(get(&cloud.database, &cloud.admin, path).await.status, 404, "{path}");
    }
}

#[actix_web::test]
async fn sixty_invoices_are_two_pages_and_each_is_on_one_of_them() {
    let database = migrations::testing::database().await;
    let now = Timestamp::now();
    let plan = plan(&database, PLAN).await;
    let name = |n: usize| format!("t{n:02}");
    let mut tenants = Vec::new();
    for n in 0..60 {
        tenants.push(tenant(&database, &name(n), "Tenant", "UTC").await);
    }
    let guests = (0..60).map(|n| Guest::new("guest", Some(&name(n)), 1, 256, InstanceState::Stopped));
    let last = month(&tenants[0], now, 1);
    let born_at = last.end() - SignedDuration::from_hours(2);
    let mut node = Node::new(database.database(), guests.collect(), born_at);
    node.look(born_at, last.end() + SignedDuration::from_hours(2), SignedDuration::from_hours(1)).await;
    node.derive(&database, usage_settings(), now).await;
    for tenant in &tenants {
        invoice(&database, tenant, &plan, last, now).await;
    }
    let admin = session(&database, "admin", Role::Provider, None).await;
    // They are over 0, which is paid as soon as it is issued.
    let (mut path, mut seen, mut pages) = ("/invoices?status=paid".to_owned(), Vec::new(), 0);
    loop {
        let page = get(&database, &admin, &path).await.text();
        seen.extend(page.split(">INV-").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()));
        pages += 1;
        let Some(next) = links(&page, "after=").into_iter().next() else { break };
        assert!(next.contains("status=paid"), "{next}");
        path = next;
    }
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!((pages, all, seen.len()), (2, 60, 60));
    let page = get(&database, &admin, "/invoices?status=void").await.text();
    assert!(page.contains("No invoices match"));
}

#[actix_web::test]
async fn a_crowd_of_volumes_is_shown_by_the_page_and_adds_up() {
    let database = migrations::testing::database().await;
    let now = Timestamp::now();
    let acme = tenant(&database, "acme", "ACME", "UTC").await;
    let long = |n: usize| format!("{n:03}-{}", "w".repeat(60));
    let guests = (0..130).map(|n| Guest::new(&long(n), Some("acme"), 1, 256, InstanceState::Stopped));
    let last = month(&acme, now, 1);
    let born_at = last.end() - SignedDuration::from_hours(5);
    let mut node = Node::new(database.database(), guests.collect(), born_at);
    node.look(born_at, last.end() + SignedDuration::from_hours(2), SignedDuration::from_hours(1)).await;
    node.derive(&database, usage_settings(), now).await;
    let plan = plan(&database, PLAN).await;
    let number = invoice(&database, &acme, &plan, last, now).await;
    let ada = session(&database, "ada", Role::Tenant, Some(acme.id)).await;
    let month = last.start().to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m").to_string();
    let paths = [
        format!("/usage?month={month}&meter=provisioned_kib_s"),
        format!("/tenants/acme/invoices/{number}/lines/1"),
    ];
    for path in paths {
        let first = get(&database, &ada, &path).await;
        // Of 200 KiB, with the 70 of scripts and styles.
        assert!(first.bytes.len() < 130 * 1024, "{path}: {} bytes", first.bytes.len());
        let first = first.text();
        let (rows, foot) = exact(&first, "resources");
        assert_eq!((rows.len(), foot.len()), (100, 2), "{path}");
        assert_eq!(rows.iter().sum::<u128>() + foot[0], foot[1], "{path}");
        let next = links(&first, "from=100").remove(0);
        let second = get(&database, &ada, &next).await.text();
        let (more, foot_of_second) = exact(&second, "resources");
        assert_eq!(
            (more.len(), more.iter().sum::<u128>(), foot_of_second[1]),
            (30, foot[0], foot[1]),
            "{path}"
        );
    }
}

#[actix_web::test]
async fn pages_without_usage_or_invoices_say_what_comes() {
    let database = migrations::testing::database().await;
    let acme = tenant(&database, "acme", "ACME", "UTC").await;
    let admin = session(&database, "admin", Role::Provider, None).await;
    let ada = session(&database, "ada", Role::Tenant, Some(acme.id)).await;
    for (session, path, said) in [
        (&admin, "/usage", "Nothing was used in"),
        (&admin, "/usage?meter=cpu_ns", "was read in"),
        (&admin, "/invoices", "weir invoice issue"),
        (&ada, "/invoices", "the running month"),
        (&admin, "/capacity", "No node has reported yet"),
        (&ada, "/tenants/acme/draft", "Nothing has been rated this month yet"),
        (&ada, "/budget", "No budget is set"),
        (&ada, "/tokens", "No tokens yet"),
        (&admin, "/tenants?search=zzz", "No tenant matches"),
    ] {
        let page = get(&database, session, path).await;
        assert!(page.status == 200 && page.text().contains(said), "{path}: {said}");
    }
}
