//! The stores under the contract suites, killed, locked, damaged and repaired.
#![allow(clippy::unwrap_used, clippy::expect_used)]
// A replay takes a list of ranges; one range is the usual list.
#![allow(clippy::single_range_in_vec_init)]

mod disk_full;
mod folder;
mod in_hand;
mod kill;
mod log;
mod repair;
mod snapshots;
mod speed;
mod start;
