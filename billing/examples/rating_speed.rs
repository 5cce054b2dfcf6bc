//! How fast rating is, beside a bare multiply-and-add of the same decimals in the same run, without building the whole
//! bench: `cargo run --release -p billing --example rating_speed`.

#[path = "../../bench/src/rating/work.rs"]
mod work;

use std::time::Duration;

fn main() {
    for instances in [1, 20] {
        let work = work::Work::new(instances);
        for _ in 0..3 {
            let round = work.round(Duration::from_millis(500));
            println!(
                "{instances} instances, {} lines: bare {:.1} ns a quantity, rated {:.1} ns, {:.1} %",
                work.lines(),
                round.bare_ns,
                round.rated_ns,
                round.bare_ns / round.rated_ns * 100.0,
            );
        }
    }
}
