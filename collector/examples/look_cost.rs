//! What a look costs against the bare bulk call: `cargo run -p collector --example look_cost [URI] [CALLS]`.

use collector::bench::{Cost, bare_bulk_call, look};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let uri = arguments.next().unwrap_or_else(|| "qemu:///system".to_owned());
    let calls: u32 = arguments.next().map_or(Ok(100), |text| text.parse())?;
    let show = |what: &str, cost: Cost| {
        let each = cost.calls.max(1);
        println!(
            "{what:<9} {} instances, {} calls: {:?} wall, {:?} CPU each",
            cost.instances,
            cost.calls,
            cost.wall / each,
            cost.cpu / each
        );
    };
    show("bare call", bare_bulk_call(&uri, calls)?);
    show("look", look(&uri, calls)?);
    Ok(())
}
