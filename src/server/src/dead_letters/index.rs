//! Which letters there are and which of them are marked as redriven: read once from the topic, then kept up with. A page or a
//! look-up by id then needs no search.

use std::collections::{HashMap, VecDeque};

use callboard_ports::dead_letter::{LetterId, REDRIVEN, REDRIVEN_BY};
use callboard_ports::log::{Log, LogError};
use callboard_ports::{Record, Topic};

use super::{Cursor, id_of};

/// Letters kept in mind, about 100 bytes each: more than anybody looks through, and no more than 25 MB. Beyond it the oldest of
/// the fullest partition are neither shown nor redriven; a Kafka consumer reads them.
pub const MAX_LETTERS: usize = 250_000;
/// Of the name of whoever redrove: a principal's bound.
const MAX_BY_BYTES: usize = callboard_domain::limits::MAX_PRINCIPAL_BYTES;

/// That a letter was redriven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub by: String,
    /// The log's time of the mark.
    pub at_ms: i64,
}

/// Where a letter lies in `dead-letter-queue`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub partition: u32,
    pub offset: u64,
    pub mark: Option<Mark>,
}

/// One partition: its letters in order of offset, and how far it was read.
#[derive(Default)]
struct Lane {
    next: u64,
    letters: VecDeque<(u64, LetterId)>,
    dropped: bool,
}

/// Everything that is known of the topic.
pub struct Index {
    lanes: Vec<Lane>,
    places: HashMap<LetterId, Place>,
}

impl Index {
    pub fn new(partitions: u32) -> Self {
        Self { lanes: (0..partitions).map(|_| Lane::default()).collect(), places: HashMap::new() }
    }

    /// Reads what was written since the last time, and forgets what has expired.
    pub async fn refresh(&mut self, log: &dyn Log) -> Result<(), LogError> {
        for (lane, partition) in (0..).take(self.lanes.len()).enumerate() {
            let bounds = log.bounds(Topic::DeadLetterQueue, partition).await?;
            self.expire(lane, bounds.start);
            if self.lanes[lane].next >= bounds.end {
                continue;
            }
            #[allow(clippy::single_range_in_vec_init, reason = "the port takes ranges")]
            let range = vec![self.lanes[lane].next..bounds.end];
            let mut records = log.replay(Topic::DeadLetterQueue, partition, range, None);
            while let Some(batch) = records.recv().await {
                for record in batch?.records.iter() {
                    self.take(lane, record);
                }
            }
            self.lanes[lane].next = self.lanes[lane].next.max(bounds.end);
        }
        Ok(())
    }

    fn expire(&mut self, lane: usize, start: u64) {
        let lane = &mut self.lanes[lane];
        while lane.letters.front().is_some_and(|(offset, _)| *offset < start) {
            if let Some((_, id)) = lane.letters.pop_front() {
                self.places.remove(&id);
            }
        }
        lane.next = lane.next.max(start);
    }

    fn take(&mut self, lane: usize, record: &Record) {
        if record.offset < self.lanes[lane].next {
            return;
        }
        self.lanes[lane].next = record.offset + 1;
        if let Some(marked) = record.header(REDRIVEN) {
            // A mark without its letter (expired, or not ours) says nothing.
            if let Some(place) = marked.parse().ok().and_then(|id: LetterId| self.places.get_mut(&id)) {
                let by = record.header(REDRIVEN_BY).unwrap_or("");
                let by = by[..by.floor_char_boundary(MAX_BY_BYTES)].to_owned();
                place.mark.get_or_insert(Mark { by, at_ms: record.timestamp_ms });
            }
            return;
        }
        let id = id_of(record);
        // A crash between a letter and its position writes it once more; it is shown once.
        if self.places.contains_key(&id) {
            return;
        }
        self.places.insert(id, Place { partition: record.partition, offset: record.offset, mark: None });
        self.lanes[lane].letters.push_back((record.offset, id));
        if self.places.len() > MAX_LETTERS {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let fullest = self.lanes.iter_mut().max_by_key(|lane| lane.letters.len());
        if let Some(lane) = fullest
            && let Some((_, id)) = lane.letters.pop_front()
        {
            lane.dropped = true;
            self.places.remove(&id);
        }
    }

    /// Whether letters were left out for their number.
    pub fn truncated(&self) -> bool {
        self.lanes.iter().any(|lane| lane.dropped)
    }

    pub fn place(&self, id: LetterId) -> Option<Place> {
        self.places.get(&id).cloned()
    }

    /// At most `limit` letters from `from` on, in order of partition and offset.
    pub fn after(&self, from: Cursor, limit: usize) -> Vec<Place> {
        let mut out = Vec::new();
        for (partition, lane) in (0_u32..).zip(&self.lanes).skip(from.partition as usize) {
            let first = if partition == from.partition { from.offset } else { 0 };
            let start = lane.letters.partition_point(|(offset, _)| *offset < first);
            let places = lane.letters.range(start..).filter_map(|(_, id)| self.places.get(id));
            out.extend(places.take(limit - out.len()).cloned());
            if out.len() == limit {
                break;
            }
        }
        out
    }
}
