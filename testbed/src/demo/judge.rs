//! Whether what Weir read, used and invoiced is what was ordered and what libvirt counted. Pure: figures in, verdict out.

use serde::Serialize;

/// What libvirt's own figures allow, both ends included. Equal ends ask for exactly that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Bounds {
    /// At least.
    pub lower: u64,
    /// At most.
    pub upper: u64,
}

/// What the guest's orders determine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "quantity")]
pub enum Ordered {
    /// Exactly this much.
    Exactly(u64),
    /// This much payload; frames around it come on top.
    AtLeast(u64),
}

/// How a meter is compared. The text is what the report says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Rule {
    /// Counters of bytes and operations.
    #[serde(rename = "read = used = invoiced = libvirt's last figures, exactly")]
    Counter,
    /// The same, and nothing but what was ordered.
    #[serde(rename = "read = used = invoiced = libvirt's last figures = the guest's orders, exactly")]
    OrderedCounter,
    /// CPU time to the end of the process.
    #[serde(
        rename = "read = used = invoiced exactly; within 10 ms per life of the kernel's exit records of all threads, which lack what a \
                  running thread did since the last tick"
    )]
    CpuTime,
    /// The same for a process that was held still before it was killed.
    #[serde(
        rename = "read = used = invoiced exactly; within a tick of the scheduler, 4 ms, for vCPU and main loop each, of the kernel's exit records of all threads"
    )]
    CpuTimeOfKilled,
    /// Time and what is held over time.
    #[serde(
        rename = "read = used = invoiced exactly; within one reading (1 s) per epoch of the time by libvirt's events"
    )]
    Held,
    /// Storage held over time.
    #[serde(
        rename = "read = used = invoiced exactly; from its creation to the last sight of each volume: at most 2 s less, or one reading (1 s) more, than until its deletion"
    )]
    HeldStorage,
}

/// All that is known about one meter of one guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// By the orders, where they determine it.
    pub ordered: Option<Ordered>,
    /// By libvirt.
    pub libvirt: Bounds,
    /// By Weir's readings, summed over the epochs.
    pub read: Option<u64>,
    /// By Weir's usage records.
    pub used: Option<u64>,
    /// By the invoice.
    pub invoiced: Option<u64>,
}

impl Bounds {
    /// Exactly this.
    #[must_use]
    pub const fn exactly(quantity: u64) -> Self {
        Self { lower: quantity, upper: quantity }
    }

    /// From `middle - slack` to `middle + slack`.
    #[must_use]
    pub const fn around(middle: u64, slack: u64) -> Self {
        Self { lower: middle.saturating_sub(slack), upper: middle.saturating_add(slack) }
    }

    /// Both together: the bounds of a sum.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { lower: self.lower.saturating_add(other.lower), upper: self.upper.saturating_add(other.upper) }
    }

    const fn contains(self, quantity: u64) -> bool {
        self.lower <= quantity && quantity <= self.upper
    }
}

/// Everything that is not right; empty when all is.
#[must_use]
pub fn problems(evidence: &Evidence) -> Vec<String> {
    let mut problems = Vec::new();
    let steps = [("read", evidence.read), ("used", evidence.used), ("invoiced", evidence.invoiced)];
    for (what, quantity) in steps {
        if quantity.is_none() {
            problems.push(format!("nothing was {what}"));
        }
    }
    for pair in steps.windows(2) {
        if let [(first, Some(a)), (second, Some(b))] = pair
            && a != b
        {
            problems.push(format!("{first} {a} but {second} {b} ({:+})", difference(*b, *a)));
        }
    }
    let Some(read) = evidence.read else {
        return problems;
    };
    let bounds = evidence.libvirt;
    if !bounds.contains(read) {
        let nearest = if read < bounds.lower { bounds.lower } else { bounds.upper };
        problems.push(format!(
            "read {read} but libvirt says {} ({:+})",
            range(bounds),
            difference(read, nearest)
        ));
    }
    match evidence.ordered {
        Some(Ordered::Exactly(ordered)) if read != ordered => {
            problems.push(format!("read {read} but ordered {ordered} ({:+})", difference(read, ordered)));
        }
        Some(Ordered::AtLeast(ordered)) if read < ordered => {
            problems.push(format!("read {read}, less than the payload ordered, {ordered}"));
        }
        _ => {}
    }
    problems
}

fn range(bounds: Bounds) -> String {
    if bounds.lower == bounds.upper {
        bounds.lower.to_string()
    } else {
        format!("{} to {}", bounds.lower, bounds.upper)
    }
}

fn difference(a: u64, b: u64) -> i128 {
    i128::from(a) - i128::from(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right() -> Evidence {
        Evidence {
            ordered: Some(Ordered::Exactly(100)),
            libvirt: Bounds::exactly(100),
            read: Some(100),
            used: Some(100),
            invoiced: Some(100),
        }
    }

    fn check(change: impl FnOnce(&mut Evidence), expected: &[&str]) {
        let mut evidence = right();
        change(&mut evidence);
        assert_eq!(problems(&evidence), expected);
    }

    #[test]
    fn one_byte_off_anywhere_is_found_and_named() {
        check(|_| {}, &[]);
        check(|e| e.invoiced = Some(99), &["used 100 but invoiced 99 (-1)"]);
        check(|e| e.used = Some(101), &["read 100 but used 101 (+1)", "used 101 but invoiced 100 (-1)"]);
        check(|e| e.libvirt = Bounds::exactly(101), &["read 100 but libvirt says 101 (-1)"]);
        check(|e| e.ordered = Some(Ordered::Exactly(98)), &["read 100 but ordered 98 (+2)"]);
        check(|e| e.ordered = Some(Ordered::AtLeast(101)), &["read 100, less than the payload ordered, 101"]);
        check(|e| e.ordered = Some(Ordered::AtLeast(100)), &[]);
    }

    #[test]
    fn what_is_absent_is_never_taken_for_zero() {
        check(|e| e.used = None, &["nothing was used"]);
        check(
            |e| (e.read, e.used, e.invoiced) = (None, None, None),
            &["nothing was read", "nothing was used", "nothing was invoiced"],
        );
    }

    #[test]
    fn bounds_include_both_ends() {
        for (lower, upper, right) in [(100, 200, true), (0, 100, true), (101, 200, false), (0, 99, false)] {
            let mut evidence = right_with(Bounds { lower, upper });
            assert_eq!(problems(&evidence).is_empty(), right, "{lower} to {upper}");
            evidence.ordered = None;
            assert_eq!(problems(&evidence).is_empty(), right, "{lower} to {upper}");
        }
    }

    fn right_with(libvirt: Bounds) -> Evidence {
        Evidence { libvirt, ..right() }
    }

    #[test]
    fn bounds_of_epochs_add_up() {
        let sum = Bounds::around(1000, 10).plus(Bounds::exactly(5)).plus(Bounds::around(3, 10));
        assert_eq!(sum, Bounds { lower: 995, upper: 1028 });
    }
}
