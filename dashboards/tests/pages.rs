//! The pages over a real PostgreSQL: what each shows, and whose it is.

use std::sync::Arc;

use actix_web::{App, test};
use billing::{Issued, Party, PricePlan, issue, plans};
use dashboards::Live;
use jiff::Timestamp;
use metering::{
    Coverage, InstanceId, MeterName, Resource, TenantId, TenantName, UsageRecord, Window, WindowLength,
};
use migrations::testing::TestDatabase;
use usage::UsageSettings;
use usage::registry::{NewTenant, create_tenant};
use uuid::Uuid;

const PLAN: &str = r#"
name = "standard"
currency = "EUR"
time_zone = "UTC"
[tax]
name = "VAT"
rate = "0.19"
[[version]]
from = "2026-01-01"
[[version.rate_card]]
meter = "running_ms"
unit_price = "0.05"
"#;

struct Quiet;

impl Live for Quiet {
    fn waiting_batches(&self) -> u64 {
        7
    }

    fn warnings(&self) -> Vec<String> {
        vec!["<b>libvirt</b> is away".to_owned()]
    }
}

/// Status, content type and body of a page.
async fn get(database: &TestDatabase, path: &str) -> (u16, String, Vec<u8>) {
    let live: Arc<dyn Live> = Arc::new(Quiet);
    let app =
        App::new().wrap(dashboards::headers()).configure(dashboards::configure(database.database(), live));
    let app = test::init_service(app).await;
    let answer = test::call_service(&app, test::TestRequest::get().uri(path).to_request()).await;
    let header =
        |name: &str| answer.headers().get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
    let policy = header("content-security-policy");
    assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
    let (status, kind) = (answer.status().as_u16(), header("content-type"));
    (status, kind, test::read_body(answer).await.to_vec())
}

async fn tenant(database: &TestDatabase, name: &str, display_name: &str) -> TenantId {
    let new = NewTenant::new(TenantName::new(name).unwrap(), display_name, "UTC");
    let settings =
        UsageSettings { window: WindowLength::HOUR, tolerance: std::time::Duration::from_secs(150) };
    create_tenant(database, &new, settings).await.unwrap().id
}

/// An issued invoice's number.
async fn invoice(database: &TestDatabase, tenant: TenantId) -> String {
    let plan = PricePlan::parse("standard.toml", PLAN.as_bytes()).unwrap();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let period = Window::new(at("2026-10-01T00:00:00Z"), at("2026-11-01T00:00:00Z")).unwrap();
    plans::apply(database, &plan, at("2026-09-01T00:00:00Z")).await.unwrap();
    let usage = UsageRecord {
        resource: Resource::Instance(InstanceId::from_uuid(Uuid::from_u128(1))),
        resource_name: "<script>alert(1)</script>".to_owned(),
        meter: MeterName::parse("running_ms").unwrap(),
        window: period,
        quantity: 360_000_000,
        coverage: Coverage::default(),
    };
    let seller = Party { name: "Seller & Sons".to_owned(), ..Party::default() };
    let now = at("2026-11-02T00:00:00Z");
    match issue(database, tenant, &plan, &[usage], period, &seller, now).await.unwrap() {
        Issued::New(invoice) | Issued::Already(invoice) => invoice.document.number.unwrap(),
    }
}

#[actix_web::test]
async fn pages_without_data_say_what_to_do_first() {
    let database = migrations::testing::database().await;
    let (status, _, page) = get(&database, "/").await;
    let page = String::from_utf8(page).unwrap();
    assert!(
        status == 200 && page.contains("weir instance create") && page.contains("No node has reported yet")
    );
    assert!(page.contains("&lt;b&gt;libvirt") || page.contains("&#60;b&#62;libvirt"), "{page}");
    let (status, _, page) = get(&database, "/invoices").await;
    assert!(status == 200 && String::from_utf8(page).unwrap().contains("weir invoice issue"));
}

#[actix_web::test]
async fn another_tenants_invoice_is_not_found_in_any_form() {
    let database = migrations::testing::database().await;
    let (acme, _other) = (tenant(&database, "acme", "ACME").await, tenant(&database, "other", "Other").await);
    let number = invoice(&database, acme).await;
    for (form, kind) in [("", "text/html"), (".json", "application/json"), (".pdf", "application/pdf")] {
        let (status, found, body) = get(&database, &format!("/tenants/acme/invoices/{number}{form}")).await;
        assert!(status == 200 && found.starts_with(kind) && !body.is_empty(), "{form}: {status} {found}");
        for path in [
            format!("/tenants/other/invoices/{number}{form}"),
            format!("/tenants/unassigned/invoices/{number}{form}"),
            format!("/tenants/none/invoices/{number}{form}"),
            format!("/tenants/acme/invoices/INV-2026-999999{form}"),
        ] {
            assert_eq!(get(&database, &path).await.0, 404, "{path}");
        }
    }
}

#[actix_web::test]
async fn names_with_markup_are_text_on_every_page() {
    let database = migrations::testing::database().await;
    let acme = tenant(&database, "acme", "\"><script>alert(2)</script> & 😀").await;
    let number = invoice(&database, acme).await;
    for path in ["/", "/invoices", &format!("/tenants/acme/invoices/{number}")] {
        let (status, _, page) = get(&database, path).await;
        let page = String::from_utf8(page).unwrap();
        assert!(status == 200 && !page.contains("<script"), "{path}");
    }
}

#[actix_web::test]
async fn hostile_paths_are_not_found_and_nothing_breaks() {
    let database = migrations::testing::database().await;
    let long = format!("/tenants/{}/invoices/x", "a".repeat(10_000));
    for path in [
        "/nothing",
        "/tenants/a%00b/invoices/x",
        "/tenants/acme/invoices/%00.pdf",
        "/tenants/%22%3E/invoices/..%2f..%2fetc",
        "/static/..%2f..%2fetc/passwd",
        "/tenants/acme/invoices/INV-2026-000001.exe",
        long.as_str(),
    ] {
        let (status, _, page) = get(&database, path).await;
        assert_eq!(status, 404, "{path}");
        assert!(String::from_utf8(page).unwrap().contains("Not found"));
    }
}

#[actix_web::test]
async fn pages_can_be_asked_for_their_head_and_cannot_be_written_to() {
    let database = migrations::testing::database().await;
    let live: Arc<dyn Live> = Arc::new(Quiet);
    let app = App::new().configure(dashboards::configure(database.database(), live));
    let app = test::init_service(app).await;
    for path in ["/", "/invoices", "/healthz"] {
        let head = test::TestRequest::default().method(actix_web::http::Method::HEAD).uri(path).to_request();
        assert_eq!(test::call_service(&app, head).await.status().as_u16(), 200, "{path}");
        let post = test::TestRequest::post().uri(path).to_request();
        assert_eq!(test::call_service(&app, post).await.status().as_u16(), 405, "{path}");
    }
}

#[actix_web::test]
async fn probes_and_version_answer() {
    let database = migrations::testing::database().await;
    for path in ["/healthz", "/readyz", "/version", "/static/weir.css"] {
        assert_eq!(get(&database, path).await.0, 200, "{path}");
    }
}
