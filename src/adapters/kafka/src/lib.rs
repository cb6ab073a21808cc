//! The Kafka adapter: `Log`, `Inbox` and `TopicAdmin` of `callboard_ports` on librdkafka.
//!
//! [`KafkaLog`] is all that the server sees; [`KafkaConfig`] says where and as whom it connects. Inside, one file is
//! one thread or one idea: [`append`](KafkaLog) is `producer`, live reading is `tail`, catching up is `replay`, groups
//! are `inbox`, topics are `admin`. Every consumer is a `BaseConsumer` on an OS thread of its own that sleeps on a
//! [`bell`] which librdkafka and the callers ring, so nothing here needs an async runtime except to await results.
//! [`probe`] speaks plain Kafka, for tests and benches; [`floor`] measures it.

mod admin;
mod bell;
mod bounds;
mod config;
mod context;
mod desk;
mod error;
pub mod floor;
mod heartbeat;
mod inbox;
mod kafka_log;
mod lanes;
mod names;
mod open_batches;
pub mod probe;
mod producer;
mod reach;
mod read;
mod replay;
mod tail;
mod under_way;
mod wire;

pub use config::{GroupProtocol, KafkaConfig, all_loopback};
pub use error::ConnectError;
pub use heartbeat::Heartbeat;
pub use kafka_log::KafkaLog;
pub use reach::Status;
