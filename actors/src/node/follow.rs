//! Records of one conversation through a node: from the log, and then as they happen.

use callboard_domain::id::{CommandId, ConversationId};
use callboard_ports::log::{Batch, LogError};
use callboard_ports::record::Topic;
use tokio::sync::{broadcast, mpsc};

use super::{Node, NodeError};
use crate::conversation::Subscribe;
use crate::host::Offsets;
use crate::limits::FOLLOW_RECORDS;
use crate::streams::{self, Watch};

/// Records of one conversation: everything after the asked offset, in order, first from the log, then as it
/// happens. Each item is a batch and the record's place in it. Ends when the conversation's actor ends or the reader
/// is too slow; ask again from the last offset seen.
pub type Follow = mpsc::Receiver<Result<(Batch, usize), LogError>>;

impl Node {
    /// All records of a conversation from the log, oldest first.
    ///
    /// # Errors
    /// [`NodeError::NotReady`], [`NodeError::Log`].
    pub async fn records(
        &self,
        conversation: &ConversationId,
    ) -> Result<mpsc::Receiver<Result<Batch, LogError>>, NodeError> {
        self.records_from(conversation, 0).await
    }

    /// Those from offset `next` on.
    async fn records_from(
        &self,
        conversation: &ConversationId,
        next: u64,
    ) -> Result<mpsc::Receiver<Result<Batch, LogError>>, NodeError> {
        let partition = self.partition_of(conversation);
        let offsets = self.of_host(partition, Offsets(conversation.clone())).await?;
        let log = &self.shared.ports.log;
        let ranges = match offsets {
            Some(index) => index.ranges,
            None => {
                let bounds = log.bounds(Topic::ConversationEvents, partition).await?;
                vec![bounds.start..bounds.end]
            }
        };
        let ranges = ranges.into_iter().map(|range| range.start.max(next)..range.end);
        let ranges = ranges.filter(|range| !range.is_empty()).collect();
        let key = Some(conversation.as_str().to_owned());
        Ok(log.replay(Topic::ConversationEvents, partition, ranges, key))
    }

    /// Watches the answer of the turn of `command` being written: its pieces, as far as there are any. What counts is the
    /// event, which comes as a record.
    ///
    /// # Errors
    /// [`NodeError::Busy`] where as many watch as may.
    pub async fn watch_answer(
        &self,
        conversation: &ConversationId,
        command: &CommandId,
    ) -> Result<Watch, NodeError> {
        streams::watch(&self.shared, conversation, command, self.partition_of(conversation)).await
    }

    /// A conversation's records after offset `after` (all, without one), then the live ones.
    ///
    /// # Errors
    /// As [`Self::records`].
    pub async fn follow(
        &self,
        conversation: &ConversationId,
        after: Option<u64>,
    ) -> Result<Follow, NodeError> {
        // Subscribed first, read second: nothing falls between.
        let addr = self.conversation(conversation).await?;
        let gone = || NodeError::Gone("the conversation's actor has just ended".into());
        let subscribed = self.of_conversation((conversation, &addr), addr.send(Subscribe)).await;
        let mut live = subscribed.and_then(Result::ok).ok_or_else(gone)?.records;
        let mut next = after.map_or(0, |after| after + 1);
        let mut past = self.records_from(conversation, next).await?;
        let (sender, receiver) = mpsc::channel(FOLLOW_RECORDS);
        tokio::spawn(async move {
            while let Some(batch) = past.recv().await {
                let batch = match batch {
                    Ok(batch) => batch,
                    Err(error) => {
                        let _ = sender.send(Err(error)).await;
                        return;
                    }
                };
                for (at, record) in batch.records.iter().enumerate() {
                    if record.offset < next {
                        continue;
                    }
                    next = record.offset + 1;
                    if sender.send(Ok((batch.clone(), at))).await.is_err() {
                        return;
                    }
                }
            }
            loop {
                let received = tokio::select! {
                    biased;
                    () = sender.closed() => return,
                    received = live.recv() => received,
                };
                match received {
                    Ok((batch, at)) => {
                        let offset = batch.records[at].offset;
                        if offset < next {
                            continue;
                        }
                        next = offset + 1;
                        if sender.send(Ok((batch, at))).await.is_err() {
                            return;
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(_) | broadcast::error::RecvError::Closed) => {
                        return;
                    }
                }
            }
        });
        Ok(receiver)
    }
}
