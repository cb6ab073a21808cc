//! How it is judged that an arbiter has stopped: it has not answered for so many ticks of the watchdog. The watchdog counts
//! its own ticks, never the clock's difference: one that comes much too late (SIGSTOP, a closed lid, no processor) means
//! that everybody stood still, and every count starts again. The thread that ticks is in `placement`.

use std::time::Duration;

use crate::limits::{ARBITER_TICK, ARBITER_WEDGED_AFTER, LATE};

/// How often arbiters are asked, and how long one may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchBounds {
    pub tick: Duration,
    pub wedged_after: Duration,
}

impl Default for WatchBounds {
    fn default() -> Self {
        Self { tick: ARBITER_TICK, wedged_after: ARBITER_WEDGED_AFTER }
    }
}

/// The counts.
#[derive(Debug)]
pub struct Watchdog {
    bounds: WatchBounds,
    last_tick_ms: u64,
    /// Ticks in a row without an answer, by arbiter.
    silent: Vec<u32>,
}

impl Watchdog {
    #[must_use]
    pub fn new(bounds: WatchBounds, arbiters: usize, now_ms: u64) -> Self {
        Self { bounds, last_tick_ms: now_ms, silent: vec![0; arbiters] }
    }

    /// A tick at monotonic `now_ms`: who has answered the one before. Gives those that count as wedged from now on;
    /// their successors start from nothing.
    pub fn tick(&mut self, now_ms: u64, answered: &[bool]) -> Vec<usize> {
        let took = Duration::from_millis(now_ms.saturating_sub(self.last_tick_ms));
        self.last_tick_ms = now_ms;
        let late = took > self.bounds.tick + LATE;
        let mut wedged = Vec::new();
        for (index, (silent, answered)) in self.silent.iter_mut().zip(answered).enumerate() {
            *silent = if late || *answered { 0 } else { *silent + 1 };
            if self.bounds.tick * *silent >= self.bounds.wedged_after {
                *silent = 0;
                wedged.push(index);
            }
        }
        wedged
    }

    /// The longest time that anybody has been silent for, in whole ticks.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.bounds.tick * self.silent.iter().copied().max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::{WatchBounds, Watchdog};
    use std::time::Duration;

    const BOUNDS: WatchBounds =
        WatchBounds { tick: Duration::from_millis(250), wedged_after: Duration::from_secs(4) };

    const NOBODY: [usize; 0] = [];

    /// Ticks `times` times, `tick_ms` apart.
    fn ticks(
        dog: &mut Watchdog,
        now_ms: &mut u64,
        (times, tick_ms): (u32, u64),
        answered: &[bool],
    ) -> Vec<usize> {
        let mut wedged = Vec::new();
        for _ in 0..times {
            *now_ms += tick_ms;
            wedged.extend(dog.tick(*now_ms, answered));
        }
        wedged
    }

    #[test]
    fn who_is_silent_for_the_whole_bound_is_wedged_and_its_successor_starts_from_nothing() {
        let (mut dog, mut now_ms) = (Watchdog::new(BOUNDS, 2, 0), 0);
        assert_eq!(ticks(&mut dog, &mut now_ms, (15, 250), &[true, false]), NOBODY);
        assert_eq!(dog.silence(), Duration::from_millis(3_750));
        assert_eq!(ticks(&mut dog, &mut now_ms, (1, 250), &[true, false]), [1]);
        assert_eq!(ticks(&mut dog, &mut now_ms, (15, 250), &[true, false]), NOBODY);
        assert_eq!(ticks(&mut dog, &mut now_ms, (1, 250), &[true, false]), [1], "the successor too");
    }

    #[test]
    fn an_answer_restarts_the_count() {
        let (mut dog, mut now_ms) = (Watchdog::new(BOUNDS, 1, 0), 0);
        for _ in 0..10 {
            assert_eq!(ticks(&mut dog, &mut now_ms, (15, 250), &[false]), NOBODY);
            assert_eq!(ticks(&mut dog, &mut now_ms, (1, 250), &[true]), NOBODY);
        }
    }

    #[test]
    fn a_watchdog_that_is_late_itself_restarts_every_count() {
        let (mut dog, mut now_ms) = (Watchdog::new(BOUNDS, 3, 0), 0);
        assert_eq!(ticks(&mut dog, &mut now_ms, (15, 250), &[false, false, true]), NOBODY);
        // SIGSTOP for 20 s: nobody could have answered.
        assert_eq!(ticks(&mut dog, &mut now_ms, (1, 20_000), &[false, false, false]), NOBODY);
        assert_eq!(dog.silence(), Duration::ZERO);
        assert_eq!(ticks(&mut dog, &mut now_ms, (15, 250), &[false, true, true]), NOBODY);
        assert_eq!(ticks(&mut dog, &mut now_ms, (1, 250), &[false, true, true]), [0], "and then it counts");
    }

    #[test]
    fn a_little_late_counts_as_one_tick_only() {
        let (mut dog, mut now_ms) = (Watchdog::new(BOUNDS, 1, 0), 0);
        // A starved machine: sixteen ticks of a second each, as many as of a quarter.
        assert_eq!(ticks(&mut dog, &mut now_ms, (15, 1_000), &[false]), NOBODY);
        assert_eq!(ticks(&mut dog, &mut now_ms, (1, 1_000), &[false]), [0]);
    }
}
