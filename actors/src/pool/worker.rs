//! A worker: runs one job at a time inside its own task, so that a panic of a tool ends the worker and nobody else. Its
//! pool gives the job to another one.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use actix::{
    Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, ResponseFuture, SpawnHandle,
    WrapFuture,
};
use callboard_domain::event::Event;

use super::Pool;
use super::answers::Finished;
use super::job::{Answer, Came, Job, Task, called_off};
use crate::ledger::Ledger;
use crate::observe::{ActorView, Show};
use crate::shared::Shared;
use crate::supervise::{EndingCell, Kill, Ping, Pulse};

/// "Run this."
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Run(pub Task);

/// "Leave this." Only what may be interrupted anywhere.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Leave(pub Arc<str>);

/// What a worker has in hand.
struct InHand {
    job: Arc<Job>,
    run: SpawnHandle,
}

/// A worker.
pub(super) struct Worker {
    path: String,
    index: usize,
    shared: Arc<Shared>,
    ledger: Rc<Ledger>,
    pool: Addr<Pool>,
    ending: EndingCell,
    in_hand: Option<InHand>,
    done: u64,
}

impl Worker {
    pub fn new(
        path: String,
        index: usize,
        (shared, ledger): (Arc<Shared>, Rc<Ledger>),
        pool: Addr<Pool>,
        ending: EndingCell,
    ) -> Self {
        Self { path, index, shared, ledger, pool, ending, in_hand: None, done: 0 }
    }

    /// Tells the pool what the job in hand came to.
    fn finish(&mut self, came: Came, context: &mut Context<Self>) {
        let Some(InHand { job, .. }) = self.in_hand.take() else { return };
        self.done += 1;
        let finished = Finished { key: job.effect.clone(), worker: self.index, came };
        let pool = self.pool.clone();
        // Waits where the pool's mailbox is full; a pool that is gone takes its workers with it.
        context.spawn(
            async move {
                let _ = pool.send(finished).await;
            }
            .into_actor(self),
        );
    }
}

impl Actor for Worker {
    type Context = Context<Self>;
}

impl Handler<Run> for Worker {
    type Result = ();

    fn handle(&mut self, message: Run, context: &mut Self::Context) {
        let job = message.0.job.clone();
        let run = message.0.run(self.shared.clone(), self.ledger.clone()).into_actor(self);
        let run = context.spawn(run.map(|came, worker, context| {
            let written =
                |answer: &Answer| matches!(answer.events.first(), Some(Event::FinalAnswerSynthesized(_)));
            if matches!(&came, Came::Answer(answer) if written(answer)) {
                worker.shared.metrics.answers_written.fetch_add(1, Relaxed);
            }
            worker.finish(came, context);
        }));
        self.in_hand = Some(InHand { job, run });
    }
}

impl Handler<Leave> for Worker {
    type Result = ();

    fn handle(&mut self, message: Leave, context: &mut Self::Context) {
        let Some(in_hand) = self.in_hand.as_ref().filter(|in_hand| in_hand.job.effect == message.0) else {
            return;
        };
        context.cancel_future(in_hand.run);
        let event = in_hand.job.failure(&self.shared, called_off());
        self.finish(Came::Answer(Answer::of(event)), context);
    }
}

impl Handler<Show> for Worker {
    type Result = ResponseFuture<ActorView>;

    fn handle(&mut self, _: Show, _: &mut Self::Context) -> Self::Result {
        let state = if self.in_hand.is_some() { "busy" } else { "idle" };
        let mut view = ActorView::new(&self.path, "worker", state, 8);
        let job = self.in_hand.as_ref().map(|in_hand| {
            serde_json::json!({ "effect": &*in_hand.job.effect, "attempt": in_hand.job.attempt, "tool": &*in_hand.job.tool })
        });
        view.work = serde_json::json!({ "job": job, "done": self.done });
        Box::pin(async move { view })
    }
}

impl Handler<Kill> for Worker {
    type Result = bool;

    fn handle(&mut self, message: Kill, context: &mut Self::Context) -> bool {
        if !message.path.is_empty() {
            return false;
        }
        self.ending.die_as_told(message.how, &self.path, context)
    }
}

impl Handler<Ping> for Worker {
    type Result = Pulse;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Pulse {
        let overdue = self.in_hand.as_ref().is_some_and(|in_hand| in_hand.job.is_overdue(&self.shared));
        if overdue { Pulse::Stuck } else { Pulse::Moving }
    }
}
