//! Alerts: what an operator should see, from when it was first seen until it is over, and the mail about it.
//!
//! It does NOT find anything out (nodes do, and the appliance's jobs), and it writes no letters (`mail` does): a new alert
//! leaves a row in the outbox, in the same transaction. It reads no clock.

mod kind;
pub mod watch;

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use metering::batch::Notice;
use metering::{InstanceId, NodeId, micros};
use migrations::{Database, DbError, Scope, Transaction, UNASSIGNED_TENANT};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

pub use self::kind::Kind;

/// What flaps is announced once an hour: often enough to be seen, seldom enough not to be filtered away.
pub const MAIL_INTERVAL: SignedDuration = SignedDuration::from_hours(1);

/// Mails of one kind in [`MAIL_INTERVAL`]. When two hundred instances hang, ten mails say it; each says how many more
/// alerts are open.
pub const MAILS_OF_KIND_MAX: i64 = 10;

/// Alerts that are listed at most: what is more, nobody reads.
pub const LISTED_MAX: u32 = 1_000;

/// Notices of one batch that are heard: far more than an honest node has (its spool holds back 64 of its own, and a guest that
/// hangs is one).
const NOTICES_MAX: usize = 1_000;

/// Alerts of one node that are open at once: what is more, nobody reads, and a node must not fill the table.
const OPEN_OF_NODE_MAX: usize = 1_000;

/// How long an alert is kept that is over: an invoice of last year's same month may still be asked about.
pub const ENDED_AGE_MAX: SignedDuration = SignedDuration::from_hours(400 * 24);

/// Ended alerts that are kept at most, the youngest: what flaps must not fill the disk. Ten times what is listed; some 10 MB.
pub const ENDED_MAX: i64 = 10_000;

/// Characters of a title, and of a detail. Both may come from a node.
const TITLE_MAX: usize = 200;
const DETAIL_MAX: usize = 2_000;

/// Something to raise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// What kind of thing.
    pub kind: Kind,
    /// What it is about, as a key: `node/<id>`, `instance/<id>/vda`.
    pub subject: String,
    /// In one line, without names.
    pub title: String,
    /// What was seen, for people.
    pub detail: String,
    /// On which node. It must be known.
    pub node_id: Option<NodeId>,
    /// About which instance, known or not.
    pub instance_id: Option<InstanceId>,
}

/// An alert as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its identity.
    pub alert_id: Uuid,
    /// What kind of thing, as stored: a newer version may have written it. See [`Entry::kind`].
    pub kind: String,
    /// What it is about, as a key.
    pub subject: String,
    /// In one line.
    pub title: String,
    /// What was seen last, for people.
    pub detail: String,
    /// On which node.
    pub node_id: Option<NodeId>,
    /// Its name.
    pub node_name: Option<String>,
    /// About which instance.
    pub instance_id: Option<InstanceId>,
    /// Its name, if it is known.
    pub instance_name: Option<String>,
    /// When it was seen first.
    pub raised_at: Timestamp,
    /// When it was seen last.
    pub seen_at: Timestamp,
    /// How often it was seen.
    pub times: u64,
    /// When it was over. `None`: it is open.
    pub ended_at: Option<Timestamp>,
    /// When a mail about it was written. `None`: none was, because of the limits.
    pub mailed_at: Option<Timestamp>,
}

/// Alerts could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// No connection.
    #[error("the alerts cannot be reached")]
    Database(#[from] DbError),
    /// A statement failed.
    #[error("the alerts cannot be read or written")]
    Query(#[from] tokio_postgres::Error),
}

/// Every statement of this module, by name: for whoever wants to prepare them.
pub const STATEMENTS: [(&str, &str); 12] = [
    ("alert_open_keys", OPEN_KEYS),
    ("alert_open_of_node", OPEN_OF_NODE),
    ("alert_raise", RAISE),
    ("alert_mail_facts", MAIL_FACTS),
    ("alert_mail", MAIL),
    ("alert_unmailed", UNMAILED),
    ("alert_end", END),
    ("alert_end_by_id", END_BY_ID),
    ("alert_list", LIST),
    ("alert_count", COUNT),
    ("alert_quarantined", QUARANTINED),
    ("alert_sweep", SWEEP),
];
const OPEN_KEYS: &str = include_str!("../sql/alert_open_keys.sql");
const OPEN_OF_NODE: &str = include_str!("../sql/alert_open_of_node.sql");
const RAISE: &str = include_str!("../sql/alert_raise.sql");
const MAIL_FACTS: &str = include_str!("../sql/alert_mail_facts.sql");
const MAIL: &str = include_str!("../sql/alert_mail.sql");
const UNMAILED: &str = include_str!("../sql/alert_unmailed.sql");
const END: &str = include_str!("../sql/alert_end.sql");
const END_BY_ID: &str = include_str!("../sql/alert_end_by_id.sql");
const LIST: &str = include_str!("../sql/alert_list.sql");
const QUARANTINED: &str = include_str!("../sql/alert_quarantined.sql");
const SWEEP: &str = include_str!("../sql/alert_sweep.sql");
const COUNT: &str = include_str!("../sql/alert_count.sql");

impl Alert {
    /// One about a node as a whole.
    #[must_use]
    pub fn of_node(kind: Kind, node_id: NodeId, detail: impl Into<String>) -> Self {
        Self {
            kind,
            subject: node_subject(node_id),
            title: kind.title().to_owned(),
            detail: detail.into(),
            node_id: Some(node_id),
            instance_id: None,
        }
    }

    fn of_notice(node_id: NodeId, notice: &Notice) -> Self {
        Self {
            subject: notice_subject(node_id, notice),
            instance_id: notice.instance_id,
            ..Self::of_node(Kind::Notice(notice.kind), node_id, notice.detail.clone())
        }
    }
}

impl Entry {
    /// What kind of thing, if this version knows it.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        Kind::parse(&self.kind)
    }

    /// Whether it is not over.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.ended_at.is_none()
    }
}

/// The subject of what concerns a node as a whole.
#[must_use]
pub fn node_subject(node_id: NodeId) -> String {
    format!("node/{node_id}")
}

/// Raises an alert. `true`: it is new; `false`: it was open already and is counted up, with the new detail. A new one
/// is announced by mail, within the limits of this module.
///
/// # Errors
/// The database failed; then nothing was written.
pub async fn raise(db: &Database, alert: &Alert, now: Timestamp) -> Result<bool, AlertError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let is_new = raise_in(&transaction, alert, now).await?;
    transaction.commit().await?;
    Ok(is_new)
}

/// The same in somebody's transaction of the provider's scope: together with its reason, or not at all.
///
/// # Errors
/// The database failed.
pub async fn raise_in(
    transaction: &Transaction<'_>,
    alert: &Alert,
    now: Timestamp,
) -> Result<bool, AlertError> {
    let now = micros(now);
    let (title, detail) = (cut(&alert.title, TITLE_MAX), cut(&alert.detail, DETAIL_MAX));
    let node_id = alert.node_id.map(NodeId::uuid);
    let instance_id = alert.instance_id.map(InstanceId::uuid);
    let parameters: [&(dyn ToSql + Sync); 8] = [
        &Uuid::now_v7(),
        &alert.kind.as_str(),
        &alert.subject,
        &title,
        &detail,
        &node_id,
        &instance_id,
        &now,
    ];
    let row = transaction.query_one(RAISE, &parameters).await?;
    let times: i64 = row.try_get("times")?;
    let is_new = times == 1;
    if row.try_get::<_, Option<Timestamp>>("mailed_at")?.is_none() {
        let raised = Raised {
            alert_id: row.try_get("alert_id")?,
            kind: alert.kind.as_str().to_owned(),
            subject: alert.subject.clone(),
            title,
            detail: detail.clone(),
            node_id,
            instance_id,
            raised_at: row.try_get("raised_at")?,
            times,
        };
        announce(transaction, &raised, now).await?;
    }
    if is_new {
        tracing::warn!(kind = alert.kind.as_str(), subject = alert.subject, "alert: {detail}");
    }
    Ok(is_new)
}

/// Ends the open alert of that kind and subject. `false`: there is none.
///
/// # Errors
/// The database failed.
pub async fn end(db: &Database, kind: Kind, subject: &str, now: Timestamp) -> Result<bool, AlertError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let ended = transaction.execute(END, &[&kind.as_str(), &subject, &micros(now)]).await?;
    transaction.commit().await?;
    if 0 < ended {
        tracing::info!(kind = kind.as_str(), subject, "the alert is over");
    }
    Ok(0 < ended)
}

/// Ends an open alert by its id, for an operator who has seen to it. `false`: there is none.
///
/// # Errors
/// The database failed.
pub async fn end_by_id(db: &Database, alert_id: Uuid, now: Timestamp) -> Result<bool, AlertError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let ended = transaction.execute(END_BY_ID, &[&alert_id, &micros(now)]).await?;
    transaction.commit().await?;
    Ok(0 < ended)
}

/// Forgets alerts that have been over for long, and the oldest of too many. Returns how many. Open ones stay.
///
/// # Errors
/// The database failed; then none is forgotten.
pub async fn sweep(db: &Database, now: Timestamp) -> Result<u64, AlertError> {
    let before = micros(now.checked_sub(ENDED_AGE_MAX).unwrap_or(Timestamp::MIN));
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let forgotten = transaction.execute(SWEEP, &[&before, &ENDED_MAX]).await?;
    transaction.commit().await?;
    Ok(forgotten)
}

/// What a node says of itself becomes alerts, and their ends. All of it or nothing, but for what no honest node says: of a
/// batch the first thousand notices are heard, and no more than a thousand alerts of a node are open. Notices that come
/// twice are counted twice, which changes nothing else.
///
/// # Errors
/// The database failed, or the node is not known to it.
pub async fn from_notices(
    db: &Database,
    node_id: NodeId,
    notices: &[Notice],
    now: Timestamp,
) -> Result<(), AlertError> {
    if notices.is_empty() {
        return Ok(());
    }
    // Always in one order, so that no two of these wait for each other. The sort is stable: an end that follows its
    // beginning still does.
    let mut keyed: Vec<(String, &Notice)> =
        notices.iter().take(NOTICES_MAX).map(|notice| (notice_subject(node_id, notice), notice)).collect();
    keyed.sort_by(|(left, a), (right, b)| (a.kind.as_str(), left).cmp(&(b.kind.as_str(), right)));
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let mut open = open_of_node(&transaction, node_id).await?;
    let mut unheard = notices.len().saturating_sub(NOTICES_MAX);
    for (subject, notice) in keyed {
        let key = (notice.kind.as_str().to_owned(), subject);
        if notice.is_over {
            transaction.execute(END, &[&key.0, &key.1, &micros(now)]).await?;
            open.remove(&key);
        } else if open.contains(&key) || open.len() < OPEN_OF_NODE_MAX {
            raise_in(&transaction, &Alert::of_notice(node_id, notice), now).await?;
            open.insert(key);
        } else {
            unheard += 1;
        }
    }
    transaction.commit().await?;
    if 0 < unheard {
        tracing::warn!(%node_id, unheard, "a node has more to tell than its operator can read; see weir alert list");
    }
    Ok(())
}

/// Writes the mails that the limits kept back: what flapped, or was one of many, and is open still. Returns how many.
///
/// # Errors
/// The database failed; then nothing was written.
pub async fn announce_kept_back(db: &Database, now: Timestamp) -> Result<usize, AlertError> {
    let now = micros(now);
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let mut written = 0;
    for row in transaction.query(UNMAILED, &[&MAILS_OF_KIND_MAX]).await? {
        written += usize::from(announce(&transaction, &raised(&row)?, now).await?);
    }
    transaction.commit().await?;
    Ok(written)
}

/// The open alerts, the youngest first.
///
/// # Errors
/// The database failed.
pub async fn open(db: &Database) -> Result<Vec<Entry>, AlertError> {
    entries(db, false, LISTED_MAX).await
}

/// The youngest `limit` alerts, over or not.
///
/// # Errors
/// The database failed.
pub async fn list(db: &Database, limit: u32) -> Result<Vec<Entry>, AlertError> {
    entries(db, true, limit.min(LISTED_MAX)).await
}

/// How many alerts of each kind are open. Kinds without any are left out.
///
/// # Errors
/// The database failed.
pub async fn counts(db: &Database) -> Result<Vec<(String, u64)>, AlertError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let rows = transaction.query(COUNT, &[]).await?;
    rows.iter()
        .map(|row| Ok((row.try_get("kind")?, row.try_get::<_, i64>("alerts")?.unsigned_abs())))
        .collect()
}

/// An open alert that may be due for a mail.
struct Raised {
    alert_id: Uuid,
    kind: String,
    subject: String,
    title: String,
    detail: String,
    node_id: Option<Uuid>,
    instance_id: Option<Uuid>,
    raised_at: Timestamp,
    times: i64,
}

/// Writes the mail about an alert, unless the limits keep it back.
async fn announce(transaction: &Transaction<'_>, alert: &Raised, now: Timestamp) -> Result<bool, AlertError> {
    let since = now.checked_sub(MAIL_INTERVAL).unwrap_or(Timestamp::MIN);
    let parameters: [&(dyn ToSql + Sync); 6] =
        [&alert.alert_id, &alert.kind, &alert.subject, &since, &alert.node_id, &alert.instance_id];
    let facts = transaction.query_one(MAIL_FACTS, &parameters).await?;
    if 0 < facts.try_get::<_, i64>("mails_of_subject")?
        || MAILS_OF_KIND_MAX <= facts.try_get::<_, i64>("mails_of_kind")?
    {
        return Ok(false);
    }
    let kind = Kind::parse(&alert.kind);
    let about = serde_json::json!({
        "kind": alert.kind,
        "title": alert.title,
        "detail": alert.detail,
        "node": facts.try_get::<_, Option<String>>("node_name")?,
        "instance": facts
            .try_get::<_, Option<String>>("instance_name")?
            .or_else(|| alert.instance_id.map(|id| id.to_string())),
        "raised_at": alert.raised_at.to_string(),
        "times": alert.times,
        "meaning": kind.map(Kind::meaning),
        "remedy": kind.map(Kind::remedy),
        "open_beside": facts.try_get::<_, i64>("open_beside")?,
    });
    let key = format!("alert/{}/{}", alert.kind, alert.alert_id);
    let parameters: [&(dyn ToSql + Sync); 6] =
        [&alert.alert_id, &Uuid::new_v4(), &key, &about, &now, &UNASSIGNED_TENANT];
    transaction.execute(MAIL, &parameters).await?;
    Ok(true)
}

/// Kind and subject of what is open of a node.
async fn open_of_node(
    transaction: &Transaction<'_>,
    node_id: NodeId,
) -> Result<HashSet<(String, String)>, AlertError> {
    let rows = transaction.query(OPEN_OF_NODE, &[&node_id.uuid()]).await?;
    rows.iter().map(|row| Ok((row.try_get("kind")?, row.try_get("subject")?))).collect()
}

async fn entries(db: &Database, with_ended: bool, limit: u32) -> Result<Vec<Entry>, AlertError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let rows = transaction.query(LIST, &[&with_ended, &i64::from(limit)]).await?;
    rows.iter().map(entry).collect()
}

fn entry(row: &Row) -> Result<Entry, AlertError> {
    Ok(Entry {
        alert_id: row.try_get("alert_id")?,
        kind: row.try_get("kind")?,
        subject: row.try_get("subject")?,
        title: row.try_get("title")?,
        detail: row.try_get("detail")?,
        node_id: row.try_get::<_, Option<Uuid>>("node_id")?.map(NodeId::from_uuid),
        node_name: row.try_get("node_name")?,
        instance_id: row.try_get::<_, Option<Uuid>>("instance_id")?.map(InstanceId::from_uuid),
        instance_name: row.try_get("instance_name")?,
        raised_at: row.try_get("raised_at")?,
        seen_at: row.try_get("seen_at")?,
        times: row.try_get::<_, i64>("times")?.unsigned_abs(),
        ended_at: row.try_get("ended_at")?,
        mailed_at: row.try_get("mailed_at")?,
    })
}

fn raised(row: &Row) -> Result<Raised, AlertError> {
    Ok(Raised {
        alert_id: row.try_get("alert_id")?,
        kind: row.try_get("kind")?,
        subject: row.try_get("subject")?,
        title: row.try_get("title")?,
        detail: row.try_get("detail")?,
        node_id: row.try_get("node_id")?,
        instance_id: row.try_get("instance_id")?,
        raised_at: row.try_get("raised_at")?,
        times: row.try_get("times")?,
    })
}

fn notice_subject(node_id: NodeId, notice: &Notice) -> String {
    let mut subject = match notice.instance_id {
        Some(instance_id) => format!("instance/{instance_id}"),
        None => node_subject(node_id),
    };
    if let Some(device) = &notice.device {
        subject.push('/');
        subject.push_str(&cut(device, TITLE_MAX));
    }
    subject
}

/// The first `limit` characters, in one line: what a node says must not write to an operator's terminal or log, nor turn a
/// line around.
fn cut(text: &str, limit: usize) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |c: char| if c.is_control() || turns(c) { ' ' } else { c };
    text.chars().filter(|character| *character != '\0').take(limit).map(shown).collect()
}
