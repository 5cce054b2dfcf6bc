//! A database with two tenants, a receiver, and events about them.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hooks::deliveries::{self, Delivery};
use hooks::endpoints::{self, Endpoint, EndpointId, Wanted};
use hooks::guard::Guard;
use hooks::{Passed, Sender, deliver_due};
use jiff::Timestamp;
use metering::TenantId;
use migrations::Scope;
use migrations::testing::TestDatabase;
use serde_json::{Value, json};
use uuid::Uuid;

/// What `billing` writes events with.
const EMIT: &str = include_str!("../../../billing/sql/webhook_emit.sql");
/// Short enough to wait for a receiver that is slow, long enough for a busy machine.
const TIMEOUT: Duration = Duration::from_secs(3);

pub const LAX: Guard = Guard { allow_private: true };
pub const STRICT: Guard = Guard { allow_private: false };

pub struct World {
    pub db: TestDatabase,
    pub acme: TenantId,
    pub other: TenantId,
    pub receiver: Receiver,
    pub sender: Sender,
}

/// A program that listens on this machine.
pub struct Receiver {
    child: Child,
    pub port: u16,
    heard: Arc<Mutex<Vec<Value>>>,
}

pub async fn world() -> World {
    let db = migrations::testing::database().await;
    let owner = db.owner_client().await;
    let (acme, other) = (Uuid::new_v4(), Uuid::new_v4());
    for (tenant, name) in [(acme, "acme"), (other, "other")] {
        let insert = "INSERT INTO tenant (tenant_id, name, display_name) VALUES ($1, $2, $2)";
        owner.execute(insert, &[&tenant, &name]).await.unwrap();
    }
    World {
        db,
        acme: TenantId::from_uuid(acme),
        other: TenantId::from_uuid(other),
        receiver: Receiver::start(0),
        sender: Sender::with_timeout(LAX, TIMEOUT).unwrap(),
    }
}

impl World {
    /// An endpoint of `owner` at the receiver's path.
    pub async fn endpoint(&self, owner: TenantId, path: &str) -> Endpoint {
        let url = format!("http://127.0.0.1:{}/{path}", self.receiver.port);
        self.endpoint_at(owner, &url, None).await
    }

    pub async fn endpoint_at(&self, owner: TenantId, url: &str, types: Option<&[String]>) -> Endpoint {
        let (id, now) = (EndpointId::from_uuid(Uuid::new_v4()), Timestamp::now());
        let wanted = Wanted { url, description: "", types, is_enabled: true };
        endpoints::add(&self.db, scope(owner), LAX, id, owner, &wanted, now).await.unwrap()
    }

    /// Something happens to `tenant`; the event's id.
    pub async fn emit(&self, tenant: TenantId, kind: &str) -> Uuid {
        let (id, now) = (Uuid::now_v7(), metering::micros(Timestamp::now()));
        let payload =
            json!({ "type": kind, "timestamp": now.to_string(), "data": { "name": "Zoë \u{1F30A}" } });
        let mut session = self.db.session().await.unwrap();
        let transaction = session.begin(Scope::Provider).await.unwrap();
        transaction.execute(EMIT, &[&id, &kind, &tenant.uuid(), &payload.to_string(), &now]).await.unwrap();
        transaction.commit().await.unwrap();
        id
    }

    pub async fn pass(&self) -> Passed {
        deliver_due(&self.db, &self.sender, Timestamp::now).await.unwrap()
    }

    pub async fn log(&self, endpoint: &Endpoint) -> Vec<Delivery> {
        deliveries::page(&self.db, Scope::Provider, endpoint.id, None, 100).await.unwrap()
    }

    pub async fn again(&self, endpoint: &Endpoint) -> Endpoint {
        endpoints::get(&self.db, Scope::Provider, endpoint.id).await.unwrap()
    }

    /// Time goes by: what waits is due, and what was leased to somebody who died is anybody's.
    pub async fn hours_later(&self, hours: i32) {
        let owner = self.db.owner_client().await;
        owner
            .batch_execute(&format!(
                "SET weir.scope = 'provider';
                 UPDATE webhook_delivery SET created_at = created_at - interval '{hours} h',
                     next_attempt_at = next_attempt_at - interval '{hours} h', leased_until = leased_until - interval '{hours} h';
                 UPDATE webhook_endpoint SET rests_until = rests_until - interval '{hours} h',
                     former_until = former_until - interval '{hours} h', failing_since = failing_since - interval '{hours} h'"
            ))
            .await
            .unwrap();
    }
}

/// As whom an owner acts.
pub fn scope(owner: TenantId) -> Scope {
    if owner == TenantId::UNASSIGNED { Scope::Provider } else { Scope::Tenant(owner.uuid()) }
}

impl Receiver {
    pub fn start(port: u16) -> Self {
        let mut child = python("receiver.py", &port.to_string()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().expect("the receiver starts").unwrap().parse().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&heard);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                told.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, port, heard }
    }

    /// The requests at a path so far.
    pub fn heard(&self, path: &str) -> Vec<Value> {
        // What was answered was told before; the pipe is read by a thread of its own.
        std::thread::sleep(Duration::from_millis(200));
        self.heard.lock().unwrap().iter().filter(|told| told["path"] == format!("/{path}")).cloned().collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the library of Standard Webhooks says of a request.
pub fn verify(secret: &str, told: &Value) -> String {
    let mut child = python("verify.py", secret).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(told.to_string().as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
}

fn python(program: &str, argument: &str) -> Command {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tool = here.join("../target/python/bin/python");
    assert!(tool.exists(), "{} is missing: run testbed/install-packages test", tool.display());
    let mut command = Command::new(tool);
    command.arg(here.join("tests/it").join(program)).arg(argument);
    command
}
