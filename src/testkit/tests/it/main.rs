//! The testkit, tested by itself: what other crates' tests rely on has to hold first.
//!
//! One file per neighbour: [`kafka`] with a real broker, [`real_model`] with a real language model, [`process`] and [`stubs`] without.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod kafka;
mod process;
mod real_model;
mod stubs;

/// Whether a process runs; one that has ended and waits to be reaped does not. Without /proc it says no.
fn runs(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}
