//! Chains: a record that is produced again as soon as it is read, so many times over. The latency of a turn is told against
//! a chain of as many hops as the turn has.

use std::collections::HashMap;
use std::time::Instant;

use rdkafka::message::Message;

use super::{Pace, WAIT, consumer, failed, producer, send};
use crate::probe::ProbeError;

/// The first chains fetch metadata and open connections.
const WARM_UP: u64 = 50;

/// Moves `count` chains of `hops` hops, `in_flight` at a time, with records of `bytes` bytes over `topic`.
///
/// # Errors
/// When a record is not taken or does not arrive.
pub fn chains(
    brokers: &str,
    (topic, partitions): (&str, i32),
    hops: u32,
    in_flight: usize,
    count: usize,
    bytes: usize,
) -> Result<Pace, ProbeError> {
    let consumer = consumer(brokers, &[topic], partitions)?;
    let producer = producer(brokers)?;
    let all = WARM_UP + count as u64;
    let value = |chain: u64, hop: u32| {
        let mut value = vec![b'x'; bytes.max(12)];
        value[..8].copy_from_slice(&chain.to_le_bytes());
        value[8..12].copy_from_slice(&hop.to_le_bytes());
        value
    };
    let start = |chain: u64| {
        let partition = i32::try_from(chain % partitions.unsigned_abs() as u64).unwrap_or(0);
        send(&producer, topic, partition, &chain.to_le_bytes(), &value(chain, 1), &[])
    };
    let mut under_way: HashMap<u64, Instant> = HashMap::new();
    let mut took = Vec::with_capacity(count);
    let (mut next, mut began) = (0, Instant::now());
    while next < all.min(in_flight as u64) {
        under_way.insert(next, Instant::now());
        start(next)?;
        next += 1;
    }
    while !under_way.is_empty() {
        let Some(message) = consumer.poll(WAIT) else {
            return Err(ProbeError::TooFew { got: took.len(), wanted: count, waited: WAIT });
        };
        let message = message.map_err(failed("consuming"))?;
        let payload = message.payload().unwrap_or_default();
        let (Some(chain), Some(hop)) = (payload.first_chunk::<8>(), payload.get(8..12)) else { continue };
        let chain = u64::from_le_bytes(*chain);
        let hop = u32::from_le_bytes([hop[0], hop[1], hop[2], hop[3]]);
        if hop < hops {
            send(&producer, topic, message.partition(), &chain.to_le_bytes(), &value(chain, hop + 1), &[])?;
            continue;
        }
        let Some(started) = under_way.remove(&chain) else { continue };
        if chain >= WARM_UP {
            took.push(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
        if next == WARM_UP {
            began = Instant::now();
        }
        if next < all {
            under_way.insert(next, Instant::now());
            start(next)?;
            next += 1;
        }
    }
    Ok(Pace::of(in_flight, took, began.elapsed()))
}
