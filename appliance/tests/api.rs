//! The API of a running Weir, as programs and those who attack them use it. libvirt's test driver stands in for the
//! hypervisor; real guests are the demo's business.

#[path = "api/bad_input.rs"]
mod bad_input;
#[path = "api/books.rs"]
mod books;
#[path = "api/changes.rs"]
mod changes;
#[path = "api/client.rs"]
mod client;
#[path = "api/document.rs"]
mod document;
#[path = "api/dunning.rs"]
mod dunning;
#[path = "api/fuzz.rs"]
mod fuzz;
#[path = "api/limits_and_hooks.rs"]
mod limits_and_hooks;
#[path = "api/prices.rs"]
mod prices;
#[path = "api/seed.rs"]
mod seed;
#[path = "api/walls.rs"]
mod walls;
#[path = "api/why.rs"]
mod why;

mod running;
