//! Replay equals live: a conversation's log folded from its first record, compared byte for byte with a state
//! that lived. HTTP compares with the running actor's, `offline` with snapshot plus later records.

use callboard_domain::conversation::{Recorded, State, apply};
use callboard_domain::id::ConversationId;
use callboard_ports::log::{Batch, LogError, LogIdentity};
use callboard_ports::snapshot;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::records::recorded;

/// A state frozen: everything that equality is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// The compact form that snapshots have.
    pub binary: Vec<u8>,
    pub json: Vec<u8>,
    /// Records below this offset are in it.
    pub next_offset: u64,
    /// The record that holds it, which is in it too.
    pub blocked_at: Option<u64>,
}

impl Frozen {
    #[must_use]
    pub fn of(state: &State) -> Self {
        Self {
            // Partition and log do not matter here: both sides get the same.
            binary: snapshot::encode(state, 0, &LogIdentity(String::new())),
            json: serde_json::to_vec(state).expect("a State has only types that JSON can write"),
            next_offset: state.next_offset,
            blocked_at: state.blocked.as_ref().map(|blocked| blocked.offset),
        }
    }

    /// SHA-256 of the binary form, in hex.
    #[must_use]
    pub fn digest(&self) -> String {
        hex(&Sha256::digest(&self.binary))
    }

    /// Whether the record at `offset` is in it.
    #[must_use]
    pub fn covers(&self, offset: u64) -> bool {
        offset < self.next_offset || self.blocked_at == Some(offset)
    }
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a comparison found.
#[derive(Debug, Clone)]
pub struct Compared {
    pub conversation: ConversationId,
    pub equal: bool,
    /// Both states know the records below this offset.
    pub offset: u64,
    pub records: u64,
    pub live: Frozen,
    pub replayed: Frozen,
}

impl Compared {
    /// As HTTP and the command line give it.
    #[must_use]
    pub fn to_json(&self, with_state: bool) -> Value {
        let mut out = json!({
            "conversation_id": self.conversation,
            "equal": self.equal,
            "offset": self.offset,
            "records": self.records,
            "bytes": self.replayed.binary.len(),
            "live_digest": self.live.digest(),
            "replay_digest": self.replayed.digest(),
        });
        if with_state {
            out["state"] = serde_json::from_slice(&self.replayed.json).unwrap_or_default();
        }
        out
    }
}

/// Folds `records` (from the first) as far as `live` went, and compares.
///
/// # Errors
/// When the log cannot be read.
pub async fn compare(
    conversation: ConversationId,
    live: Frozen,
    mut records: mpsc::Receiver<Result<Batch, LogError>>,
) -> Result<Compared, LogError> {
    let mut state = State::new(conversation.clone());
    let mut count = 0;
    'log: while let Some(batch) = records.recv().await {
        let batch = batch?;
        for record in recorded(&batch, &conversation) {
            if !live.covers(record.offset) {
                break 'log;
            }
            apply(&mut state, &record);
            count += 1;
        }
    }
    let replayed = Frozen::of(&state);
    let equal = replayed.binary == live.binary && replayed.json == live.json;
    Ok(Compared { conversation, equal, offset: live.next_offset, records: count, live, replayed })
}

/// Folds every record up to and with `last`, each shown to `seen` with whether it changed the state.
///
/// # Errors
/// When the log cannot be read.
pub async fn fold(
    conversation: &ConversationId,
    last: Option<u64>,
    mut records: mpsc::Receiver<Result<Batch, LogError>>,
    mut seen: impl FnMut(&State, &Recorded, bool),
) -> Result<State, LogError> {
    let mut state = State::new(conversation.clone());
    while let Some(batch) = records.recv().await {
        let batch = batch?;
        for record in recorded(&batch, conversation) {
            if last.is_some_and(|last| record.offset > last) {
                return Ok(state);
            }
            let changed = apply(&mut state, &record) == callboard_domain::Applied::Changed;
            seen(&state, &record, changed);
        }
    }
    Ok(state)
}
