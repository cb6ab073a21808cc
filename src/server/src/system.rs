//! The world's clock and ids behind the ports: the one place below `main` that asks the system for them.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use callboard_ports::clock::{Clock, Entropy};
use futures_util::future::BoxFuture;
use uuid::{ContextV7, Timestamp, Uuid};

/// Wall-clock and monotonic clock of this machine; sleeps on whatever tokio runtime it is asked from.
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// UUIDs of version 7, ascending within this process.
pub struct UuidEntropy {
    context: Mutex<ContextV7>,
}

impl UuidEntropy {
    #[must_use]
    pub fn new() -> Self {
        Self { context: Mutex::new(ContextV7::new()) }
    }
}

impl Default for UuidEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy for UuidEntropy {
    fn new_id(&self) -> String {
        let context = self.context.lock().expect("no holder of this lock panics");
        Uuid::new_v7(Timestamp::now(&*context)).to_string()
    }

    fn next_u64(&self) -> u64 {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        // Version and variant bits are fixed: folding both halves leaves none of them.
        high.rotate_left(32) ^ low
    }
}

#[cfg(test)]
mod tests {
    use super::{Entropy, UuidEntropy};

    #[test]
    fn ids_ascend() {
        let entropy = UuidEntropy::new();
        let ids: Vec<String> = (0..1_000).map(|_| entropy.new_id()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
