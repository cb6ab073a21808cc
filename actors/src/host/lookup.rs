//! Questions from outside the arbiter: where a conversation is, where its records are, which there are.

use std::ops::Range;

use actix::{Addr, Handler, Message, ResponseFuture};
use callboard_domain::id::ConversationId;
use callboard_ports::snapshot::{self, SnapshotError};
use tokio::sync::oneshot;

use super::load::INDEX_GAP;
use super::storeless::Mode;
use super::{Host, Phase};
use crate::conversation::Conversation;

/// "Give me its address", loading it when need be. The reply is dropped where the host is not running.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Open {
    pub conversation: ConversationId,
    pub reply: oneshot::Sender<Addr<Conversation>>,
}

/// "Where are its records?" `None` where the index is lost: read the whole partition.
#[derive(Message)]
#[rtype(result = "Option<Indexed>")]
pub struct Offsets(pub ConversationId);

/// Where a conversation's records are.
pub struct Indexed {
    pub ranges: Vec<Range<u64>>,
    /// Of those from here on the index knows nothing yet.
    pub below: u64,
}

/// "Which conversations come after this one?"
#[derive(Message)]
#[rtype(result = "Result<Vec<ConversationId>, SnapshotError>")]
pub struct List {
    pub after: Option<ConversationId>,
    pub limit: usize,
}

impl Handler<Open> for Host {
    type Result = ();

    fn handle(&mut self, message: Open, _: &mut Self::Context) {
        match self.phase {
            Phase::Running => self.open(&message.conversation, message.reply),
            Phase::CatchingUp => self.resuming.want(&message.conversation),
            Phase::Retiring => {}
        }
    }
}

impl Handler<Offsets> for Host {
    type Result = ResponseFuture<Option<Indexed>>;

    fn handle(&mut self, message: Offsets, _: &mut Self::Context) -> Self::Result {
        if self.phase != Phase::Running {
            // Not everything is known yet: the partition has it all.
            return Box::pin(async { None });
        }
        let dirty = self.dirty.get(&message.0).cloned().unwrap_or_default();
        let context = self.context.clone();
        let fresh = dirty.into_iter().map(|offset| offset..offset + 1);
        let below = self.position;
        match context.memory.store.mode() {
            Mode::Stored => {}
            Mode::Indexed => {
                let ranges = snapshot::coalesce(fresh, INDEX_GAP);
                return Box::pin(async move { Some(Indexed { ranges, below }) });
            }
            Mode::Scanning => return Box::pin(async { None }),
        }
        Box::pin(async move {
            let stored = context.shared.ports.snapshots.load(context.partition, &message.0).await.ok()?;
            let ranges = snapshot::coalesce(stored.offsets.into_iter().chain(fresh), INDEX_GAP);
            Some(Indexed { ranges, below })
        })
    }
}

impl Handler<List> for Host {
    type Result = ResponseFuture<Result<Vec<ConversationId>, SnapshotError>>;

    fn handle(&mut self, message: List, _: &mut Self::Context) -> Self::Result {
        let List { after, limit } = message;
        let is_later = |id: &&ConversationId| after.as_ref().is_none_or(|after| *id > after);
        let mut fresh: Vec<ConversationId> = self.dirty.keys().filter(is_later).cloned().collect();
        let context = self.context.clone();
        Box::pin(async move {
            let store = &context.shared.ports.snapshots;
            match context.memory.store.mode() {
                Mode::Stored => {
                    fresh.extend(store.conversations(context.partition, after.as_ref(), limit).await?);
                }
                // All of them are among the dirty ones.
                Mode::Indexed => {}
                Mode::Scanning => {
                    let words = "without a snapshot store the conversations of this partition are not listed";
                    return Err(SnapshotError::Failed(words.into()));
                }
            }
            fresh.sort();
            fresh.dedup();
            fresh.truncate(limit);
            Ok(fresh)
        })
    }
}
