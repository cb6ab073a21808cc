//! A process's memberships. A session stands between the group and the actors: it can be evicted while the actors still
//! believe that they own their partitions, it outlives a crashed process until the group has noticed, and it tells the
//! book of ownership what the actors were told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use callboard_ports::inbox::{Committed, Inbox, InboxControl, InboxEvent, Joining, Membership};
use callboard_ports::log::{Batch, Log, LogError};
use callboard_ports::record::Topic;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::fault::Fault;
use crate::life::Life;
use crate::shuffle;
use crate::world::World;

/// The group of hosts, whose partitions are ownership.
pub const HOSTS: &str = "callboard-host";

/// The groups as one life of a process sees them.
pub struct SimInbox {
    pub world: Arc<World>,
    pub life: Arc<Life>,
    /// The log's own inbox, with this process's identity.
    pub inner: Arc<dyn Inbox>,
    pub sessions: Mutex<Vec<Arc<Session>>>,
}

type Lane = mpsc::Receiver<InboxEvent>;

/// One membership, as the group knows it.
pub struct Session {
    world: Arc<World>,
    life: Arc<Life>,
    inner: Arc<dyn Inbox>,
    joining: Joining,
    control: Mutex<Arc<dyn InboxControl>>,
    /// Held here, so that the group does not notice at once when the process is gone.
    lane: tokio::sync::Mutex<Lane>,
    owned: Mutex<BTreeSet<u32>>,
    /// Partitions that the actors have paused, with what is held back of them.
    paused: Mutex<BTreeMap<u32, VecDeque<Batch>>>,
    flowing: Mutex<VecDeque<Batch>>,
    resumed: Notify,
    evicted: Notify,
}

/// Records of a group's topic that it has not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    pub group: String,
    pub partition: u32,
    pub committed: u64,
    pub end: u64,
}

impl SimInbox {
    pub fn sessions(&self) -> MutexGuard<'_, Vec<Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox for SimInbox {
    fn join(&self, joining: Joining) -> Result<Membership, LogError> {
        if !self.life.call() {
            return Err(LogError::Closed("the process is dead".into()));
        }
        let mut membership = self.inner.join(joining.clone())?;
        let lane =
            membership.lanes.pop().ok_or_else(|| LogError::Closed("a membership has a lane".into()))?;
        let session = Arc::new(Session {
            world: self.world.clone(),
            life: self.life.clone(),
            inner: self.inner.clone(),
            joining,
            control: Mutex::new(membership.control),
            lane: tokio::sync::Mutex::new(lane),
            owned: Mutex::default(),
            paused: Mutex::default(),
            flowing: Mutex::default(),
            resumed: Notify::new(),
            evicted: Notify::new(),
        });
        // Small, so that a pause is soon felt.
        let (to, receiver) = mpsc::channel(1);
        tokio::task::spawn_local(session.clone().pump(to));
        let mut sessions = self.sessions();
        sessions.retain(|known| known.joining != session.joining);
        sessions.push(session.clone());
        Ok(Membership { control: session, lanes: vec![receiver] })
    }
}

impl Session {
    fn control(&self) -> Arc<dyn InboxControl> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn owned(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_of_hosts(&self) -> bool {
        self.joining.group == HOSTS
    }

    /// What its group has not committed, of every partition: the group, the partition, how far it came, the end.
    pub async fn backlog(&self) -> Vec<Backlog> {
        let Joining { group, topic, .. } = self.joining.clone();
        let mut backlog = Vec::new();
        for partition in 0..self.world.mix.partitions {
            let Ok(bounds) = self.world.log.bounds(topic, partition).await else { continue };
            let Ok(committed) = self.control().committed(topic, partition).await else { continue };
            let committed = committed.map_or(bounds.start, |position| position.next_offset);
            if committed < bounds.end {
                backlog.push(Backlog { group: group.clone(), partition, committed, end: bounds.end });
            }
        }
        backlog
    }

    /// The group takes everything away; the actors hear of it later.
    pub fn evict(&self) {
        if self.owned().is_empty() {
            return;
        }
        // In this log leaving is done when the call returns; the future only says that positions are durable.
        drop(self.control().leave());
        self.evicted.notify_one();
    }

    /// Passes on what the group says. Runs inside the process.
    async fn pump(self: Arc<Self>, to: mpsc::Sender<InboxEvent>) {
        let mut lane = self.lane.lock().await;
        loop {
            let event = tokio::select! {
                biased;
                () = self.evicted.notified() => {
                    if !self.lose(&to).await {
                        return;
                    }
                    *lane = match self.rejoin() {
                        Some(again) => again,
                        None => return,
                    };
                    continue;
                }
                () = to.closed() => return,
                () = self.resumed.notified() => {
                    if !self.release(&to).await {
                        return;
                    }
                    continue;
                }
                event = lane.recv() => event,
            };
            let Some(event) = event else {
                // Evicted and cut, or over for good.
                tokio::select! {
                    biased;
                    () = self.evicted.notified() => self.evicted.notify_one(),
                    () = self.world.pass(1) => return,
                }
                continue;
            };
            if !self.pass_on(event, &to).await {
                return;
            }
        }
    }

    /// Tells the actors, late, that they own nothing any more.
    async fn lose(&self, to: &mpsc::Sender<InboxEvent>) -> bool {
        let late_ms = self.world.between(0, 6_000);
        tokio::select! {
            biased;
            // The actors are gone, and whoever follows them has joined anew.
            () = to.closed() => return false,
            () = self.world.pass(late_ms) => {}
        }
        let owned = std::mem::take(&mut *self.owned());
        for partition in owned {
            if !heard(to, InboxEvent::Lost { partition }).await {
                return false;
            }
            self.told_lost(partition);
        }
        // A member that joins again has long been told what it lost.
        self.world.pass(1_500).await;
        true
    }

    /// What was held back belongs to an assignment that is over.
    fn forget(&self, partition: u32) {
        self.paused().remove(&partition);
        self.flowing().retain(|batch| batch.partition != partition);
    }

    fn told_lost(&self, partition: u32) {
        self.forget(partition);
        if self.is_of_hosts() {
            let now_ms = self.world.now_ms();
            self.world.ownership().lost(&self.life.name, partition, now_ms);
        }
    }

    fn rejoin(&self) -> Option<Lane> {
        let mut membership = self.inner.join(self.joining.clone()).ok()?;
        *self.control.lock().unwrap_or_else(PoisonError::into_inner) = membership.control;
        membership.lanes.pop()
    }

    async fn pass_on(&self, event: InboxEvent, to: &mpsc::Sender<InboxEvent>) -> bool {
        let mut lost = None;
        let event = match event {
            InboxEvent::Batch(batch) => return self.batch(&batch, to).await,
            InboxEvent::Assigned { partition, committed } => {
                self.forget(partition);
                self.owned().insert(partition);
                if self.is_of_hosts() {
                    self.world.ownership().assigned(&self.life.name, partition);
                }
                let next = committed.as_ref().map_or(0, |committed| committed.next_offset);
                let words =
                    format_args!("{} gets {}/{partition} from {next}", self.life.name, self.joining.group);
                self.world.trace().note(self.world.now_ms(), words);
                InboxEvent::Assigned { partition, committed }
            }
            InboxEvent::Revoked { partition, ack } => {
                lost = Some(partition);
                InboxEvent::Revoked { partition, ack: self.watched(partition, ack) }
            }
            InboxEvent::Lost { partition } => {
                self.owned().remove(&partition);
                lost = Some(partition);
                InboxEvent::Lost { partition }
            }
            other => other,
        };
        let Some(partition) = lost else { return to.send(event).await.is_ok() };
        let told = heard(to, event).await;
        if told {
            self.told_lost(partition);
        }
        told
    }

    /// The acknowledgement of a revocation, with an ear on it.
    fn watched(&self, partition: u32, ack: oneshot::Sender<()>) -> oneshot::Sender<()> {
        let (heard, said) = oneshot::channel();
        self.owned().remove(&partition);
        let (world, life, hosts) = (self.world.clone(), self.life.clone(), self.is_of_hosts());
        tokio::task::spawn_local(async move {
            let _ = said.await;
            if hosts {
                world.ownership().acked(&life.name, partition);
            }
            let _ = ack.send(());
        });
        heard
    }

    fn paused(&self) -> MutexGuard<'_, BTreeMap<u32, VecDeque<Batch>>> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was held back and is to be delivered now, in order.
    fn flowing(&self) -> MutexGuard<'_, VecDeque<Batch>> {
        self.flowing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a delivery back while its partition is paused.
    fn held_back(&self, batch: &Batch) -> bool {
        let mut paused = self.paused();
        let held = paused.get_mut(&batch.partition);
        held.map(|held| held.push_back(batch.clone())).is_some()
    }

    /// Delivers what was held back of partitions that flow again.
    async fn release(&self, to: &mpsc::Sender<InboxEvent>) -> bool {
        loop {
            let Some(batch) = self.flowing().pop_front() else { return true };
            if !self.batch(&batch, to).await {
                return false;
            }
        }
    }

    async fn batch(&self, batch: &Batch, to: &mpsc::Sender<InboxEvent>) -> bool {
        let (world, life) = (&self.world, &self.life);
        for piece in shuffle::pieces(world, batch) {
            if self.held_back(&piece) {
                continue;
            }
            world.pass(shuffle::delay_ms(world, life, batch.partition)).await;
            if !life.call() || to.send(InboxEvent::Batch(piece.clone())).await.is_err() {
                return false;
            }
            if world.strikes(Fault::ReadTwice, format_args!("{}, {}", life.name, self.joining.group))
                && to.send(InboxEvent::Batch(piece)).await.is_err()
            {
                return false;
            }
        }
        true
    }
}

/// Says something and waits until it has been taken out of the lane, which has one place: whatever is still being done with
/// what was said before holds it up.
async fn heard(to: &mpsc::Sender<InboxEvent>, event: InboxEvent) -> bool {
    to.send(event).await.is_ok() && to.reserve().await.is_ok()
}

impl InboxControl for Session {
    fn commit(&self, topic: Topic, partition: u32, position: Committed) {
        if !self.life.call()
            || self.world.strikes(Fault::CommitLost, format_args!("{}, {topic}/{partition}", self.life.name))
        {
            return;
        }
        let words = format_args!(
            "{} commits {topic}/{partition} at {} of {}",
            self.life.name, position.next_offset, self.joining.group
        );
        self.world.trace().note(self.world.now_ms(), words);
        self.control().commit(topic, partition, position);
    }

    fn committed(&self, topic: Topic, partition: u32) -> BoxFuture<'_, Result<Option<Committed>, LogError>> {
        let away = self.world.strikes(Fault::LogAway, format_args!("{}, committed", self.life.name));
        let control = self.control();
        Box::pin(async move {
            if away {
                return Err(LogError::Unavailable("the coordinator does not answer".into()));
            }
            control.committed(topic, partition).await
        })
    }

    fn pause(&self, partition: u32) {
        self.paused().entry(partition).or_default();
        self.control().pause(partition);
    }

    fn resume(&self, partition: u32) {
        if let Some(held) = self.paused().remove(&partition) {
            // Before what came later, which may be waiting there already.
            let mut flowing = self.flowing();
            held.into_iter().rev().for_each(|batch| flowing.push_front(batch));
            drop(flowing);
            self.resumed.notify_one();
        }
        self.control().resume(partition);
    }

    fn leave(&self) -> BoxFuture<'_, ()> {
        let control = self.control();
        Box::pin(async move { control.leave().await })
    }
}
