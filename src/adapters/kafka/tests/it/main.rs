//! The adapter against a real Kafka: the ports' contract, and what only Kafka can do to us.
//!
//! Tests share one broker, each under a topic prefix of its own, except `outage`, which kills its broker.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod contract;
mod foreign;
mod groups;
mod growth;
mod orphans;
mod outage;
mod raw_produce;
mod stage;
mod topics;
