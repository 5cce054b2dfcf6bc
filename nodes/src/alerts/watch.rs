//! What the control plane finds out by looking: nodes that are silent, clocks that are wrong, certificates that end,
//! readings that were set aside. What it finds is decided without a clock or a database; [`look`] brings the two together.
//!
//! It does NOT know what nodes say of themselves: see [`super::from_notices`].

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use metering::{NodeId, micros};
use migrations::{Database, Scope};
use uuid::Uuid;

use super::{Alert, AlertError, Kind, end, node_subject, raise};
use crate::error::NodesError;
use crate::registry::{self, Node};

/// A node is silent when it misses so many readings in a row: one or two are lost by a restart or a busy network.
pub const SILENT_INTERVALS: u32 = 5;
/// ... but not sooner than this: after a failure, nodes wait up to half a minute before they try again.
pub const SILENT_MIN: Duration = Duration::from_secs(120);

/// A clock that is further off is an alert. Clocks that are set from the network are right to some milliseconds, and
/// what is measured has the network's delay in it.
pub const CLOCK_ERROR_MAX: SignedDuration = SignedDuration::from_secs(5);
/// The alert is over below this, so that a clock at the bound does not come and go.
pub const CLOCK_ERROR_GOOD: SignedDuration = SignedDuration::from_secs(2);

/// Of a certificate's life, so much is left when it should have been renewed long ago: nodes renew theirs when a third is.
const CERTIFICATE_REST: u32 = 6;

/// The alert about readings that were set aside is open as long as there were any within this time.
pub const QUARANTINE_SPAN: SignedDuration = SignedDuration::from_hours(1);

/// So long before its end the authority is an alert: whoever lets hundreds of nodes join anew wants to choose the day.
pub const AUTHORITY_REST: SignedDuration = SignedDuration::from_hours(365 * 24);

/// What the alert about the authority is about: there is one.
const AUTHORITY: &str = "authority";

/// How to look.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// How often nodes take readings.
    pub reading_interval: Duration,
    /// How long a node's certificate is good for.
    pub certificate_life: Duration,
    /// When the control plane began to listen: before that, nobody was heard.
    pub listening_since: Timestamp,
    /// The control plane's own node, if it is metered.
    pub own: Option<NodeId>,
    /// When the authority ends, where there is one.
    pub authority_ends_at: Option<Timestamp>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Finding {
    Raise(Alert),
    End(Kind, String),
}

/// Why a look failed.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The nodes cannot be listed.
    #[error("the nodes cannot be listed")]
    Nodes(#[from] NodesError),
    /// An alert cannot be raised or ended.
    #[error(transparent)]
    Alerts(#[from] AlertError),
}

/// Kinds that are found here, of nodes that are there.
const OF_NODES: [Kind; 4] =
    [Kind::NodeSilent, Kind::ClockWrong, Kind::CertificateEnding, Kind::QuarantineGrew];

/// Looks once, raises what is wrong and ends what is right again.
///
/// # Errors
/// The database failed; what was raised and ended before that stays so.
pub async fn look(db: &Database, watch: &Watch, now: Timestamp) -> Result<(), WatchError> {
    let nodes = registry::list(db, false).await?;
    let open = open_keys(db).await?;
    let mut findings: Vec<Finding> = nodes.iter().flat_map(|node| of_node(node, watch, now)).collect();
    let set_aside = set_aside(db, now).await?;
    findings.extend(nodes.iter().map(|node| of_quarantine(node, &set_aside)));
    findings.extend(left_over(&open, &nodes));
    findings.push(authority(watch.authority_ends_at, now));
    for finding in findings {
        match finding {
            Finding::Raise(alert) => {
                raise(db, &alert, now).await?;
            }
            Finding::End(kind, subject) => {
                let is_open = |open: &Open| open.kind == kind.as_str() && open.subject == subject;
                if open.iter().any(is_open) {
                    end(db, kind, &subject, now).await?;
                }
            }
        }
    }
    Ok(())
}

/// How long a node may be silent.
#[must_use]
pub fn silent_after(reading_interval: Duration) -> Duration {
    reading_interval.saturating_mul(SILENT_INTERVALS).max(SILENT_MIN)
}

fn of_node(node: &Node, watch: &Watch, now: Timestamp) -> Vec<Finding> {
    let is_own = watch.own == Some(node.node_id);
    // What once was the control plane's own and is metered no more, nobody expects to hear.
    if !is_own && node.joined_at.is_none() {
        return Vec::new();
    }
    let mut findings = vec![silence(node, is_own, watch, now)];
    findings.extend(clock(node));
    findings.extend(certificate(node, watch, now));
    findings
}

fn silence(node: &Node, is_own: bool, watch: &Watch, now: Timestamp) -> Finding {
    let bound = silent_after(watch.reading_interval);
    // The own node's readings are by the clock that is asked here; others' clocks may say anything.
    let heard_at = node.last_heard_at.max(node.last_observed_at.filter(|_| is_own));
    let since = heard_at.or(node.joined_at).unwrap_or(watch.listening_since).max(watch.listening_since);
    let silence = now.duration_since(since);
    if silence.unsigned_abs() <= bound || silence.is_negative() {
        return Finding::End(Kind::NodeSilent, node_subject(node.node_id));
    }
    let last = match heard_at {
        Some(at) => format!("it was last heard at {at:.0}, {} ago", words(now.duration_since(at))),
        None => "it has not been heard since it joined".to_owned(),
    };
    let detail = format!("{last}; it should report every {}", interval(watch.reading_interval));
    Finding::Raise(Alert::of_node(Kind::NodeSilent, node.node_id, detail))
}

/// `None`: between good and bad, or unknown; whatever holds goes on.
fn clock(node: &Node) -> Option<Finding> {
    let error = node.clock_error?;
    let size = error.abs();
    if size <= CLOCK_ERROR_GOOD {
        return Some(Finding::End(Kind::ClockWrong, node_subject(node.node_id)));
    }
    (CLOCK_ERROR_MAX < size).then(|| {
        let side = if error.is_negative() { "behind" } else { "ahead of" };
        let detail = format!("its clock is {} {side} the control plane's", words(size));
        Finding::Raise(Alert::of_node(Kind::ClockWrong, node.node_id, detail))
    })
}

fn certificate(node: &Node, watch: &Watch, now: Timestamp) -> Option<Finding> {
    let ends_at = node.certificate_expires_at?;
    let rest = ends_at.duration_since(now);
    let enough =
        SignedDuration::try_from(watch.certificate_life / CERTIFICATE_REST).unwrap_or(SignedDuration::MAX);
    if enough < rest {
        return Some(Finding::End(Kind::CertificateEnding, node_subject(node.node_id)));
    }
    let detail = match rest.is_positive() {
        true => format!("its certificate ends at {ends_at:.0}, in {}, and was not renewed", words(rest)),
        false => format!("its certificate ended at {ends_at:.0}, {} ago", words(rest.abs())),
    };
    Some(Finding::Raise(Alert::of_node(Kind::CertificateEnding, node.node_id, detail)))
}

fn authority(ends_at: Option<Timestamp>, now: Timestamp) -> Finding {
    let kind = Kind::AuthorityEnding;
    let Some(ends_at) = ends_at.filter(|ends_at| ends_at.duration_since(now) <= AUTHORITY_REST) else {
        return Finding::End(kind, AUTHORITY.to_owned());
    };
    let (title, subject) = (kind.title().to_owned(), AUTHORITY.to_owned());
    let detail = format!("the authority in the data directory ends at {ends_at:.0}");
    Finding::Raise(Alert { kind, subject, title, detail, node_id: None, instance_id: None })
}

/// Readings of a node that were set aside lately, and why.
struct SetAside {
    node_id: NodeId,
    readings: u64,
    reasons: String,
}

fn of_quarantine(node: &Node, set_aside: &[SetAside]) -> Finding {
    match set_aside.iter().find(|found| found.node_id == node.node_id) {
        None => Finding::End(Kind::QuarantineGrew, node_subject(node.node_id)),
        Some(found) => {
            let noun = if found.readings == 1 { "reading" } else { "readings" };
            let detail = format!("{} {noun} in the last hour: {}", found.readings, found.reasons);
            Finding::Raise(Alert::of_node(Kind::QuarantineGrew, node.node_id, detail))
        }
    }
}

/// An open alert, by what it is ended by.
struct Open {
    kind: String,
    subject: String,
    node_id: Option<NodeId>,
}

/// Open alerts about nodes that were removed, but for those that say that it still tries.
fn left_over(open: &[Open], nodes: &[Node]) -> Vec<Finding> {
    open.iter()
        .filter(|open| open.node_id.is_some_and(|id| nodes.iter().all(|node| node.node_id != id)))
        .filter_map(|open| Some((Kind::parse(&open.kind)?, open)))
        .filter(|(kind, _)| OF_NODES.contains(kind) || matches!(kind, Kind::Notice(_)))
        .map(|(kind, open)| Finding::End(kind, open.subject.clone()))
        .collect()
}

/// All of them: the list that people see ends somewhere.
async fn open_keys(db: &Database) -> Result<Vec<Open>, AlertError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let rows = transaction.query(super::OPEN_KEYS, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(Open {
                kind: row.try_get("kind")?,
                subject: row.try_get("subject")?,
                node_id: row.try_get::<_, Option<Uuid>>("node_id")?.map(NodeId::from_uuid),
            })
        })
        .collect()
}

async fn set_aside(db: &Database, now: Timestamp) -> Result<Vec<SetAside>, AlertError> {
    let since = micros(now.checked_sub(QUARANTINE_SPAN).unwrap_or(Timestamp::MIN));
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let rows = transaction.query(super::QUARANTINED, &[&since]).await?;
    rows.iter()
        .map(|row| {
            Ok(SetAside {
                node_id: NodeId::from_uuid(row.try_get::<_, Uuid>("node_id")?),
                readings: row.try_get::<_, i64>("readings")?.unsigned_abs(),
                reasons: row.try_get("reasons")?,
            })
        })
        .collect()
}

/// `1h 23m 20s`, without parts of a second from a minute on.
fn words(duration: SignedDuration) -> String {
    let whole = if duration.abs() < SignedDuration::from_mins(1) {
        SignedDuration::from_millis(duration.as_millis().try_into().unwrap_or(i64::MAX))
    } else {
        SignedDuration::from_secs(duration.as_secs())
    };
    format!("{whole:#}")
}

fn interval(duration: Duration) -> String {
    words(SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX))
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;

    use super::*;
    use crate::registry::State;

    const OWN: NodeId = NodeId::from_uuid(Uuid::from_u128(1));

    fn at(minute: i64) -> Timestamp {
        "2026-11-22T12:00:00Z".parse::<Timestamp>().unwrap() + minute.minutes()
    }

    fn node() -> Node {
        Node {
            node_id: NodeId::from_uuid(Uuid::from_u128(2)),
            name: "web-1".into(),
            state: State::Active,
            joined_at: Some(at(-1_000)),
            removed_at: None,
            release: None,
            last_heard_at: Some(at(0)),
            last_observed_at: Some(at(0)),
            last_seq: 7,
            covered_seq: 0,
            clock_error: None,
            clock_error_at: None,
            backlog_batches: None,
            certificate_expires_at: None,
            running: 0,
            instances: 0,
        }
    }

    /// What is raised (with a part of its detail) and ended of `node` at minute `now`; readings are taken every minute,
    /// and the control plane listens since minute -60.
    fn check(what: &str, node: &Node, now: i64, raised: &[(Kind, &str)], ended: &[Kind]) {
        let watch = Watch {
            reading_interval: Duration::from_secs(60),
            certificate_life: Duration::from_secs(24 * 3_600),
            listening_since: at(-60),
            own: Some(OWN),
            authority_ends_at: None,
        };
        let findings = of_node(node, &watch, at(now));
        let mut kinds = Vec::new();
        for finding in &findings {
            match finding {
                Finding::Raise(alert) => {
                    let expected = raised.iter().find(|(kind, _)| *kind == alert.kind);
                    let (_, detail) = expected.unwrap_or_else(|| panic!("{what}: {alert:?}"));
                    assert!(alert.detail.contains(detail), "{what}: {}", alert.detail);
                }
                Finding::End(kind, _) => kinds.push(*kind),
            }
        }
        assert_eq!(kinds, ended, "{what}");
        assert_eq!(findings.len(), raised.len() + ended.len(), "{what}: {findings:?}");
    }

    #[test]
    fn a_node_is_silent_after_five_readings_and_only_while_somebody_listened() {
        use Kind::NodeSilent;
        check("just heard", &node(), 0, &[], &[NodeSilent]);
        check("five intervals", &node(), 5, &[], &[NodeSilent]);
        check("six intervals", &node(), 6, &[(NodeSilent, "2026-11-22T12:00:00Z, 6m ago")], &[]);
        check("heard in the future", &node(), -3, &[], &[NodeSilent]);
        let before = Node { last_heard_at: Some(at(-500)), ..node() };
        check("the control plane was away itself", &before, -56, &[], &[NodeSilent]);
        check("and it stays silent", &before, -50, &[(NodeSilent, "7h 30m")], &[]);
        let never = Node { last_heard_at: None, last_observed_at: Some(at(1_000_000)), ..node() };
        check("its own clock says nothing", &never, 1, &[(NodeSilent, "since it joined")], &[]);
        let old = Node { joined_at: None, last_heard_at: None, ..node() };
        check("a control plane's own node of former times", &old, 5_000, &[], &[]);
        let own = Node { node_id: OWN, joined_at: None, last_heard_at: None, ..node() };
        check("the own one is heard by its readings", &own, 3, &[], &[NodeSilent]);
        check("the own one is silent", &own, 9, &[(NodeSilent, "9m ago")], &[]);
    }

    #[test]
    fn a_clock_two_hours_off_a_year_ahead_and_one_at_the_bound() {
        use Kind::{ClockWrong, NodeSilent};
        let off = |ms: i64| Node { clock_error: Some(SignedDuration::from_millis(ms)), ..node() };
        check("right", &off(-40), 0, &[], &[NodeSilent, ClockWrong]);
        check("at the bound", &off(5_000), 0, &[], &[NodeSilent]);
        check("beyond", &off(5_001), 0, &[(ClockWrong, "5s 1ms ahead of")], &[NodeSilent]);
        check("behind", &off(-7_200_000), 0, &[(ClockWrong, "2h behind")], &[NodeSilent]);
        let year = 365 * 24 * 3_600_000;
        check("a year", &off(year), 0, &[(ClockWrong, "8760h ahead of")], &[NodeSilent]);
        check("as far as numbers go", &off(i64::MIN / 1_000), 0, &[(ClockWrong, "behind")], &[NodeSilent]);
    }

    #[test]
    fn a_certificate_that_was_not_renewed_is_told_before_and_after_its_end() {
        use Kind::{CertificateEnding, NodeSilent};
        let ends = |minute: i64| Node { certificate_expires_at: Some(at(minute)), ..node() };
        check("fresh", &ends(24 * 60), 0, &[], &[NodeSilent, CertificateEnding]);
        check(
            "four hours of a day",
            &ends(4 * 60),
            0,
            &[(CertificateEnding, "in 4h, and was not")],
            &[NodeSilent],
        );
        check("over", &ends(-60), 0, &[(CertificateEnding, "1h ago")], &[NodeSilent]);
    }

    #[test]
    fn the_demo_with_a_reading_each_second_does_not_take_a_restart_for_silence() {
        assert_eq!(silent_after(Duration::from_secs(1)), SILENT_MIN);
        assert_eq!(silent_after(Duration::from_secs(60)), Duration::from_secs(300));
        assert_eq!(silent_after(Duration::MAX), Duration::MAX);
    }

    #[test]
    fn an_authority_that_ends_within_a_year_is_told_and_nobody_is_woken_before() {
        let year = AUTHORITY_REST;
        for (ends_at, is_raised) in [
            (None, false),
            (Some(at(0) + year + SignedDuration::from_secs(1)), false),
            (Some(at(0) + year), true),
            (Some(at(-5)), true),
        ] {
            let found = authority(ends_at, at(0));
            assert_eq!(matches!(found, Finding::Raise(_)), is_raised, "{ends_at:?}");
        }
    }
}
