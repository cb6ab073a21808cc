//! Random choices that a seed repeats, and the wall clock that they are set against.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// SplitMix64: small, and good enough to choose what to break.
#[derive(Debug)]
pub struct Seed(Mutex<u64>);

impl Seed {
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    pub fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is at least 1.
    pub fn below(&self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// From 0 to 1.
    pub fn fraction(&self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// One of them; nothing when there are none.
    pub fn pick<'a, T>(&self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }

    /// A pause whose mean is `mean`, never longer than four times that: faults come in bursts and with rests.
    pub fn pause(&self, mean: Duration) -> Duration {
        let exponential = -(1.0 - self.fraction()).max(f64::MIN_POSITIVE).ln();
        mean.mul_f64(exponential.min(4.0))
    }
}

/// Epoch milliseconds: the log's timestamps are of the same clock, because everything runs on this machine.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Seed;

    #[test]
    fn a_seed_repeats_itself_and_pauses_have_their_mean() {
        let (one, two) = (Seed::new(7), Seed::new(7));
        let pause = |seed: &Seed| seed.pause(Duration::from_secs(5));
        assert!((0..100).all(|_| pause(&one) == pause(&two)));
        let mean = (0..20_000).map(|_| pause(&one).as_secs_f64()).sum::<f64>() / 20_000.0;
        assert!((4.7..5.2).contains(&mean), "{mean}");
        assert!((0..1_000).all(|_| pause(&one) <= Duration::from_secs(20)));
    }
}
