//! What a log knows of itself in `meta`: format, identity, partition count, trimmed starts, committed positions,
//! and how its last session ended.
//!
//! A log whose machine died with acknowledged but unsynced records has lost some: its epoch is raised, so that
//! nobody takes what comes next at those offsets for what was there before.

use std::collections::HashMap;
use std::path::Path;

use callboard_ports::Topic;
use callboard_ports::inbox::Committed;
use fjall::PersistMode;
use serde::{Deserialize, Serialize};

use super::codec::timestamp_ms;
use super::options::{EmbeddedOptions, Fsync, OpenError};
use super::queue::PositionKey;
use super::store::{MARK_KEY, Store, index};

/// The format of keys and values in this log.
const FORMAT: u32 = 1;
const ABOUT_KEY: &[u8] = b"about";

/// Kept under [`ABOUT_KEY`] as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct About {
    format: u32,
    pub(super) log_id: String,
    pub(super) partitions: u32,
    /// Of the topics whose appends are acknowledged after an fsync.
    pub(super) epoch: u32,
    /// Of the request topics, which never wait for one.
    pub(super) request_epoch: u32,
    /// The last session: whether it was closed in good order, how it synced, and which boot of the machine it
    /// ran in, where that can be known.
    clean: bool,
    fsync: String,
    boot: Option<String>,
}

impl About {
    pub(super) fn new(log_id: String, partitions: u32) -> Self {
        let fsync = Fsync::Group.word().to_owned();
        Self {
            format: FORMAT,
            log_id,
            partitions,
            epoch: 1,
            request_epoch: 1,
            clean: true,
            fsync,
            boot: None,
        }
    }

    /// A new session begins, in this boot of the machine.
    fn begin(mut self, fsync: Fsync, boot: Option<String>) -> Self {
        // The death of the process alone loses nothing: the operating system has all that was written.
        let machine_died = !self.clean && (boot.is_none() || self.boot != boot);
        if machine_died {
            self.request_epoch += 1;
            if self.fsync == Fsync::Never.word() {
                self.epoch += 1;
            }
        }
        self.clean = false;
        fsync.word().clone_into(&mut self.fsync);
        self.boot = boot;
        self
    }

    /// The session ends in good order.
    pub(super) fn end(mut self) -> Self {
        self.clean = true;
        self
    }

    /// History was cut: whatever was built on it must not be trusted.
    pub(super) fn cut(mut self) -> Self {
        self.epoch += 1;
        self.request_epoch += 1;
        self.clean = true;
        self
    }

    /// Writes it, fsynced.
    pub(super) fn write(&self, store: &Store) -> fjall::Result<()> {
        let mut batch = store.db.batch().durability(Some(PersistMode::SyncAll));
        let json = serde_json::to_vec(self).expect("strings and numbers are JSON");
        batch.insert(&store.meta, ABOUT_KEY, json);
        batch.insert(&store.meta, MARK_KEY, [1]);
        batch.commit()
    }

    pub(super) fn read(store: &Store) -> Result<Option<Self>, String> {
        let Some(json) = store.meta.get(ABOUT_KEY).map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        serde_json::from_slice(&json).map(Some).map_err(|error| format!("its description: {error}"))
    }
}

/// What an opened log starts from.
pub(super) struct Session {
    pub(super) about: About,
    /// By topic, then partition.
    pub(super) starts: Vec<u64>,
    pub(super) ends: Vec<u64>,
    pub(super) latest_ms: i64,
    pub(super) positions: HashMap<PositionKey, Committed>,
}

/// Reads `meta` and begins a session.
pub(super) fn begin(path: &Path, store: &Store, options: &EmbeddedOptions) -> Result<Session, OpenError> {
    let damaged = |what: String| OpenError::Damaged { path: path.to_owned(), what };
    let new = || About::new(uuid::Uuid::new_v4().simple().to_string(), options.partitions);
    let about = About::read(store).map_err(damaged)?.unwrap_or_else(new);
    if about.format > FORMAT {
        return Err(OpenError::NewerFormat { path: path.to_owned(), found: about.format, known: FORMAT });
    }
    if about.partitions != options.partitions {
        let (found, wanted) = (about.partitions, options.partitions);
        return Err(OpenError::Partitions { path: path.to_owned(), found, wanted });
    }
    let about = about.begin(options.fsync, boot_id());
    about.write(store).map_err(|error| damaged(error.to_string()))?;
    let mut session = Session {
        starts: Vec::new(),
        ends: Vec::new(),
        latest_ms: i64::MIN,
        positions: read_positions(store).map_err(damaged)?,
        about,
    };
    for topic in Topic::ALL {
        for partition in 0..options.partitions {
            let start = read_start(store, topic, partition).map_err(damaged)?;
            let last = store.last(topic, partition).map_err(|error| damaged(error.to_string()))?;
            let mut end = start;
            if let Some((offset, value)) = last {
                end = end.max(offset + 1);
                session.latest_ms = session.latest_ms.max(timestamp_ms(&value).unwrap_or(i64::MIN));
            }
            session.starts.push(start);
            session.ends.push(end);
        }
    }
    Ok(session)
}

/// Which boot of the machine this is, where the system says.
fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

pub(super) fn start_key(topic: Topic, partition: u32) -> Vec<u8> {
    format!("start/{topic}/{partition}").into_bytes()
}

pub(super) fn read_start(store: &Store, topic: Topic, partition: u32) -> Result<u64, String> {
    let Some(value) = store.meta.get(start_key(topic, partition)).map_err(|error| error.to_string())? else {
        return Ok(0);
    };
    let bytes = value.first_chunk().ok_or_else(|| format!("the start of {topic}/{partition}"))?;
    Ok(u64::from_be_bytes(*bytes))
}

const POSITION_PREFIX: &[u8] = b"position/";

pub(super) fn position_key((group, topic, partition): &PositionKey) -> Vec<u8> {
    let mut key = POSITION_PREFIX.to_vec();
    key.extend_from_slice(&[index(*topic) as u8]);
    key.extend_from_slice(&(*partition as u16).to_be_bytes());
    key.extend_from_slice(group.as_bytes());
    key
}

pub(super) fn position_value(position: &Committed) -> Vec<u8> {
    let mut value = position.next_offset.to_be_bytes().to_vec();
    value.extend_from_slice(position.metadata.as_bytes());
    value
}

pub(super) fn read_positions(store: &Store) -> Result<HashMap<PositionKey, Committed>, String> {
    let mut positions = HashMap::new();
    for guard in store.meta.prefix(POSITION_PREFIX) {
        let (key, value) = guard.into_inner().map_err(|error| error.to_string())?;
        let entry = parse_position(&key[POSITION_PREFIX.len()..], &value);
        let (key, position) = entry.ok_or("a committed position")?;
        positions.insert(key, position);
    }
    Ok(positions)
}

fn parse_position(key: &[u8], value: &[u8]) -> Option<(PositionKey, Committed)> {
    let (topic, rest) = key.split_first()?;
    let (partition, group) = rest.split_first_chunk::<2>()?;
    let (offset, metadata) = value.split_first_chunk::<8>()?;
    let topic = *Topic::ALL.get(usize::from(*topic))?;
    let group = std::str::from_utf8(group).ok()?.to_owned();
    let metadata = std::str::from_utf8(metadata).ok()?.to_owned();
    let position = Committed { next_offset: u64::from_be_bytes(*offset), metadata };
    Some(((group, topic, u32::from(u16::from_be_bytes(*partition))), position))
}

#[cfg(test)]
mod tests {
    use super::{About, Fsync};

    fn died(fsync: Fsync, then_boot: Option<&str>) -> (u32, u32) {
        let first = About::new("log".into(), 8).begin(fsync, Some("monday".into()));
        let second = first.begin(fsync, then_boot.map(str::to_owned));
        (second.epoch, second.request_epoch)
    }

    #[test]
    fn an_epoch_is_raised_when_acknowledged_records_may_be_lost() {
        assert_eq!(died(Fsync::Never, Some("monday")), (1, 1), "killed: the system kept everything");
        assert_eq!(died(Fsync::Never, Some("tuesday")), (2, 2), "power cut, nothing synced");
        assert_eq!(died(Fsync::Group, Some("tuesday")), (1, 2), "power cut: only requests are unsynced");
        assert_eq!(died(Fsync::Never, None), (2, 2), "who cannot know assumes the worst");
        let closed = About::new("log".into(), 8).begin(Fsync::Never, None).end();
        assert_eq!(closed.begin(Fsync::Never, Some("tuesday".into())).epoch, 1, "closed in good order");
    }
}
