//! Opening what starts threads of its own.

use std::io;
use std::thread::{self, Builder, ScopedJoinHandle};

/// Runs `open` on a thread of low priority, which the threads that it starts inherit, on Linux: a merge of fjall's takes a
/// processor for a while that turns want. The outer error: no thread could be started; the inner one: `open` panicked.
///
/// Theirs is a third of the weight of others, not less: a writer whose memtables nobody writes out has to stop.
pub(crate) fn in_background<T: Send>(open: impl FnOnce() -> T + Send) -> io::Result<thread::Result<T>> {
    let body = || {
        #[cfg(target_os = "linux")]
        if let Err(error) = rustix::process::nice(5) {
            tracing::debug!(%error, "merging keeps its priority");
        }
        open()
    };
    thread::scope(|scope| {
        let thread = Builder::new().name("callboard-open".to_owned()).spawn_scoped(scope, body)?;
        Ok(ScopedJoinHandle::join(thread))
    })
}
