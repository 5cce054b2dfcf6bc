//! Figures with the limits that they are compared to: tables for people, JSON for programs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::pages::Pages;

/// How often each thing is measured, in turn with its limit; the median counts. Three are enough to see noise.
pub const REPEATS: usize = 3;

/// Everything measured.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    figures: Vec<Figure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pages: Option<Pages>,
}

/// One measurement beside its limit.
#[derive(Debug, Serialize)]
struct Figure {
    name: String,
    unit: &'static str,
    weir: Spread,
    limit: Spread,
    limit_is: &'static str,
    /// Weir's median by the limit's.
    ratio: f64,
}

/// Minimum, median and maximum.
#[derive(Clone, Copy, Debug, Serialize)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Report {
    /// Adds a measurement: repeated figures of Weir and of the limit, in the same unit.
    pub fn add(
        &mut self,
        name: String,
        unit: &'static str,
        weir: &[f64],
        limit: &[f64],
        limit_is: &'static str,
    ) {
        let (weir, limit) = (Spread::of(weir), Spread::of(limit));
        let ratio = weir.median / limit.median;
        eprintln!("  {name}: {:.1} {unit}, {ratio:.2} x {limit_is}", weir.median);
        self.figures.push(Figure { name, unit, weir, limit, limit_is, ratio });
    }

    /// Adds the pages.
    pub fn add_pages(&mut self, pages: Pages) {
        self.pages = Some(pages);
    }

    /// Writes `bench.json` into `folder`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
        let path = folder.join("bench.json");
        let text = serde_json::to_string_pretty(self)?;
        fs::write(&path, text + "\n").with_context(|| format!("failed to write {}", path.display()))
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut tables = Vec::new();
        if !self.figures.is_empty() {
            tables.push(self.figures_table());
        }
        tables.extend(self.pages.as_ref().map(Pages::table));
        tables.join("\n")
    }

    fn figures_table(&self) -> String {
        let rows = self.figures.iter().map(|figure| {
            vec![
                figure.name.clone(),
                figure.unit.to_owned(),
                format!("{:.1} / {:.1} / {:.1}", figure.weir.min, figure.weir.median, figure.weir.max),
                format!("{:.1}", figure.limit.median),
                format!("{:.2}", figure.ratio),
                figure.limit_is.to_owned(),
            ]
        });
        let header = ["MEASURED", "UNIT", "WEIR (MIN / MEDIAN / MAX)", "LIMIT", "RATIO", "THE LIMIT IS"];
        table(&header, rows, 2..5)
    }
}

/// A table whose columns `figures` are set to the right.
pub fn table(
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
    figures: std::ops::Range<usize>,
) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(header.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    for position in figures {
        if let Some(column) = table.column_mut(position) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

impl Spread {
    fn of(figures: &[f64]) -> Self {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |n: usize| sorted.get(n).copied().unwrap_or(f64::NAN);
        Self { min: at(0), median: at(sorted.len() / 2), max: at(sorted.len().saturating_sub(1)) }
    }
}
