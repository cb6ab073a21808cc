//! Waiting for what a command comes to: cancel, reset, settle, retry now. Its event says, and so does the fold: an event
//! that came too late took no effect.

use std::time::Duration;

use callboard_domain::conversation::Applied;
use callboard_domain::event::Event;
use callboard_domain::id::{CommandId, ConversationId};
use callboard_domain::wire::Readable;
use callboard_domain::{State, apply};
use tokio::sync::oneshot;

use super::{Node, NodeError};
use crate::conversation::{AwaitCommand, Busy, Came, asked_by};
use crate::decode::Decoded;

/// What a command came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Commanded {
    /// Where its event is in the conversation's partition.
    pub offset: u64,
    /// A refusal is an event too: [`Event::CommandRefused`].
    pub event: Event,
    /// False where something that came first in the log had made it void.
    pub took_effect: bool,
}

impl Node {
    /// What `command` comes to, as soon as its event has been read back, or what it came to before; waits across restarts
    /// of the conversation's actor. The caller bounds the wait: for a command that never arrives it waits for ever.
    ///
    /// # Errors
    /// [`NodeError::Busy`] when as many wait for this conversation as may, [`NodeError::Log`] when an earlier event cannot
    /// be read, [`NodeError::Gone`] when the node stops.
    pub async fn commanded(
        &self,
        conversation: &ConversationId,
        command: &CommandId,
    ) -> Result<Commanded, NodeError> {
        /// Between two tries while the actor is being restarted.
        const PAUSE: Duration = Duration::from_millis(25);
        while !*self.stop.borrow() {
            if let Ok(addr) = self.conversation(conversation).await {
                let (reply, came) = oneshot::channel();
                let wait = AwaitCommand { command: command.clone(), reply };
                let answer = async {
                    match addr.send(wait).await {
                        Ok(Ok(())) => came.await.ok().map(Ok),
                        Ok(Err(busy)) => Some(Err(busy)),
                        Err(_) => None,
                    }
                };
                match self.of_conversation((conversation, &addr), answer).await.flatten() {
                    Some(Ok(Came::Now { offset, event, took_effect })) => {
                        return Ok(Commanded { offset, event: *event, took_effect });
                    }
                    Some(Ok(Came::Before { offset })) => {
                        if let Some(commanded) = self.came_to(conversation, command, offset).await? {
                            return Ok(commanded);
                        }
                    }
                    Some(Err(Busy)) => {
                        self.shared.metrics.refused("waiters_per_conversation");
                        let most = self.shared.limits.waiters_per_conversation;
                        return Err(NodeError::Busy(format!("{most} wait for this conversation")));
                    }
                    None => {}
                }
            }
            self.shared.ports.clock.sleep(PAUSE).await;
        }
        Err(NodeError::Gone("the node is stopping".into()))
    }

    /// What the event at `offset` was and did, by folding the conversation up to there.
    async fn came_to(
        &self,
        conversation: &ConversationId,
        command: &CommandId,
        offset: u64,
    ) -> Result<Option<Commanded>, NodeError> {
        let mut records = self.records(conversation).await?;
        let mut state = State::new(conversation.clone());
        while let Some(batch) = records.recv().await {
            for item in Decoded::new(batch?, self.shared.ports.log.partitions()).items {
                let applied = apply(&mut state, &item.recorded);
                let Readable::Event(event) = item.recorded.body else { continue };
                let is_it = item.recorded.offset == offset
                    && asked_by(&event, item.recorded.command.as_ref()) == Some(command);
                if is_it {
                    return Ok(Some(Commanded { offset, event, took_effect: applied == Applied::Changed }));
                }
            }
        }
        Ok(None)
    }
}
