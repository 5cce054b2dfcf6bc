//! Nodes to report on: growing, full, new, silent, hostile, and many.

use jiff::civil::date;
use jiff::{Timestamp, ToSpan};
use metering::NodeId;
use usage::capacity::{Figures, NodeCapacity, NodeDay};
use uuid::Uuid;

const GIB: u64 = 1_048_576;

/// When the reports are made.
pub fn now() -> Timestamp {
    "2026-11-21T09:30:00Z".parse().expect("an instant")
}

/// How a node's figures go: at first, and more each day, in hundredths of what there is.
pub struct Growth {
    pub vcpus: f64,
    pub memory: (f64, f64),
    pub storage: (f64, f64),
    pub cpu: (f64, f64),
}

/// A steadily growing node.
pub const STEADY: Growth =
    Growth { vcpus: 1.4, memory: (38.0, 0.9), storage: (30.0, 0.35), cpu: (22.0, 0.2) };

/// A node with complete days until yesterday, the last one of `days` being the twentieth of November.
pub fn node(
    name: &str,
    cpus: u32,
    memory_gib: u64,
    storage_gib: u64,
    days: i64,
    growth: &Growth,
) -> NodeCapacity {
    let mut seed = name.bytes().fold(7u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut wobble = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 40) as f64 / 16_777_216.0 - 0.5
    };
    let last = date(2026, 11, 20);
    let part = |whole: u64, percent: f64| (whole as f64 * percent / 100.0) as u64;
    let days: Vec<NodeDay> = (0..days)
        .map(|at| {
            let x = at as f64;
            let allocated = growth.memory.0 + growth.memory.1 * x + wobble() * 1.5;
            let storage = growth.storage.0 + growth.storage.1 * x;
            NodeDay {
                day: last - (days - 1 - at).days(),
                cpus,
                memory_total_kib: memory_gib * GIB,
                storage_total_kib: storage_gib * GIB,
                allocated_vcpus: f64::from(cpus) * growth.vcpus,
                allocated_memory_kib: part(memory_gib * GIB, allocated),
                allocated_storage_kib: part(storage_gib * GIB, storage + wobble()),
                used_cpu: f64::from(cpus) * (growth.cpu.0 + growth.cpu.1 * x + wobble() * 8.0) / 100.0,
                used_memory_kib: part(memory_gib * GIB, allocated * 0.7 + wobble() * 3.0),
                used_memory_kib_max: part(memory_gib * GIB, allocated * 0.8),
                used_storage_kib: part(storage_gib * GIB, storage * 0.45),
                observed: 0.999,
                is_complete: true,
            }
        })
        .collect();
    let now_figures = days.last().map_or_else(Figures::default, |day| Figures {
        allocated_vcpus: day.allocated_vcpus.trunc(),
        allocated_memory_kib: day.allocated_memory_kib,
        allocated_storage_kib: day.allocated_storage_kib,
        used_cpu: Some(day.used_cpu),
        used_memory_kib: Some(day.used_memory_kib),
        used_storage_kib: Some(day.used_storage_kib),
    });
    NodeCapacity {
        node_id: NodeId::from_uuid(Uuid::from_u128(u128::from(name.len() as u64) << 64 | 1)),
        name: name.to_owned(),
        last_observed_at: Some(now() - 20.seconds()),
        cpus,
        memory_total_kib: memory_gib * GIB,
        storage_total_kib: storage_gib * GIB,
        now: now_figures,
        days,
    }
}

/// A small house: a growing node with gaps, a crowded one, a new one, one that fell silent.
pub fn house() -> Vec<NodeCapacity> {
    let mut growing = node("rack1-a", 32, 256, 4_096, 41, &STEADY);
    growing.days.drain(17..20);
    growing.days.remove(9);
    let crowded = Growth { vcpus: 4.2, memory: (96.0, 0.55), storage: (91.0, 0.0), cpu: (61.0, 0.0) };
    let crowded = node("rack1-b", 16, 128, 2_048, 60, &crowded);
    let empty = Growth { vcpus: 0.1, memory: (2.0, 3.0), storage: (0.5, 0.1), cpu: (6.0, 1.0) };
    let new = node("rack2-a", 64, 512, 20_480, 3, &empty);
    let mut silent = node("rack0-old", 8, 64, 512, 50, &STEADY);
    for day in &mut silent.days {
        day.day -= 25.days();
    }
    silent.last_observed_at = Some(now() - 600.hours());
    vec![growing, crowded, new, silent]
}

/// Names that are markup, are endless, turn text around, or are nothing.
pub fn hostile() -> Vec<NodeCapacity> {
    let names = [
        "#panic(\"x\") *bold* _emph_ $x^2$ <b>x</b> &amp; \\ [a] @ref",
        "\u{202e}node\nline\tbreak\0",
        "",
        &"W".repeat(10_000),
    ];
    names.map(|name| node(name, 4, 16, 100, 12, &STEADY)).to_vec()
}

/// More nodes than a page has room for.
pub fn many() -> Vec<NodeCapacity> {
    (1..=24).map(|at| node(&format!("compute-{at:03}"), 64, 512, 8_192, 90, &STEADY)).collect()
}

/// A first look: one node, some minutes old.
pub fn newborn() -> Vec<NodeCapacity> {
    let mut newborn = node("localhost", 2, 8, 40, 0, &STEADY);
    newborn.now = Figures {
        allocated_vcpus: 3.0,
        allocated_memory_kib: GIB,
        allocated_storage_kib: 6 * GIB,
        used_cpu: Some(0.31),
        used_memory_kib: Some(3 * GIB),
        used_storage_kib: Some(2 * GIB),
    };
    vec![newborn]
}

/// A node whose use goes up and down a lot, so that its trends are uncertain.
pub fn restless() -> Vec<NodeCapacity> {
    let mut node = node("restless", 16, 64, 1_000, 21, &STEADY);
    for (at, day) in node.days.iter_mut().enumerate() {
        let swing = [0.0, 9.0, 4.0, 13.0, 2.0, 11.0, 6.0][at % 7];
        day.allocated_memory_kib += (swing * GIB as f64) as u64;
        day.used_memory_kib += (swing * 1.4 * GIB as f64) as u64;
        day.used_cpu += swing * 0.6;
    }
    vec![node]
}

/// All of them.
pub fn all() -> Vec<(&'static str, Vec<NodeCapacity>)> {
    vec![
        ("house", house()),
        ("hostile", hostile()),
        ("many", many()),
        ("newborn", newborn()),
        ("restless", restless()),
        ("single", vec![node("rack1-a", 32, 256, 4_096, 41, &STEADY)]),
        ("unread", vec![node("unread", 0, 0, 0, 0, &STEADY)]),
        ("none", Vec::new()),
    ]
}
