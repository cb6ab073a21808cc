//! One life of a process: whether it lives, stands still, or is about to die at its next calls. Everything that a process
//! does to the world goes through its life, so that a crash takes effect at the very call it is meant for.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio::task::LocalSet;

/// A process from its start to its end.
#[derive(Debug)]
pub struct Life {
    /// `NAME.N`: the process and which of its lives this is.
    pub name: String,
    dead: AtomicBool,
    paused: AtomicBool,
    calls: AtomicU64,
    /// The call at which it dies.
    fatal_call: AtomicU64,
    waker: Mutex<Option<Waker>>,
    /// Rung when somebody dies.
    bell: Arc<Notify>,
}

impl Life {
    #[must_use]
    pub fn new(name: String, fatal_call: Option<u64>, bell: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            name,
            dead: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            fatal_call: AtomicU64::new(fatal_call.unwrap_or(u64::MAX)),
            waker: Mutex::new(None),
            bell,
        })
    }

    /// The process is about to touch the world; false when it is dead.
    pub fn call(&self) -> bool {
        if self.calls.fetch_add(1, Ordering::Relaxed) == self.fatal_call.load(Ordering::Relaxed) {
            self.kill();
        }
        self.is_alive()
    }

    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.dead.load(Ordering::Relaxed)
    }

    /// Whether it died by [`Self::call`].
    #[must_use]
    pub fn died_at_a_call(&self) -> bool {
        self.calls.load(Ordering::Relaxed) > self.fatal_call.load(Ordering::Relaxed)
    }

    /// It does not die at a call any more.
    pub fn spare(&self) {
        if self.is_alive() {
            self.fatal_call.store(u64::MAX, Ordering::Relaxed);
        }
    }

    pub fn kill(&self) {
        self.dead.store(true, Ordering::Relaxed);
        self.bell.notify_one();
        self.wake();
    }

    /// As SIGSTOP and SIGCONT do.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
        self.wake();
    }

    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }
}

/// Runs the tasks of a process while it lives and does not stand still. Ends, dropping them all, when it is dead.
pub struct Stage {
    pub tasks: LocalSet,
    pub life: Arc<Life>,
}

impl Future for Stage {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if !self.life.is_alive() {
            return Poll::Ready(());
        }
        *self.life.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
        if self.life.is_paused() {
            return Poll::Pending;
        }
        // A process ends by dying only: its tasks never run out.
        let _ = Pin::new(&mut self.tasks).poll(context);
        Poll::Pending
    }
}
