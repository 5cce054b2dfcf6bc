//! Which dimensions a resource had when. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use metering::{Dimensions, Resource};
use uuid::Uuid;

use crate::load;

/// What was said of a dimension, from when on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) resource: Resource,
    pub(crate) name: String,
    /// `None`: no value from then on, as far as whoever said it is concerned.
    pub(crate) value: Option<String>,
    pub(crate) valid_from: Timestamp,
    pub(crate) is_rule: bool,
}

/// All that was said of some resources.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline {
    /// By resource, in the order in which it holds.
    said: BTreeMap<Resource, Vec<Said>>,
}

impl Timeline {
    /// `said` is in the order in which it holds.
    pub(crate) fn new(said: Vec<Said>) -> Self {
        let mut timeline = Self::default();
        for said in said {
            timeline.said.entry(said.resource.clone()).or_default().push(said);
        }
        timeline
    }

    /// The instances and volumes of which something changes between two instants (at the first: nothing changes).
    pub(crate) fn changing(&self, start: Timestamp, end: Timestamp) -> Vec<Uuid> {
        let changes = |said: &Said| start < said.valid_from && said.valid_from < end;
        let mut found: Vec<Uuid> = self
            .said
            .iter()
            .filter(|(_, said)| said.iter().any(changes))
            .map(|(resource, _)| load::uuid_of(resource))
            .collect();
        found.dedup();
        found
    }

    /// From when on which dimensions hold for a resource: in order; before the first there were none.
    pub(crate) fn steps(&self, resource: &Resource) -> Vec<(Timestamp, Dimensions)> {
        let own = self.said.get(resource).map_or(&[][..], Vec::as_slice);
        let instance = match resource {
            Resource::Disk(id, _) | Resource::Nic(id, _) => self.said.get(&Resource::Instance(*id)),
            Resource::Instance(_) | Resource::Volume(_) => None,
        };
        let instance = instance.map_or(&[][..], Vec::as_slice);
        let mut instants: Vec<Timestamp> = own.iter().chain(instance).map(|said| said.valid_from).collect();
        instants.sort_unstable();
        instants.dedup();
        let mut steps: Vec<(Timestamp, Dimensions)> = Vec::with_capacity(instants.len());
        for at in instants {
            let dimensions = values_at(own, instance, at);
            if steps.last().map_or(!dimensions.is_empty(), |(_, last)| *last != dimensions) {
                steps.push((at, dimensions));
            }
        }
        steps
    }
}

/// What holds at an instant. A device has what its instance has, unless it has a value of its own; what a person said goes
/// before a rule.
fn values_at(own: &[Said], instance: &[Said], at: Timestamp) -> Dimensions {
    let mut values = BTreeMap::new();
    // The weakest first.
    for (said, is_rule) in [(instance, true), (instance, false), (own, true), (own, false)] {
        let mut latest: BTreeMap<&str, &Option<String>> = BTreeMap::new();
        for one in said.iter().filter(|said| said.is_rule == is_rule && said.valid_from <= at) {
            latest.insert(&one.name, &one.value);
        }
        for (name, value) in latest {
            if let Some(value) = value {
                values.insert(name.to_owned(), value.clone());
            }
        }
    }
    Dimensions::new(values)
}

#[cfg(test)]
mod tests {
    use metering::InstanceId;

    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + 3_600 * hour).unwrap()
    }

    /// `device hour name value [rule]` a line, `-` for none; the steps of the NIC `n` and of the instance.
    fn check(said: &str, nic: &str, instance: &str) {
        let id = InstanceId::from_uuid(Uuid::from_u128(1));
        let resource = |device: &str| match device {
            "-" => Resource::Instance(id),
            device => Resource::Nic(id, device.to_owned()),
        };
        let said = said
            .lines()
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                Said {
                    resource: resource(words[0]),
                    valid_from: at(words[1].parse().unwrap()),
                    name: words[2].to_owned(),
                    value: (words[3] != "-").then(|| words[3].to_owned()),
                    is_rule: words.get(4) == Some(&"rule"),
                }
            })
            .collect();
        let timeline = Timeline::new(said);
        for (device, expected) in [("n", nic), ("-", instance)] {
            let steps = timeline.steps(&resource(device)).into_iter().map(|(from, dimensions)| {
                let hour = (from.as_second() - at(0).as_second()) / 3_600;
                let values: Vec<String> = dimensions.iter().map(|(n, v)| format!("{n}={v}")).collect();
                format!("{hour}:{}", values.join("+"))
            });
            assert_eq!(steps.collect::<Vec<_>>().join(" "), expected, "{device}");
        }
    }

    #[test]
    fn a_device_has_what_its_instance_has_unless_it_has_its_own() {
        check("- 1 class a\nn 3 class b\nn 5 class -", "1:class=a 3:class=b 5:class=a", "1:class=a");
    }

    #[test]
    fn what_a_person_said_goes_before_a_rule_until_it_is_taken_back() {
        check(
            "- 1 class a rule\n- 2 class b\n- 3 class c rule\n- 4 class -",
            "1:class=a 2:class=b 4:class=c",
            "1:class=a 2:class=b 4:class=c",
        );
    }

    #[test]
    fn of_two_that_begin_at_one_instant_the_later_one_holds() {
        check("- 1 licence windows\n- 1 licence -\n- 2 licence -", "", "");
        check("- 1 licence -\n- 1 licence windows", "1:licence=windows", "1:licence=windows");
    }
}
