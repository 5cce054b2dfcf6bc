//! The collector on real libvirt and real guests.

mod apart;
#[path = "../common/kernel_truth.rs"]
mod kernel_truth;
mod killed;
mod migration;
mod migration_devices;
mod own_libvirtd;
mod power;
mod real_guests;
mod resets;
mod resize;
mod support;
