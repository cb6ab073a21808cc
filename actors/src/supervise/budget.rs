//! A restart budget: so many restarts within a window, with exponential back-off and jitter, then escalation.

use std::collections::VecDeque;
use std::time::Duration;

use super::Ending;

/// Restarts within the window before the parent itself is at fault: enough for a flaky dependency, few enough
/// that a child which cannot start is noticed within a minute.
const RESTARTS: usize = 10;
const WINDOW_MS: u64 = 60_000;
/// What a child that escalated weighs: it has used up a budget of its own, which takes about ten seconds of back-offs, so
/// that three of them in a minute are a crash loop too.
const ESCALATED: usize = 4;
/// First pause: a crash loop must not burn a core, a single crash must not be felt.
const FIRST_PAUSE_MS: u64 = 20;
const LONGEST_PAUSE_MS: u64 = 5_000;
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(LONGEST_PAUSE_MS);

/// What a budget allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    After(Duration),
    Exhausted,
}

/// Remembers the restarts within the window.
#[derive(Debug, Default)]
pub struct Budget {
    at_ms: VecDeque<u64>,
}

impl Budget {
    /// Spends one restart at monotonic `now_ms`; `random` spreads the pause over its upper half.
    pub fn spend(&mut self, now_ms: u64, random: u64) -> Restart {
        self.spend_for(Ending::Panicked, now_ms, random)
    }

    /// As [`Self::spend`], for an ending that may weigh more than one.
    pub fn spend_for(&mut self, ending: Ending, now_ms: u64, random: u64) -> Restart {
        while self.at_ms.front().is_some_and(|at| now_ms.saturating_sub(*at) > WINDOW_MS) {
            self.at_ms.pop_front();
        }
        if self.at_ms.len() >= RESTARTS {
            return Restart::Exhausted;
        }
        let full = (FIRST_PAUSE_MS << self.at_ms.len()).min(LONGEST_PAUSE_MS);
        let weight = if ending == Ending::Escalated { ESCALATED } else { 1 };
        self.at_ms.extend(std::iter::repeat_n(now_ms, weight));
        Restart::After(Duration::from_millis(full / 2 + random % (full / 2 + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, Ending, Restart};

    #[test]
    fn pauses_grow_then_the_budget_is_exhausted_then_it_recovers() {
        let mut budget = Budget::default();
        let mut longest = 0;
        for i in 0..10 {
            let Restart::After(pause) = budget.spend(i, 7) else { panic!("restart {i} was refused") };
            assert!(pause.as_millis() <= 5_000);
            longest = longest.max(pause.as_millis());
        }
        assert!(longest >= 2_500);
        assert_eq!(budget.spend(11, 7), Restart::Exhausted);
        assert!(matches!(budget.spend(60_100, 7), Restart::After(_)));
    }
    #[test]
    fn a_child_that_escalates_again_and_again_exhausts_the_next_budget_too() {
        let mut budget = Budget::default();
        for now_ms in [0, 12_000, 24_000] {
            assert!(matches!(budget.spend_for(Ending::Escalated, now_ms, 7), Restart::After(_)), "{now_ms}");
        }
        assert_eq!(budget.spend_for(Ending::Escalated, 36_000, 7), Restart::Exhausted);
    }
}
