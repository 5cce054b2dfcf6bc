//! The report as tables for people.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table};

use super::judge::{Bounds, Ordered};
use super::report::{MeterReport, Report};

/// Every guest and meter.
pub(super) fn figures(report: &Report) -> Table {
    let mut table = empty(&["guest", "meter", "unit", "ordered", "libvirt", "read", "used", "invoiced", ""]);
    for guest in &report.guests {
        for (index, meter) in guest.meters.iter().enumerate() {
            let who = match index {
                0 => guest.name.clone(),
                1 => format!("  of {}", guest.tenant),
                2 if guest.epochs > 1 => format!("  {} epochs", guest.epochs),
                _ => String::new(),
            };
            table.add_row(row(who, meter));
        }
    }
    align_right(&mut table, 3..=7);
    table
}

/// Every invoice.
pub(super) fn invoices(report: &Report) -> Table {
    let mut table = empty(&["invoice", "tenant", "lines", "subtotal", "tax", "total", "currency", ""]);
    for invoice in &report.invoices {
        table.add_row([
            Cell::new(&invoice.number),
            Cell::new(&invoice.tenant),
            Cell::new(invoice.lines),
            Cell::new(&invoice.subtotal),
            Cell::new(&invoice.tax),
            Cell::new(&invoice.total).add_attribute(Attribute::Bold),
            Cell::new(&invoice.currency),
            verdict(invoice.right),
        ]);
    }
    align_right(&mut table, 2..=5);
    table
}

fn empty(heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heads.iter().map(|head| Cell::new(head).add_attribute(Attribute::Bold)));
    table
}

fn align_right(table: &mut Table, columns: std::ops::RangeInclusive<usize>) {
    for index in columns {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn row(who: String, meter: &MeterReport) -> [Cell; 9] {
    let ordered = match meter.ordered {
        Some(Ordered::Exactly(quantity)) => grouped(quantity),
        Some(Ordered::AtLeast(quantity)) => format!("≥ {}", grouped(quantity)),
        None => String::new(),
    };
    let quantity = |quantity: Option<u64>| Cell::new(quantity.map_or_else(|| "absent".to_owned(), grouped));
    [
        Cell::new(who),
        Cell::new(meter.meter),
        Cell::new(meter.unit),
        Cell::new(ordered),
        Cell::new(bounds(meter.libvirt)),
        quantity(meter.read),
        quantity(meter.used),
        quantity(meter.invoiced),
        verdict(meter.right),
    ]
}

fn verdict(right: bool) -> Cell {
    if right { Cell::new("✓").fg(Color::Green) } else { Cell::new("✗ off").fg(Color::Red) }
}

/// One figure, or the middle of its bounds and how far they are away.
fn bounds(bounds: Bounds) -> String {
    if bounds.lower == bounds.upper {
        return grouped(bounds.lower);
    }
    let half = (bounds.upper - bounds.lower).div_ceil(2);
    format!("{} ± {}", grouped(bounds.lower + half), grouped(half))
}

/// `1234567` as `1,234,567`.
fn grouped(quantity: u64) -> String {
    let digits = quantity.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_three() {
        for (quantity, text) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (33_554_432, "33,554,432"), (123_456, "123,456")]
        {
            assert_eq!(grouped(quantity), text);
        }
    }

    #[test]
    fn bounds_are_shown_as_a_middle_that_covers_both_ends() {
        assert_eq!(bounds(Bounds::exactly(1000)), "1,000");
        assert_eq!(bounds(Bounds { lower: 1000, upper: 3000 }), "2,000 ± 1,000");
        assert_eq!(bounds(Bounds { lower: 0, upper: 3 }), "2 ± 2");
    }
}
