//! Waiting for a condition instead of for a time: the one way in which tests here wait.
//!
//! Used by [`crate::process`] and [`crate::kafka`] for start-up and by tests for everything that happens
//! elsewhere.

use std::time::{Duration, Instant};

/// Short beside anything worth waiting for, long beside what a check costs.
const POLL: Duration = Duration::from_millis(10);

/// The condition did not come true in time.
#[derive(Debug, Clone, thiserror::Error)]
#[error("gave up after {after:?} of waiting for {what}")]
pub struct TimedOut {
    /// What was waited for.
    pub what: String,
    /// How long.
    pub after: Duration,
}

/// Polls `condition` until it is true; at least once, so that a zero timeout is a plain check.
pub fn until(timeout: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Result<(), TimedOut> {
    until_some(timeout, what, || condition().then_some(()))
}

/// Polls `probe` until it yields something.
pub fn until_some<T>(
    timeout: Duration,
    what: &str,
    mut probe: impl FnMut() -> Option<T>,
) -> Result<T, TimedOut> {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return Ok(found);
        }
        if start.elapsed() >= timeout {
            return Err(TimedOut { what: what.to_owned(), after: timeout });
        }
        std::thread::sleep(POLL);
    }
}

/// As [`until`], inside a tokio runtime. Counts tokio's time, so it works on a paused clock too.
pub async fn until_async(
    timeout: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> bool,
) -> Result<(), TimedOut> {
    let start = tokio::time::Instant::now();
    while !condition().await {
        if start.elapsed() >= timeout {
            return Err(TimedOut { what: what.to_owned(), after: timeout });
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}
