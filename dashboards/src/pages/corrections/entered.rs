//! The form of a correction: what people type, and what it means. It asks no database: whether there is such a resource,
//! and whether the window fits, `usage::corrections` knows.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use metering::{InstanceId, MeterName, Resource, ResourceKind, VolumeId, Window, WindowLength, catalog};
use serde::Deserialize;
use usage::corrections::Action;
use uuid::Uuid;

use super::super::why::addresses::{resource_code, resource_of, window_of};
use crate::show::Clock;

/// Digits of a 64-bit number.
const DIGITS_MAX: usize = 20;
/// The longest text of an instant: `2026-11-21T14:00:00`.
const INSTANT_MAX: usize = 19;

/// What the form sends.
#[derive(Clone, Deserialize)]
pub(super) struct Entered {
    /// Which correction it is to be: sent twice, it is one.
    pub(super) id: Uuid,
    resource: String,
    device: String,
    meter: String,
    from: String,
    to: String,
    action: String,
    quantity: String,
    pub(super) reason: String,
}

/// What it means.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) resource: Resource,
    pub(super) meter: MeterName,
    pub(super) window: Window,
    pub(super) action: Action,
}

/// What stands in the form.
pub(super) struct FormView {
    pub id: Uuid,
    pub is_open: bool,
    pub resource: String,
    pub device: String,
    pub meters: Vec<Choice>,
    pub from: String,
    pub to: String,
    pub actions: Vec<Choice>,
    pub quantity: String,
    pub reason: String,
    pub error: Option<String>,
}

/// A value of a list.
pub(super) struct Choice {
    pub value: &'static str,
    pub label: String,
    pub is_chosen: bool,
}

impl Entered {
    /// What is to be corrected, or what is wrong with the form. Times are in the zone of `clock`.
    pub(super) fn read(&self, clock: &Clock) -> Result<Wanted, String> {
        let meter = MeterName::parse(&self.meter).map_err(|_| "Choose a meter from the list.")?;
        let window = match (instant(&self.from, clock.zone()), instant(&self.to, clock.zone())) {
            (Some(from), Some(to)) => Window::new(from, to).ok(),
            _ => return Err("Write from and to as day and time, such as 2026-11-21T14:00.".to_owned()),
        };
        let window = window.ok_or("It has to end after it begins.")?;
        Ok(Wanted { resource: self.resource(meter)?, meter, window, action: self.action()? })
    }

    fn resource(&self, meter: MeterName) -> Result<Resource, String> {
        let id: Uuid = self.resource.trim().parse().map_err(|_| {
            "Write the id of the instance or volume; its page and weir instance list show it.".to_owned()
        })?;
        let (instance, device) = (InstanceId::from_uuid(id), self.device.trim());
        let kind = meter.meter().resource;
        if device.contains('\0') {
            return Err("There is no such device.".to_owned());
        }
        match (kind, device) {
            (ResourceKind::Instance, "") => Ok(Resource::Instance(instance)),
            (ResourceKind::Volume, "") => Ok(Resource::Volume(VolumeId::from_uuid(id))),
            (ResourceKind::Disk | ResourceKind::Nic, "") => {
                Err(format!("{} is measured on a {}: name it as device.", meter.meter().title, kind.as_str()))
            }
            (ResourceKind::Disk, device) => Ok(Resource::Disk(instance, device.to_owned())),
            (ResourceKind::Nic, device) => Ok(Resource::Nic(instance, device.to_owned())),
            (kind, _) => Err(format!(
                "{} is measured on the {}: leave device empty.",
                meter.meter().title,
                kind.as_str()
            )),
        }
    }

    fn action(&self) -> Result<Action, String> {
        let quantity = self.quantity.trim();
        match (self.action.as_str(), quantity) {
            ("annotate", "") => Ok(Action::Annotate),
            ("exclude", "") => Ok(Action::Exclude),
            ("add", quantity) => {
                let is_number =
                    quantity.len() <= DIGITS_MAX && quantity.bytes().all(|byte| byte.is_ascii_digit());
                let number = is_number.then(|| quantity.parse().ok()).flatten();
                number.map(Action::Add).ok_or_else(|| {
                    "Write how much is added as a whole number of the meter’s base unit, without commas."
                        .to_owned()
                })
            }
            ("annotate" | "exclude", _) => {
                Err("A quantity goes with adding alone: empty the field, or choose to add.".to_owned())
            }
            _ => Err("Choose what the correction does.".to_owned()),
        }
    }
}

impl FormView {
    /// About what an address names; else about nothing yet, and the last whole window.
    pub(super) fn about(
        resource: Option<&str>,
        meter: Option<&str>,
        window: Option<&str>,
        clock: &Clock,
        length: WindowLength,
        now: Timestamp,
    ) -> Self {
        let resource = resource.and_then(resource_of);
        let last = length.window_of(now).start();
        let before = last.saturating_sub(SignedDuration::from_secs(length.seconds().into())).unwrap_or(last);
        let asked = window.and_then(window_of);
        let (from, to) = asked.map_or((before, last), |window| (window.start(), window.end()));
        let local = |at: Timestamp| at.to_zoned(clock.zone().clone()).strftime("%Y-%m-%dT%H:%M").to_string();
        let code = resource.as_ref().map(resource_code).unwrap_or_default();
        let entered = Entered {
            id: Uuid::now_v7(),
            resource: code.split(':').nth(1).unwrap_or_default().to_owned(),
            device: resource.as_ref().and_then(Resource::device).unwrap_or_default().to_owned(),
            meter: meter.unwrap_or_default().to_owned(),
            from: local(from),
            to: local(to),
            action: "exclude".to_owned(),
            quantity: String::new(),
            reason: String::new(),
        };
        Self { is_open: resource.is_some(), ..Self::filled(&entered) }
    }

    /// As it was typed, with what is wrong.
    pub(super) fn again(entered: &Entered, error: String) -> Self {
        Self { is_open: true, error: Some(error), ..Self::filled(entered) }
    }

    fn filled(entered: &Entered) -> Self {
        let meters = catalog().iter().map(|meter| Choice {
            value: meter.name.as_str(),
            label: format!("{} ({}, {})", meter.title, meter.resource.as_str(), meter.unit.symbol()),
            is_chosen: meter.name.as_str() == entered.meter,
        });
        let action = |value: &'static str, label: &str| Choice {
            value,
            label: label.to_owned(),
            is_chosen: value == entered.action,
        };
        Self {
            id: entered.id,
            is_open: false,
            resource: entered.resource.clone(),
            device: entered.device.clone(),
            meters: meters.collect(),
            from: entered.from.clone(),
            to: entered.to.clone(),
            actions: vec![
                action("exclude", "Exclude: what is recorded does not count"),
                action("add", "Add: what is not recorded counts"),
                action("annotate", "Remark: it counts as it is"),
            ],
            quantity: entered.quantity.clone(),
            reason: entered.reason.clone(),
            error: None,
        }
    }
}

/// As browsers send it, to the minute or the second. Where the clocks skip or repeat it, as they showed it first.
fn instant(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let text = text.trim();
    let is_shaped = text.len() <= INSTANT_MAX && text.is_ascii();
    let at: DateTime = is_shaped.then(|| text.parse().ok()).flatten()?;
    Some(at.to_zoned(zone.clone()).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entered(meter: &str, device: &str, action: &str, quantity: &str) -> Entered {
        let own = str::to_owned;
        Entered {
            id: Uuid::nil(),
            resource: "0192f0c1-2222-7000-8000-00000000abcd".to_owned(),
            device: own(device),
            meter: own(meter),
            from: own("2026-11-21T14:00"),
            to: own("2026-11-21T16:00"),
            action: own(action),
            quantity: own(quantity),
            reason: own("why"),
        }
    }

    #[test]
    fn what_does_not_fit_together_is_told() {
        let clock = Clock::of_zone("Europe/Berlin");
        let read = |entered: &Entered| entered.read(&clock);
        let found = read(&entered("cpu_ns", "", "add", "5")).unwrap();
        assert_eq!(
            (found.action, found.window.start().to_string().as_str()),
            (Action::Add(5), "2026-11-21T13:00:00Z")
        );
        assert!(read(&entered("disk_read_bytes", "vda", "exclude", "")).is_ok());
        for (meter, device, action, quantity) in [
            ("cpu_ns", "vda", "exclude", ""),
            ("disk_read_bytes", "", "exclude", ""),
            ("disk_read_bytes", "a\0b", "exclude", ""),
            ("nothing", "", "exclude", ""),
            ("cpu_ns", "", "exclude", "5"),
            ("cpu_ns", "", "add", ""),
            ("cpu_ns", "", "add", "-5"),
            ("cpu_ns", "", "add", "1.5"),
            ("cpu_ns", "", "add", "99999999999999999999"),
            ("cpu_ns", "", "remove", ""),
        ] {
            assert!(
                read(&entered(meter, device, action, quantity)).is_err(),
                "{meter} {device} {action} {quantity}"
            );
        }
        for (from, to) in [
            ("", ""),
            ("2026-11-21", "x"),
            ("2026-11-21T16:00", "2026-11-21T16:00"),
            ("9999-12-31T23:59:59", "2026-11-21T16:00"),
        ] {
            let odd =
                Entered { from: from.to_owned(), to: to.to_owned(), ..entered("cpu_ns", "", "exclude", "") };
            assert!(read(&odd).is_err(), "{from} {to}");
        }
        let odd = Entered { resource: "web".to_owned(), ..entered("cpu_ns", "", "exclude", "") };
        assert!(read(&odd).is_err());
    }
}
