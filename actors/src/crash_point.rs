//! Named places where a test can end this process as SIGKILL would: between two steps that a turn must survive being
//! cut apart. Only with the feature `crash-points`, which nothing that is released has; without it a point is no code.
//!
//! `CALLBOARD_CRASH_AT=NAME` ends the process the first time that the point is passed, `NAME:3` the third time. No
//! destructor runs and no buffer is written. The matrix in the server's tests goes through [`CRASH_POINTS`]. What is
//! counted here is the process's, not a node's: it is the one static of this crate.

/// Passes a point.
macro_rules! crash_point {
    ($name:literal) => {
        #[cfg(feature = "crash-points")]
        $crate::crash_point::pass($name);
    };
}
pub(crate) use crash_point;

/// Every point, in the order of a turn's life.
#[cfg(feature = "crash-points")]
pub const CRASH_POINTS: &[&str] = &[
    "command_taken",
    "event_appended",
    "event_read_back",
    "plan_asked",
    "plan_appended",
    "requests_appended",
    "request_taken",
    "reserved_appended",
    "reserved_read_back",
    "tool_called",
    "tool_returned",
    "committed_appended",
    "result_appended",
    "result_acknowledged",
    "synthesis_taken",
    "answer_appended",
    "flush_asked",
    "flush_written",
    "dead_letter_written",
];

#[cfg(feature = "crash-points")]
pub(crate) fn pass(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    static ARMED: OnceLock<Option<(String, AtomicUsize)>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| {
        let set = std::env::var("CALLBOARD_CRASH_AT").ok()?;
        let (name, nth) = set.split_once(':').unwrap_or((&set, "1"));
        Some((name.to_owned(), AtomicUsize::new(nth.parse().ok()?)))
    });
    let Some((at, left)) = armed else { return };
    if at == name && left.fetch_sub(1, Ordering::Relaxed) == 1 {
        eprintln!("crash point {name}: ending as if killed");
        std::process::abort();
    }
}
