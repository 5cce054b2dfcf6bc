//! What is left of each line's amount after what was taken off, in coins: what the next discount sees. Whatever takes
//! something off takes it from lines in proportion to what is left of them.

use super::lines::{About, Lines};
use super::quantity;
use super::sheet::Sheet;
use crate::tax::TaxRate;

/// Coins left of each line, by the line's number.
pub(super) struct Left(Vec<i128>);

/// Lines with one tax of which something is left.
pub(super) struct Group<'a> {
    pub(super) tax: &'a TaxRate,
    /// What is left of them together; more than nothing.
    pub(super) sum: i128,
    numbers: Vec<usize>,
}

impl Left {
    /// At first, a line's amount. What a maximum took off a card or fee is taken off its other lines.
    pub(super) fn of<'a>(sheet: &Sheet<'a>, lines: &Lines<'a>) -> Option<Self> {
        let mut left = Self(lines.dues().map(|(_, coins)| coins).collect());
        for (number, line) in lines.about(sheet).enumerate().filter(|(_, line)| line.coins < 0) {
            let is_of =
                |other: &About<'_>| other.segment == line.segment && other.belongs_to == line.belongs_to;
            let own = lines.about(sheet).enumerate().filter(|(_, other)| is_of(other));
            let own: Vec<usize> = own.map(|(number, _)| number).filter(|n| 0 < left.0[*n]).collect();
            let sum: i128 = own.iter().map(|number| left.0[*number]).sum();
            let off = sum.min(-left.0[number]);
            left.take_from(&own, off)?;
            left.0[number] += off;
        }
        Some(left)
    }

    /// The lines that are wanted, by their tax, in the order in which taxes first come.
    pub(super) fn groups<'a>(
        &self,
        sheet: &Sheet<'a>,
        lines: &Lines<'a>,
        is_wanted: impl Fn(&About<'a>) -> bool,
    ) -> Vec<Group<'a>> {
        let mut groups = Vec::<Group<'a>>::new();
        for (number, line) in lines.about(sheet).enumerate().filter(|(_, line)| is_wanted(line)) {
            // Whoever is not taxed has one tax, and prices that contain several.
            let same = |group: &&mut Group<'a>| {
                same_tax(group.tax, line.tax) && group.tax.in_prices == line.tax.in_prices
            };
            match groups.iter_mut().find(same) {
                Some(group) => {
                    group.numbers.push(number);
                    group.sum += self.0[number];
                }
                None => groups.push(Group { tax: line.tax, sum: self.0[number], numbers: vec![number] }),
            }
        }
        groups.retain(|group| 0 < group.sum);
        groups
    }

    /// What is left of a segment.
    pub(super) fn sum<'a>(&self, sheet: &Sheet<'a>, lines: &Lines<'a>, segment: usize) -> i128 {
        let own = lines.about(sheet).zip(&self.0).filter(|(line, _)| line.segment == segment);
        own.map(|(_, left)| left).sum()
    }

    /// Takes `off` from the lines of a group. `None`: too many digits.
    pub(super) fn take(&mut self, group: &Group<'_>, off: i128) -> Option<()> {
        self.take_from(&group.numbers, off)
    }

    /// One more line, of which so much is left.
    pub(super) fn add(&mut self, left: i128) {
        self.0.push(left);
    }

    fn take_from(&mut self, numbers: &[usize], off: i128) -> Option<()> {
        let weights: Vec<i128> = numbers.iter().map(|number| self.0[*number]).collect();
        let parts = quantity::spread(off, &weights)?;
        numbers.iter().zip(parts).for_each(|(number, part)| self.0[*number] -= part);
        Some(())
    }
}

/// Taxes are one if code and rate are (EN 16931, BG-23).
pub(super) fn same_tax(a: &TaxRate, b: &TaxRate) -> bool {
    std::ptr::eq(a, b) || (a.code == b.code && a.rate == b.rate)
}
