//! The binary as its users run it: real processes, HTTP, the embedded log and a real Kafka.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod approvals;
mod bad_input;
mod browser;
mod crash;
mod delivery;
mod demo;
mod deploy;
mod docs_models;
#[cfg(feature = "kafka")]
mod duplicates;
mod effects;
mod embedded;
mod eval;
mod flood;
#[cfg(feature = "kafka")]
mod garbage;
#[cfg(feature = "kafka")]
mod kafka;
mod knowledge;
mod listener;
#[cfg(feature = "kafka")]
mod load;
mod loops;
mod matrix;
mod mcp;
mod metrics;
mod models;
mod old_folder;
mod openai;
mod openapi;
mod own_tools;
mod real_model;
mod recovery;
#[cfg(feature = "kafka")]
mod redrive;
mod secrets;
mod steering;
mod streaming;
mod supervisors;
mod tokens;
mod turns;
mod world;
