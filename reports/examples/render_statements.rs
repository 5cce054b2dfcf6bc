//! Writes sample statements of account (empty, small, crowded, several currencies, hostile) as PDF into a directory, to be
//! looked at: `cargo run -p reports --example render_statements -- /tmp/statements`.

#[path = "../tests/support/statements.rs"]
mod statements;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::args().nth(1).ok_or("name a directory to write to")?;
    let out = Path::new(&out);
    fs::create_dir_all(out)?;
    for (name, document) in statements::all() {
        let start = Instant::now();
        let pdf = reports::statement_pdf(&document)?;
        println!("{name}: {} ms, {} bytes", start.elapsed().as_millis(), pdf.len());
        fs::write(out.join(format!("{name}.pdf")), pdf)?;
    }
    Ok(())
}
