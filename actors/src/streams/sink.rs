//! Where a synthesis worker puts the pieces of an answer. Chosen with the first one: onto the board where this process hosts
//! the conversation, into the topic otherwise, a batch at a time. Nothing is allocated for an answer that comes whole.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use callboard_domain::chunk::{AnswerChunk, Epoch};
use callboard_domain::limits::MAX_ANSWER_BYTES;
use callboard_domain::time::rfc3339;
use callboard_domain::wire::{self, Stamp};
use callboard_ports::headers::{self, Family};
use callboard_ports::log::AppendError;
use callboard_ports::model::AnswerSink;
use callboard_ports::partition::partition_of;
use callboard_ports::record::{NewRecord, Topic};
use tokio::sync::Notify;

use super::board::Writer;
use crate::pool::Job;
use crate::shared::Shared;

/// Pieces are gathered this long before they are appended: an eye sees no difference, and a fast model's hundred tokens a
/// second become thirty records.
const GATHER: Duration = Duration::from_millis(30);

/// The sink of one answer.
pub struct Sink {
    shared: Arc<Shared>,
    job: Arc<Job>,
    version: u32,
    state: Mutex<State>,
    rung: Notify,
}

#[derive(Default)]
struct State {
    epoch: Option<Epoch>,
    way: Way,
}

#[derive(Default)]
enum Way {
    #[default]
    Unused,
    Here(Writer),
    Elsewhere(Outgoing),
}

#[derive(Default)]
struct Outgoing {
    seq: u64,
    at_byte: u64,
    pending: String,
}

impl Sink {
    pub fn new(shared: Arc<Shared>, job: Arc<Job>, version: u32) -> Self {
        Self { shared, job, version, state: Mutex::default(), rung: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    fn partition(&self) -> u32 {
        partition_of(self.job.conversation.as_str().as_bytes(), self.shared.ports.log.partitions())
    }

    /// Later than every earlier one of this worker, also where the clock stands.
    fn next_epoch(&self, known: Option<&Epoch>) -> Epoch {
        let start_ms = self.shared.now_ms().max(known.map_or(i64::MIN, |epoch| epoch.start_ms + 1));
        let worker = self.shared.worker_name.clone();
        Epoch { version: self.version, attempt: self.job.attempt, start_ms, worker }
    }

    /// Appends what has been gathered, again and again, for as long as it is polled.
    pub async fn pump(&self) -> Infallible {
        loop {
            self.rung.notified().await;
            self.shared.ports.clock.sleep(GATHER).await;
            self.flush(false);
        }
    }

    /// Nothing follows.
    pub fn end(&self) {
        self.flush(true);
    }

    fn flush(&self, last: bool) {
        let mut state = self.state();
        let State { epoch: Some(epoch), way: Way::Elsewhere(out) } = &mut *state else { return };
        // Whatever was said in one go is in the event that follows at once.
        if out.pending.is_empty() || (last && out.seq == 0) {
            return;
        }
        let chunk = AnswerChunk {
            epoch: epoch.clone(),
            seq: out.seq,
            at_byte: out.at_byte,
            text: Arc::from(out.pending.as_str()),
            last,
        };
        match self.shared.ports.log.append(vec![self.record(&chunk)]) {
            // Whoever waits for the acknowledgement of a preview waits for nothing.
            Ok(_receipt) => {
                out.seq += 1;
                out.at_byte += out.pending.len() as u64;
                out.pending.clear();
            }
            Err(AppendError::Full) if !last => self.rung.notify_one(),
            Err(error) => tracing::debug!(%error, "a piece of an answer is not shown"),
        }
    }

    fn record(&self, chunk: &AnswerChunk) -> NewRecord {
        let (id, at) = (self.shared.ports.entropy.new_id(), rfc3339(self.shared.now_ms()));
        let about = self.job.about();
        let (conversation, command) = (about.conversation, about.command);
        let stamp = Stamp { id: &id, conversation, command, at: &at, causation_id: about.causation_id };
        let value = wire::write_chunk(stamp, chunk).expect("a chunk built by this crate can be written");
        let trace = about.traceparent;
        NewRecord {
            topic: Topic::AnswerChunks,
            partition: self.partition(),
            key: conversation.as_str().to_owned().into(),
            headers: headers::cloud_event(Family::Chunk, AnswerChunk::NAME, 1, &id, conversation, &at, trace)
                .into(),
            value: value.into(),
        }
    }
}

impl AnswerSink for Sink {
    fn piece(&self, text: &str) {
        if text.is_empty() {
            return;
        }
        let mut state = self.state();
        if matches!(state.way, Way::Unused) {
            let epoch = self.next_epoch(state.epoch.as_ref());
            state.way = if self.shared.directory.host(self.partition()).is_some() {
                let streams = &self.shared.streams;
                Way::Here(streams.write(&self.job.conversation, &self.job.command, epoch.clone()))
            } else {
                Way::Elsewhere(Outgoing::default())
            };
            state.epoch = Some(epoch);
        }
        match &mut state.way {
            Way::Unused => {}
            Way::Here(writer) => writer.piece(text),
            Way::Elsewhere(out) => {
                let said =
                    usize::try_from(out.at_byte).unwrap_or(usize::MAX).saturating_add(out.pending.len());
                let room = MAX_ANSWER_BYTES.saturating_sub(said);
                out.pending.push_str(&text[..text.floor_char_boundary(room)]);
                self.rung.notify_one();
            }
        }
    }

    fn restart(&self) {
        let mut state = self.state();
        let Some(known) = &state.epoch else { return };
        let epoch = self.next_epoch(Some(known));
        match &mut state.way {
            Way::Unused => {}
            Way::Here(writer) => writer.begin(epoch.clone()),
            Way::Elsewhere(out) => *out = Outgoing::default(),
        }
        state.epoch = Some(epoch);
    }
}
