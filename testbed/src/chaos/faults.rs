//! The list of faults: what each does, what it touches, and how it is healed.

use std::fmt;
use std::time::Instant;

use anyhow::Result;
use rustix::process::Signal;

use super::guests::{Site, Worker};
use super::world::World;
use crate::faults::Random;
use crate::faults::Weather;
use crate::guest::signal_guest;

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    KillNode,
    StopNode,
    KillControl,
    StopControl,
    KillPostgres,
    StopPostgres,
    KillLibvirtd(Site),
    StopLibvirtd(Site),
    StopGuest(usize),
    CutLine,
    DropPackets,
    LoseReplies,
    HangLine,
    FillSpool,
    ShiftClock { seconds: i64 },
    KillGuest,
    DestroyGuest,
}

/// What a fault is done to: one thing has one fault at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Node,
    Control,
    Postgres,
    Libvirtd(Site),
    Guest(usize),
    Line,
    Spool,
}

/// A fault that has not been healed.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) fault: Fault,
    pub(super) heal_at: Instant,
}

/// By how much the node's clock may be wrong, in seconds: two hours, what is believed, a year.
const SHIFTS: [i64; 5] = [-7_200, 7_200, -30, 30, 365 * 86_400];

impl Fault {
    /// The few of the short campaign.
    pub(super) fn short_list() -> Vec<Self> {
        vec![
            Self::KillControl,
            Self::KillNode,
            Self::LoseReplies,
            Self::KillLibvirtd(Site::Far),
            Self::KillPostgres,
            Self::FillSpool,
            Self::StopGuest(1),
            Self::CutLine,
        ]
    }

    /// Any of them.
    pub(super) fn draw(random: &mut Random, guests: usize) -> Self {
        let site = if random.below(2) == 0 { Site::Near } else { Site::Far };
        let guest = usize::try_from(random.below(guests as u64)).unwrap_or(0);
        match random.below(15) {
            0 => Self::KillNode,
            1 => Self::StopNode,
            2 => Self::KillControl,
            3 => Self::StopControl,
            4 => Self::KillPostgres,
            5 => Self::StopPostgres,
            6 => Self::KillLibvirtd(site),
            7 => Self::StopLibvirtd(site),
            8 => Self::StopGuest(guest),
            9 => Self::CutLine,
            10 => Self::DropPackets,
            11 => Self::LoseReplies,
            12 => Self::HangLine,
            13 => Self::FillSpool,
            _ => {
                Self::ShiftClock { seconds: SHIFTS[(guest + usize::from(site == Site::Far)) % SHIFTS.len()] }
            }
        }
    }

    /// What its name does not say.
    pub(super) fn by_how_much(&self) -> String {
        match self {
            Self::ShiftClock { seconds } => format!(" by {seconds:+} s"),
            _ => String::new(),
        }
    }

    pub(super) const fn target(&self) -> Target {
        match self {
            Self::KillNode | Self::StopNode | Self::ShiftClock { .. } => Target::Node,
            Self::KillControl | Self::StopControl => Target::Control,
            Self::KillPostgres | Self::StopPostgres => Target::Postgres,
            Self::KillLibvirtd(site) | Self::StopLibvirtd(site) => Target::Libvirtd(*site),
            Self::StopGuest(guest) => Target::Guest(*guest),
            Self::KillGuest | Self::DestroyGuest => Target::Guest(usize::MAX),
            Self::CutLine | Self::DropPackets | Self::LoseReplies | Self::HangLine => Target::Line,
            Self::FillSpool => Target::Spool,
        }
    }

    /// Whether the collector of that node may be kept from reading by it.
    pub(super) fn touches(&self, site: Site) -> bool {
        match self.target() {
            Target::Node | Target::Spool => site == Site::Far,
            Target::Control | Target::Postgres => site == Site::Near,
            Target::Libvirtd(of) => site == of,
            // A guest that hangs can keep libvirtd busy.
            Target::Guest(_) => true,
            Target::Line => false,
        }
    }

    pub(super) const fn shortest_ms(&self) -> u64 {
        match self {
            Self::FillSpool | Self::ShiftClock { .. } => 4_000,
            _ => 1_000,
        }
    }

    pub(super) const fn spread_ms(&self) -> u64 {
        match self {
            Self::StopGuest(_) => 4_000,
            Self::CutLine | Self::KillControl | Self::KillNode => 12_000,
            _ => 6_000,
        }
    }

    /// Brings it about; false where there is nothing to do it to now.
    pub(super) fn inject(self, world: &mut World, workers: &[Worker]) -> Result<bool> {
        match self {
            Self::KillNode => world.node.kill()?,
            Self::StopNode => world.node.signal(Signal::STOP)?,
            Self::KillControl => world.control.kill()?,
            Self::StopControl => world.control.signal(Signal::STOP)?,
            Self::KillPostgres => return world.signal_postgres(Signal::KILL),
            Self::StopPostgres => return world.signal_postgres(Signal::STOP),
            Self::KillLibvirtd(site) => world.place_mut(site).kill_libvirtd()?,
            Self::StopLibvirtd(site) => world.place_mut(site).signal_libvirtd(Signal::STOP)?,
            Self::StopGuest(index) => {
                let Ok(pid) = workers[index].pid() else { return Ok(false) };
                if !workers[index].has_booted() || signal_guest(pid, Signal::STOP).is_err() {
                    return Ok(false);
                }
            }
            Self::CutLine => world.far.cut_line()?,
            Self::DropPackets => world.proxy.set(Weather::Lossy { percent: 70 }),
            Self::LoseReplies => world.proxy.set(Weather::CutReply),
            Self::HangLine => world.proxy.set(Weather::Hang),
            Self::FillSpool => world.disk.fill()?,
            Self::ShiftClock { seconds } => world.shift_clock(seconds)?,
            Self::KillGuest | Self::DestroyGuest => return Ok(false),
        }
        Ok(true)
    }

    pub(super) fn heal(self, world: &mut World, workers: &[Worker]) -> Result<()> {
        match self {
            Self::KillNode => world.start_node(),
            Self::StopNode => world.node.signal(Signal::CONT),
            Self::KillControl => world.start_control(),
            Self::StopControl => world.control.signal(Signal::CONT),
            Self::StopPostgres => world.signal_postgres(Signal::CONT).map(drop),
            Self::KillLibvirtd(site) => world.place_mut(site).start_libvirtd(),
            Self::StopLibvirtd(site) => world.place_mut(site).signal_libvirtd(Signal::CONT),
            Self::StopGuest(index) => match workers[index].pid() {
                Ok(pid) => {
                    // One that ended meanwhile needs no help.
                    let _ = signal_guest(pid, Signal::CONT);
                    Ok(())
                }
                Err(_) => Ok(()),
            },
            Self::CutLine => world.far.mend_line(),
            Self::DropPackets | Self::LoseReplies | Self::HangLine => {
                world.proxy.set(Weather::Fair);
                Ok(())
            }
            Self::FillSpool => world.disk.free(),
            Self::ShiftClock { .. } => world.shift_clock(0),
            // The supervisor sees to what Weir itself does not.
            Self::KillPostgres | Self::KillGuest | Self::DestroyGuest => Ok(()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KillNode => "kill -9 of weir on the node",
            Self::StopNode => "weir on the node hangs (SIGSTOP)",
            Self::KillControl => "kill -9 of the control plane",
            Self::StopControl => "the control plane hangs (SIGSTOP)",
            Self::KillPostgres => "kill -9 of PostgreSQL",
            Self::StopPostgres => "PostgreSQL hangs (SIGSTOP)",
            Self::KillLibvirtd(Site::Near) => "kill -9 of the control plane's libvirtd",
            Self::KillLibvirtd(Site::Far) => "kill -9 of the node's libvirtd",
            Self::StopLibvirtd(Site::Near) => "the control plane's libvirtd hangs (SIGSTOP)",
            Self::StopLibvirtd(Site::Far) => "the node's libvirtd hangs (SIGSTOP)",
            Self::StopGuest(_) => "a guest's QEMU hangs (SIGSTOP)",
            Self::CutLine => "the line to the node is cut",
            Self::DropPackets => "connections are reset at random",
            Self::LoseReplies => "the control plane's replies are lost",
            Self::HangLine => "connections hang",
            Self::FillSpool => "the spool's disk is full",
            Self::ShiftClock { .. } => "the node's clock is wrong",
            Self::KillGuest => "kill -9 of a guest's QEMU",
            Self::DestroyGuest => "virsh destroy of a guest",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_campaign_of_four_guests_draws_every_clock_that_is_wrong() {
        let mut random = Random::new(1);
        let faults: Vec<Fault> = (0..2_000).map(|_| Fault::draw(&mut random, 4)).collect();
        for seconds in SHIFTS {
            assert!(faults.contains(&Fault::ShiftClock { seconds }), "{seconds} s");
        }
    }
}
