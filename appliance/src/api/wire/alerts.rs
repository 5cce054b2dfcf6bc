//! What is wrong, for operators.

use jiff::Timestamp;
use nodes::alerts::Entry;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// Something that an operator should see, from when it was first seen until it is over.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Alert)]
pub struct AlertBody {
    /// Its id.
    pub alert_id: Uuid,
    /// What kind of thing. More are added as time goes by.
    #[schema(example = "node_silent")]
    pub kind: String,
    /// What it is about, as a key. At most one alert of a kind and subject is open.
    #[schema(example = "node/0b8c7a52-6c7e-4a52-9d2b-0b8a3c1d2e4f")]
    pub subject: String,
    /// In one line, without names.
    pub title: String,
    /// What was seen last.
    pub detail: String,
    /// What it means for the bill. Null: it was raised by a newer version.
    pub meaning: Option<String>,
    /// What to do. Null: it was raised by a newer version.
    pub remedy: Option<String>,
    /// On which node.
    pub node_id: Option<Uuid>,
    /// Its name.
    pub node: Option<String>,
    /// About which instance.
    pub instance_id: Option<Uuid>,
    /// Its name, if it is known.
    pub instance: Option<String>,
    /// When it was seen first.
    pub raised_at: Timestamp,
    /// When it was seen last.
    pub seen_at: Timestamp,
    /// How often it was seen.
    pub times: u64,
    /// When it was over. Null: it is open.
    pub ended_at: Option<Timestamp>,
}

impl From<&Entry> for AlertBody {
    fn from(entry: &Entry) -> Self {
        let kind = entry.kind();
        Self {
            alert_id: entry.alert_id,
            kind: entry.kind.clone(),
            subject: entry.subject.clone(),
            title: entry.title.clone(),
            detail: entry.detail.clone(),
            meaning: kind.map(|kind| kind.meaning().to_owned()),
            remedy: kind.map(|kind| kind.remedy().to_owned()),
            node_id: entry.node_id.map(metering::NodeId::uuid),
            node: entry.node_name.clone(),
            instance_id: entry.instance_id.map(metering::InstanceId::uuid),
            instance: entry.instance_name.clone(),
            raised_at: entry.raised_at,
            seen_at: entry.seen_at,
            times: entry.times,
            ended_at: entry.ended_at,
        }
    }
}
