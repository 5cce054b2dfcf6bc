//! Compute on a real libvirt, with real guests.

mod common;
mod images_and_daemons;
mod instances;
mod throttling;
