//! When guests started and stopped, by libvirt's own events: the truth about running time.
//!
//! It listens only. The instants are those at which virsh got the event, within milliseconds of what happened.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use crate::place::Place;

/// How long `virsh event` gets to connect; an event before that is missed.
const CONNECT_TIME: Duration = Duration::from_millis(500);

/// What happened to a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It came to life.
    Started,
    /// Its vCPUs were stopped.
    Suspended,
    /// They go on.
    Resumed,
    /// It is off.
    Stopped,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Which guest.
    pub guest: String,
    /// What.
    pub change: Change,
}

/// One life of a guest, from start to stop: its epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// When it started.
    pub started_at: Timestamp,
    /// When it was off; none while it lives.
    pub stopped_at: Option<Timestamp>,
    /// Since when its vCPUs stand still; none while they run. Kept when it is off: nothing ran in between.
    pub paused_at: Option<Timestamp>,
    /// Milliseconds that it really ran (suspended time is not running time), up to its end or to `now`.
    pub running_ms: i64,
}

/// Follows all guests' events until dropped.
#[derive(Debug)]
pub struct Watcher {
    virsh: Child,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Watcher {
    /// Begins to listen; events before this are unknown.
    pub fn start() -> Result<Self> {
        Self::start_at(&Place::default())
    }

    /// Begins to listen on the node given.
    pub fn start_at(place: &Place) -> Result<Self> {
        // Without stdbuf virsh keeps its lines until it has 4 KiB of them.
        let mut virsh = Command::new("stdbuf")
            .args([
                "-oL",
                "virsh",
                "-q",
                "-c",
                place.uri(),
                "event",
                "--event",
                "lifecycle",
                "--loop",
                "--timestamp",
            ])
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start `virsh event`")?;
        let output = virsh.stdout.take().context("virsh has a standard output")?;
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&events);
        std::thread::Builder::new().name("lifecycle".into()).spawn(move || {
            for event in BufReader::new(output).lines().map_while(Result::ok).filter_map(|line| parse(&line))
            {
                sink.lock().unwrap_or_else(PoisonError::into_inner).push(event);
            }
        })?;
        std::thread::sleep(CONNECT_TIME);
        if let Some(status) = virsh.try_wait()? {
            bail!("`virsh event` ended at once ({status}): is libvirtd running?");
        }
        Ok(Self { virsh, events })
    }

    /// The process that listens.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.virsh.id()
    }

    /// Everything heard so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lives of one guest so far, in order.
    #[must_use]
    pub fn lives(&self, guest: &str, now: Timestamp) -> Vec<Life> {
        lives(self.events().iter().filter(|event| event.guest == guest), now)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.virsh.kill();
        let _ = self.virsh.wait();
    }
}

/// Puts events of one guest together. libvirt announces `Resumed` before `Started` when it starts a guest, and
/// `Suspended` after it when the guest starts paused.
pub fn lives<'a>(events: impl IntoIterator<Item = &'a Event>, now: Timestamp) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    let mut running_since: Option<Timestamp> = None;
    for event in events {
        let current = lives.last_mut().filter(|life| life.stopped_at.is_none());
        match (event.change, current) {
            (Change::Started | Change::Resumed, None) => {
                lives.push(Life { started_at: event.at, stopped_at: None, paused_at: None, running_ms: 0 });
                running_since = Some(event.at);
            }
            (Change::Started, Some(_)) => {}
            (Change::Resumed, Some(life)) => {
                running_since = running_since.or(Some(event.at));
                life.paused_at = None;
            }
            (Change::Suspended, Some(life)) => {
                life.running_ms += since(running_since.take(), event.at);
                life.paused_at = Some(event.at);
            }
            (Change::Stopped, Some(life)) => {
                life.running_ms += since(running_since.take(), event.at);
                life.stopped_at = Some(event.at);
            }
            (Change::Suspended | Change::Stopped, None) => {}
        }
    }
    if let Some(life) = lives.last_mut().filter(|life| life.stopped_at.is_none()) {
        life.running_ms += since(running_since, now);
    }
    lives
}

fn since(from: Option<Timestamp>, to: Timestamp) -> i64 {
    from.map_or(0, |from| to.as_millisecond() - from.as_millisecond())
}

/// `2026-11-21 20:00:00.123+0000: event 'lifecycle' for domain 'a': Started Booted`
fn parse(line: &str) -> Option<Event> {
    let (at, rest) = line.split_once(": event 'lifecycle' for domain ")?;
    let at = jiff::fmt::strtime::parse("%Y-%m-%d %H:%M:%S%.f%z", at).ok()?.to_timestamp().ok()?;
    let (guest, what) = rest.rsplit_once(": ")?;
    let change = match what.split_whitespace().next()? {
        "Started" => Change::Started,
        "Suspended" => Change::Suspended,
        "Resumed" => Change::Resumed,
        "Stopped" | "Crashed" => Change::Stopped,
        _ => return None,
    };
    Some(Event { at, guest: guest.trim_matches('\'').to_owned(), change })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(second: i64, change: Change) -> Event {
        Event { at: Timestamp::from_second(second).unwrap(), guest: "a".into(), change }
    }

    #[test]
    fn a_line_of_virsh_is_understood_and_others_are_passed_over() {
        let found =
            parse("2026-11-21 20:00:01.250+0000: event 'lifecycle' for domain 'a': Started Booted").unwrap();
        assert_eq!(found.at, "2026-11-21T20:00:01.25Z".parse().unwrap());
        assert_eq!((found.guest.as_str(), found.change), ("a", Change::Started));
        for line in [
            "",
            "event 'lifecycle' for domain 'a': Started",
            "2026-11-21 20:00:01.250+0000: event 'reboot' for domain 'a'",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn paused_time_is_not_running_time_and_every_restart_is_a_new_life() {
        use Change::{Resumed, Started, Stopped, Suspended};
        let events = [
            event(10, Resumed),
            event(10, Started),
            event(20, Suspended),
            event(25, Resumed),
            event(30, Suspended),
            event(31, Stopped),
            event(40, Started),
            event(41, Stopped),
            event(50, Started),
            event(50, Suspended),
            event(52, Resumed),
        ];
        let found = lives(&events, Timestamp::from_second(60).unwrap());
        let figures: Vec<_> = found.iter().map(|life| (life.running_ms, life.stopped_at.is_some())).collect();
        assert_eq!(figures, [(15_000, true), (1_000, true), (8_000, false)]);
    }
}
