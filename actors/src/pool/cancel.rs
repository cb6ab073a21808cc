//! What is called off: a request that was never seen is answered instead of run, one that waits too, one that runs is
//! interrupted where that leaves no doubt; an unsafe call goes on, and what comes of it counts.

use callboard_domain::event::ToolError;
use std::sync::Arc;

use super::Pool;
use super::flights::{Place, Stage};
use super::job::{Answer, Job, called_off};
use super::worker::Leave;

impl Pool {
    /// `job` is called off.
    pub(super) fn leave(&mut self, job: Job, place: Place) {
        let (key, now_ms) = (job.effect.clone(), self.shared.now_ms());
        self.called_off.remember(&key, job.attempt, job.not_after_ms, now_ms);
        if self.answered.holds(&key, job.attempt, now_ms) {
            self.done(&[place]);
            return;
        }
        let Some(flight) = self.flights.get_mut(&key) else {
            self.accept(job, vec![place]);
            return;
        };
        if job.attempt < flight.attempt() {
            self.done(&[place]);
            return;
        }
        flight.requests.push(place);
        match (&flight.stage, &flight.task.claim) {
            (Stage::Answering, _) => {}
            (Stage::Running(worker), None) => {
                let addr = self.workers[*worker].addr.lock().expect("no holder of this lock panics").clone();
                // A worker that cannot be reached has ended: then its job is not run again.
                let _ = addr.map(|addr| addr.try_send(Leave(key)));
            }
            (Stage::Running(_) | Stage::Clearing { .. }, Some(claim)) => claim.cancel(called_off()),
            (Stage::Waiting, Some(claim)) => {
                claim.cancel(called_off());
                self.unqueue(&key);
                self.wait(key);
            }
            (Stage::Waiting | Stage::Clearing { .. }, None) => {
                self.unqueue(&key);
                self.refuse(&key, called_off());
            }
        }
    }

    /// Answers a flight with an error, without running it.
    pub(super) fn refuse(&mut self, key: &Arc<str>, error: ToolError) {
        let Some(flight) = self.flights.get(key) else { return };
        let event = flight.job().failure(&self.shared, error);
        self.answer(key.clone(), Answer::of(event));
    }
}
