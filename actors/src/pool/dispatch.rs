//! Who runs what, when: waiting jobs meet idle workers, within each tool's concurrency and in turns, past circuit breakers and
//! what is known of earlier crashes. What the ledger has to say about others is waited for here, outside of the workers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use actix::{Handler, Message};
use callboard_domain::event::ToolError;
use callboard_domain::ledger::Verdict;
use callboard_domain::planted::{self, Defect};

use super::flights::{Clearing, Stage};
use super::job::Answer;
use super::worker::Run;
use super::{Kind, Pool};

/// Nobody else can be running it any more, or it is time to look.
#[derive(Message)]
#[rtype(result = "()")]
struct Cleared {
    key: Arc<str>,
    attempt: u32,
}

impl Pool {
    /// Queues a flight for a worker, after the ledger where that decides.
    pub(super) fn queue(&mut self, key: &Arc<str>) {
        let Some(flight) = self.flights.get(key) else { return };
        let (Some(claim), Some(invocation)) = (&flight.task.claim, flight.job().invocation()) else {
            self.wait(key.clone());
            return;
        };
        let partition = self.ledger.partition_of(invocation);
        let verdict = self
            .ledger
            .is_ready(partition)
            .then(|| self.ledger.judge(invocation, flight.job().not_after_ms, claim));
        match verdict {
            None | Some(Verdict::Wait { .. }) => self.clear(key, i64::MIN),
            Some(_) => self.wait(key.clone()),
        }
    }

    /// Lets a flight wait for the ledger, until `at_ms` at the latest.
    pub(super) fn clear(&mut self, key: &Arc<str>, at_ms: i64) {
        let Some(flight) = self.flights.get_mut(key) else { return };
        let Some(claim) = flight.task.claim.clone() else { return };
        let (job, ledger, addr) = (flight.job().clone(), self.ledger.clone(), self.addr.clone());
        let clearing = actix::spawn(async move {
            let Some(invocation) = job.invocation() else { return };
            ledger.later(invocation, job.not_after_ms, &claim, at_ms).await;
            let _ = addr.send(Cleared { key: job.effect.clone(), attempt: job.attempt }).await;
        });
        flight.stage = Stage::Clearing { _until: Clearing(clearing.abort_handle()) };
    }

    /// Lets a flight wait for a worker.
    pub(super) fn wait(&mut self, key: Arc<str>) {
        let Some(flight) = self.flights.get_mut(&key) else { return };
        flight.stage = Stage::Waiting;
        if flight.is_urgent() {
            self.urgent.push_back(key);
        } else {
            let tool = flight.job().tool.clone();
            self.waiting.entry(tool).or_default().push_back(key);
        }
    }

    /// Takes a flight out of the queue that it waits in.
    pub(super) fn unqueue(&mut self, key: &Arc<str>) {
        self.urgent.retain(|waiting| waiting != key);
        let Some(flight) = self.flights.get(key) else { return };
        if let Some(waiting) = self.waiting.get_mut(&flight.job().tool) {
            waiting.retain(|waiting| waiting != key);
            if waiting.is_empty() {
                self.waiting.remove(&flight.job().tool);
            }
        }
    }

    fn idle(&self) -> Option<usize> {
        self.workers.iter().position(|bench| bench.up && bench.job.is_none())
    }

    /// Gives waiting jobs to idle workers: one of each tool in turn, so that no tool's backlog keeps the others waiting.
    pub(super) fn dispatch(&mut self) {
        if self.shared.is_over() {
            // The membership has a successor, who runs all of this.
            return;
        }
        while !self.urgent.is_empty() {
            let Some(worker) = self.idle() else { return };
            if let Some(key) = self.urgent.pop_front() {
                self.run(key, worker, false);
            }
        }
        if self.waiting.is_empty() {
            return;
        }
        let mut tools: Vec<Arc<str>> = self.waiting.keys().cloned().collect();
        let first = tools.iter().position(|tool| *tool >= self.turn).unwrap_or(0);
        tools.rotate_left(first);
        loop {
            tools.retain(|tool| {
                let most = self.kind.concurrency(&*self.shared.ports.tools, tool, self.lanes);
                self.waiting.contains_key(tool) && self.running.get(tool).copied().unwrap_or(0) < most
            });
            if tools.is_empty() {
                return;
            }
            for tool in &tools {
                let Some(worker) = self.idle() else {
                    self.turn = tool.clone();
                    return;
                };
                let Some(key) = self.waiting.get_mut(tool).and_then(VecDeque::pop_front) else { continue };
                if self.waiting.get(tool).is_some_and(VecDeque::is_empty) {
                    self.waiting.remove(tool);
                }
                self.run(key, worker, true);
            }
        }
    }

    fn run(&mut self, key: Arc<str>, worker: usize, counted: bool) {
        let Some(flight) = self.flights.get_mut(&key) else { return };
        if flight.task.claim.is_none() {
            // A ledgered one would be claimed in vain for ever: its ledger keeps the time too.
            let ignored = planted::is(Defect::IgnoreNotAfter) && !flight.job().is_ledgered();
            if self.shared.now_ms() > flight.job().not_after_ms && !ignored {
                self.shared.metrics.requests_expired.fetch_add(1, Relaxed);
                self.settle(&key);
                return;
            }
            if matches!(self.kind, Kind::Tools(_))
                && let Err(error) = self.shared.breakers.admit(&flight.job().tool)
            {
                self.shared.metrics.refused("breaker");
                let event = flight.job().failure(&self.shared, error);
                self.answer(key, Answer::of(event));
                return;
            }
        }
        flight.noted = true;
        let crashes = self.shared.ports.in_hand.begin(&key).saturating_add(flight.crashes);
        if crashes >= self.shared.limits.crashes_per_invocation {
            let last = flight.last_ending.unwrap_or("with their process");
            let words = format!("{crashes} workers ended with it in hand, the last one {last}");
            let error = ToolError::new("poison", &words, false);
            flight.poison = Some(words);
            match &flight.task.claim {
                // The ledger has its say, but nothing is called.
                Some(claim) => claim.poison(error),
                None => {
                    let event = flight.job().failure(&self.shared, error);
                    self.answer(key, Answer::of(event));
                    return;
                }
            }
        }
        let bench = &mut self.workers[worker];
        let addr = bench.addr.lock().expect("no holder of this lock panics").clone();
        // A worker that cannot be reached has just ended: its ending, on the way, gives the job back.
        let _ = addr.map(|addr| addr.try_send(Run(flight.task.clone())));
        bench.job = Some((key, counted));
        flight.stage = Stage::Running(worker);
        if counted {
            *self.running.entry(flight.job().tool.clone()).or_default() += 1;
        }
    }

    /// The worker has nothing in hand any more. Gives what it had.
    pub(super) fn free(&mut self, worker: usize) -> Option<Arc<str>> {
        let (key, counted) = self.workers[worker].job.take()?;
        if counted
            && let Some(flight) = self.flights.get(&key)
            && let Some(running) = self.running.get_mut(&flight.job().tool)
        {
            *running = running.saturating_sub(1);
            // Foreign requests may name any tool: nothing is kept of those that are done.
            if *running == 0 {
                self.running.remove(&flight.job().tool);
            }
        }
        Some(key)
    }
}

impl Handler<Cleared> for Pool {
    type Result = ();

    fn handle(&mut self, message: Cleared, _: &mut Self::Context) {
        let Some(flight) = self.flights.get(&message.key) else { return };
        if flight.attempt() == message.attempt && matches!(flight.stage, Stage::Clearing { .. }) {
            self.wait(message.key);
            self.dispatch();
        }
    }
}
