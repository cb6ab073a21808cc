//! Heartbeats: a supervisor asks its children, in their turn, whether they are alive. One whose mailbox does not move, or
//! that says itself that it is stuck, is aborted, and its ending is called `wedged`.
//!
//! A handler that answers with a future does not hold its mailbox, however long it takes, so that waiting for room
//! somewhere else is never taken for an ending. What holds a mailbox is `Context::wait` and its like, and nobody here uses
//! those. A handler that never returns holds the whole arbiter: that is the matter of `watchdog`. A thread that stood still
//! misses one heartbeat at most: it runs the child, too, before it misses the next.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Message, MessageResponse, Recipient};
use callboard_ports::clock::Clock;
use futures_util::future::LocalBoxFuture;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::Ending;
use crate::limits::HEARTBEATS_MISSED;

/// "Are you alive?" Answered in its turn: an answer says that the mailbox moves.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Pulse")]
pub struct Ping;

/// How an actor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, MessageResponse)]
pub enum Pulse {
    /// Its mailbox moves, and so does what it has in hand as far as it can tell.
    Moving,
    /// What it has in hand is far beyond its own bound. As bad as no answer.
    Stuck,
}

/// Makes an actor whose mailbox is all there is to say answer its heartbeat.
macro_rules! answers_ping {
    ($actor:ty) => {
        impl actix::Handler<$crate::supervise::Ping> for $actor {
            type Result = $crate::supervise::Pulse;

            fn handle(
                &mut self,
                _: $crate::supervise::Ping,
                _: &mut Self::Context,
            ) -> $crate::supervise::Pulse {
                $crate::supervise::Pulse::Moving
            }
        }
    };
}
pub(crate) use answers_ping;

/// When a child is asked.
#[derive(Clone)]
pub struct Beat {
    pub clock: Arc<dyn Clock>,
    pub every: Duration,
    /// Asked only after somebody rang: for children that are many and mostly idle.
    pub rung: Option<Arc<Notify>>,
}

/// Ends a task, and says what its ending is to be called.
#[derive(Clone)]
pub(super) struct Stop {
    pub task: AbortHandle,
    pub reason: Rc<Cell<Option<Ending>>>,
}

impl Stop {
    pub fn end_as(&self, ending: Ending) {
        self.reason.set(Some(ending));
        self.task.abort();
    }
}

/// The ending of a task, which is asked for its pulse meanwhile.
pub(super) async fn watched(
    ended: LocalBoxFuture<'static, Ending>,
    ping: Recipient<Ping>,
    stop: Stop,
    beat: Beat,
) -> Ending {
    let mut ended = ended;
    loop {
        let asked = async {
            if let Some(rung) = &beat.rung {
                rung.notified().await;
            }
            // Boxed: whoever is not asked costs no more than a place to wait.
            Box::pin(is_wedged(&ping, &beat)).await
        };
        let wedged = tokio::select! {
            biased;
            ending = &mut ended => return ending,
            wedged = asked => wedged,
        };
        if wedged {
            stop.end_as(Ending::Wedged);
            return ended.await;
        }
    }
}

/// Asks until there is a good answer (false), or too many have been missed or bad in a row.
async fn is_wedged(ping: &Recipient<Ping>, beat: &Beat) -> bool {
    // First the pause: whoever has just started or been rung for is at work.
    beat.clock.sleep(beat.every).await;
    let mut answer = Box::pin(ping.send(Ping));
    let mut missed = 0;
    loop {
        let answered = tokio::select! {
            biased;
            answered = &mut answer => Some(answered),
            () = beat.clock.sleep(beat.every) => None,
        };
        match answered {
            Some(Ok(Pulse::Moving)) => return false,
            Some(Ok(Pulse::Stuck)) => {
                beat.clock.sleep(beat.every).await;
                answer = Box::pin(ping.send(Ping));
            }
            // It has ended: its monitor says how.
            Some(Err(_)) => return std::future::pending().await,
            None => {}
        }
        missed += 1;
        if missed >= HEARTBEATS_MISSED {
            return true;
        }
    }
}
