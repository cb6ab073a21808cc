//! A client that is not Callboard and produces every record of the demo's topics a second time, as it is.

use std::time::Duration;

use callboard_kafka::probe::{Probe, Raw};
use callboard_ports::Topic;

use crate::cli::Failure;

/// As declared in `topics.toml` for a fresh broker.
const PARTITIONS: i32 = 8;
/// The records are there; reading them takes milliseconds.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// Repeats all records of all topics but the dead letters; how many there were.
///
/// # Errors
/// What Kafka says.
pub fn repeat_everything(bootstrap: &str, prefix: &str) -> Result<usize, Failure> {
    let probe = Probe::new(bootstrap).map_err(Failure::job)?;
    let mut repeated = 0;
    for topic in Topic::ALL.into_iter().filter(|topic| *topic != Topic::DeadLetterQueue) {
        let name = format!("{prefix}{topic}");
        for partition in 0..PARTITIONS {
            let (start, end) = probe.watermarks(&name, partition).map_err(Failure::job)?;
            let count = usize::try_from(end - start).unwrap_or(0);
            if count == 0 {
                continue;
            }
            let records = probe.consume(&name, partition, start, count, READ_WITHIN).map_err(Failure::job)?;
            for record in &records {
                let headers: Vec<(&str, &[u8])> =
                    record.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
                let again = Raw {
                    partition: Some(record.partition),
                    key: record.key.as_deref(),
                    value: record.value.as_deref(),
                    headers: &headers,
                };
                probe.produce(&name, again).map_err(Failure::job)?;
                repeated += 1;
            }
        }
    }
    Ok(repeated)
}
