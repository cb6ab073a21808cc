//! The claim of one flight on one effect: who asks, since when, and what others have to say about it meanwhile. It outlives
//! the workers that run the flight, so that a worker's death tells nothing anew.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use callboard_domain::event::ToolError;
use callboard_domain::time::Millis;
use tokio::sync::Notify;

/// No Reserved was appended yet.
const NEVER: u64 = u64::MAX;

/// See the module. Shared by a pool and its worker.
#[derive(Debug)]
pub struct Claim {
    /// Used by one flight of one start of one pool, and never again: another flight's Reserved is somebody else's.
    pub owner: Arc<str>,
    /// Monotonic instant just before the first append of Reserved.
    appended_ms: AtomicU64,
    /// Whether the tool's call began.
    started: AtomicBool,
    /// Why it must not be called any more.
    refusal: OnceLock<ToolError>,
    /// It kills whoever touches it.
    poison: OnceLock<ToolError>,
    cancelled: AtomicBool,
    /// The time that was found to be over, and when that was.
    over: Mutex<Option<(Millis, Millis)>>,
    bell: Notify,
}

impl Claim {
    pub fn new(owner: Arc<str>) -> Self {
        Self {
            owner,
            appended_ms: AtomicU64::new(NEVER),
            started: AtomicBool::new(false),
            refusal: OnceLock::new(),
            poison: OnceLock::new(),
            cancelled: AtomicBool::new(false),
            over: Mutex::new(None),
            bell: Notify::new(),
        }
    }

    /// Reserved is about to be appended; the first time counts, since nobody knows which of several got into the log first.
    pub fn appending(&self, now_ms: u64) {
        let _ = self.appended_ms.compare_exchange(NEVER, now_ms, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Milliseconds since the first append; `None` before it.
    pub fn age_ms(&self, now_ms: u64) -> Option<u64> {
        match self.appended_ms.load(Ordering::Acquire) {
            NEVER => None,
            at_ms => Some(now_ms.saturating_sub(at_ms)),
        }
    }

    /// Since when it is known here that `not_after_ms` is over: now, unless this was said of it before.
    pub fn over_since_ms(&self, not_after_ms: Millis, now_ms: Millis) -> Millis {
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        match *over {
            Some((of_ms, since_ms)) if of_ms == not_after_ms => since_ms,
            _ => over.insert((not_after_ms, now_ms)).1,
        }
    }

    pub fn start(&self) {
        self.started.store(true, Ordering::Release);
    }

    pub fn has_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// The tool is not called any more; a call under way goes on. The first reason counts.
    pub fn refuse(&self, error: ToolError) {
        let _ = self.refusal.set(error);
    }

    /// As [`Self::refuse`], and a call that may be interrupted is.
    pub fn cancel(&self, error: ToolError) {
        self.refuse(error);
        self.cancelled.store(true, Ordering::Release);
        self.bell.notify_one();
    }

    /// Neither the tool nor its probe is called any more.
    pub fn poison(&self, error: ToolError) {
        let _ = self.poison.set(error);
    }

    pub fn poisoned(&self) -> Option<&ToolError> {
        self.poison.get()
    }

    pub fn refusal(&self) -> Option<&ToolError> {
        self.poison.get().or(self.refusal.get())
    }

    /// Resolves when it is cancelled.
    pub async fn cancelled(&self) {
        while !self.cancelled.load(Ordering::Acquire) {
            self.bell.notified().await;
        }
    }
}
