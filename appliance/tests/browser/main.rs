//! The portal as people use it: a real browser on a real `weir up` over a small cloud, as tenant, provider and planner, wide
//! and narrow, light and dark, with the mouse and with the keyboard alone.

#[path = "../cloud/mod.rs"]
mod cloud;
mod looks;
mod operators;
#[path = "../running/mod.rs"]
mod running;
mod tenant;
mod visitor;
