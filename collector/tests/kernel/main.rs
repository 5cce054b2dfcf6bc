//! The kernel path on real guests: exact ends, agreement with libvirt, guests that are not asked, less privilege.

mod ends;
mod paths;
mod rest;
mod support;
