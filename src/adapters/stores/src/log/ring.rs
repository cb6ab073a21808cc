//! The newest records, kept in memory for readers that are close to the end: most of them, most of the time.

use std::collections::VecDeque;

use callboard_ports::Record;
use callboard_ports::local::{MAX_BATCH_BYTES, MAX_BATCH_RECORDS};

/// What a record costs beside its bytes: its fields and its place in two queues.
const OVERHEAD_BYTES: usize = 200;

/// The newest records of every partition, together no more than so many bytes.
pub(super) struct Ring {
    partitions: Vec<VecDeque<Record>>,
    /// Partitions in the order of their records' arrival: the front is the next to go.
    arrivals: VecDeque<u32>,
    bytes: usize,
    max_bytes: usize,
}

impl Ring {
    pub(super) fn new(partitions: usize, max_bytes: usize) -> Self {
        let partitions = (0..partitions).map(|_| VecDeque::new()).collect();
        Self { partitions, arrivals: VecDeque::new(), bytes: 0, max_bytes }
    }

    /// Adds the next record of the partition at `slot`.
    pub(super) fn push(&mut self, slot: usize, record: Record) {
        self.bytes += cost(&record);
        self.partitions[slot].push_back(record);
        self.arrivals.push_back(slot as u32);
        while self.bytes > self.max_bytes {
            let Some(oldest) = self.arrivals.pop_front() else { break };
            if let Some(gone) = self.partitions[oldest as usize].pop_front() {
                self.bytes -= cost(&gone);
            }
        }
    }

    /// A batch from `from` on and below `before`; `None` when the ring does not reach back that far.
    pub(super) fn read(&self, slot: usize, from: u64, before: u64) -> Option<Vec<Record>> {
        let held = &self.partitions[slot];
        let first = held.front()?.offset;
        let skip = usize::try_from(from.checked_sub(first)?).ok()?;
        if skip >= held.len() {
            return None;
        }
        let mut bytes = 0;
        let wanted = held.range(skip..).take(MAX_BATCH_RECORDS).take_while(|record| {
            let fits = bytes == 0 || bytes + record.size_bytes() <= MAX_BATCH_BYTES;
            bytes += record.size_bytes().max(1);
            fits && record.offset < before
        });
        Some(wanted.cloned().collect())
    }
}

fn cost(record: &Record) -> usize {
    record.size_bytes() + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::Ring;
    use bytes::Bytes;
    use callboard_ports::{Headers, Record, Topic};

    fn record(partition: u32, offset: u64) -> Record {
        let (key, value) = (Bytes::new(), Bytes::from(vec![0; 800]));
        let topic = Topic::UserCommands;
        Record { topic, partition, offset, timestamp_ms: 0, key, headers: Headers::default(), value }
    }

    #[test]
    fn the_oldest_go_first_and_what_is_left_has_no_hole() {
        let mut ring = Ring::new(2, 10_000);
        for offset in 100..120 {
            ring.push((offset % 2) as usize, record((offset % 2) as u32, offset / 2));
        }
        assert!(ring.bytes <= 10_000);
        assert_eq!(ring.read(0, 50, u64::MAX), None, "too far back");
        let left = ring.read(0, 56, u64::MAX).unwrap();
        assert_eq!(left.iter().map(|r| r.offset).collect::<Vec<_>>(), [56, 57, 58, 59]);
        assert_eq!(ring.read(0, 57, 58).unwrap().len(), 1, "no further than asked for");
        assert_eq!(ring.read(0, 60, u64::MAX), None, "nothing there yet");
    }
}
