//! What a pool has in hand: one flight per effect, with everybody who waits for it. Changed by `intake`, `dispatch`, `cancel`
//! and `answers`; what it remembers of others is in `attempts`.

use std::sync::Arc;

use tokio::task::AbortHandle;

use super::Job;
use super::job::Task;

/// Where a flight stands.
pub(super) enum Stage {
    /// Somebody else may be running it, or its ledger is still being read.
    Clearing {
        _until: Clearing,
    },
    /// For a worker.
    Waiting,
    Running(usize),
    /// Its answer is on the way into the log.
    Answering,
}

/// A task that waits for the ledger, and ends with its flight.
pub(super) struct Clearing(pub AbortHandle);

impl Drop for Clearing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// (partition, offset) of a request.
pub(super) type Place = (u32, u64);

/// A request under way and every request that waits for it.
pub(super) struct Flight {
    pub task: Task,
    /// Of the request, its duplicates, and whatever called it off.
    pub requests: Vec<Place>,
    pub stage: Stage,
    /// Workers that died with it in hand…
    pub crashes: u32,
    /// …and how the last one did.
    pub last_ending: Option<&'static str>,
    /// Whether the local store knows that it is in hand.
    pub noted: bool,
    /// Why it is poison: its request goes to the dead letters.
    pub poison: Option<String>,
    /// Its answer was refused by the log; the error that replaces it is on its way.
    pub refused: bool,
    /// It was done: a later attempt is not needed.
    pub succeeded: bool,
    /// Its answer ends the attempt: whoever asks for it again is a duplicate.
    pub concluded: bool,
    /// The next attempt, which must not run beside this one.
    pub next: Option<(Box<Job>, Vec<Place>)>,
}

impl Flight {
    pub fn new(task: Task, requests: Vec<Place>) -> Self {
        Self {
            task,
            requests,
            stage: Stage::Waiting,
            crashes: 0,
            last_ending: None,
            noted: false,
            poison: None,
            refused: false,
            succeeded: false,
            concluded: false,
            next: None,
        }
    }

    pub fn job(&self) -> &Arc<Job> {
        &self.task.job
    }

    /// It will be answered without a call, whatever else is running of its tool.
    pub fn is_urgent(&self) -> bool {
        self.task.claim.as_ref().is_some_and(|claim| claim.refusal().is_some())
    }

    pub fn attempt(&self) -> u32 {
        self.task.job.attempt
    }

    /// Puts a later attempt behind this one. Of several the last counts; who asked for the others waits with it.
    pub fn follow(&mut self, job: Job, mut places: Vec<Place>) {
        match &mut self.next {
            Some((known, waiting)) => {
                waiting.append(&mut places);
                if job.attempt >= known.attempt {
                    **known = job;
                }
            }
            None => self.next = Some((Box::new(job), places)),
        }
    }
}
