//! Tails over a [`Source`]: chosen partitions of one topic, a loop per lane.

use std::sync::Arc;

use super::lane::{Lane, Place, Voice};
use super::{Source, Spawner};
use crate::log::{Batch, Bounds, LogError, Tail, TailControl, TailEvent};
use crate::record::Topic;

struct TailVoice;

impl Voice for TailVoice {
    type Event = TailEvent;

    fn batch(&self, batch: Batch, generation: u64) -> TailEvent {
        TailEvent::Batch { batch, generation }
    }

    fn out_of_range(&self, place: Place, bounds: Bounds) -> (TailEvent, Option<u64>) {
        let error = LogError::OutOfRange {
            topic: place.topic,
            partition: place.partition,
            wanted: place.position,
            start: bounds.start,
            end: bounds.end,
        };
        (self.failed(place, error), None)
    }

    fn failed(&self, place: Place, error: LogError) -> TailEvent {
        TailEvent::Failed { partition: place.partition, generation: place.generation, error }
    }
}

struct Control {
    topic: Topic,
    partitions: u32,
    lanes: Vec<Arc<Lane<TailVoice>>>,
}

impl Control {
    fn lane(&self, partition: u32) -> &Lane<TailVoice> {
        &self.lanes[partition as usize % self.lanes.len()]
    }
}

impl TailControl for Control {
    fn assign(&self, partition: u32, from: u64, generation: u64) {
        if partition < self.partitions {
            self.lane(partition).assign(partition, from, generation, None);
            return;
        }
        let error = LogError::OutOfRange { topic: self.topic, partition, wanted: from, start: 0, end: 0 };
        self.lane(partition).unassign(partition, Some(TailEvent::Failed { partition, generation, error }));
    }

    fn unassign(&self, partition: u32) {
        self.lane(partition).unassign(partition, None);
    }
}

/// Opens a tail; its loops run on `spawner` until their receivers are dropped.
pub fn tail(source: &Arc<dyn Source>, spawner: &Spawner, topic: Topic, lanes: usize) -> Tail {
    let count = lanes.max(1);
    let mut receivers = Vec::with_capacity(count);
    let mut opened = Vec::with_capacity(count);
    for index in 0..count {
        let (lane, receiver, speaking) = Lane::open(source.clone(), topic, (index, count), TailVoice);
        spawner(Box::pin(speaking));
        opened.push(lane);
        receivers.push(receiver);
    }
    let control = Control { topic, partitions: source.partitions(), lanes: opened };
    Tail { control: Arc::new(control), lanes: receivers }
}
