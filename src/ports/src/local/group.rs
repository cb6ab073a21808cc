//! Consumer groups over a [`Source`]: who owns which partition, sticky and cooperative.
//!
//! A partition changes hands in three steps: its owner is told `Revoked`, the ack comes (or the owner is gone,
//! or the wait runs out), and only then another member is told `Assigned`, with what was committed meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::lane::Lane;
use super::member::{Control, MemberLanes, MemberVoice};
use super::{Source, Spawner};
use crate::inbox::{Committed, InboxEvent, Joining, Membership};
use crate::record::Topic;

/// How long a group waits for a member to hand a partition over: a member that needs longer is wedged.
const REVOCATION_WAIT: Duration = Duration::from_secs(30);
/// The note beside a position (see [`Committed`]).
const MAX_METADATA_BYTES: usize = 2_048;

/// Where committed positions are kept.
pub trait Positions: Send + Sync + 'static {
    fn get(&self, group: &str, topic: Topic, partition: u32) -> Option<Committed>;
    /// Readable at once; as durable as the log makes it, soon.
    fn put(&self, group: &str, topic: Topic, partition: u32, position: Committed);
    /// Ready when every position put before is as durable as the log makes it.
    fn settled(&self) -> BoxFuture<'static, ()>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberId {
    pub(super) group: Arc<str>,
    number: u64,
}

struct Member {
    instance: Option<String>,
    lanes: Arc<MemberLanes>,
}

struct Group {
    topic: Topic,
    members: BTreeMap<u64, Member>,
    owners: Vec<Option<u64>>,
    /// Partitions whose owner (named here) was told and has not acked yet.
    leaving: HashMap<u32, u64>,
}

impl Group {
    /// Frees what `number` owns, without waiting for it.
    fn free(&mut self, number: u64) {
        for owner in &mut self.owners {
            owner.take_if(|owner| *owner == number);
        }
        self.leaving.retain(|_, owner| *owner != number);
    }
}

/// The groups of one log.
pub struct Groups {
    source: Arc<dyn Source>,
    positions: Arc<dyn Positions>,
    spawner: Spawner,
    groups: Mutex<HashMap<Arc<str>, Group>>,
    next: AtomicU64,
}

impl Groups {
    #[must_use]
    pub fn new(source: Arc<dyn Source>, positions: Arc<dyn Positions>, spawner: Spawner) -> Arc<Self> {
        Arc::new(Self { source, positions, spawner, groups: Mutex::default(), next: AtomicU64::new(1) })
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<Arc<str>, Group>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins; a member with the same `instance` is fenced, its partitions pass on at once.
    pub fn join(self: &Arc<Self>, joining: Joining, instance: Option<String>) -> Membership {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = MemberId { group: Arc::from(joining.group), number };
        let count = joining.lanes.max(1);
        let speaking = Arc::new(AtomicUsize::new(count));
        let mut lanes = Vec::with_capacity(count);
        let mut receivers = Vec::with_capacity(count);
        for index in 0..count {
            let voice =
                MemberVoice { groups: Arc::downgrade(self), id: id.clone(), speaking: speaking.clone() };
            let (lane, receiver, loop_) =
                Lane::open(self.source.clone(), joining.topic, (index, count), voice);
            (self.spawner)(Box::pin(loop_));
            lanes.push(lane);
            receivers.push(receiver);
        }
        let lanes = Arc::new(MemberLanes(lanes));
        let mut groups = self.groups();
        let group = groups.entry(id.group.clone()).or_insert_with(|| Group {
            topic: joining.topic,
            members: BTreeMap::new(),
            owners: vec![None; self.source.partitions() as usize],
            leaving: HashMap::new(),
        });
        group.topic = joining.topic;
        if let Some(instance) = &instance {
            fence_namesakes(group, instance);
        }
        group.members.insert(number, Member { instance, lanes: lanes.clone() });
        self.balance(&id.group, group);
        drop(groups);
        Membership { control: Arc::new(Control { groups: self.clone(), id, lanes }), lanes: receivers }
    }

    /// Takes a member out; its partitions pass on at once.
    pub(super) fn remove(self: &Arc<Self>, id: &MemberId) {
        let mut groups = self.groups();
        let Some(group) = groups.get_mut(&id.group) else { return };
        let Some(member) = group.members.remove(&id.number) else { return };
        group.free(id.number);
        member.lanes.cut();
        self.balance(&id.group, group);
        if group.members.is_empty() {
            groups.remove(&id.group);
        }
    }

    /// Ends every membership: the log closes.
    pub fn close(&self) {
        for group in std::mem::take(&mut *self.groups()).into_values() {
            group.members.values().for_each(|member| member.lanes.cut());
        }
    }

    pub(super) fn commit(&self, id: &MemberId, topic: Topic, partition: u32, mut position: Committed) {
        let groups = self.groups();
        let Some(group) = groups.get(&id.group).filter(|group| group.members.contains_key(&id.number)) else {
            return;
        };
        // Who lost a partition must not move its position: the next owner may be further.
        let owner = group.owners.get(partition as usize).copied().flatten();
        if topic == group.topic && owner != Some(id.number) {
            return;
        }
        position.metadata.truncate(position.metadata.floor_char_boundary(MAX_METADATA_BYTES));
        // Under the lock, so that it cannot come after the next owner's.
        self.positions.put(&id.group, topic, partition, position);
    }

    pub(super) fn committed(&self, group: &str, topic: Topic, partition: u32) -> Option<Committed> {
        self.positions.get(group, topic, partition)
    }

    pub(super) fn settled(&self) -> BoxFuture<'static, ()> {
        self.positions.settled()
    }

    /// Moves towards an even share: what is free goes to whoever has least, who has too much is asked to give.
    fn balance(self: &Arc<Self>, name: &Arc<str>, group: &mut Group) {
        let members = group.members.len();
        if members == 0 {
            return;
        }
        let partitions = group.owners.len();
        let most = partitions.div_ceil(members);
        // How many members may have `most`; the others have one less.
        let with_most = if partitions.is_multiple_of(members) { members } else { partitions % members };
        while let Some(free) = group.owners.iter().position(Option::is_none) {
            let shares = shares(group);
            let Some((owner, _)) = shares.into_iter().min_by_key(|(number, share)| (*share, *number)) else {
                return;
            };
            self.assign(name, group, free as u32, owner);
        }
        let mut shares = shares(group);
        shares.sort_by_key(|(number, share)| (usize::MAX - share, *number));
        for (rank, (number, _)) in shares.into_iter().enumerate() {
            let quota = if rank < with_most { most } else { most - 1 };
            self.ask_back(name, group, number, quota);
        }
    }

    fn assign(&self, name: &Arc<str>, group: &mut Group, partition: u32, owner: u64) {
        group.owners[partition as usize] = Some(owner);
        let committed = self.positions.get(name, group.topic, partition);
        let start = self.source.bounds(group.topic, partition).start;
        let from = committed.as_ref().map_or(start, |committed| committed.next_offset);
        let generation = self.next.fetch_add(1, Ordering::Relaxed);
        let told = InboxEvent::Assigned { partition, committed };
        group.members[&owner].lanes.lane(partition).assign(partition, from, generation, Some(told));
    }

    /// Asks `number` for what it has beyond `quota`, highest partitions first.
    fn ask_back(self: &Arc<Self>, name: &Arc<str>, group: &mut Group, number: u64, quota: usize) {
        let has: Vec<u32> = (0..group.owners.len() as u32)
            .filter(|p| group.owners[*p as usize] == Some(number) && !group.leaving.contains_key(p))
            .collect();
        for partition in has.into_iter().skip(quota).rev() {
            group.leaving.insert(partition, number);
            let acked = group.members[&number].lanes.revoke(partition);
            let (groups, id) = (self.clone(), MemberId { group: name.clone(), number });
            (self.spawner)(Box::pin(async move {
                let in_time = tokio::time::timeout(REVOCATION_WAIT, acked).await.is_ok();
                groups.handed_over(&id, partition, in_time);
            }));
        }
    }

    fn handed_over(self: &Arc<Self>, id: &MemberId, partition: u32, in_time: bool) {
        let mut groups = self.groups();
        let Some(group) = groups.get_mut(&id.group) else { return };
        if group.leaving.get(&partition) != Some(&id.number) {
            return;
        }
        group.leaving.remove(&partition);
        group.owners[partition as usize] = None;
        if !in_time && let Some(member) = group.members.get(&id.number) {
            member.lanes.lane(partition).unassign(partition, Some(InboxEvent::Lost { partition }));
        }
        self.balance(&id.group, group);
    }
}

/// How many partitions each member has, those it was asked for left out.
fn shares(group: &Group) -> Vec<(u64, usize)> {
    let mut shares: BTreeMap<u64, usize> = group.members.keys().map(|number| (*number, 0)).collect();
    for (partition, owner) in group.owners.iter().enumerate() {
        if let Some(share) = owner.and_then(|owner| shares.get_mut(&owner))
            && !group.leaving.contains_key(&(partition as u32))
        {
            *share += 1;
        }
    }
    shares.into_iter().collect()
}

fn fence_namesakes(group: &mut Group, instance: &str) {
    let fenced: Vec<u64> = group
        .members
        .iter()
        .filter(|(_, member)| member.instance.as_deref() == Some(instance))
        .map(|(number, _)| *number)
        .collect();
    for number in fenced {
        group.free(number);
        if let Some(member) = group.members.remove(&number) {
            member.lanes.fence(&format!("another member joined as {instance}"));
        }
    }
}
