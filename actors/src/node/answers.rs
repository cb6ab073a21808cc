//! Asking an actor and not waiting for ever: one that has ended says so itself, one on an arbiter that stopped never does. It
//! is not in the directory any more, which is how whoever waits for it learns that.

use actix::dev::ToEnvelope;
use actix::{Addr, Handler, Message};
use callboard_domain::id::ConversationId;
use tokio::sync::oneshot;

use super::{Node, NodeError};
use crate::conversation::Conversation;
use crate::directory::Directory;
use crate::guardian::Guardian;
use crate::host::{Host, Open};

impl Node {
    /// What `answer` comes to, or `None` when whoever is to give it is not `current` any more.
    pub(super) async fn while_current<T>(
        &self,
        current: impl Fn(&Directory) -> bool,
        answer: impl Future<Output = T>,
    ) -> Option<T> {
        let mut answer = std::pin::pin!(answer);
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return Some(answer),
                () = self.shared.ports.clock.sleep(self.shared.limits.heartbeat_every) => {}
            }
            if !current(&self.shared.directory) {
                return None;
            }
        }
    }

    /// The guardian's answer; `None` when there is none, or it ended before it gave one.
    pub(super) async fn of_guardian<M>(&self, message: M) -> Option<M::Result>
    where
        M: Message<Result: Send> + Send + 'static,
        Guardian: Handler<M>,
        actix::Context<Guardian>: ToEnvelope<Guardian, M>,
    {
        let guardian = self.guardian()?;
        let current = |_: &Directory| self.guardian().is_some_and(|now| now == guardian);
        self.while_current(current, guardian.send(message)).await.and_then(Result::ok)
    }

    /// A partition host's answer.
    pub(super) async fn of_host<M>(&self, partition: u32, message: M) -> Result<M::Result, NodeError>
    where
        M: Message<Result: Send> + Send + 'static,
        Host: Handler<M>,
        actix::Context<Host>: ToEnvelope<Host, M>,
    {
        let host = self.shared.directory.host(partition).ok_or_else(|| self.not_ready(partition))?;
        let current = |directory: &Directory| directory.host(partition).is_some_and(|now| now == host);
        let answer = self.while_current(current, host.send(message)).await;
        answer.and_then(Result::ok).ok_or_else(|| self.not_ready(partition))
    }

    /// A conversation's answer; `None` when it ended, or has a successor, before it gave one.
    pub(super) async fn of_conversation<T>(
        &self,
        (id, addr): (&ConversationId, &Addr<Conversation>),
        answer: impl Future<Output = T>,
    ) -> Option<T> {
        self.while_current(|directory| directory.is_current(id, addr), answer).await
    }

    /// The conversation's actor, loaded when need be.
    pub(super) async fn conversation(&self, id: &ConversationId) -> Result<Addr<Conversation>, NodeError> {
        if let Some(addr) = self.shared.directory.conversation(id)
            && addr.connected()
        {
            return Ok(addr);
        }
        let partition = self.partition_of(id);
        let host = self.shared.directory.host(partition).ok_or_else(|| self.not_ready(partition))?;
        let current = |directory: &Directory| directory.host(partition).is_some_and(|now| now == host);
        let (reply, addr) = oneshot::channel();
        let open = async {
            host.send(Open { conversation: id.clone(), reply }).await.ok()?;
            addr.await.ok()
        };
        self.while_current(current, open).await.flatten().ok_or_else(|| self.not_ready(partition))
    }
}
