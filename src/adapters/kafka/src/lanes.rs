//! Lanes: from a consumer's thread to the arbiters, without ever waiting for one.
//!
//! What a full lane does not take waits here, in order; `over` tells the thread to stop feeding it. Used by `tail` and
//! `inbox`.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, error::TrySendError};

/// Events that a lane holds: 32 batches of 256 KiB are 8 MiB for an arbiter that has stopped.
pub(crate) const LANE_EVENTS: usize = 32;
/// What may wait for a full lane before its partitions are paused. Pausing throws away what librdkafka has fetched
/// ahead, so it must not come with every little hiccup…
const MAX_WAITING_RECORDS: usize = 2_048;
/// …and must come before a stopped arbiter costs memory.
const MAX_WAITING_BYTES: usize = 1024 * 1024;

/// How an event is treated while its partition is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Waits with its partition.
    Ordinary,
    /// Goes out although the partition is held: it is being taken away.
    Urgent,
}

#[derive(Debug)]
struct Entry<E> {
    partition: u32,
    event: E,
    records: usize,
    bytes: usize,
    urgency: Urgency,
}

#[derive(Debug)]
struct Lane<E> {
    sender: mpsc::Sender<E>,
    waiting: VecDeque<Entry<E>>,
    over_since: Option<Instant>,
    paused: bool,
}

impl<E> Lane<E> {
    fn load(&self, held: &BTreeSet<u32>) -> (usize, usize) {
        let counted = self.waiting.iter().filter(|entry| !held.contains(&entry.partition));
        counted.fold((0, 0), |(records, bytes), entry| (records + entry.records, bytes + entry.bytes))
    }
}

/// All lanes of one reader. Partition *p* speaks in lane *p mod lanes*.
#[derive(Debug)]
pub(crate) struct Lanes<E> {
    lanes: Vec<Lane<E>>,
    /// Partitions whose events are kept back on request.
    held: BTreeSet<u32>,
}

impl<E> Lanes<E> {
    pub(crate) fn new(count: usize) -> (Self, Vec<mpsc::Receiver<E>>) {
        let mut receivers = Vec::new();
        let lanes = (0..count.max(1))
            .map(|_| {
                let (sender, receiver) = mpsc::channel(LANE_EVENTS);
                receivers.push(receiver);
                Lane { sender, waiting: VecDeque::new(), over_since: None, paused: false }
            })
            .collect();
        (Self { lanes, held: BTreeSet::new() }, receivers)
    }

    pub(crate) fn count(&self) -> usize {
        self.lanes.len()
    }

    fn index(&self, partition: u32) -> usize {
        partition as usize % self.lanes.len()
    }

    /// Behind everything that its lane has. `records` and `bytes` are its weight.
    pub(crate) fn push(&mut self, partition: u32, event: E, records: usize, bytes: usize, urgency: Urgency) {
        let index = self.index(partition);
        self.lanes[index].waiting.push_back(Entry { partition, event, records, bytes, urgency });
    }

    /// Forgets what waits of a partition.
    pub(crate) fn forget(&mut self, partition: u32) {
        let index = self.index(partition);
        self.lanes[index].waiting.retain(|entry| entry.partition != partition);
    }

    pub(crate) fn hold(&mut self, partition: u32, held: bool) {
        if held {
            self.held.insert(partition);
        } else {
            self.held.remove(&partition);
        }
    }

    pub(crate) fn is_held(&self, partition: u32) -> bool {
        self.held.contains(&partition)
    }

    /// Hands over what the lanes take. True when something moved.
    pub(crate) fn flush(&mut self) -> bool {
        let mut moved = false;
        for lane in &mut self.lanes {
            let mut kept = VecDeque::new();
            while let Some(entry) = lane.waiting.pop_front() {
                if entry.urgency == Urgency::Ordinary && self.held.contains(&entry.partition) {
                    kept.push_back(entry);
                    continue;
                }
                let Entry { partition, event, records, bytes, urgency } = entry;
                match lane.sender.try_send(event) {
                    Ok(()) => moved = true,
                    Err(TrySendError::Full(event)) => {
                        lane.waiting.push_front(Entry { partition, event, records, bytes, urgency });
                        break;
                    }
                    // Nobody listens any more: what is dropped here is read again by the next owner.
                    Err(TrySendError::Closed(_)) => {}
                }
            }
            kept.append(&mut lane.waiting);
            lane.waiting = kept;
        }
        self.note_load();
        moved
    }

    fn note_load(&mut self) {
        for lane in &mut self.lanes {
            let (records, bytes) = lane.load(&self.held);
            if records < MAX_WAITING_RECORDS && bytes < MAX_WAITING_BYTES {
                lane.over_since = None;
            } else {
                lane.over_since.get_or_insert_with(Instant::now);
            }
        }
    }

    /// Whether something waits that may go as soon as its lane is drained.
    pub(crate) fn is_waiting(&self) -> bool {
        let goes =
            |entry: &Entry<E>| entry.urgency == Urgency::Urgent || !self.held.contains(&entry.partition);
        self.lanes.iter().any(|lane| lane.waiting.iter().any(goes))
    }

    /// Whether the consumer may be drained: every lane that is still fed has room.
    pub(crate) fn may_read(&self) -> bool {
        self.lanes.iter().all(|lane| lane.over_since.is_none() || lane.paused)
    }

    /// Lanes whose partitions are to be paused (`true`) or resumed now. A lane is paused while others go on, or when
    /// it has been over for `patience` although no other goes on; it is resumed when nothing waits for it.
    pub(crate) fn steer(&mut self, patience: Duration) -> Vec<(usize, bool)> {
        let others_go_on = self.lanes.iter().any(|lane| lane.over_since.is_none());
        let mut changes = Vec::new();
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            let over_long = lane.over_since.is_some_and(|since| since.elapsed() >= patience);
            if !lane.paused && lane.over_since.is_some() && (others_go_on || over_long) {
                lane.paused = true;
                changes.push((index, true));
            } else if lane.paused && lane.load(&self.held) == (0, 0) {
                lane.paused = false;
                changes.push((index, false));
            }
        }
        changes
    }

    /// Whether a partition's lane is paused.
    pub(crate) fn is_paused(&self, partition: u32) -> bool {
        self.lanes[self.index(partition)].paused
    }

    /// Whether nobody listens to any lane.
    pub(crate) fn all_closed(&self) -> bool {
        self.lanes.iter().all(|lane| lane.sender.is_closed())
    }
}

#[cfg(test)]
mod tests {
    use super::{LANE_EVENTS, Lanes, MAX_WAITING_RECORDS, Urgency};
    use std::time::Duration;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_full_lane_is_paused_while_others_go_on_and_resumed_when_drained() {
        let (mut lanes, mut receivers) = Lanes::new(2);
        for i in 0..=LANE_EVENTS {
            lanes.push(0, i, MAX_WAITING_RECORDS, 1, Urgency::Ordinary);
        }
        assert!(lanes.flush());
        assert!(!lanes.may_read(), "one lane is over and not paused yet");
        assert_eq!(lanes.steer(LONG), [(0, true)]);
        assert!(lanes.may_read() && lanes.is_paused(2) && !lanes.is_paused(1));
        for i in 0..=LANE_EVENTS {
            lanes.flush();
            assert_eq!(receivers[0].try_recv(), Ok(i), "in order, none lost");
        }
        assert_eq!(lanes.steer(LONG), [(0, false)]);
        assert!(!lanes.is_waiting());
    }

    #[test]
    fn when_no_lane_goes_on_nothing_is_thrown_away_until_patience_ends() {
        let (mut lanes, _receivers) = Lanes::new(1);
        for i in 0..=LANE_EVENTS {
            lanes.push(0, i, MAX_WAITING_RECORDS, 1, Urgency::Ordinary);
        }
        lanes.flush();
        assert!(lanes.steer(LONG).is_empty() && !lanes.may_read());
        assert_eq!(lanes.steer(Duration::ZERO), [(0, true)]);
        assert!(lanes.may_read(), "rebalances must be served");
    }

    #[test]
    fn a_held_partition_waits_and_lets_others_and_urgent_events_pass() {
        let (mut lanes, mut receivers) = Lanes::new(1);
        lanes.hold(0, true);
        lanes.push(0, "held", 1, 1, Urgency::Ordinary);
        lanes.push(1, "other", 1, 1, Urgency::Ordinary);
        lanes.push(0, "revoked", 0, 0, Urgency::Urgent);
        lanes.flush();
        assert_eq!(receivers[0].try_recv(), Ok("other"));
        assert_eq!(receivers[0].try_recv(), Ok("revoked"));
        assert!(receivers[0].try_recv().is_err() && !lanes.is_waiting());
        lanes.hold(0, false);
        lanes.flush();
        assert_eq!(receivers[0].try_recv(), Ok("held"));
    }
}
