//! How a request's time is shared out among the providers, so that the last one still has some.
//!
//! All routers draw on it.

use std::time::{Duration, Instant};

/// The built-in planner needs a millisecond; the rest is for a busy machine.
const RESERVE: Duration = Duration::from_millis(1_000);
/// No model answers in less; asking would only be noise.
const LEAST: Duration = Duration::from_millis(20);

/// The time of one request.
pub(super) struct Budget {
    /// The instant at which the built-in provider must be asked.
    until: Instant,
}

impl Budget {
    pub fn new(timeout_ms: u64) -> Self {
        let whole = Duration::from_millis(timeout_ms);
        let reserve = RESERVE.min(whole / 10);
        Self { until: Instant::now() + (whole - reserve) }
    }

    /// The time of the next of `models_left` models, at most its own timeout; `None` when there is too little.
    pub fn share(&self, models_left: usize, timeout: Duration) -> Option<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        let models_left = u32::try_from(models_left.max(1)).unwrap_or(u32::MAX);
        let share = (left / models_left).min(timeout);
        (share >= LEAST).then_some(share)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Budget;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn every_model_gets_its_part_and_the_last_resort_its_reserve() {
        let budget = Budget::new(20_000);
        let first = budget.share(2, MINUTE).unwrap();
        assert!(first <= Duration::from_millis(9_500) && first > Duration::from_millis(9_000));
        assert!(budget.share(1, MINUTE).unwrap() <= Duration::from_millis(19_000));
        assert_eq!(budget.share(2, Duration::from_millis(100)), Some(Duration::from_millis(100)));
        assert_eq!(Budget::new(10).share(1, MINUTE), None);
        assert_eq!(Budget::new(0).share(1, MINUTE), None);
    }
}
