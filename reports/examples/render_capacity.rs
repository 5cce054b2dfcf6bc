//! Writes sample capacity reports (a house, hostile names, many nodes, none) as PDF and JSON, and a page of charts,
//! into a directory, to be looked at: `cargo run -p reports --example render_capacity -- /tmp/capacity`.

#[path = "../tests/support/nodes.rs"]
mod nodes;

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Instant;

use reports::capacity::{CapacityView, capacity_pdf, view};
use reports::charts::{Bar, TrendChart, bars, trend};

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::args().nth(1).ok_or("name a directory to write to")?;
    let out = Path::new(&out);
    fs::create_dir_all(out)?;
    for (name, nodes) in nodes::all() {
        let start = Instant::now();
        let view = view(&nodes, nodes::now());
        let seen = start.elapsed();
        let pdf = capacity_pdf(&view)?;
        println!("{name}: view {seen:.1?}, PDF {:.1?}, {} bytes", start.elapsed() - seen, pdf.len());
        fs::write(out.join(format!("{name}.pdf")), pdf)?;
        fs::write(out.join(format!("{name}.json")), serde_json::to_string_pretty(&view)?)?;
        if name == "house" || name == "restless" {
            fs::write(out.join(format!("{name}-charts.html")), page(&view)?)?;
        }
    }
    Ok(())
}

/// Charts as wide as a phone, a card and a screen, with the variables that the portal has.
fn page(view: &CapacityView) -> Result<String, std::fmt::Error> {
    let mut charts = String::new();
    for node in &view.nodes {
        for of in node.cpu.forecasts.iter().chain(&node.memory.forecasts).chain(&node.storage.forecasts) {
            let chart = TrendChart {
                title: of.what,
                unit: of.unit.as_str(),
                points: &of.points,
                limit: Some(of.forecast.limit),
                forecast: Some(&of.forecast),
            };
            write!(charts, "<figure><figcaption>{}</figcaption>{}</figure>", of.what, trend(&chart))?;
        }
    }
    for days in [1, 2, 7, 30, 60] {
        let all: Vec<(String, Option<f64>)> = (0..days)
            .map(|at| {
                (format!("{} Oct", at % 31 + 1), (at % 11 != 5).then(|| f64::from(at * 37 % 23) * 11.5))
            })
            .collect();
        let all: Vec<Bar<'_>> =
            all.iter().map(|(label, value)| Bar { label, value: *value, tooltip: label }).collect();
        write!(
            charts,
            "<figure><figcaption>{days} days</figcaption>{}</figure>",
            bars("Memory by day", "GiB·h", &all)
        )?;
    }
    Ok(format!(
        "<!DOCTYPE html><meta name=viewport content=\"width=device-width\"><style>\
         :root{{--ground:#f7f8f8;--ink:#17212b;--quiet:#586673;--rule:#dde3e6;--accent:#0b6b75;--warn:#7a4b00;color-scheme:light dark}}\
         @media(prefers-color-scheme:dark){{:root{{--ground:#11171c;--ink:#e6edf0;--quiet:#9db0bb;--rule:#2c3a44;--accent:#5cc4cf;--warn:#f5cd83}}}}\
         body{{background:var(--ground);color:var(--ink);font:16px system-ui;margin:16px;display:grid;gap:16px;\
         grid-template-columns:repeat(auto-fit,minmax(300px,1fr))}}figure{{margin:0}}figure:last-child{{grid-column:1/-1}}</style>{charts}"
    ))
}
