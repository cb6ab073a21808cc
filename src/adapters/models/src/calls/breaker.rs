//! A provider's circuit breaker: some failures in a row and it is left alone for a while; then one call may try, and
//! the others wait for what comes of it. There is no probe in the background: the next use is the probe.
//!
//! [`super::guard`] asks it. Time comes in as an argument.

use std::time::{Duration, Instant};

/// Longer than this a provider that has come back must not be left alone.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// When it opens, and for how long at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    pub failures: u32,
    pub pause: Duration,
}

#[derive(Debug)]
pub(crate) struct Breaker {
    terms: Terms,
    failures: u32,
    /// Open until then; doubled with every trial that fails.
    open: Option<(Instant, Duration)>,
    trying: bool,
}

impl Breaker {
    pub fn new(terms: Terms) -> Self {
        Self { terms, failures: 0, open: None, trying: false }
    }

    /// For how long nobody should ask.
    pub fn shut_for(&self, now: Instant) -> Option<Duration> {
        let (until, pause) = self.open?;
        match until.checked_duration_since(now).filter(|left| !left.is_zero()) {
            Some(left) => Some(left),
            None if self.trying => Some(pause),
            None => None,
        }
    }

    /// A call goes ahead; whether it is the trial of an open breaker.
    pub fn enter(&mut self) -> bool {
        let trial = self.open.is_some();
        self.trying = trial;
        trial
    }

    /// A trial that ended without a verdict: the next one may try.
    pub fn abandoned(&mut self) {
        self.trying = false;
    }

    pub fn succeeded(&mut self) {
        *self = Self::new(self.terms);
    }

    /// Whether this failure opened it.
    pub fn failed(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.trying = false;
        let pause = match self.open {
            // Another call that had begun before.
            Some((until, _)) if until > now => return false,
            Some((_, pause)) => (pause * 2).min(MAX_PAUSE),
            None if self.failures >= self.terms.failures => self.terms.pause,
            None => return false,
        };
        self.open = Some((now + pause, pause));
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Breaker, Terms};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_try() {
        let mut breaker = Breaker::new(Terms { failures: 2, pause: SECOND });
        let start = Instant::now();
        assert!(!breaker.failed(start));
        breaker.succeeded();
        assert!(!breaker.failed(start) && breaker.shut_for(start).is_none());
        assert!(breaker.failed(start));
        assert_eq!(breaker.shut_for(start), Some(SECOND));
        // One tries, the others do not.
        let later = start + SECOND;
        assert_eq!(breaker.shut_for(later), None);
        assert!(breaker.enter());
        assert!(breaker.shut_for(later).is_some());
        breaker.abandoned();
        assert_eq!(breaker.shut_for(later), None);
        // In vain: twice as long.
        assert!(breaker.enter() && breaker.failed(later));
        assert_eq!(breaker.shut_for(later), Some(2 * SECOND));
        breaker.succeeded();
        assert!(breaker.shut_for(later).is_none() && !breaker.enter());
    }
}
