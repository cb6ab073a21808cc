//! Groups: one consumer, its thread and its committer per membership.
//!
//! `context` turns librdkafka's callbacks into a queue, `member` is the thread that serves it and reads, `rebalance`
//! is what it does when partitions come and go, `commits` is the second, mostly sleeping thread that commits (the
//! consumer's asynchronous commit never tells its result through rust-rdkafka, its synchronous one blocks), `orphans` what
//! that thread looks after: partitions that nobody owns.

mod commits;
mod context;
mod member;
mod orphans;
mod rebalance;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use callboard_ports::Topic;
use callboard_ports::inbox::{Committed, InboxControl, Joining, Membership};
use callboard_ports::log::LogError;
use futures_util::future::BoxFuture;
use rdkafka::consumer::BaseConsumer;
use tokio::sync::oneshot;

use crate::bell::Bell;
use crate::config::KafkaConfig;
use crate::heartbeat::Heartbeat;
use crate::lanes::Lanes;
use crate::names::Names;
use crate::reach::Reach;
use commits::Commits;
use context::MemberContext;
use member::Member;
use orphans::Orphans;

type MemberConsumer = BaseConsumer<MemberContext>;

/// What a membership is made from.
pub(crate) struct Ground<'a> {
    pub(crate) config: &'a KafkaConfig,
    pub(crate) names: &'a Names,
    pub(crate) reach: &'a Arc<Reach>,
    pub(crate) heartbeat: &'a Arc<Heartbeat>,
}

/// Starts the threads of a membership.
pub(crate) fn join(ground: &Ground<'_>, joining: &Joining) -> Result<Membership, LogError> {
    let orders = Arc::new(Orders::default());
    let commits = Arc::new(Commits::new(joining.topic, ground.names.clone()));
    let (lanes, receivers) = Lanes::new(joining.lanes);
    let mut member = Member::new(ground, joining, lanes, Arc::clone(&orders), Arc::clone(&commits))?;
    let group = &joining.group;
    let no_thread = |error: std::io::Error| LogError::Closed(format!("no thread for group {group}: {error}"));
    let orphans = Orphans::new(
        ground.names.prefixed(group),
        (Arc::clone(ground.names.topic(joining.topic)), ground.config.partitions),
        ground.config.instance_id(),
        Arc::clone(&orders),
    );
    let committer = Arc::clone(&commits);
    std::thread::Builder::new()
        .name(format!("kafka-commit-{group}"))
        .spawn(move || committer.serve(orphans))
        .map_err(no_thread)?;
    let started = std::thread::Builder::new().name(format!("kafka-{group}")).spawn(move || member.run());
    if let Err(error) = started {
        commits.stop();
        return Err(no_thread(error));
    }
    Ok(Membership { control: Arc::new(Control { orders, commits }), lanes: receivers })
}

/// What the caller wants of the member's thread.
#[derive(Default)]
struct Orders {
    /// Latest wish per partition: hold back or not.
    holds: Mutex<BTreeMap<u32, bool>>,
    /// Everybody who waits for the farewell; `None` when it is over.
    farewell: Mutex<Farewell>,
    /// The member is to leave its group and come back.
    again: AtomicBool,
    released: AtomicBool,
    bell: Arc<Bell>,
}

#[derive(Default)]
struct Farewell {
    asked: bool,
    over: bool,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Orders {
    fn join_again(&self) {
        self.again.store(true, Ordering::Relaxed);
        self.bell.ring();
    }

    fn leave_asked(&self) -> bool {
        self.farewell.lock().unwrap_or_else(PoisonError::into_inner).asked
    }

    /// The member is gone: whoever waits for that, and whoever will ask, may go on.
    fn over(&self) {
        let mut farewell = self.farewell.lock().unwrap_or_else(PoisonError::into_inner);
        farewell.over = true;
        for waiting in farewell.waiting.drain(..) {
            let _ = waiting.send(());
        }
    }
}

/// The caller's end.
struct Control {
    orders: Arc<Orders>,
    commits: Arc<Commits>,
}

impl Control {
    fn hold(&self, partition: u32, held: bool) {
        self.orders.holds.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, held);
        self.orders.bell.ring();
    }
}

impl InboxControl for Control {
    fn commit(&self, topic: Topic, partition: u32, position: Committed) {
        self.commits.want(topic, partition, position);
    }

    fn committed(&self, topic: Topic, partition: u32) -> BoxFuture<'_, Result<Option<Committed>, LogError>> {
        let answer = self.commits.ask(topic, partition);
        Box::pin(async move {
            match answer?.await {
                Ok(answer) => answer,
                Err(_) => Err(LogError::Closed("the membership is over".into())),
            }
        })
    }

    fn pause(&self, partition: u32) {
        self.hold(partition, true);
    }

    fn resume(&self, partition: u32) {
        self.hold(partition, false);
    }

    fn leave(&self) -> BoxFuture<'_, ()> {
        let (gone, wait) = oneshot::channel();
        {
            let mut farewell = self.orders.farewell.lock().unwrap_or_else(PoisonError::into_inner);
            farewell.asked = true;
            if !farewell.over {
                farewell.waiting.push(gone);
            }
        }
        self.orders.bell.ring();
        Box::pin(async move {
            let _ = wait.await;
        })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.orders.released.store(true, Ordering::Relaxed);
        self.orders.bell.ring();
    }
}
