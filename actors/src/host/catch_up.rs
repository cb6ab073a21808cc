//! Catching up: from the checkpoint to the end of the partition, folding into plain states. Effects are held back until
//! then; afterwards `due` of every open turn says what to do. There is no other recovery.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use actix::{Handler, Message};
use callboard_domain::planted::{self, Defect};
use callboard_ports::inbox::InboxControl;
use callboard_ports::log::{LogError, LogIdentity};
use callboard_ports::record::Topic;
use callboard_ports::snapshot::{Checkpoint, SnapshotError};
use futures_util::future::try_join;

use super::identity::identity;
use super::load::discard;
use super::replay::{Replay, Replayed};
use super::storeless::Mode;
use super::{Host, HostContext, Phase};

/// A store that fails is asked so often…
const STORE_TRIES: u32 = 4;
/// …with this pause, before the partition goes on without it: a second, which is less than anybody's patience.
const STORE_PAUSE: std::time::Duration = std::time::Duration::from_millis(250);

/// The partition as it is at its end.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct CaughtUp {
    /// The partition was empty: its identity is known for good only after its first record.
    was_empty: bool,
    replayed: Replayed,
}

impl Host {
    /// Catches up in the background, again and again until it succeeds.
    pub(super) fn catch_up(&mut self) {
        let (context, inbox, host) = (self.context.clone(), self.feed.inbox.clone(), self.addr.clone());
        self.task(async move {
            /// A log that is away is asked again after this.
            const PAUSE: std::time::Duration = std::time::Duration::from_millis(500);
            loop {
                match catch_up(&context, &*inbox).await {
                    Ok(caught_up) => {
                        let _ = host.send(caught_up).await;
                        return;
                    }
                    Err(error) => {
                        tracing::warn!(partition = context.partition, %error, "cannot catch up; trying again");
                    }
                }
                context.shared.ports.clock.sleep(PAUSE).await;
            }
        });
    }
}

async fn catch_up(context: &Rc<HostContext>, inbox: &dyn InboxControl) -> Result<CaughtUp, LogError> {
    let (ports, partition) = (&context.shared.ports, context.partition);
    let bounds = ports.log.bounds(Topic::ConversationEvents, partition);
    let (bounds, ()) = try_join(bounds, learn_dead_position(context, inbox)).await?;
    // After the bounds: a partition that had a record then has the identity that it keeps.
    let identity = identity(context, bounds).await?;
    let checkpoint = starting_point(context, &identity, bounds.start, bounds.end).await;
    let started_ms = ports.clock.monotonic_ms();
    let replayed = Replay::new(context, identity, checkpoint, bounds).run().await?;
    if replayed.position > checkpoint || !replayed.stored.is_empty() {
        tracing::info!(
            partition,
            from = checkpoint,
            to = replayed.position,
            touched = replayed.states.len(),
            open = replayed.stored.len(),
            ms = ports.clock.monotonic_ms() - started_ms,
            "partition caught up"
        );
    }
    Ok(CaughtUp { was_empty: bounds.start == bounds.end, replayed })
}

/// How far the dead letters are. Asked for once while the partition is ours: the question waits behind the group's commits.
async fn learn_dead_position(context: &HostContext, inbox: &dyn InboxControl) -> Result<(), LogError> {
    let known = &context.memory.dead_position;
    if known.get().is_none() {
        let committed = inbox.committed(Topic::ConversationEvents, context.partition).await?;
        known.set(Some(committed.map_or(0, |position| position.next_offset)));
    }
    Ok(())
}

/// The checkpoint, when it belongs to this log; otherwise the log's start, with the store's content discarded, or without
/// the store where it does not work.
async fn starting_point(context: &Rc<HostContext>, identity: &LogIdentity, start: u64, end: u64) -> u64 {
    let memory = &context.memory.store;
    if memory.is_given_up() {
        memory.begin(Mode::Indexed);
        return start;
    }
    memory.begin(Mode::Stored);
    let snapshots = &context.shared.ports.snapshots;
    let error = match patiently(context, async || snapshots.checkpoint(context.partition).await).await {
        Ok(Some(Checkpoint { identity: of, next_offset })) if of == *identity && next_offset <= end => {
            if next_offset < start {
                tracing::error!(
                    partition = context.partition,
                    lost = format!("{next_offset}..{start}"),
                    "records of conversation-events were deleted before they were folded"
                );
            }
            return next_offset.max(start);
        }
        Ok(None) => return start,
        Ok(Some(_)) => SnapshotError::Corrupt("the snapshots belong to another log".into()),
        Err(error) => error,
    };
    if matches!(error, SnapshotError::Failed(_)) {
        // What it has may be as good as ever: it is looked at again later.
        tracing::error!(partition = context.partition, %error, "the snapshot store cannot be read");
        memory.begin(Mode::Indexed);
    } else if !discard(context, &error).await {
        memory.begin(Mode::Indexed);
    }
    start
}

/// A store that fails is asked again before it is given up.
pub(super) async fn patiently<T>(
    context: &HostContext,
    ask: impl AsyncFn() -> Result<T, SnapshotError>,
) -> Result<T, SnapshotError> {
    for _ in 1..STORE_TRIES {
        match ask().await {
            Err(SnapshotError::Failed(_)) => context.shared.ports.clock.sleep(STORE_PAUSE).await,
            answer => return answer,
        }
    }
    ask().await
}

impl Handler<CaughtUp> for Host {
    type Result = ();

    fn handle(&mut self, message: CaughtUp, _: &mut Self::Context) {
        if self.phase != Phase::CatchingUp {
            return;
        }
        let Replayed { identity, position, states, stored, dirty, unreadable } = message.replayed;
        (self.identity, self.identity_is_final) = (identity, !message.was_empty);
        (self.position, self.dirty) = (position, dirty);
        self.enter(Phase::Running);
        self.context.shared.metrics.partitions_owned.fetch_add(1, Relaxed);
        self.feed.tail.assign(self.context.partition, self.position, self.feed.generation);
        self.resume_after_catch_up(states, stored);
        for (record, reason) in unreadable {
            self.bury(&record, &reason);
        }
        if planted::is(Defect::SkipAtTheSeam) {
            self.position += 1;
        }
        self.deliver_open_orders();
        self.resume();
        self.keep_time();
        self.keep_flushing();
        self.keep_probing();
        self.context.orders.flow();
    }
}
