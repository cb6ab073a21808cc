//! A clock that follows tokio's (also when it is paused), and randomness from a seed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::clock::{Clock, Entropy};

/// Starts at a given epoch time and runs as tokio's clock does.
#[derive(Debug, Clone)]
pub struct TokioClock {
    epoch_ms: i64,
    start: Instant,
}

impl TokioClock {
    #[must_use]
    pub fn starting_at(epoch_ms: i64) -> Self {
        Self { epoch_ms, start: Instant::now() }
    }
}

impl Default for TokioClock {
    /// 2030-01-01T00:00:00Z: no test depends on the day it runs.
    fn default() -> Self {
        Self::starting_at(1_893_456_000_000)
    }
}

impl Clock for TokioClock {
    fn now_ms(&self) -> i64 {
        self.epoch_ms.saturating_add_unsigned(self.monotonic_ms())
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// SplitMix64 (Steele, Lea, Flood): the same seed, the same ids and numbers.
#[derive(Debug)]
pub struct SplitMixEntropy {
    state: AtomicU64,
}

impl SplitMixEntropy {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: AtomicU64::new(seed) }
    }
}

impl Entropy for SplitMixEntropy {
    /// Looks like a UUID v7; is not ordered by time.
    fn new_id(&self) -> String {
        let (high, low) = (self.next_u64(), self.next_u64());
        format!(
            "{:08x}-{:04x}-7{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | ((low >> 48) & 0x3fff),
            low & 0xffff_ffff_ffff
        )
    }

    fn next_u64(&self) -> u64 {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.state.fetch_add(GOLDEN, Ordering::Relaxed).wrapping_add(GOLDEN);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
