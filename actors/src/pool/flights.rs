//! What a pool has in hand: one flight per effect, with everybody who waits for it, and what has been called off lately.
//! Changed by `intake`, `dispatch`, `cancel` and `answers`.

use std::collections::{BTreeMap, HashMap};
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

/// Effects that were called off: what of them still comes in is not run. Bounded; what nobody may start any more is
/// forgotten first.
#[derive(Default)]
pub(super) struct CalledOff {
    by_effect: HashMap<Arc<str>, (u32, i64)>,
    by_time: BTreeMap<(i64, Arc<str>), ()>,
}

impl CalledOff {
    pub fn remember(&mut self, effect: &Arc<str>, attempt: u32, until_ms: i64, now_ms: i64, most: usize) {
        let (attempt, until_ms) = match self.by_effect.remove(effect) {
            Some((known, known_ms)) => {
                self.by_time.remove(&(known_ms, effect.clone()));
                (known.max(attempt), known_ms.max(until_ms))
            }
            None => (attempt, until_ms),
        };
        self.by_effect.insert(effect.clone(), (attempt, until_ms));
        self.by_time.insert((until_ms, effect.clone()), ());
        while let Some(((first_ms, effect), ())) = self.by_time.first_key_value()
            && (*first_ms < now_ms || self.by_time.len() > most)
        {
            self.by_effect.remove(effect);
            self.by_time.pop_first();
        }
    }

    pub fn holds(&self, effect: &str, attempt: u32) -> bool {
        self.by_effect.get(effect).is_some_and(|(highest, _)| attempt <= *highest)
    }

    pub fn len(&self) -> usize {
        self.by_effect.len()
    }
}

#[cfg(test)]
mod tests {
    use super::CalledOff;

    #[test]
    fn what_was_called_off_is_remembered_until_nobody_may_start_it() {
        let mut known = CalledOff::default();
        known.remember(&"a".into(), 2, 100, 0, 3);
        known.remember(&"a".into(), 1, 50, 0, 3);
        assert!(known.holds("a", 2) && known.holds("a", 1) && !known.holds("a", 3) && !known.holds("b", 1));
        for (effect, until_ms) in [("b", 10), ("c", 200), ("d", 300)] {
            known.remember(&effect.into(), 1, until_ms, 0, 3);
        }
        assert!(!known.holds("b", 1) && known.holds("a", 1), "the first to end makes room");
        known.remember(&"e".into(), 1, 400, 250, 3);
        assert!(!known.holds("a", 1) && !known.holds("c", 1), "their time is over");
        assert!(known.holds("d", 1) && known.holds("e", 1) && known.len() == 2);
    }
}
