//! The fjall database under the log: one keyspace a topic, and `meta`.

use std::path::Path;
use std::sync::Arc;

use callboard_ports::Topic;
use fjall::compaction::Leveled;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::codec::{offset_of, record_key};
use super::options::OpenError;
use crate::background::in_background;

/// Blocks read back by catch-up and rehydration; the newest records are in the ring anyway.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// A keyspace's memtable: what a start has to read again from the journal at most, for each topic.
const MEMTABLE_BYTES: u64 = 8 * 1024 * 1024;
/// Memtables that were written out and wait to be merged. Each spans all partitions, and so does the level that they are
/// merged into…
const FLUSHED: u8 = 8;
/// …which is kept as large as they are together (`FLUSHED` tables of this size): a merge then writes 128 MiB at most, which
/// takes the processor for half a second. Below that level, a partition's records lie in the order in which they came, and
/// what is merged into them goes behind them.
const TABLE_BYTES: u64 = 8 * 1024 * 1024;
/// All journals together before fjall writes memtables out early: bounds the time of a start.
const JOURNALS_BYTES: u64 = 192 * 1024 * 1024;
/// Flushing and compacting. No more than one: of several, fjall's first leaves compactions to the others by putting them back
/// into the queue that it takes them from, which keeps a processor busy for as long as a compaction takes.
const WORKERS: usize = 1;
/// Records are read in runs, never alone: larger blocks mean fewer of them.
const BLOCK_BYTES: u32 = 16 * 1024;

/// The last item of every batch: whether the batch was fsynced before it was acknowledged. `journal` reads it to
/// tell a torn end, which nobody was promised, from damage.
pub(super) const MARK_KEY: &[u8] = b"\xffcallboard-mark";

/// The open database.
pub(super) struct Store {
    pub(super) db: Database,
    pub(super) meta: Keyspace,
    topics: [Keyspace; Topic::ALL.len()],
}

/// The place of a topic in `Topic::ALL`.
pub(super) fn index(topic: Topic) -> usize {
    match topic {
        Topic::UserCommands => 0,
        Topic::ConversationEvents => 1,
        Topic::ToolInvocationRequests => 2,
        Topic::SynthesisRequests => 3,
        Topic::DeadLetterQueue => 4,
        Topic::ToolEffects => 5,
        Topic::AnswerChunks => 6,
    }
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        // fjall asserts what a damaged folder breaks.
        let opened = in_background(|| Self::try_open(path));
        match opened.map_err(|source| OpenError::Io { path: path.to_owned(), source })? {
            Ok(Ok(store)) => Ok(store),
            Ok(Err(error)) => Err(explain(path, error)),
            Err(panic) => {
                let words = panic.downcast_ref::<String>().cloned();
                let words = words.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                let what = words.unwrap_or_else(|| "the storage engine panicked".to_owned());
                Err(OpenError::Damaged { path: path.to_owned(), what })
            }
        }
    }

    fn try_open(path: &Path) -> fjall::Result<Self> {
        let db = Database::builder(path)
            .cache_size(CACHE_BYTES)
            .journal_compression(CompressionType::None)
            .max_journaling_size(JOURNALS_BYTES)
            .worker_threads(WORKERS)
            .open()?;
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(MEMTABLE_BYTES)
                .compaction_strategy(Arc::new(
                    Leveled::default().with_l0_threshold(FLUSHED).with_table_target_size(TABLE_BYTES),
                ))
                .data_block_size_policy(fjall::config::BlockSizePolicy::all(BLOCK_BYTES))
        };
        let meta = db.keyspace("meta", KeyspaceCreateOptions::default)?;
        let [a, b, c, d, e, f, g] = Topic::ALL.map(|topic| db.keyspace(topic.name(), options));
        Ok(Self { db, meta, topics: [a?, b?, c?, d?, e?, f?, g?] })
    }

    pub(super) fn topic(&self, topic: Topic) -> &Keyspace {
        &self.topics[index(topic)]
    }

    /// The last record of a partition: its offset and value.
    pub(super) fn last(&self, topic: Topic, partition: u32) -> fjall::Result<Option<(u64, fjall::Slice)>> {
        let range = record_key(partition, 0)..=record_key(partition, u64::MAX);
        let Some(guard) = self.topic(topic).range(range).next_back() else { return Ok(None) };
        let (key, value) = guard.into_inner()?;
        Ok(offset_of(&key).map(|offset| (offset, value)))
    }
}

fn explain(path: &Path, error: fjall::Error) -> OpenError {
    let path = path.to_owned();
    match error {
        fjall::Error::Locked => OpenError::Locked { path },
        fjall::Error::Io(source) if !is_content(source.kind()) => OpenError::Io { path, source },
        other => OpenError::Damaged { path, what: other.to_string() },
    }
}

/// How a batch is made durable.
pub(super) fn persist(sync: bool) -> Option<PersistMode> {
    // Data and length are what reading back needs; the journal's other metadata is not.
    Some(if sync { PersistMode::SyncData } else { PersistMode::Buffer })
}

/// Whether an I/O error is about what the files hold rather than about reaching them.
fn is_content(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, NotFound, Other, UnexpectedEof};
    matches!(kind, InvalidData | InvalidInput | NotFound | Other | UnexpectedEof)
}
