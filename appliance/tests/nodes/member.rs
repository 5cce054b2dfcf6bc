//! Somebody with a node's certificate who sends what no honest node would.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use metering::{Batch, BatchSeq, BootId, NodeId, NodeReading, Readings};
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use uuid::Uuid;

use super::site::Site;

/// The certificate, and a connection that stays open.
pub struct Member {
    pub node_id: NodeId,
    pub run: Uuid,
    pub client: Client,
    url: String,
}

impl Member {
    /// With what lies in a node's data directory.
    pub fn of(data: &Path, site: &Site) -> Self {
        let home: Value = serde_json::from_slice(&std::fs::read(data.join("node.json")).unwrap()).unwrap();
        let text = |key: &str| home[key].as_str().unwrap().to_owned();
        let tls = nodes::tls::client(&text("authority"), &text("certificate"), &text("key")).unwrap();
        Self {
            node_id: text("node_id").parse().unwrap(),
            run: Uuid::new_v4(),
            client: client(tls),
            url: site.url(),
        }
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client
            .post(format!("{}{path}", self.url))
            .header("Weir-Run", self.run.to_string())
            .header("Weir-Interval", "1000")
    }

    /// A delivery of any bytes.
    pub fn deliver(&self, after: u64, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.post("/node/v1/batches")
            .header("Weir-After", after)
            .header("Weir-Sent-At", Timestamp::now().as_microsecond())
            .header("Weir-Boot", 1_000_000_u64)
            .body(body)
    }

    /// An honest batch.
    pub fn batch(&self, seq: u64) -> Batch {
        let now = metering_now();
        let boot_id = BootId::from_uuid(Uuid::from_u128(1));
        Batch {
            node_id: self.node_id,
            seq: BatchSeq(seq),
            node_name: "whatever it says".into(),
            boot_id,
            collected_at: now,
            collected_boot: None,
            readings: Readings { node: Some(reading(now)), ..Readings::default() },
            gaps: Vec::new(),
            instances: Vec::new(),
            volumes: Vec::new(),
            notices: Vec::new(),
        }
    }
}

/// A client for a listener of nodes.
pub fn client(tls: impl std::any::Any) -> Client {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap()
}

/// Status and body of the answer to a request.
pub async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
}

/// The bytes of a batch.
pub fn bytes(batch: &Batch) -> Vec<u8> {
    metering::wire::encode(batch).unwrap()
}

fn metering_now() -> Timestamp {
    Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap()
}

fn reading(at: Timestamp) -> NodeReading {
    NodeReading {
        observed_at: at,
        cpus: 2,
        cpu_busy_ms: 1,
        memory_total_kib: 1,
        memory_used_kib: 1,
        storage_total_kib: 1,
        storage_used_kib: 1,
        rx_bytes: 1,
        tx_bytes: 1,
    }
}
