//! Threads that a log owns: each a small runtime of its own, so that callers may be on any runtime or none.

use std::io;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use callboard_ports::local::Spawner;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// One OS thread that runs tasks until it is stopped.
pub(super) struct TaskThread {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TaskThread {
    pub(super) fn start(name: &str) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, started) = mpsc::sync_channel(1);
        let run = move || {
            let runtime = match Builder::new_current_thread().enable_time().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            let _ = ready.send(Ok(runtime.handle().clone()));
            // Ends by the message or with the sender.
            let _ = runtime.block_on(stopped);
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
        let handle = started.recv().map_err(|_| io::Error::other("the thread ended at once"))??;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    pub(super) fn spawner(&self) -> Spawner {
        let handle = self.handle.clone();
        Arc::new(move |task| drop(handle.spawn(task)))
    }

    /// Drops every task and waits for the thread.
    pub(super) fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
