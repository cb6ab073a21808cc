//! Back-off between attempts, derived from ids so that every replay waits the same.

use crate::id::fnv1a;
use crate::plan::Backoff;

/// Milliseconds to wait after `attempt` (from 1) of `invocation_id` failed: exponential, capped, and jittered
/// into the upper half of the interval ("equal jitter") by a hash of the invocation id.
#[must_use]
pub fn delay_ms(backoff: Backoff, attempt: u32, invocation_id: &str) -> u64 {
    let doubled = backoff.initial_ms.saturating_mul(1_u64 << attempt.saturating_sub(1).min(32));
    let full = doubled.min(backoff.max_ms);
    let half = full / 2;
    half + fnv1a(&[invocation_id.as_bytes()]) % (full - half + 1)
}
