//! How fast rating is, beside a bare multiply-and-add of the same decimals in the same run, without building the whole
//! bench: `cargo run --release -p billing --example rating_speed`.

#[path = "../../bench/src/rating/work.rs"]
mod work;

use std::time::Duration;

const ROUNDS: u32 = 800;
const LENGTH: Duration = Duration::from_millis(1);

fn main() {
    for instances in [1, 20] {
        let work = work::Work::new(instances);
        let mut best = [f64::INFINITY; 5];
        // Short and many, in turn: the best of each is what this machine does when it is left alone.
        for _ in 0..ROUNDS {
            let round = work.round(LENGTH);
            let work::Round { bare_ns, walked_ns, added_ns, priced_ns, rated_ns } = round;
            for (best, ns) in best.iter_mut().zip([bare_ns, walked_ns, added_ns, priced_ns, rated_ns]) {
                *best = best.min(ns);
            }
        }
        let [bare, walked, added, priced, rated] = best;
        println!(
            "{instances} instances, {} lines; for each quantity and its four lines, best of {ROUNDS}: bare {bare:.0} ns, with the \
             tiers walked {walked:.0} ns, with the records added up {added:.0} ns; priced {priced:.0} ns ({:.0} % of the bare speed, \
             {:.0} % of the walked), rated as a whole {rated:.0} ns ({:.1} % of the bare speed, {:.1} % of the walked, {:.1} % with the \
             records added up)",
            work.lines(),
            bare / priced * 100.0,
            walked / priced * 100.0,
            bare / rated * 100.0,
            walked / rated * 100.0,
            added / rated * 100.0,
        );
    }
}
