//! One drain of a consumer: whatever is there, up to a bound, by partition. Shared by `tail`, `inbox` and `replay`.

use std::time::Duration;

use callboard_ports::log::Batch;
use callboard_ports::{Record, Topic};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;

use crate::context::HasEvents;
use crate::wire::record;

/// A batch is one message to an arbiter: large enough to amortise it, small enough not to hold it up.
pub(crate) const MAX_RECORDS: usize = 512;
pub(crate) const MAX_BYTES: usize = 256 * 1024;

/// What one drain brought.
#[derive(Debug, Default)]
pub(crate) struct Drained {
    /// By partition, in order of first arrival.
    pub(crate) parts: Vec<(u32, Vec<Record>)>,
    pub(crate) errors: Vec<KafkaError>,
    pub(crate) records: usize,
    bytes: usize,
}

impl Drained {
    fn push(&mut self, record: Record) {
        self.records += 1;
        self.bytes += record.size_bytes();
        match self.parts.iter_mut().find(|(partition, _)| *partition == record.partition) {
            Some((_, records)) => records.push(record),
            None => self.parts.push((record.partition, vec![record])),
        }
    }

    fn is_full(&self) -> bool {
        self.records >= MAX_RECORDS || self.bytes >= MAX_BYTES
    }
}

/// Takes everything that is there, up to the bounds, without waiting. Callbacks are served on the way.
pub(crate) fn drain<C>(consumer: &BaseConsumer<C>, topic: Topic) -> Drained
where
    C: ConsumerContext + HasEvents,
{
    /// Errors of one drain: the rest comes with the next.
    const MAX_ERRORS: usize = 64;
    let mut drained = Drained::default();
    while !drained.is_full() && drained.errors.len() < MAX_ERRORS {
        let served = consumer.context().events().served();
        match consumer.poll(Duration::ZERO) {
            Some(Ok(message)) => drained.push(record(topic, &message)),
            Some(Err(error)) => drained.errors.push(error),
            // Nothing, unless a callback was served instead: then there may be more behind it.
            None if consumer.context().events().served() == served => break,
            None => {}
        }
    }
    drained
}

/// Serves all callbacks of a client that reads nothing.
pub(crate) fn serve_callbacks<C>(consumer: &BaseConsumer<C>)
where
    C: ConsumerContext + HasEvents,
{
    loop {
        let served = consumer.context().events().served();
        if consumer.poll(Duration::ZERO).is_none() && consumer.context().events().served() == served {
            return;
        }
    }
}

/// Records as a batch of the port; `records` are of one partition and not empty.
pub(crate) fn batch(topic: Topic, partition: u32, records: Vec<Record>) -> Batch {
    Batch { topic, partition, records: records.into() }
}

/// Bytes of records together.
pub(crate) fn bytes_of(records: &[Record]) -> usize {
    records.iter().map(Record::size_bytes).sum()
}
