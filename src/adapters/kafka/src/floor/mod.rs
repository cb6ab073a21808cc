//! The floor: what the records themselves cost through plain rdkafka on the same broker, with no logic between them. Every speed
//! of Callboard is told as a ratio against one of these figures of the same run.
//!
//! `chain` passes one record on and on, `rates` produces and consumes as fast as it goes, `turn` moves a turn's records
//! along the way that they take in Callboard, with as many readers. [`crate::probe`] has the single acknowledgement and hop.
//!
//! Everything here blocks.

mod chain;
mod rates;
mod turn;

use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};
use serde::Serialize;

use crate::probe::ProbeError;

pub use chain::chains;
pub use rates::{Rates, rates};
pub use turn::{Shape, Slot, TurnRecord, turns};

/// Longer than any single wait on a loaded machine.
const WAIT: Duration = Duration::from_secs(60);

/// What came of moving things `count` times with so many under way at once; times in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Pace {
    pub in_flight: usize,
    pub count: usize,
    pub per_second: f64,
    pub p50_us: u64,
    pub p90_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
}

impl Pace {
    fn of(in_flight: usize, mut took_us: Vec<u64>, whole: Duration) -> Self {
        took_us.sort_unstable();
        let at = |share: usize| {
            let index = (took_us.len() * share / 100).min(took_us.len().saturating_sub(1));
            took_us.get(index).copied().unwrap_or_default()
        };
        Self {
            in_flight,
            count: took_us.len(),
            per_second: took_us.len() as f64 / whole.as_secs_f64().max(1e-9),
            p50_us: at(50),
            p90_us: at(90),
            p99_us: at(99),
            max_us: at(100),
        }
    }
}

fn failed(what: &'static str) -> impl Fn(KafkaError) -> ProbeError {
    move |error| ProbeError::Kafka { what, why: crate::error::sentence(&error) }
}

type Raw = ThreadedProducer<DefaultProducerContext>;

/// A producer set as Callboard's own.
fn producer(brokers: &str) -> Result<Raw, ProbeError> {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("client.id", "callboard-floor")
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "0")
        .set("socket.nagle.disable", "true")
        .set("message.max.bytes", "2097152")
        .create()
        .map_err(failed("a producer"))
}

/// A consumer set as Callboard's own, at the end of every partition of `topics`.
fn consumer(brokers: &str, topics: &[&str], partitions: i32) -> Result<BaseConsumer, ProbeError> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("client.id", "callboard-floor")
        // Manual assignment needs one; nothing is ever committed to it.
        .set("group.id", "callboard-floor")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("fetch.queue.backoff.ms", "10")
        .set("fetch.wait.max.ms", "100")
        .set("queued.max.messages.kbytes", "16384")
        .set("socket.nagle.disable", "true")
        .create()
        .map_err(failed("a consumer"))?;
    let mut list = TopicPartitionList::new();
    for topic in topics {
        for partition in 0..partitions {
            let end = end_of(&consumer, topic, partition)?;
            list.add_partition_offset(topic, partition, Offset::Offset(end)).map_err(failed("an offset"))?;
        }
    }
    consumer.assign(&list).map_err(failed("assigning"))?;
    Ok(consumer)
}

/// The end of a partition; one that was just created has no leader yet, which is waited for.
fn end_of(consumer: &BaseConsumer, topic: &str, partition: i32) -> Result<i64, ProbeError> {
    let began = Instant::now();
    loop {
        match consumer.fetch_watermarks(topic, partition, WAIT) {
            Ok((_, end)) => return Ok(end),
            Err(error) if began.elapsed() > WAIT => return Err(failed("watermarks")(error)),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Enqueues a record; a full queue is waited out.
fn send(
    producer: &Raw,
    topic: &str,
    partition: i32,
    key: &[u8],
    value: &[u8],
    headers: &[(String, Vec<u8>)],
) -> Result<(), ProbeError> {
    let mut message = BaseRecord::to(topic).partition(partition).key(key).payload(value);
    if !headers.is_empty() {
        let start = OwnedHeaders::new_with_capacity(headers.len());
        message = message.headers(
            headers.iter().fold(start, |all, (key, value)| all.insert(Header { key, value: Some(value) })),
        );
    }
    let began = Instant::now();
    loop {
        match producer.send(message) {
            Ok(()) => return Ok(()),
            Err((error, back))
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull)
                    && began.elapsed() < WAIT =>
            {
                message = back;
                std::thread::sleep(Duration::from_millis(1));
            }
            Err((error, _)) => return Err(failed("producing")(error)),
        }
    }
}

fn flush(producer: &Raw) -> Result<(), ProbeError> {
    producer.flush(WAIT).map_err(failed("flushing"))
}
