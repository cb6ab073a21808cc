//! Answers while they are being written, for people who watch: volatile, and never the source of truth.
//!
//! `board` holds the beginning of each answer that is being written or watched here. `sink` is where a synthesis worker puts
//! its pieces: onto the board of its own process where that hosts the conversation, into `answer-chunks` otherwise. `reader`
//! brings what comes through the topic onto the board, for the partitions that somebody watches and no others: an answer that
//! nobody watches costs this process nothing, and the built-in synthesizer, which writes no pieces, costs nobody anything.

mod board;
mod reader;
mod sink;

pub use board::{Said, Streams, Watched};
pub use reader::{Reader, Reading};
pub use sink::Sink;

use callboard_domain::id::{CommandId, ConversationId};

use crate::node::NodeError;
use crate::shared::Shared;

/// Somebody watches an answer. Dropping it is all it takes to leave.
pub struct Watch {
    pub answer: Watched,
    _reading: Option<Reading>,
}

/// Watches the answer of the turn of `command`, whether or not it is being written yet.
pub async fn watch(
    shared: &Shared,
    conversation: &ConversationId,
    command: &CommandId,
    partition: u32,
) -> Result<Watch, NodeError> {
    let answer = shared.streams.watch(conversation, command).inspect_err(|_| {
        shared.metrics.refused("answer_streams");
    })?;
    // Watched first, read second: what the topic brings finds its place.
    let reading =
        if shared.ports.log.is_shared() { shared.reader.read(shared, partition).await } else { None };
    Ok(Watch { answer, _reading: reading })
}
