//! Who may ask a provider now: nobody while its breaker is open or its limit used up, and only so many at once; the
//! others queue, and the queue is bounded too.
//!
//! [`super::line`] passes through it before every call. The parts: [`super::breaker`], [`super::rate`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use callboard_ports::model::ModelError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::breaker::{Breaker, Terms};
use crate::providers::http;

/// A pause that a server asks for is waited for when it is no longer than this; a user would rather have another
/// provider's answer.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// After a 429 that does not say when: at first, doubled each time, up to [`MAX_WAIT`] times some.
const UNSAID_PAUSE: Duration = Duration::from_secs(1);
const MAX_UNSAID_PAUSE: Duration = Duration::from_secs(30);

/// How many may ask at once, and how many may wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub calls: usize,
    pub queue: usize,
}

#[derive(Debug)]
struct State {
    breaker: Breaker,
    /// Nobody asks before this.
    not_before: Option<Instant>,
    /// The last pause that the server did not name.
    unsaid: Duration,
    queued: usize,
}

pub(crate) struct Guard {
    provider: &'static str,
    room: Room,
    calls: Arc<Semaphore>,
    state: Arc<Mutex<State>>,
}

impl Guard {
    pub fn new(provider: &'static str, room: Room, terms: Terms) -> Self {
        let state =
            State { breaker: Breaker::new(terms), not_before: None, unsaid: Duration::ZERO, queued: 0 };
        Self {
            provider,
            room,
            calls: Arc::new(Semaphore::new(room.calls)),
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The permission for one call that has to end at `until`.
    ///
    /// # Errors
    /// `breaker_open`, `rate_limited` or `busy`, at once or when waiting was in vain.
    pub async fn enter(&self, until: Instant) -> Result<Pass, ModelError> {
        self.shut()?;
        self.wait_for_limit(until).await?;
        let permit = self.permit(until).await?;
        // It may have opened meanwhile.
        self.shut()?;
        let trial = lock(&self.state).breaker.enter();
        Ok(Pass { provider: self.provider, state: self.state.clone(), trial, told: false, _permit: permit })
    }

    /// Whether its breaker is open now.
    pub fn is_open(&self) -> bool {
        self.shut().is_err()
    }

    fn shut(&self) -> Result<(), ModelError> {
        match lock(&self.state).breaker.shut_for(Instant::now().into_std()) {
            None => Ok(()),
            Some(left) => {
                let message =
                    format!("it failed repeatedly and is left alone for another {} ms", left.as_millis());
                Err(http::error(self.provider, "breaker_open", message, true))
            }
        }
    }

    /// Waits for a pause that ends soon, once.
    async fn wait_for_limit(&self, until: Instant) -> Result<(), ModelError> {
        let Some(at) = lock(&self.state).not_before else { return Ok(()) };
        let now = Instant::now();
        let Some(left) = at.checked_duration_since(now).filter(|left| !left.is_zero()) else { return Ok(()) };
        // Half of the time is left for the call itself.
        if left > MAX_WAIT.min(until.saturating_duration_since(now) / 2) {
            let message = format!("its limit is used up for another {} ms", left.as_millis());
            return Err(http::error(self.provider, "rate_limited", message, true));
        }
        tokio::time::sleep_until(at).await;
        Ok(())
    }

    async fn permit(&self, until: Instant) -> Result<OwnedSemaphorePermit, ModelError> {
        let busy = |why: &str| {
            let message = format!("{} calls are under way, as many as may be, and {why}", self.room.calls);
            Err(http::error(self.provider, "busy", message, true))
        };
        if let Ok(permit) = self.calls.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let Some(_place) = Place::take(&self.state, self.room.queue) else {
            return busy("as many as may wait do so");
        };
        // A call that waited for all of its time would have none left.
        let limit = Instant::now() + until.saturating_duration_since(Instant::now()) / 2;
        match tokio::time::timeout_at(limit, self.calls.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => busy("none ended in time"),
        }
    }
}

/// A place in the queue.
struct Place<'a>(&'a Mutex<State>);

impl<'a> Place<'a> {
    fn take(state: &'a Mutex<State>, most: usize) -> Option<Self> {
        let mut locked = lock(state);
        if locked.queued >= most {
            return None;
        }
        locked.queued += 1;
        Some(Self(state))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(self.0).queued -= 1;
    }
}

/// The permission for one call, and the duty to say how it went.
pub(crate) struct Pass {
    provider: &'static str,
    state: Arc<Mutex<State>>,
    trial: bool,
    told: bool,
    _permit: OwnedSemaphorePermit,
}

impl Pass {
    /// The provider answered; `pause` when it said that its limit is used up now.
    pub fn succeeded(mut self, pause: Option<Duration>) {
        self.told = true;
        let mut state = lock(&self.state);
        state.breaker.succeeded();
        state.unsaid = Duration::ZERO;
        state.not_before = pause.map(|pause| Instant::now() + pause);
    }

    /// The call failed. A provider that is there and refuses is not broken.
    pub fn failed(mut self, error: &ModelError, retry_after: Option<Duration>) {
        self.told = true;
        let mut state = lock(&self.state);
        match error.kind {
            "rate_limited" => {
                if self.trial {
                    state.breaker.succeeded();
                }
                state.unsaid = (state.unsaid * 2).clamp(UNSAID_PAUSE, MAX_UNSAID_PAUSE);
                let pause = retry_after.unwrap_or(state.unsaid);
                state.not_before = Some(Instant::now() + pause);
                tracing::warn!(
                    provider = self.provider,
                    pause_ms = pause.as_millis(),
                    "a model server limits us"
                );
            }
            "unavailable" | "timeout" => {
                if let Some(pause) = retry_after {
                    state.not_before = Some(Instant::now() + pause);
                }
                if state.breaker.failed(Instant::now().into_std()) {
                    tracing::warn!(provider = self.provider, error = %error.message, "a provider's breaker opened");
                }
            }
            _ => state.breaker.succeeded(),
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.trial && !self.told {
            lock(&self.state).breaker.abandoned();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Guard, Room, Terms};
    use crate::providers::http::error;

    const PAUSE: Duration = Duration::from_millis(100);

    fn guard(calls: usize, queue: usize) -> Guard {
        Guard::new("test", Room { calls, queue }, Terms { failures: 2, pause: PAUSE })
    }

    fn within(ms: u64) -> Instant {
        Instant::now() + Duration::from_millis(ms)
    }

    async fn kind(guard: &Guard, within_ms: u64) -> &'static str {
        guard.enter(within(within_ms)).await.err().map_or("", |error| error.kind)
    }

    #[tokio::test]
    async fn calls_queue_and_the_queue_is_bounded() {
        let guard = guard(1, 1);
        let first = guard.enter(within(20_000)).await.unwrap();
        let (second, third) = tokio::join!(guard.enter(within(20_000)), async {
            let third = guard.enter(within(20_000)).await;
            first.succeeded(None);
            third
        });
        assert_eq!(third.err().unwrap().kind, "busy");
        // Nobody ends: half of the time is waited.
        let _held = second.unwrap();
        let began = Instant::now();
        assert_eq!(kind(&guard, 200).await, "busy");
        assert!(began.elapsed() >= Duration::from_millis(100));
    }

    #[tokio::test]
    async fn a_limit_is_kept_to_and_a_short_one_is_waited_for() {
        let guard = guard(4, 4);
        let limited = error("test", "rate_limited", "429", true);
        let began = Instant::now();
        guard.enter(within(20_000)).await.unwrap().failed(&limited, Some(PAUSE));
        guard.enter(within(20_000)).await.unwrap().failed(&limited, None);
        assert!(began.elapsed() >= PAUSE, "waited for the end of the pause");
        // Unsaid, it is a second and more: too long for this call.
        assert_eq!(kind(&guard, 400).await, "rate_limited");
        guard.enter(within(20_000)).await.unwrap().succeeded(None);
        assert_eq!(kind(&guard, 400).await, "");
        guard.enter(within(400)).await.unwrap().failed(&limited, Some(Duration::from_secs(60)));
        assert_eq!(kind(&guard, 600_000).await, "rate_limited", "nobody waits for a minute");
    }

    #[tokio::test]
    async fn a_limit_that_is_used_up_is_kept_to_before_it_is_broken() {
        let guard = guard(4, 4);
        guard.enter(within(400)).await.unwrap().succeeded(Some(Duration::from_secs(30)));
        assert_eq!(kind(&guard, 400).await, "rate_limited");
    }

    #[tokio::test]
    async fn a_dead_provider_is_left_alone_and_tried_by_one_call() {
        let guard = guard(4, 4);
        let dead = error("test", "unavailable", "refused", true);
        for _ in 0..2 {
            guard.enter(within(400)).await.unwrap().failed(&dead, None);
        }
        assert_eq!(kind(&guard, 400).await, "breaker_open");
        tokio::time::sleep(PAUSE).await;
        let trial = guard.enter(within(400)).await.unwrap();
        assert_eq!(kind(&guard, 400).await, "breaker_open", "one tries, the others do not");
        drop(trial);
        guard.enter(within(400)).await.unwrap().succeeded(None);
        let refused = error("test", "refused", "no", false);
        for _ in 0..5 {
            guard.enter(within(400)).await.unwrap().failed(&refused, None);
        }
        assert_eq!(kind(&guard, 400).await, "", "who refuses is there");
    }
}
