//! Circuit breakers, one per tool and process: a tool that fails again and again is not called for a while, its requests
//! are answered at once, and the planner is told. Pools feed it with what they run; a process that hosts conversations
//! feeds it with the results that it reads of tools which it does not run itself, so that nothing counts twice.
//!
//! | state | request | failure | success |
//! |---|---|---|---|
//! | closed | goes | counted; at the bound: open | forgotten |
//! | open | refused | – | closed |
//! | half-open (the pause is over) | one goes, the others are refused for one more pause | open, twice as long | closed |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use callboard_domain::event::{Outcome, ToolError};
use callboard_ports::clock::Clock;
use callboard_ports::model::ToolDown;
use serde::Serialize;

use crate::limits::{BREAKER_LONGEST_PAUSE, BREAKER_TOOLS, Limits};
use crate::observe::Metrics;

/// A tool that fails lately.
struct Breaker {
    /// Consecutive.
    failures: u32,
    /// Words of the last one.
    why: Arc<str>,
    /// Monotonic instant at which the pause ends, while it is open.
    open_until_ms: Option<u64>,
    /// Whether a call was let through to find out.
    half_open: bool,
    pause_ms: u64,
}

/// A breaker as the inspection endpoint shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BreakerView {
    pub state: &'static str,
    pub failures: u32,
    pub why: Arc<str>,
}

/// The breakers of a process.
pub struct Breakers {
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    failures: u32,
    pause_ms: u64,
    /// Tools that pools of this process run: those feed their breakers themselves.
    run_here: BTreeSet<Arc<str>>,
    tools: Mutex<BTreeMap<Arc<str>, Breaker>>,
    /// How many there are: none, mostly, and then nobody takes the lock.
    troubled: AtomicUsize,
}

/// Whether an error says something against its tool; `None` where it says nothing about it.
fn is_failure(error: &ToolError) -> Option<bool> {
    match &*error.kind {
        "unavailable" | "timeout" | "bad_response" | "in_doubt" => Some(true),
        // What workers and hosts say by themselves: the tool was not called, or not to its end.
        "cancelled"
        | "breaker_open"
        | "claim_missed"
        | "poison"
        | "panicked"
        | "expired"
        | "no_worker"
        | "unknown_tool"
        | "unresolved_reference"
        | "too_many_doubts"
        | "not_done" => None,
        _ => Some(false),
    }
}

impl Breakers {
    #[must_use]
    pub fn new(
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        limits: &Limits,
        run_here: impl IntoIterator<Item = Arc<str>>,
    ) -> Self {
        Self {
            clock,
            metrics,
            failures: limits.breaker_failures.max(1),
            pause_ms: limits.breaker_pause.as_millis() as u64,
            run_here: run_here.into_iter().collect(),
            tools: Mutex::default(),
            troubled: AtomicUsize::new(0),
        }
    }

    fn tools(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Breaker>> {
        self.tools.lock().expect("no holder of this lock panics")
    }

    /// Whether `tool` may be called now.
    ///
    /// # Errors
    /// `breaker_open`, retryable: nothing was called.
    pub fn admit(&self, tool: &str) -> Result<(), ToolError> {
        if self.troubled.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let mut tools = self.tools();
        let Some(breaker) = tools.get_mut(tool) else { return Ok(()) };
        let Some(until_ms) = breaker.open_until_ms else { return Ok(()) };
        let now_ms = self.clock.monotonic_ms();
        if now_ms >= until_ms {
            breaker.half_open = true;
            breaker.open_until_ms = Some(now_ms + breaker.pause_ms);
            return Ok(());
        }
        let (failures, left_ms) = (breaker.failures, until_ms - now_ms);
        let words = format!(
            "{tool} failed {failures} times in a row and is not called for {left_ms} ms more; the last error: {}",
            breaker.why
        );
        Err(ToolError::new("breaker_open", words, true))
    }

    /// A pool of this process has run `tool`.
    pub fn ran(&self, tool: &Arc<str>, outcome: &Outcome) {
        match outcome {
            Outcome::Ok(_) => self.succeeded(tool),
            Outcome::Error(error) => match is_failure(error) {
                Some(true) => self.failed(tool, &error.message),
                Some(false) => self.succeeded(tool),
                None => {}
            },
        }
    }

    /// A result of `tool` was read, written at `at_ms` of the log's clock. Ignored for tools that are run here, and when it
    /// is older than a pause: a replay says nothing of today.
    pub fn observe(&self, tool: &Arc<str>, outcome: &Outcome, at_ms: i64) {
        let old_ms = self.clock.now_ms().saturating_sub(at_ms);
        if !self.run_here.contains(tool) && old_ms <= i64::try_from(self.pause_ms).unwrap_or(i64::MAX) {
            self.ran(tool, outcome);
        }
    }

    fn succeeded(&self, tool: &str) {
        if self.troubled.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut tools = self.tools();
        if let Some(breaker) = tools.remove(tool) {
            self.troubled.store(tools.len(), Ordering::Release);
            if breaker.open_until_ms.is_some() {
                self.metrics.set_breaker(tool, false);
                tracing::info!(tool, "the circuit breaker closed");
            }
        }
    }

    fn failed(&self, tool: &Arc<str>, why: &Arc<str>) {
        let mut tools = self.tools();
        if !tools.contains_key(tool) && tools.len() >= BREAKER_TOOLS {
            return;
        }
        let now_ms = self.clock.monotonic_ms();
        let breaker = tools.entry(tool.clone()).or_insert_with(|| Breaker {
            failures: 0,
            why: why.clone(),
            open_until_ms: None,
            half_open: false,
            pause_ms: self.pause_ms,
        });
        breaker.failures = breaker.failures.saturating_add(1);
        breaker.why = why.clone();
        if breaker.half_open {
            breaker.half_open = false;
            let longest_ms = (BREAKER_LONGEST_PAUSE.as_millis() as u64).max(self.pause_ms);
            breaker.pause_ms = (breaker.pause_ms * 2).min(longest_ms);
            breaker.open_until_ms = Some(now_ms + breaker.pause_ms);
        } else if breaker.open_until_ms.is_none() && breaker.failures >= self.failures {
            breaker.open_until_ms = Some(now_ms + breaker.pause_ms);
            self.metrics.set_breaker(tool, true);
            tracing::warn!(
                tool = &**tool,
                failures = breaker.failures,
                why = &**why,
                "the circuit breaker opened"
            );
        }
        self.troubled.store(tools.len(), Ordering::Release);
    }

    /// Tools that are not called now, for the planner.
    #[must_use]
    pub fn down(&self) -> Vec<ToolDown> {
        if self.troubled.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let now_ms = self.clock.monotonic_ms();
        let tools = self.tools();
        let down =
            tools.iter().filter(|(_, breaker)| breaker.open_until_ms.is_some_and(|until| now_ms < until));
        down.map(|(tool, breaker)| ToolDown { tool: tool.clone(), why: breaker.why.clone() }).collect()
    }

    /// Tools that fail lately.
    #[must_use]
    pub fn show(&self) -> BTreeMap<Arc<str>, BreakerView> {
        let now_ms = self.clock.monotonic_ms();
        let view = |breaker: &Breaker| {
            let state = match breaker.open_until_ms {
                None => "closed",
                Some(until_ms) if breaker.half_open || now_ms >= until_ms => "half_open",
                Some(_) => "open",
            };
            BreakerView { state, failures: breaker.failures, why: breaker.why.clone() }
        };
        self.tools().iter().map(|(tool, breaker)| (tool.clone(), view(breaker))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use callboard_domain::event::{Outcome, ToolError};
    use callboard_domain::json::RawJson;
    use callboard_ports::clock::Clock;
    use callboard_ports::fakes::TokioClock;

    use super::Breakers;
    use crate::limits::{BREAKER_TOOLS, Limits};
    use crate::observe::Metrics;

    fn failure() -> Outcome {
        Outcome::Error(ToolError::new("unavailable", "no route", true))
    }

    fn breakers(clock: &Arc<TokioClock>) -> Breakers {
        let limits = Limits { breaker_failures: 2, ..Limits::default() };
        Breakers::new(clock.clone(), Arc::new(Metrics::default()), &limits, [Arc::from("here")])
    }

    #[tokio::test(start_paused = true)]
    async fn results_of_others_count_when_they_are_new_and_of_tools_that_are_run_elsewhere() {
        let clock = Arc::new(TokioClock::default());
        let breakers = breakers(&clock);
        let (here, there) = (Arc::from("here"), Arc::from("there"));
        for _ in 0..10 {
            breakers.observe(&here, &failure(), clock.now_ms());
            breakers.observe(&there, &failure(), clock.now_ms() - 60_000);
        }
        assert!(breakers.down().is_empty() && breakers.show().is_empty());
        for _ in 0..2 {
            breakers.observe(&there, &failure(), clock.now_ms());
        }
        let down = breakers.down();
        assert_eq!((down.len(), &*down[0].tool, &*down[0].why), (1, "there", "no route"));
        assert!(
            breakers.admit("there").is_err_and(|error| error.retryable && &*error.kind == "breaker_open")
        );
        tokio::time::sleep(Duration::from_secs(11)).await;
        assert!(breakers.down().is_empty(), "it may be tried again");
        breakers.observe(&there, &Outcome::Ok(RawJson::null()), clock.now_ms());
        assert!(breakers.show().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_open_breaker_lets_one_through_in_each_pause() {
        let clock = Arc::new(TokioClock::default());
        let breakers = breakers(&clock);
        let here = Arc::from("here");
        (0..2).for_each(|_| breakers.ran(&here, &failure()));
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(10)).await;
            // Its trial never comes back: another may try.
            assert!(breakers.admit("here").is_ok());
            assert!(breakers.admit("here").is_err());
        }
        let neutral = Outcome::Error(ToolError::new("cancelled", "", false));
        breakers.ran(&here, &neutral);
        assert_eq!(breakers.show().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn foreign_names_do_not_fill_the_memory() {
        let breakers = breakers(&Arc::new(TokioClock::default()));
        for i in 0..BREAKER_TOOLS + 100 {
            breakers.ran(&format!("tool-{i}").into(), &failure());
        }
        assert_eq!(breakers.show().len(), BREAKER_TOOLS);
    }
}
