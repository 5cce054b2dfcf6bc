//! The collector on real libvirt and real guests.

mod own_libvirtd;
mod real_guests;
mod support;
