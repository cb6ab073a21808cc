//! Rates: records produced and consumed as fast as one client does it.

use std::time::Instant;

use rdkafka::consumer::Consumer;
use rdkafka::{Offset, TopicPartitionList};
use serde::Serialize;

use super::{WAIT, consumer, end_of, failed, flush, producer, send};
use crate::probe::ProbeError;

/// Records per second, one client each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Rates {
    pub records: usize,
    pub bytes: usize,
    pub produced_per_second: f64,
    pub consumed_per_second: f64,
}

/// Produces `count` records of `bytes` bytes, all acknowledged, and consumes them.
///
/// # Errors
/// When a record is not taken or does not arrive.
pub fn rates(
    brokers: &str,
    (topic, partitions): (&str, i32),
    count: usize,
    bytes: usize,
) -> Result<Rates, ProbeError> {
    let reader = consumer(brokers, &[topic], partitions)?;
    let from: Vec<i64> = (0..partitions).map(|p| end_of(&reader, topic, p)).collect::<Result<_, _>>()?;
    reader.unassign().map_err(failed("unassigning"))?;
    let producer = producer(brokers)?;
    let value = vec![b'x'; bytes];
    let began = Instant::now();
    for index in 0..count {
        let partition = i32::try_from(index % partitions.unsigned_abs() as usize).unwrap_or(0);
        send(&producer, topic, partition, &index.to_le_bytes(), &value, &[])?;
    }
    flush(&producer)?;
    let produced = began.elapsed();
    let mut list = TopicPartitionList::new();
    for (partition, offset) in (0..).zip(from) {
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).map_err(failed("an offset"))?;
    }
    let began = Instant::now();
    reader.assign(&list).map_err(failed("assigning"))?;
    for got in 0..count {
        match reader.poll(WAIT) {
            Some(message) => drop(message.map_err(failed("consuming"))?),
            None => return Err(ProbeError::TooFew { got, wanted: count, waited: WAIT }),
        }
    }
    let consumed = began.elapsed();
    let per_second = |took: std::time::Duration| count as f64 / took.as_secs_f64().max(1e-9);
    Ok(Rates {
        records: count,
        bytes,
        produced_per_second: per_second(produced),
        consumed_per_second: per_second(consumed),
    })
}
