//! The service behind the tools: it counts what was really done, by idempotency key, whatever anybody believes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use callboard_domain::audit::Execution;
use callboard_domain::plan::EffectClass;

/// What was really done.
#[derive(Default)]
pub struct Outside(Mutex<Books>);

#[derive(Default)]
struct Books {
    executions: Vec<Execution>,
    done: BTreeMap<String, u32>,
    /// Attempts that somebody was told had taken no effect: they never will.
    forbidden: BTreeSet<(String, u32)>,
}

impl Outside {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The effect happens. `Some` is how often it has happened now; `None` where it was said that it never would.
    pub fn execute(&self, key: &str, attempt: u32, class: EffectClass, started_ms: i64) -> Option<u32> {
        let mut books = self.books();
        if books.forbidden.contains(&(key.to_owned(), attempt)) {
            return None;
        }
        books.executions.push(Execution { key: key.to_owned(), attempt, class, started_ms });
        let done = books.done.entry(key.to_owned()).or_default();
        *done += 1;
        Some(*done)
    }

    /// How often the effect happened.
    #[must_use]
    pub fn done(&self, key: &str) -> u32 {
        self.books().done.get(key).copied().unwrap_or(0)
    }

    /// From here on this attempt and those before it take no effect any more.
    pub fn forbid(&self, key: &str, attempt: u32) {
        let mut books = self.books();
        for attempt in 1..=attempt {
            books.forbidden.insert((key.to_owned(), attempt));
        }
    }

    /// Everything that was done, in order.
    #[must_use]
    pub fn executions(&self) -> Vec<Execution> {
        self.books().executions.clone()
    }
}
