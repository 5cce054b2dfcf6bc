//! Writes sample invoices (crowded, tiny, hostile, empty, other currencies) as PDF, HTML and JSON into a directory,
//! to be looked at: `cargo run -p reports --example render_invoices -- /tmp/invoices`.

#[path = "../tests/support/documents.rs"]
mod documents;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::args().nth(1).ok_or("name a directory to write to")?;
    let out = Path::new(&out);
    fs::create_dir_all(out)?;
    for (name, document) in documents::all() {
        let start = Instant::now();
        let pdf = reports::invoice_pdf(&document)?;
        let elapsed = start.elapsed();
        println!("{name}: {} ms, {} bytes", elapsed.as_millis(), pdf.len());
        fs::write(out.join(format!("{name}.pdf")), pdf)?;
        fs::write(out.join(format!("{name}.html")), reports::invoice_html(&document)?)?;
        fs::write(out.join(format!("{name}.json")), reports::invoice_json(&document)?)?;
    }
    Ok(())
}
