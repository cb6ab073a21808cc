//! Whether the brokers can be reached: asked with back-off while they cannot, said in the log once per change.
//!
//! Every client's errors arrive here through `context`; `producer` refuses early while nothing can be reached;
//! readiness reads [`Status`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use serde::Serialize;

use crate::context::Events;
use crate::error::sentence;
use crate::read::serve_callbacks;

/// The first question after a failure comes soon, since most outages are a restart…
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
/// …and a long one must not cost more than a question each 5 s.
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// A broker that takes longer for its metadata is as good as away.
const ANSWER_WAIT: Duration = Duration::from_secs(3);
/// How often the log queue of the asking client is emptied while all is well.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// What readiness shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    pub reachable: bool,
    /// For how long it has been so, milliseconds.
    pub since_ms: u64,
    pub brokers: String,
    /// What was said last while they were away.
    pub problem: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Reach {
    brokers: String,
    epoch: Instant,
    /// Milliseconds after `epoch` since when nothing is reachable, plus 1; 0 while it is. Read on every append.
    away_since: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    since: Instant,
    problem: Option<String>,
    suspected: bool,
    stopped: bool,
}

impl Reach {
    /// Nothing has been reached yet.
    pub(crate) fn new(brokers: &str) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            brokers: brokers.to_owned(),
            epoch: now,
            away_since: AtomicU64::new(1),
            state: Mutex::new(State { since: now, problem: None, suspected: false, stopped: false }),
            changed: Condvar::new(),
        })
    }

    /// How long nothing has been reachable; zero while something is.
    pub(crate) fn away_for(&self) -> Duration {
        match self.away_since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => self.epoch.elapsed().saturating_sub(Duration::from_millis(since - 1)),
        }
    }

    pub(crate) fn status(&self) -> Status {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let reachable = self.away_since.load(Ordering::Relaxed) == 0;
        Status {
            reachable,
            since_ms: u64::try_from(state.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            brokers: self.brokers.clone(),
            problem: if reachable { None } else { state.problem.clone() },
        }
    }

    /// A client had trouble with a broker: remembered as the reason, should it turn out that nothing is reachable.
    pub(crate) fn trouble(&self, said: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.problem = Some(said.to_owned());
    }

    /// A client lost every connection: ask now.
    pub(crate) fn suspect(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).suspected = true;
        self.changed.notify_all();
    }

    pub(crate) fn stop(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stopped = true;
        self.changed.notify_all();
    }

    /// The watching thread: asks for `topic`'s metadata until it is answered, and again whenever a client suspects
    /// that the brokers are gone.
    pub(crate) fn watch(&self, asker: &BaseConsumer<Events>, topic: &str) {
        // The very first question is asked at once.
        let (mut pause, mut backoff) = (Duration::ZERO, FIRST_BACKOFF);
        while let Some(ask) = self.wait(pause) {
            // Without this the asking client's log lines would pile up for ever.
            serve_callbacks(asker);
            if !ask {
                continue;
            }
            match asker.fetch_metadata(Some(topic), ANSWER_WAIT) {
                Ok(_) => {
                    (pause, backoff) = (HOUSEKEEPING, FIRST_BACKOFF);
                    self.found();
                }
                Err(error) => {
                    serve_callbacks(asker);
                    self.missed(&sentence(&error), backoff);
                    (pause, backoff) = (backoff, (backoff * 2).min(LONGEST_BACKOFF));
                }
            }
        }
    }

    /// Waits for `pause`, or less when the brokers are suspected to be gone. Whether to ask now; `None` at the end.
    fn wait(&self, pause: Duration) -> Option<bool> {
        let reachable = self.away_since.load(Ordering::Relaxed) == 0;
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let unchanged = |state: &mut State| !(state.stopped || reachable && state.suspected);
        let waited = self.changed.wait_timeout_while(state, pause, unchanged);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let suspected = std::mem::take(&mut state.suspected);
        (!state.stopped).then_some(!reachable || suspected)
    }

    fn found(&self) {
        let was = self.away_since.swap(0, Ordering::Relaxed);
        if was != 0 {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.since = Instant::now();
            state.problem = None;
            tracing::info!(brokers = %self.brokers, "Kafka is reachable");
        }
    }

    fn missed(&self, error: &str, backoff: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        let _ =
            self.away_since.compare_exchange(0, now + 1, Ordering::Relaxed, Ordering::Relaxed).map(|_| {
                state.since = Instant::now();
            });
        let problem = state.problem.get_or_insert_with(|| error.to_owned()).clone();
        tracing::warn!(
            brokers = %self.brokers,
            problem,
            retry_ms = u64::try_from(backoff.as_millis()).unwrap_or(u64::MAX),
            "no Kafka broker is reachable"
        );
    }
}
