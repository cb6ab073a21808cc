//! Records of one conversation through a node: from the log, and then as they happen.

use callboard_domain::id::ConversationId;
use callboard_ports::log::{Batch, LogError};
use callboard_ports::record::Topic;
use tokio::sync::{broadcast, mpsc};

use super::{Node, NodeError};
use crate::conversation::Subscribe;
use crate::host::Offsets;
use crate::limits::FOLLOW_RECORDS;

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
        let partition = self.partition_of(conversation);
        let offsets = self.of_host(partition, Offsets(conversation.clone())).await?;
        let log = &self.shared.ports.log;
        let ranges = match offsets {
            Some(ranges) => ranges,
            None => {
                let bounds = log.bounds(Topic::ConversationEvents, partition).await?;
                vec![bounds.start..bounds.end]
            }
        };
        let key = Some(conversation.as_str().to_owned());
        Ok(log.replay(Topic::ConversationEvents, partition, ranges, key))
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
        let mut past = self.records(conversation).await?;
        let (sender, receiver) = mpsc::channel(FOLLOW_RECORDS);
        tokio::spawn(async move {
            let mut next = after.map_or(0, |after| after + 1);
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
