//! What is open in the conversations of this partition, for `Node::open_turns` and the gauges: places come from the index,
//! details from the states of the few that are asked for, which are not brought back to life for it.

use actix::{Handler, Message, ResponseFuture};
use callboard_domain::State;
use callboard_domain::id::ConversationId;
use callboard_domain::open_turns::{OpenTurn, open_turns};
use futures_util::stream::{self, StreamExt};
use tokio::sync::oneshot;

use super::load::load;
use super::{Host, Phase};
use crate::conversation::Look;
use crate::open_index::{OpenPlace, OpenPlaces, Wanted};

/// "Where are the open ones?" `None` while not everything is known.
#[derive(Message)]
#[rtype(result = "Option<OpenPlaces>")]
pub struct OpenAt {
    pub wanted: Wanted,
    pub after: Option<OpenPlace>,
    pub limit: usize,
}

/// "What is open in these?"
#[derive(Message)]
#[rtype(result = "Vec<OpenTurn>")]
pub struct ReadOpen(pub Vec<ConversationId>);

impl Host {
    /// Says what is open here.
    pub(super) fn tell_gauges(&self) {
        if !self.context.orders.is_revoked() {
            self.context.shared.gauges.set_open(self.context.partition, self.context.open.summary());
        }
    }
}

impl Handler<OpenAt> for Host {
    type Result = Option<OpenPlaces>;

    fn handle(&mut self, message: OpenAt, _: &mut Self::Context) -> Self::Result {
        let OpenAt { wanted, after, limit } = message;
        (self.phase == Phase::Running).then(|| self.context.open.places(&wanted, after.as_ref(), limit))
    }
}

impl Handler<ReadOpen> for Host {
    type Result = ResponseFuture<Vec<OpenTurn>>;

    fn handle(&mut self, message: ReadOpen, _: &mut Self::Context) -> Self::Result {
        /// Conversations that are read at once for one question.
        const AT_ONCE: usize = 16;
        let now_ms = self.context.shared.now_ms();
        let reads: Vec<_> = message
            .0
            .into_iter()
            .map(|id| {
                let (live, context) = (self.slots.addr(&id), self.context.clone());
                let dirty = self.dirty.get(&id).cloned().unwrap_or_default();
                let (identity, end) = (self.identity.clone(), self.position);
                async move {
                    if let Some(addr) = live {
                        let (reply, seen) = oneshot::channel();
                        let look = Look(Box::new(move |state: &State| {
                            // Whoever asked may have gone away meanwhile.
                            let _ = reply.send(open_turns(state, now_ms));
                        }));
                        if addr.send(look).await.is_ok()
                            && let Ok(open) = seen.await
                        {
                            return open;
                        }
                    }
                    match load(&context, &id, &dirty, &identity, end).await {
                        Ok(state) => open_turns(&state, now_ms),
                        Err(error) => {
                            tracing::warn!(conversation = %id, %error, "cannot be read to be listed");
                            Vec::new()
                        }
                    }
                }
            })
            .collect();
        Box::pin(async move {
            let read: Vec<Vec<OpenTurn>> = stream::iter(reads).buffered(AT_ONCE).collect().await;
            read.into_iter().flatten().collect()
        })
    }
}
