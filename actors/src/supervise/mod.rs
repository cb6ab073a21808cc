//! Supervision of our own: factories, monitors, restart budgets, named endings.
//!
//! `actix::Supervisor` does not catch panics and restarts the same value, so it is not used (ADR 0005). An actor
//! runs as one task; its join handle is the monitor. A parent holds, per child, a factory, a generation and a
//! guard that aborts the task when dropped: the death of a parent takes its children down.

mod budget;
mod children;
mod heartbeat;
mod life;
mod start;

use std::cell::Cell;
use std::rc::Rc;

pub use budget::{Budget, Restart};
pub use children::{Children, Ended, RestartChild, show_child};
pub(crate) use heartbeat::answers_ping;
pub use heartbeat::{Beat, Ping, Pulse};
pub use life::Life;
pub use start::{Guard, Refs, Started, local, remote};

use actix::{Actor, ActorContext, AsyncContext, Context, Message};
use serde::Serialize;

use crate::observe::KillHow;

/// How an actor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Nothing was left to do.
    Finished,
    /// Idle; its state is in the snapshot store.
    Passivated,
    ToldToStop,
    /// Its partition or identity belongs to somebody else now.
    Fenced,
    /// It gave up by itself, with an error.
    Failed,
    Panicked,
    /// Its task was aborted.
    Killed,
    /// It missed its heartbeats, or its arbiter stopped.
    Wedged,
    /// A child of its own had used up its restart budget.
    Escalated,
}

impl Ending {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Passivated => "passivated",
            Self::ToldToStop => "told_to_stop",
            Self::Fenced => "fenced",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::Killed => "killed",
            Self::Wedged => "wedged",
            Self::Escalated => "escalated",
        }
    }
}

/// Where an actor writes how it is about to end, before it stops its context.
#[derive(Debug, Clone, Default)]
pub struct EndingCell(Rc<Cell<Option<Ending>>>);

impl EndingCell {
    pub fn set(&self, ending: Ending) {
        self.0.set(Some(ending));
    }

    /// Dies as a [`Kill`] that has reached its target says; an abort is the parent's to carry out, so that here it ends
    /// in order, and one that is told to wedge waits for its supervisor to notice. True, as the answer to the kill.
    pub(crate) fn die_as_told<A: Actor<Context = Context<A>>>(
        &self,
        how: KillHow,
        path: &str,
        context: &mut Context<A>,
    ) -> bool {
        match how {
            KillHow::Panic => panic!("{path} was told to panic by the chaos endpoint"),
            KillHow::Wedge => context.wait(actix::fut::wrap_future(std::future::pending::<()>())),
            KillHow::Stop | KillHow::Abort => {
                self.set(Ending::ToldToStop);
                context.stop();
            }
        }
        true
    }

    fn get(&self) -> Ending {
        self.0.get().unwrap_or(Ending::Finished)
    }
}

/// "Die": for chaos and for tests. `path` is what is left of the path below the receiver.
#[derive(Debug, Clone, Message)]
#[rtype(result = "bool")]
pub struct Kill {
    pub path: Vec<String>,
    pub how: KillHow,
}

/// "Stop taking, hand over, write down": the node is stopping. Answered when that is done.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Drain;

/// The kind of actor that carries a name, as it shows itself.
#[must_use]
pub fn kind_of(name: &str) -> &'static str {
    match name.split('-').next() {
        Some("") => "guardian",
        Some("bridge") => "bridge",
        Some("host") => "partition_host",
        Some("planner") => "planner_pool",
        Some("pool") => "tool_pool",
        Some("synthesis") => "synthesis_pool",
        Some("worker") => "worker",
        Some("history") => "history_projection",
        _ => "unknown",
    }
}

/// A child's restart budget is exhausted: the supervisor gives up too, and its own supervisor decides.
pub(crate) fn escalate(path: &str, child: &str) -> ! {
    tracing::error!(supervisor = path, child, "restart budget exhausted; escalating");
    std::panic::resume_unwind(Box::new(Escalated { supervisor: path.to_owned(), child: child.to_owned() }))
}

/// The payload of an escalation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalated {
    pub supervisor: String,
    pub child: String,
}
