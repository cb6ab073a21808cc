//! The embedded log: the log ports on a local disk, for one process, durable, with nothing to install.
//!
//! `queue` takes appends, `writer` commits them, `core` and `ring` are read by the lanes of `ports::local`, which
//! run on threads of the log's own. `session` is what the log knows of itself, `journal` guards against fjall's
//! silent truncation, `repair` saves what a damaged log still holds.

mod codec;
mod core;
mod journal;
mod options;
mod queue;
mod repair;
mod retention;
mod ring;
mod session;
mod store;
mod threads;
mod writer;

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use callboard_ports::admin::{TopicAdmin, TopicDrift};
use callboard_ports::inbox::{Inbox, Joining, Membership};
use callboard_ports::local::{self, Groups, Source, Spawner};
use callboard_ports::log::{AppendError, Batch, Bounds, Log, LogError, LogIdentity, Receipt, Tail};
use callboard_ports::{NewRecord, Topic};
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

pub use options::{EmbeddedOptions, Fsync, OpenError, Retention};
pub use repair::{RepairError, RepairReport, repair_log};

use self::core::{Core, KeptPositions};
use queue::Trim;
use store::Store;
use threads::TaskThread;
use writer::Writer;

/// More partitions than a single machine has use for; each costs a little memory.
const MAX_PARTITIONS: u32 = 1_024;

/// A durable log in a folder of this process's own.
pub struct EmbeddedLog {
    core: Arc<Core>,
    source: Arc<dyn Source>,
    groups: Arc<Groups>,
    live: Spawner,
    catching_up: Spawner,
    threads: Arc<Mutex<Option<Threads>>>,
}

/// The writer; readers that are close to the end; readers that catch up, which must not delay those.
struct Threads {
    writer: JoinHandle<()>,
    live: TaskThread,
    catching_up: TaskThread,
}

impl EmbeddedLog {
    /// Opens the log in `dir`, creating it where there is none.
    ///
    /// # Errors
    /// [`OpenError`], one line each.
    pub fn open(dir: &Path, options: EmbeddedOptions) -> Result<Arc<Self>, OpenError> {
        if !(1..=MAX_PARTITIONS).contains(&options.partitions) {
            return Err(OpenError::PartitionsOutOfRange { wanted: options.partitions });
        }
        let io = |source| OpenError::Io { path: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(io)?;
        if let Some(what) = journal::check(dir).map_err(io)? {
            return Err(OpenError::Damaged { path: dir.to_owned(), what });
        }
        let store = Store::open(dir)?;
        let session = session::begin(dir, &store, &options)?;
        let (about, latest_ms) = (session.about.clone(), session.latest_ms);
        let core = Arc::new(Core::new(store, session, &options));
        let live = TaskThread::start("callboard-log-read").map_err(io)?;
        let catching_up = TaskThread::start("callboard-log-replay").map_err(io)?;
        let (fsync, retention) = (options.fsync, options.retention);
        let writer = Writer { core: core.clone(), fsync, retention, about, latest_ms };
        let writer = std::thread::Builder::new()
            .name("callboard-log-write".to_owned())
            .spawn(move || writer.run())
            .map_err(io)?;
        let source: Arc<dyn Source> = core.clone();
        let positions = Arc::new(KeptPositions(core.clone()));
        Ok(Arc::new(Self {
            groups: Groups::new(source.clone(), positions, live.spawner()),
            source,
            core,
            live: live.spawner(),
            catching_up: catching_up.spawner(),
            threads: Arc::new(Mutex::new(Some(Threads { writer, live, catching_up }))),
        }))
    }

    /// Why the log takes nothing any more, if it failed. The process should then end: what is on the disk is
    /// whole, and only a new start reads it back.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.core.failure()
    }

    /// Deletes a partition's records below `before`, as retention does by age.
    pub async fn trim(&self, topic: Topic, partition: u32, before: u64) {
        if partition < self.core.partitions {
            self.core.queue.trim(Trim { topic, partition, before });
            // A log that closes meanwhile keeps its records.
            let _ = self.core.queue.written().await;
        }
    }

    /// Writes what is enqueued, marks the log as closed in good order and frees the folder.
    pub async fn close(&self) {
        let (done, closed) = tokio::sync::oneshot::channel();
        let closing = Closing::of(self);
        let run = move || {
            closing.run();
            let _ = done.send(());
        };
        match std::thread::Builder::new().name("callboard-log-close".to_owned()).spawn(run) {
            Ok(_) => drop(closed.await),
            Err(error) => tracing::warn!(%error, "the embedded log closes when it is dropped"),
        }
    }
}

/// What closing needs, apart from the log itself.
struct Closing {
    core: Arc<Core>,
    groups: Arc<Groups>,
    threads: Arc<Mutex<Option<Threads>>>,
}

impl Closing {
    fn of(log: &EmbeddedLog) -> Self {
        Self { core: log.core.clone(), groups: log.groups.clone(), threads: log.threads.clone() }
    }

    /// The second call waits for the first and finds nothing left to do.
    fn run(self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Threads { writer, mut live, mut catching_up }) = threads.take() else { return };
        self.groups.close();
        self.core.queue.close("it was closed");
        if writer.join().is_err() {
            tracing::error!("the writer of the embedded log panicked while closing");
        }
        live.stop();
        catching_up.stop();
        self.core.take_store();
    }
}

impl Drop for EmbeddedLog {
    /// Closes as [`close`](Self::close) does, on this thread: the folder must be free afterwards.
    fn drop(&mut self) {
        Closing::of(self).run();
    }
}

impl Log for EmbeddedLog {
    fn append(&self, batch: Vec<NewRecord>) -> Result<Receipt, AppendError> {
        let partitions = self.core.partitions;
        for new in &batch {
            if new.partition >= partitions {
                let NewRecord { topic, partition, .. } = new;
                let why = format!("{topic} has {partitions} partitions from 0; there is no {partition}");
                return Err(AppendError::Refused(why));
            }
            if let Some(why) = new.oversize() {
                return Err(AppendError::Refused(why));
            }
        }
        self.core.queue.append(batch)
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn partitions(&self) -> u32 {
        self.core.partitions
    }

    fn bounds(&self, topic: Topic, partition: u32) -> BoxFuture<'_, Result<Bounds, LogError>> {
        let bounds = local::check_partition(&*self.source, topic, partition)
            .map(|()| self.source.bounds(topic, partition));
        Box::pin(std::future::ready(bounds))
    }

    fn identity(&self, topic: Topic, _partition: u32) -> BoxFuture<'_, Result<LogIdentity, LogError>> {
        Box::pin(std::future::ready(Ok(self.core.identity(topic))))
    }

    fn replay(
        &self,
        topic: Topic,
        partition: u32,
        ranges: Vec<Range<u64>>,
        key: Option<String>,
    ) -> mpsc::Receiver<Result<Batch, LogError>> {
        local::replay(&self.source, &self.catching_up, (topic, partition), ranges, key)
    }

    fn tail(&self, topic: Topic, lanes: usize) -> Result<Tail, LogError> {
        Ok(local::tail(&self.source, &self.live, topic, lanes))
    }

    fn flush(&self, timeout: Duration) -> BoxFuture<'_, Result<(), LogError>> {
        let written = self.core.queue.written();
        Box::pin(async move {
            match tokio::time::timeout(timeout, written).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(LogError::Closed("it was closed".to_owned())),
                Err(_) => Err(LogError::Unavailable(format!("not written within {timeout:?}"))),
            }
        })
    }
}

impl Inbox for EmbeddedLog {
    fn join(&self, joining: Joining) -> Result<Membership, LogError> {
        Ok(self.groups.join(joining, None))
    }
}

impl TopicAdmin for EmbeddedLog {
    /// Topics are made with the log and cannot drift.
    fn diff(&self) -> BoxFuture<'_, Result<Vec<TopicDrift>, LogError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn create_missing(&self) -> BoxFuture<'_, Result<Vec<String>, LogError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn apply(&self) -> BoxFuture<'_, Result<Vec<String>, LogError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}
