//! The stores under the contract suites, killed, locked, damaged and repaired.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod folder;
mod kill;
mod log;
mod repair;
mod snapshots;
mod speed;
