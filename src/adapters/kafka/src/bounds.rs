//! Where a partition begins and ends.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// The first offset that is there and the next one to be written.
///
/// A broker that has just started may tell of fewer partitions than there are, and librdkafka believes it until it asks by itself
/// again: where a partition is unknown, it asks now.
pub(crate) fn bounds<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: u32,
    longest: Duration,
) -> Result<(u64, u64), KafkaError> {
    let number = i32::try_from(partition).unwrap_or(i32::MAX);
    let ask = || consumer.fetch_watermarks(topic, number, longest);
    let (low, high) = match ask() {
        Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownPartition) => {
            consumer.fetch_metadata(Some(topic), longest)?;
            ask()?
        }
        answer => answer?,
    };
    Ok((u64::try_from(low).unwrap_or(0), u64::try_from(high).unwrap_or(0)))
}
