//! Stopping in order: one signal asks, a second one insists.
//!
//! From the signal to the end there are 10 s: the node takes [`NODE_WITHIN`], then HTTP [`HTTP_WITHIN`], and snapshots
//! and log [`LOG_WITHIN`] each, which is one after another and usually milliseconds.

use std::time::Duration;

use actix_web::dev::ServerHandle;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// For the node to finish or hand over, and to make everything durable.
pub const NODE_WITHIN: Duration = Duration::from_secs(7);
/// For answers that are being written: by then the node has ended all waits.
pub const HTTP_WITHIN: Duration = Duration::from_secs(1);

/// For stores that have nothing left to do but to close.
pub const LOG_WITHIN: Duration = Duration::from_millis(500);

/// The signals that ask for an end.
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Listens for SIGTERM and SIGINT from now on.
    ///
    /// # Errors
    /// When the system gives no handler.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Resolves at the first signal; the next one ends the process at once.
    pub async fn asked(&mut self) {
        self.next().await;
        if let Ok(mut again) = Self::listen() {
            actix_web::rt::spawn(async move {
                again.next().await;
                eprintln!(
                    "callboard: ended at once by a second signal; the log has everything that was accepted"
                );
                std::process::exit(1);
            });
        }
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Ends HTTP: answers that are being written are finished, within [`HTTP_WITHIN`].
pub async fn server(handle: &ServerHandle) {
    let patience = HTTP_WITHIN + Duration::from_millis(200);
    let _ = tokio::time::timeout(patience, handle.stop(true)).await;
}
