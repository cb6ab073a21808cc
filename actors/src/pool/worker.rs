//! A worker: runs one job at a time inside its own task, so that a panic of a tool ends the worker and nobody else. Its
//! pool gives the job to another one.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use actix::{
    Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture,
};
use callboard_domain::event::Event;

use super::{Finished, Job, Pool};
use crate::observe::{ActorView, Show};
use crate::shared::Shared;
use crate::supervise::{EndingCell, Kill};

/// "Run this."
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Run(pub Arc<Job>);

/// A worker.
pub(super) struct Worker {
    path: String,
    index: usize,
    shared: Arc<Shared>,
    pool: Addr<Pool>,
    ending: EndingCell,
    job: Option<Arc<str>>,
    done: u64,
}

impl Worker {
    pub fn new(
        path: String,
        index: usize,
        shared: Arc<Shared>,
        pool: Addr<Pool>,
        ending: EndingCell,
    ) -> Self {
        Self { path, index, shared, pool, ending, job: None, done: 0 }
    }
}

impl Actor for Worker {
    type Context = Context<Self>;
}

impl Handler<Run> for Worker {
    type Result = ();

    fn handle(&mut self, message: Run, context: &mut Self::Context) {
        let key = message.0.key.clone();
        self.job = Some(key.clone());
        let job = message.0.run(self.shared.clone()).into_actor(self);
        context.spawn(job.map(move |event, worker, context| {
            worker.job = None;
            worker.done += 1;
            if matches!(event, Event::FinalAnswerSynthesized(_)) {
                worker.shared.metrics.answers_written.fetch_add(1, Relaxed);
            }
            let finished = Finished { key, worker: worker.index, event: Box::new(event) };
            let pool = worker.pool.clone();
            // Waits where the pool's mailbox is full; a pool that is gone takes its workers with it.
            context.spawn(
                async move {
                    let _ = pool.send(finished).await;
                }
                .into_actor(worker),
            );
        }));
    }
}

impl Handler<Show> for Worker {
    type Result = ResponseFuture<ActorView>;

    fn handle(&mut self, _: Show, _: &mut Self::Context) -> Self::Result {
        let state = if self.job.is_some() { "busy" } else { "idle" };
        let mut view = ActorView::new(&self.path, "worker", state, 8);
        view.work = serde_json::json!({ "job": self.job.as_deref(), "done": self.done });
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
