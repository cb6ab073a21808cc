//! The planner pool: planner calls of the conversations of one arbiter, so many at a time. Planning happens inside
//! the host process because asking a model changes nothing (ADR 0006).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, Context, Handler, Message, ResponseFuture};
use callboard_domain::event::PlanGenerated;
use callboard_ports::model::{ModelError, PlanRequest};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::observe::{ActorView, Show};
use crate::shared::Shared;
use crate::supervise::{EndingCell, Kill};

/// "Plan this."
#[derive(Message)]
#[rtype(result = "()")]
pub struct AskPlan {
    pub request: PlanRequest,
    /// Dropped unanswered when the pool dies: the asker asks again.
    pub reply: oneshot::Sender<Result<PlanGenerated, ModelError>>,
}

/// A call is over, however.
#[derive(Message)]
#[rtype(result = "()")]
struct CallOver;

/// The pool.
pub struct PlannerPool {
    path: String,
    shared: Arc<Shared>,
    addr: Addr<Self>,
    ending: EndingCell,
    waiting: VecDeque<AskPlan>,
    /// Those that found the queue full, until there is room: a few for each live conversation. While there is one, a call
    /// is under way, whose end looks after it.
    refused: VecDeque<oneshot::Sender<Result<PlanGenerated, ModelError>>>,
    calls: usize,
    /// Calls end with the pool: their askers ask the next one.
    tasks: Vec<AbortHandle>,
}

impl Drop for PlannerPool {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl PlannerPool {
    pub fn new(path: String, shared: Arc<Shared>, addr: Addr<Self>, ending: EndingCell) -> Self {
        Self {
            path,
            shared,
            addr,
            ending,
            waiting: VecDeque::new(),
            refused: VecDeque::new(),
            calls: 0,
            tasks: Vec::new(),
        }
    }

    /// Lets as many of the refused ask again as there is room for. Some of them may not: their turn is over. With no call
    /// under way nobody would come back for the rest, so that then all are let go.
    fn release(&mut self) {
        let room = match self.calls {
            0 => self.refused.len(),
            _ => self.shared.limits.planner_queue.saturating_sub(self.waiting.len()),
        };
        self.refused.retain(|asker| !asker.is_closed());
        self.refused.drain(..room.min(self.refused.len()));
    }

    fn start_calls(&mut self) {
        while self.calls < self.shared.limits.planner_calls {
            let Some(ask) = self.waiting.pop_front() else { return };
            if ask.reply.is_closed() {
                continue;
            }
            self.calls += 1;
            let (shared, addr) = (self.shared.clone(), self.addr.clone());
            let call = actix::spawn(async move {
                let timeout = Duration::from_millis(ask.request.timeout_ms);
                let answer = tokio::select! {
                    biased;
                    answer = shared.ports.planner.plan(ask.request) => answer,
                    () = shared.ports.clock.sleep(timeout) => Err(ModelError {
                        provider: "planner".into(),
                        kind: "timeout",
                        message: format!("no plan within {} ms", timeout.as_millis()),
                        retryable: true,
                    }),
                };
                let _ = ask.reply.send(answer);
            });
            self.tasks.retain(|task| !task.is_finished());
            self.tasks.push(call.abort_handle());
            actix::spawn(async move {
                // A planner that panics has dropped its reply; the place is free all the same.
                let _ = call.await;
                let _ = addr.send(CallOver).await;
            });
        }
    }
}

impl Actor for PlannerPool {
    type Context = Context<Self>;
}

impl Handler<AskPlan> for PlannerPool {
    type Result = ();

    fn handle(&mut self, message: AskPlan, _: &mut Self::Context) {
        if self.waiting.len() < self.shared.limits.planner_queue {
            self.waiting.push_back(message);
        } else {
            // Beyond the bound only the asker is remembered. Dropping its reply, as soon as there is room, makes it ask
            // again; dropped at once it would ask at once.
            self.shared.metrics.refused("planner_queue");
            self.refused.push_back(message.reply);
        }
        self.start_calls();
    }
}

impl Handler<CallOver> for PlannerPool {
    type Result = ();

    fn handle(&mut self, _: CallOver, _: &mut Self::Context) {
        self.calls = self.calls.saturating_sub(1);
        self.start_calls();
        self.release();
    }
}

impl Handler<Show> for PlannerPool {
    type Result = ResponseFuture<ActorView>;

    fn handle(&mut self, _: Show, _: &mut Self::Context) -> Self::Result {
        let mut view = ActorView::new(&self.path, "planner_pool", "running", crate::limits::HOST_MAILBOX);
        view.mailbox.depth = self.waiting.len();
        view.work = serde_json::json!({ "calls": self.calls, "waiting": self.waiting.len() });
        Box::pin(async move { view })
    }
}

impl Handler<Kill> for PlannerPool {
    type Result = bool;

    fn handle(&mut self, message: Kill, context: &mut Self::Context) -> bool {
        if !message.path.is_empty() {
            return false;
        }
        self.ending.die_as_told(message.how, &self.path, context)
    }
}

crate::supervise::answers_ping!(PlannerPool);
