//! A node's clock: as fast as everybody's, and wrong by a constant.

use std::time::Duration;

use callboard_ports::clock::Clock;
use callboard_ports::fakes::TokioClock;
use futures_util::future::BoxFuture;

/// The world's clock, read with an error.
#[derive(Debug, Clone)]
pub struct SkewedClock {
    pub world: TokioClock,
    pub skew_ms: i64,
}

impl Clock for SkewedClock {
    fn now_ms(&self) -> i64 {
        self.world.now_ms() + self.skew_ms
    }

    fn monotonic_ms(&self) -> u64 {
        self.world.monotonic_ms()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.world.sleep(duration)
    }
}
