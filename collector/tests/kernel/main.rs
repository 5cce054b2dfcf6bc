//! The kernel path on real guests: exact ends, agreement with libvirt, guests that are not asked, less privilege.

mod ends;
#[path = "../common/kernel_truth.rs"]
mod kernel_truth;
mod paths;
mod rest;
mod support;
