//! Time, randomness and ids from outside, so that a test or a simulation can hand in its own.

use std::time::Duration;

use futures_util::future::BoxFuture;

/// Wall-clock and sleeping.
pub trait Clock: Send + Sync {
    /// Epoch milliseconds.
    fn now_ms(&self) -> i64;
    /// Monotonic milliseconds since an arbitrary start, for leases and intervals.
    fn monotonic_ms(&self) -> u64;
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// Randomness.
pub trait Entropy: Send + Sync {
    /// A new unique id (UUID v7 in production).
    fn new_id(&self) -> String;
    fn next_u64(&self) -> u64;
}
