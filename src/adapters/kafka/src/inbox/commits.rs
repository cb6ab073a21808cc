//! Committing: the latest position per partition, one commit under way at a time, on a thread of its own.
//!
//! Positions gather for a moment before they are committed: a commit is a record in the broker's own log, on top of those of
//! the turn. Whoever is about to lose a partition, and whoever asks for a position, does not wait for that moment. Questions are
//! answered here too, behind the commits before them.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use callboard_ports::Topic;
use callboard_ports::inbox::Committed;
use callboard_ports::log::LogError;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::oneshot;

use super::MemberConsumer;
use super::orphans::Orphans;
use crate::error::{sentence, unavailable};
use crate::names::Names;

/// How long positions gather: what was finished in the last moment before a crash is taken in hand again, and known again by
/// its effect id.
const GATHER: Duration = Duration::from_millis(200);
/// Nobody wants anything: a look all the same.
const LONGEST_NAP: Duration = Duration::from_secs(1);
/// A commit that the broker refused for the moment (a rebalance, a coordinator that moves) is tried again after this.
const RETRY: Duration = Duration::from_millis(100);
/// Positions are asked for at takeovers: two per partition at once.
const MAX_QUESTIONS: usize = 4_096;
const ANSWER_WAIT: Duration = Duration::from_secs(5);

type Place = (Topic, u32);
type Answer = oneshot::Sender<Result<Option<Committed>, LogError>>;

/// See the module.
pub(super) struct Commits {
    topic: Topic,
    names: Names,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    wanted: BTreeMap<Place, Committed>,
    under_way: BTreeMap<Place, Committed>,
    /// Of the consumed topic; the group decides about these.
    owned: BTreeSet<u32>,
    questions: Vec<(Place, Answer)>,
    consumer: Option<Arc<MemberConsumer>>,
    /// Not before this, unless somebody waits.
    due_at: Option<Instant>,
    /// Somebody waits for what is wanted to be committed.
    hurried: bool,
    /// Not before this, whoever waits: the last commit was refused.
    retry_at: Option<Instant>,
    stopped: bool,
}

impl State {
    /// How long there is nothing to do yet; zero where there is something.
    fn nap(&self) -> Duration {
        let nothing = self.wanted.is_empty() && self.questions.is_empty();
        if self.consumer.is_none() || nothing {
            return LONGEST_NAP;
        }
        let hurried = self.hurried || !self.questions.is_empty();
        let due_at = self.due_at.filter(|_| !hurried);
        let at = due_at.into_iter().chain(self.retry_at).max();
        at.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()))
    }

    fn is_settled(&self, topic: Topic, partitions: Option<&[u32]>) -> bool {
        let concerned = |place: &Place| match partitions {
            None => true,
            Some(partitions) => place.0 == topic && partitions.contains(&place.1),
        };
        !self.wanted.keys().any(concerned) && !self.under_way.keys().any(concerned)
    }
}

impl Commits {
    pub(super) fn new(topic: Topic, names: Names) -> Self {
        Self { topic, names, state: Mutex::default(), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn want(&self, topic: Topic, partition: u32, position: Committed) {
        let mut state = self.state();
        if topic == self.topic && !state.owned.contains(&partition) {
            tracing::debug!(%topic, partition, "a commit for a partition that is not ours any more is dropped");
            return;
        }
        let first = state.wanted.is_empty();
        state.wanted.insert((topic, partition), position);
        if first {
            state.due_at = Some(Instant::now() + GATHER);
            drop(state);
            self.changed.notify_all();
        }
    }

    pub(super) fn ask(
        &self,
        topic: Topic,
        partition: u32,
    ) -> Result<oneshot::Receiver<Result<Option<Committed>, LogError>>, LogError> {
        let (answer, answered) = oneshot::channel();
        let mut state = self.state();
        if state.stopped {
            return Err(LogError::Closed("the membership is over".into()));
        }
        if state.questions.len() >= MAX_QUESTIONS {
            return Err(LogError::Unavailable(format!(
                "{MAX_QUESTIONS} positions are being asked for already"
            )));
        }
        state.questions.push(((topic, partition), answer));
        drop(state);
        self.changed.notify_all();
        Ok(answered)
    }

    /// The consumer to commit with from now on; `None` takes it away, so that it can be closed.
    pub(super) fn use_consumer(&self, consumer: Option<Arc<MemberConsumer>>) {
        self.state().consumer = consumer;
        self.changed.notify_all();
    }

    pub(super) fn own(&self, partitions: &[u32]) {
        self.state().owned.extend(partitions);
    }

    /// The partitions belong to somebody else: nothing more is committed for them.
    pub(super) fn disown(&self, partitions: &[u32]) {
        let mut state = self.state();
        for partition in partitions {
            state.owned.remove(partition);
            state.wanted.remove(&(self.topic, *partition));
        }
    }

    /// Waits until what is wanted for these partitions (all of them where `None`) has been committed.
    pub(super) fn settle(&self, partitions: Option<&[u32]>, longest: Duration) -> bool {
        let unsettled = |state: &mut State| !state.stopped && !state.is_settled(self.topic, partitions);
        let mut state = self.state();
        state.hurried = true;
        self.changed.notify_all();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, longest, unsettled)
            .unwrap_or_else(PoisonError::into_inner);
        state.is_settled(self.topic, partitions)
    }

    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        state.consumer = None;
        state.questions.clear();
        drop(state);
        self.changed.notify_all();
    }

    /// The committing thread. Between two commits it is the one that may wait for a broker, so it looks after the group too.
    pub(super) fn serve(&self, mut orphans: Orphans) {
        loop {
            let mut state = self.state();
            if state.stopped {
                return;
            }
            let nap = state.nap();
            if !nap.is_zero() {
                match state.consumer.clone().filter(|_| orphans.is_due()) {
                    Some(consumer) => {
                        drop(state);
                        orphans.look(&consumer);
                    }
                    None => drop(self.changed.wait_timeout(state, nap)),
                }
                continue;
            }
            let Some(consumer) = state.consumer.clone() else { continue };
            (state.retry_at, state.due_at, state.hurried) = (None, None, false);
            state.under_way = std::mem::take(&mut state.wanted);
            let positions = state.under_way.clone();
            drop(state);
            let refused = self.commit(&consumer, &positions);
            let mut state = self.state();
            state.under_way.clear();
            if let Some(error) = refused {
                self.keep(&mut state, positions, &error);
            }
            let questions =
                if state.wanted.is_empty() { std::mem::take(&mut state.questions) } else { Vec::new() };
            drop(state);
            self.changed.notify_all();
            for ((topic, partition), answer) in questions {
                let _ = answer.send(self.committed(&consumer, topic, partition));
            }
        }
    }

    fn commit(
        &self,
        consumer: &MemberConsumer,
        positions: &BTreeMap<Place, Committed>,
    ) -> Option<KafkaError> {
        if positions.is_empty() {
            return None;
        }
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for ((topic, partition), position) in positions {
            let number = i32::try_from(*partition).unwrap_or(i32::MAX);
            let mut element = list.add_partition(self.names.topic(*topic), number);
            let offset = i64::try_from(position.next_offset).unwrap_or(i64::MAX);
            if let Err(error) = element.set_offset(Offset::Offset(offset)) {
                return Some(error);
            }
            if !position.metadata.is_empty() {
                element.set_metadata(&position.metadata);
            }
        }
        consumer.commit(&list, CommitMode::Sync).err()
    }

    /// Positions that were not committed are wanted again, unless newer ones are or they never can be.
    fn keep(&self, state: &mut State, positions: BTreeMap<Place, Committed>, error: &KafkaError) {
        use RDKafkaErrorCode as Code;
        let hopeless = matches!(
            error.rdkafka_error_code(),
            Some(Code::OffsetMetadataTooLarge | Code::InvalidArgument | Code::Fatal | Code::FencedInstanceId)
        );
        if hopeless {
            tracing::error!(error = sentence(error), "positions cannot be committed");
            return;
        }
        tracing::debug!(error = sentence(error), "positions are committed again in a moment");
        for (place, position) in positions {
            if place.0 != self.topic || state.owned.contains(&place.1) {
                state.wanted.entry(place).or_insert(position);
            }
        }
        state.retry_at = Some(Instant::now() + RETRY);
    }

    fn committed(
        &self,
        consumer: &MemberConsumer,
        topic: Topic,
        partition: u32,
    ) -> Result<Option<Committed>, LogError> {
        let mut positions = committed(consumer, self.names.topic(topic), &[partition], ANSWER_WAIT)
            .map_err(|error| unavailable("the committed position", &error))?;
        Ok(positions.remove(&partition))
    }
}

/// The group's committed positions of these partitions of one topic; those without one are absent.
pub(super) fn committed(
    consumer: &MemberConsumer,
    topic: &str,
    partitions: &[u32],
    longest: Duration,
) -> Result<BTreeMap<u32, Committed>, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(topic, i32::try_from(*partition).unwrap_or(i32::MAX));
    }
    let mut positions = BTreeMap::new();
    for element in consumer.committed_offsets(list, longest)?.elements() {
        element.error()?;
        let (Ok(partition), Offset::Offset(offset)) = (u32::try_from(element.partition()), element.offset())
        else {
            continue;
        };
        // rust-rdkafka panics at metadata that is not UTF-8, which a foreign tool may have committed: not ours.
        let metadata = catch_unwind(AssertUnwindSafe(|| element.metadata().to_owned())).unwrap_or_default();
        let next_offset = u64::try_from(offset).unwrap_or_default();
        positions.insert(partition, Committed { next_offset, metadata });
    }
    Ok(positions)
}
