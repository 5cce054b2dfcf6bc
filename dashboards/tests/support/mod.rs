//! What the tests of the portal share with the example that serves it: tenants, users, a node with instances whose
//! registers rise, usage, drafts and invoices. Sessions are put into the database as such: a password costs a second of
//! unoptimised work, and only the log-in's own tests need one.

#![expect(dead_code, reason = "each test program uses its part of it")]

pub mod browser;
pub mod node;
pub mod world;

use std::sync::Arc;
use std::time::Duration;

use accounts::{Role, UserName, users};
use billing::limits::allowances::{self, MonthToDate};
use billing::{
    Basis, Bill, Buyer, Desk, InvoiceId, Issued, Party, PricePlan, Series, Taxation, drafts, issue, period,
    plans,
};
use dashboards::{Live, Portal};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use metering::{TenantId, TenantName, Window, WindowLength};
use migrations::Database;
use migrations::testing::TestDatabase;
use sha2::{Digest as _, Sha256};
use usage::registry::{NewTenant, Tenant, create_tenant};
use usage::{UsageSettings, records};
use uuid::Uuid;

/// Every user's password.
pub const PASSWORD: &str = "correct horse battery";

/// Prices in euros. CPU has an allowance; disk operations have no price.
pub const PLAN: &str = r#"
name = "standard"
currency = "EUR"
time_zone = "Europe/Berlin"
[tax]
name = "VAT"
rate = "0.19"
[[version]]
from = "2026-01-01"
[[version.rate_card]]
meter = "vcpu_ms"
unit_price = "0.0075"
[[version.rate_card]]
meter = "memory_kib_s"
unit_price = "0.0031"
[[version.rate_card]]
meter = "cpu_ns"
unit_price = "0.012"
[[version.rate_card]]
meter = "net_tx_bytes"
unit_price = "0.004"
[[version.rate_card]]
meter = "provisioned_kib_s"
unit_price = "0.00006"
"#;

/// Prices in yen.
pub const YEN_PLAN: &str = r#"
name = "tokyo"
currency = "JPY"
time_zone = "Asia/Tokyo"
[tax]
name = "JCT"
rate = "0.10"
[[version]]
from = "2026-01-01"
[[version.rate_card]]
meter = "vcpu_ms"
unit_price = "1.2"
"#;

/// A process with nothing to tell but one warning with markup in it.
pub struct Quiet;

impl Live for Quiet {
    fn waiting_batches(&self) -> u64 {
        7
    }

    fn warnings(&self) -> Vec<String> {
        vec!["The collector reports: <b>libvirt</b> is away".to_owned()]
    }
}

/// A process that is fine.
pub struct Fine;

impl Live for Fine {
    fn waiting_batches(&self) -> u64 {
        0
    }

    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

pub fn usage_settings() -> UsageSettings {
    UsageSettings { window: WindowLength::HOUR, tolerance: Duration::from_secs(2 * 3_600) }
}

pub fn portal() -> Portal {
    Portal { secure_cookies: false, usage: usage_settings() }
}

pub fn quiet() -> Arc<dyn Live> {
    Arc::new(Quiet)
}

pub fn at(text: &str) -> Timestamp {
    text.parse().expect("the test's instant is RFC 3339")
}

pub async fn tenant(database: &Database, name: &str, display_name: &str, zone: &str) -> Tenant {
    let new = NewTenant::new(TenantName::new(name).unwrap(), display_name, zone);
    create_tenant(database, &new, usage_settings()).await.expect("the test's tenant can be made")
}

/// A user who can log in with [`PASSWORD`].
pub async fn user(database: &Database, name: &str, display_name: &str, role: Role, tenant: Option<TenantId>) {
    let name = UserName::new(name).unwrap();
    let new = users::NewUser { name, display_name, role, tenant, password: PASSWORD };
    users::create(database, &new, Timestamp::now()).await.expect("the test's user can be made");
}

/// A user with a session, without a password's work. Returns the cookie's value.
pub async fn session(database: &TestDatabase, name: &str, role: Role, tenant: Option<TenantId>) -> String {
    // 43 characters of base64url that decode to 32 bytes: the last one ends in two zero bits.
    let digest = Sha256::digest(name);
    let letters: String = digest.iter().map(|byte| char::from(b'a' + byte % 26)).collect();
    let secret = format!("{letters:A<43}");
    let client = database.owner_client().await;
    let (user, now) = (Uuid::now_v7(), Timestamp::now());
    let tenant = tenant.unwrap_or(TenantId::UNASSIGNED).uuid();
    client
        .execute(
            "INSERT INTO user_account (user_id, name, display_name, role, tenant_id, password_hash, created_at, \
             password_changed_at) VALUES ($1, $2, $3, $4, $5, '$argon2id$none', $6, $6)",
            &[&user, &name, &format!("<i>{name}</i>"), &role.as_str(), &tenant, &now],
        )
        .await
        .expect("the test's user can be written");
    client
        .execute(
            "INSERT INTO user_session (session_hash, user_id, created_at, last_used_at, expires_at) \
             VALUES ($1, $2, $3, $3, $4)",
            &[&&Sha256::digest(&secret)[..], &user, &now, &(now + SignedDuration::from_hours(1))],
        )
        .await
        .expect("the test's session can be written");
    secret
}

pub async fn plan(database: &Database, text: &str) -> PricePlan {
    let plan = PricePlan::parse("plan.toml", text.as_bytes()).expect("the test's plan is right");
    plans::apply(database, &plan, at("2026-01-01T00:00:00Z")).await.expect("the plan can be applied");
    plan
}

/// The month that `now` lies in, in the tenant's zone, or one before it.
pub fn month(tenant: &Tenant, now: Timestamp, months_ago: i32) -> Window {
    let zone = TimeZone::get(&tenant.time_zone).unwrap();
    let first = now.to_zoned(zone.clone()).date().first_of_month();
    let first = first.checked_sub(jiff::Span::new().months(months_ago)).unwrap();
    period::month(&first.strftime("%Y-%m").to_string(), &zone).unwrap()
}

pub fn seller() -> Party {
    Party {
        name: "Seller & Sons".to_owned(),
        address: vec!["1 Sample Street".to_owned(), "10000 Sampleton".to_owned()],
        tax_number: Some("XX 123456789".to_owned()),
        ..Party::default()
    }
}

/// Rates the running month, as the job does each minute.
pub async fn rate(database: &Database, tenant: &Tenant, plan: &PricePlan, now: Timestamp) {
    let month = month(tenant, now, 0);
    let pieces = month.split_at(&plan.cuts(month));
    let usage = records::usage_of(database, tenant.id, &pieces, usage_settings(), now).await.unwrap();
    let buyer = Buyer {
        tenant: tenant.name.clone(),
        party: Party { name: tenant.display_name.clone(), ..Party::default() },
        time_zone: tenant.time_zone.clone(),
    };
    let document = billing::draft(InvoiceId::new(), &seller(), buyer, plan, &usage, month).unwrap();
    drafts::put(database, tenant.id, &document, now).await.unwrap();
    billing::budget::note(database, tenant.id, month, document.total, now).await.unwrap();
    let so_far = MonthToDate { period: month, spent: document.total, usage: &usage };
    allowances::note(database, tenant.id, &so_far, now).await.unwrap();
}

/// Issues the invoice of a month that is over. Returns its number.
pub async fn invoice(
    database: &Database,
    tenant: &Tenant,
    plan: &PricePlan,
    month: Window,
    now: Timestamp,
) -> String {
    let pieces = month.split_at(&plan.cuts(month));
    let usage = records::usage_of(database, tenant.id, &pieces, usage_settings(), now).await.unwrap();
    let (seller, series) = (seller(), Series::default());
    let taxation = plan.tax().map_or_else(|| Taxation::by_class(Vec::new()), Taxation::fixed);
    let buyer = Buyer {
        tenant: tenant.name.clone(),
        party: Party {
            name: tenant.display_name.clone(),
            address: tenant.address.clone(),
            tax_number: tenant.tax_number.clone(),
            ..Party::default()
        },
        time_zone: tenant.time_zone.clone(),
    };
    let bill = Bill {
        invoice_id: InvoiceId::new(),
        seller: &seller,
        buyer,
        plan,
        usage: &usage,
        samples: &[],
        period: month,
        exchange: None,
        taxation: &taxation,
    };
    let desk = Desk { actor: "a test", series: &series };
    let issued = issue(database, tenant.id, bill, Basis::default(), &desk, now).await;
    match issued.expect("it can be issued") {
        Issued::New(invoice) | Issued::Already(invoice) => invoice.document.number.unwrap(),
    }
}
