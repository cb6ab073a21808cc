//! One member of a group over a [`Source`]: how its lanes speak, and how it is steered.
//! Who owns which partition is decided by `group`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::group::{Groups, MemberId};
use super::lane::{Lane, Place, Voice};
use crate::inbox::{Committed, InboxControl, InboxEvent};
use crate::log::{Batch, Bounds, LogError};
use crate::record::Topic;

pub(super) struct MemberVoice {
    pub(super) groups: Weak<Groups>,
    pub(super) id: MemberId,
    /// Lanes that still speak; with the last one the member is gone.
    pub(super) speaking: Arc<AtomicUsize>,
}

impl Voice for MemberVoice {
    type Event = InboxEvent;

    fn batch(&self, batch: Batch, _generation: u64) -> InboxEvent {
        InboxEvent::Batch(batch)
    }

    fn out_of_range(&self, place: Place, bounds: Bounds) -> (InboxEvent, Option<u64>) {
        let partition = place.partition;
        if place.position < bounds.start {
            let gap = InboxEvent::Gap { partition, from: place.position, to: bounds.start };
            return (gap, Some(bounds.start));
        }
        // Committed, then lost with the log's unsynced end: what comes at these offsets now is new.
        (InboxEvent::Gap { partition, from: bounds.end, to: place.position }, Some(bounds.end))
    }

    fn failed(&self, place: Place, error: LogError) -> InboxEvent {
        let Place { topic, partition, position, .. } = place;
        InboxEvent::Fenced { reason: format!("{topic}/{partition} cannot be read at {position}: {error}") }
    }

    fn ended(&self) {
        if self.speaking.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(groups) = self.groups.upgrade()
        {
            groups.remove(&self.id);
        }
    }
}

/// The lanes of a member, as its group sees them.
pub(super) struct MemberLanes(pub(super) Vec<Arc<Lane<MemberVoice>>>);

impl MemberLanes {
    pub(super) fn lane(&self, partition: u32) -> &Lane<MemberVoice> {
        &self.0[partition as usize % self.0.len()]
    }

    pub(super) fn revoke(&self, partition: u32) -> oneshot::Receiver<()> {
        let (ack, acked) = oneshot::channel();
        self.lane(partition).unassign(partition, Some(InboxEvent::Revoked { partition, ack }));
        acked
    }

    pub(super) fn fence(&self, reason: &str) {
        for lane in &self.0 {
            lane.end_with(InboxEvent::Fenced { reason: reason.to_owned() });
        }
    }

    pub(super) fn cut(&self) {
        for lane in &self.0 {
            lane.cut();
        }
    }
}

pub(super) struct Control {
    pub(super) groups: Arc<Groups>,
    pub(super) id: MemberId,
    pub(super) lanes: Arc<MemberLanes>,
}

impl InboxControl for Control {
    fn commit(&self, topic: Topic, partition: u32, position: Committed) {
        self.groups.commit(&self.id, topic, partition, position);
    }

    fn committed(&self, topic: Topic, partition: u32) -> BoxFuture<'_, Result<Option<Committed>, LogError>> {
        let position = self.groups.committed(&self.id.group, topic, partition);
        Box::pin(async move { Ok(position) })
    }

    fn pause(&self, partition: u32) {
        self.lanes.lane(partition).pause(partition, true);
    }

    fn resume(&self, partition: u32) {
        self.lanes.lane(partition).pause(partition, false);
    }

    fn leave(&self) -> BoxFuture<'_, ()> {
        self.groups.remove(&self.id);
        self.groups.settled()
    }
}
