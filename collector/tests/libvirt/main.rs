//! The collector on real libvirt and real guests.

mod apart;
mod killed;
mod migration;
mod own_libvirtd;
mod power;
mod real_guests;
mod resets;
mod resize;
mod support;
