//! The form of a quota: what people type, and the limits that it means. It asks no database.

use billing::quota::{Limits, Quota};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::Deserialize;

use crate::show;

/// Digits of a limit: a thousand million instances, or KiB as many as 900 PiB in GiB.
const DIGITS_MAX: usize = 9;

/// Units of memory, with how many KiB they are. The first is suggested.
pub(crate) const UNITS: [(&str, u64); 3] = [("GiB", 1 << 20), ("MiB", 1 << 10), ("KiB", 1)];

/// What the form sends.
#[derive(Clone, Deserialize)]
pub(crate) struct QuotaEntered {
    instances: String,
    vcpus: String,
    memory: String,
    unit: String,
    pub revision: u64,
}

/// What stands in the form.
pub(crate) struct QuotaForm {
    pub instances: String,
    pub vcpus: String,
    pub memory: String,
    pub unit: String,
    pub revision: u64,
    pub errors: Errors,
}

/// What is wrong, field by field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Errors {
    pub instances: Option<&'static str>,
    pub vcpus: Option<&'static str>,
    pub memory: Option<&'static str>,
}

const NO_COUNT: &str = "Write a whole number of at most 9 digits, or nothing for no limit.";
const NO_MEMORY: &str = "Write a number such as 64 or 1.5 that makes whole KiB, or nothing for no limit.";

/// The limits that were typed.
pub(crate) fn limits(entered: &QuotaEntered) -> Result<Limits, Errors> {
    let (instances, vcpus) = (count(&entered.instances), count(&entered.vcpus));
    let memory_kib = memory(&entered.memory, &entered.unit);
    let errors = Errors { instances: instances.err(), vcpus: vcpus.err(), memory: memory_kib.err() };
    match (instances, vcpus, memory_kib) {
        (Ok(instances), Ok(vcpus), Ok(memory_kib)) => Ok(Limits { instances, vcpus, memory_kib }),
        _ => Err(errors),
    }
}

/// Each limit by name.
pub(crate) fn in_words(limits: &Limits) -> [(&'static str, String); 3] {
    let unlimited = || "no limit".to_owned();
    let count = |limit: Option<u32>| limit.map_or_else(unlimited, |limit| show::whole(limit.into()));
    [
        ("Instances", count(limits.instances)),
        ("vCPUs", count(limits.vcpus)),
        ("Memory", limits.memory_kib.map_or_else(unlimited, |kib| exact(kib).join(" "))),
    ]
}

impl QuotaEntered {
    /// The same form for another revision.
    pub(crate) fn fields(&self, revision: u64) -> Vec<(&'static str, String)> {
        vec![
            ("instances", self.instances.clone()),
            ("vcpus", self.vcpus.clone()),
            ("memory", self.memory.clone()),
            ("unit", self.unit.clone()),
            ("revision", revision.to_string()),
        ]
    }
}

impl QuotaForm {
    /// As it stands.
    pub(crate) fn of(quota: &Quota) -> Self {
        let text = |limit: Option<u32>| limit.map(|limit| limit.to_string()).unwrap_or_default();
        let [memory, unit] = match quota.memory_kib {
            Some(kib) => exact(kib),
            None => [String::new(), UNITS[0].0.to_owned()],
        };
        let (instances, vcpus) = (text(quota.instances), text(quota.vcpus));
        Self { instances, vcpus, memory, unit, revision: quota.revision, errors: Errors::default() }
    }

    /// As it was typed, with what is wrong.
    pub(crate) fn again(entered: &QuotaEntered, errors: Errors) -> Self {
        let QuotaEntered { instances, vcpus, memory, unit, revision } = entered.clone();
        Self { instances, vcpus, memory, unit, revision, errors }
    }

    /// The units that the form offers, and whether each is chosen.
    pub(crate) fn units(&self) -> impl Iterator<Item = (&'static str, bool)> {
        UNITS.iter().map(|(unit, _)| (*unit, *unit == self.unit))
    }
}

/// The figure and the largest unit in which it is whole.
fn exact(kib: u64) -> [String; 2] {
    let (unit, size) = UNITS.into_iter().find(|(_, size)| kib.is_multiple_of(*size)).unwrap_or(UNITS[2]);
    [(kib / size).to_string(), unit.to_owned()]
}

fn count(text: &str) -> Result<Option<u32>, &'static str> {
    match text.trim() {
        "" => Ok(None),
        text if text.len() <= DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().map(Some).map_err(|_| NO_COUNT)
        }
        _ => Err(NO_COUNT),
    }
}

fn memory(text: &str, unit: &str) -> Result<Option<u64>, &'static str> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let is_shaped = text.len() <= 2 * DIGITS_MAX
        && text.split('.').next().is_some_and(|whole| whole.len() <= DIGITS_MAX)
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let amount: Decimal = is_shaped.then(|| text.parse().ok()).flatten().ok_or(NO_MEMORY)?;
    let (_, size) = UNITS.into_iter().find(|(known, _)| *known == unit).ok_or(NO_MEMORY)?;
    let kib = amount.checked_mul(Decimal::from(size)).filter(Decimal::is_integer).ok_or(NO_MEMORY)?;
    kib.to_u64().map(Some).ok_or(NO_MEMORY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entered(instances: &str, vcpus: &str, memory: &str, unit: &str) -> QuotaEntered {
        let own = str::to_owned;
        QuotaEntered {
            instances: own(instances),
            vcpus: own(vcpus),
            memory: own(memory),
            unit: own(unit),
            revision: 3,
        }
    }

    #[test]
    fn nothing_is_no_limit_and_nought_is_one() {
        assert_eq!(limits(&entered("", " ", "", "GiB")).unwrap(), Limits::default());
        let none = Limits { instances: Some(0), vcpus: Some(0), memory_kib: Some(0) };
        assert_eq!(limits(&entered("0", "0", "0", "GiB")).unwrap(), none);
    }

    #[test]
    fn memory_is_taken_in_any_unit_as_long_as_it_is_whole_kib() {
        for (text, unit, kib) in
            [("64", "GiB", 64 << 20), ("1.5", "GiB", 1_572_864), ("512", "MiB", 524_288), ("7", "KiB", 7)]
        {
            assert_eq!(memory(text, unit), Ok(Some(kib)), "{text} {unit}");
        }
        for (text, unit) in [
            ("1.5", "KiB"),
            ("-1", "GiB"),
            ("1e3", "GiB"),
            ("1,5", "GiB"),
            ("9999999999", "GiB"),
            ("5", "TiB"),
            (".", "GiB"),
        ] {
            assert_eq!(memory(text, unit), Err(NO_MEMORY), "{text} {unit}");
        }
    }

    #[test]
    fn each_wrong_field_is_told_and_what_was_typed_is_kept() {
        let typed = entered("ten", "8", "much", "GiB");
        let errors = limits(&typed).unwrap_err();
        assert!(errors.instances.is_some() && errors.vcpus.is_none() && errors.memory.is_some());
        let form = QuotaForm::again(&typed, errors);
        assert_eq!((form.instances.as_str(), form.memory.as_str(), form.revision), ("ten", "much", 3));
    }
}
