//! What Callboard is proved against: a real Kafka, stub services and processes that can be killed.
//!
//! A leaf of the workspace: it depends on no other Callboard crate and on no Kafka client, so that tests,
//! bench and demo of every crate can use it. Neighbours below: [`kafka`] starts brokers from the published
//! jars, [`real_model`] runs a small language model, [`clients`] has the official OpenAI clients, [`python`] runs Python with
//! packages, [`stubs`] serves the HTTP services that tools and models call,
//! [`process`] runs a binary and signals it by process id, [`ports`] and [`wait`] are what they all need.
//!
//! Everything that is started here ends with the value that stands for it, and with the process that started
//! it, even when that process is ended by SIGKILL. Unix only: it speaks in signals.

pub mod cache;
pub mod clients;
pub mod kafka;
pub mod mcp;
pub mod ports;
pub mod process;
pub mod python;
pub mod real_model;
pub mod stubs;
pub mod wait;

use std::hash::{BuildHasher, RandomState};
use std::io::Write;

/// A name that no other test, process or run uses: `PREFIX-` and twelve hexadecimal digits.
pub fn unique_name(prefix: &str) -> String {
    format!("{prefix}-{:012x}", random_bits() >> 16)
}

/// Says something to the person who reads the test's output. Past libtest's capture on purpose: that a test
/// ran against a real broker, or was skipped, has to be seen when it passes too.
pub(crate) fn announce(line: &str) {
    let mut stderr = std::io::stderr().lock();
    // Nobody reads a closed stderr, so there is nobody to tell either.
    let _ = writeln!(stderr, "{line}");
}

/// 64 bits that differ from call to call and from process to process; the standard library seeds them.
pub(crate) fn random_bits() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
