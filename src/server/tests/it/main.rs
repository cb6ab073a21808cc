//! The binary as its users run it: real processes, HTTP, the embedded log and a real Kafka.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bad_input;
mod crash;
mod delivery;
mod deploy;
#[cfg(feature = "kafka")]
mod duplicates;
mod embedded;
#[cfg(feature = "kafka")]
mod garbage;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "kafka")]
mod load;
mod openapi;
mod supervisors;
mod world;
