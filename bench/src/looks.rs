//! A look of the collector against the bare call of libvirt that it contains.

use anyhow::Result;
use collector::bench::{Cost, bare_bulk_call, look};
use testbed::daemons;
use testbed::guest::{Guest, GuestSpec};

use crate::report::{REPEATS, Report};

/// Guests, paused after their start: their own work must not disturb the figures. Each has a disk.
const GUESTS: [usize; 2] = [1, 10];
/// Looks of a repeat.
const CALLS: u32 = 50;
const URI: &str = "qemu:///system";

/// Measures it on guests of its own; others on this libvirt are counted in both.
///
/// # Errors
/// libvirt or QEMU cannot be run.
pub fn measure(report: &mut Report) -> Result<()> {
    let _daemons = daemons::ensure()?.stop_on_drop();
    let prefix = testbed::unique_name("weir-bench");
    let mut guests: Vec<Guest> = Vec::new();
    for count in GUESTS {
        while guests.len() < count {
            let guest = GuestSpec::new(&format!("{prefix}-{}", guests.len())).start()?;
            guest.suspend()?;
            guests.push(guest);
        }
        let (mut weir, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..REPEATS {
            bare.push(bare_bulk_call(URI, CALLS)?);
            weir.push(look(URI, CALLS)?);
        }
        let name = |what: &str| format!("{what}, {count} instance(s)");
        let limit = "the bare virConnectGetAllDomainStats";
        report.add(
            name("collector look, wall"),
            "us/instance",
            &each(&weir, wall),
            &each(&bare, wall),
            limit,
        );
        report.add(
            name("collector look, own CPU"),
            "us/instance",
            &each(&weir, cpu),
            &each(&bare, cpu),
            limit,
        );
    }
    Ok(())
}

fn each(costs: &[Cost], figure: fn(&Cost) -> f64) -> Vec<f64> {
    costs.iter().map(figure).collect()
}

fn wall(cost: &Cost) -> f64 {
    cost.wall.as_secs_f64() * 1e6 / looked_at(cost)
}

fn cpu(cost: &Cost) -> f64 {
    cost.cpu.as_secs_f64() * 1e6 / looked_at(cost)
}

fn looked_at(cost: &Cost) -> f64 {
    f64::from(cost.calls) * cost.instances.max(1) as f64
}
