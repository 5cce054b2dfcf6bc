//! What looks and samples cost on this node's libvirt: `cargo run -p collector --example look_cost [URI] [CALLS]`.

use collector::bench::{Asked, Cost, Rig, bare_bulk_call};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let uri = arguments.next().unwrap_or_else(|| "qemu:///system".to_owned());
    let calls: u32 = arguments.next().map_or(Ok(100), |text| text.parse())?;
    let show = |what: &str, cost: Cost| {
        let each = cost.calls.max(1);
        println!(
            "{what:<20} {} instances, {} calls: {:?} wall, {:?} CPU each",
            cost.instances,
            cost.calls,
            cost.wall / each,
            cost.cpu / each
        );
    };
    show("bare call", bare_bulk_call(&uri, calls)?);
    let mut rig = Rig::new(&uri)?;
    show("look at everything", rig.readings(Asked::Everything, calls)?);
    show("look at disks", rig.readings(Asked::Disks, calls)?);
    show("sample", rig.sample(calls));
    Ok(())
}
