//! Brings pieces from `answer-chunks` onto the board: one tail for the process, which reads the partitions that somebody
//! watches. Whoever joins late finds the newest records; where those do not reach back to the beginning of an answer, its
//! pieces are not shown, and the answer comes whole in the end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use callboard_domain::wire;
use callboard_ports::log::{TailControl, TailEvent};
use callboard_ports::record::{Record, Topic};
use futures_util::FutureExt;
use tokio::sync::mpsc;

use super::board::Streams;
use crate::limits::CHUNKS_READ_BACK;
use crate::shared::Shared;

/// The reader of a process. Starts with the first who watches, and again should its task have ended.
#[derive(Default)]
pub struct Reader {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    control: Option<Arc<dyn TailControl>>,
    /// Dead where the task that reads has ended.
    task: Weak<()>,
    generation: u64,
    /// Watchers by partition.
    watchers: HashMap<u32, usize>,
}

/// While it lives, its partition is read.
pub struct Reading {
    state: Arc<Mutex<State>>,
    partition: u32,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no holder of this lock panics")
}

impl Reader {
    /// Reads `partition` from its newest records on. `None` where it cannot be read now: then there is no preview.
    pub async fn read(&self, shared: &Shared, partition: u32) -> Option<Reading> {
        let bounds = shared.ports.log.bounds(Topic::AnswerChunks, partition).await;
        let unread = |error: &dyn std::fmt::Display| {
            tracing::warn!(partition, %error, "answer-chunks cannot be read: answers come whole, not piece by piece");
        };
        let bounds = bounds.inspect_err(|error| unread(error)).ok()?;
        let from = bounds.start.max(bounds.end.saturating_sub(CHUNKS_READ_BACK));
        let mut state = lock(&self.state);
        if state.task.upgrade().is_none() {
            start(&mut state, shared).inspect_err(|error| unread(error)).ok()?;
        }
        *state.watchers.entry(partition).or_default() += 1;
        state.generation += 1;
        // Those who read it already see some records again, and know them.
        let generation = state.generation;
        state.control.as_ref()?.assign(partition, from, generation);
        Some(Reading { state: self.state.clone(), partition })
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        let Some(watchers) = state.watchers.get_mut(&self.partition) else { return };
        *watchers -= 1;
        if *watchers == 0 {
            state.watchers.remove(&self.partition);
            if let Some(control) = &state.control {
                control.unassign(self.partition);
            }
        }
    }
}

fn start(state: &mut State, shared: &Shared) -> Result<(), callboard_ports::log::LogError> {
    let tail = shared.ports.log.tail(Topic::AnswerChunks, 1)?;
    let alive = Arc::new(());
    state.task = Arc::downgrade(&alive);
    state.control = Some(tail.control);
    let (streams, lanes) = (shared.streams.clone(), tail.lanes);
    let job = Box::new(move || {
        async move {
            for lane in lanes {
                drain(&streams, lane).await;
            }
            drop(alive);
        }
        .boxed_local()
    });
    shared.ports.placement.spawn_on(0, job);
    Ok(())
}

async fn drain(streams: &Streams, mut lane: mpsc::Receiver<TailEvent>) {
    while let Some(event) = lane.recv().await {
        match event {
            TailEvent::Batch { batch, .. } => batch.records.iter().for_each(|record| take(streams, record)),
            TailEvent::Failed { partition, error, .. } => {
                // The next who watches begins at the records that there are.
                tracing::debug!(partition, %error, "pieces of answers are gone from the log");
            }
        }
    }
}

fn take(streams: &Streams, record: &Record) {
    if !streams.is_watched(&record.key) {
        return;
    }
    // What somebody else wrote here is nobody's business: the answer is an event.
    if let Ok((meta, chunk)) = wire::read_chunk(&record.value)
        && let Some(command) = &meta.command
    {
        streams.take(&meta.conversation, command, &chunk);
    }
}
