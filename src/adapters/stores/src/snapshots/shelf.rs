//! The layout of snapshots over an ordered map, and all verifying of it. Runs on the store thread.
//!
//! One flush is one atomic write, but a torn file may open in a mixed state. So every small record carries a
//! checksum, an entry pins the snapshot and the index that belong to it, and the checkpoint pins all entries and
//! open turns of its partition by a digest, which is checked when a partition is first used. A partition that
//! does not add up is `Corrupt`: the caller discards it and rebuilds it from the log.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use callboard_domain::id::ConversationId;
use callboard_ports::snapshot::{Checkpoint, Dirty, Flush, Open, SnapshotError, Stored};

use super::OpenSnapshotsError;
use super::aside::move_aside;
use super::engine::{self, Engine, Map, NotOpened, Write};
use super::entry::{
    CHECKPOINT, Digest, ENTRY, Entry, KINDS, OPEN, SNAPSHOT, chunk_key, conversation_of, decode_checkpoint,
    encode_checkpoint, end, key, open_key, parse_open, rest, seal, unseal,
};
use super::index;
use super::known::Known;

type Outcome<T> = Result<T, SnapshotError>;

pub(super) struct Shelf {
    engine: Engine,
    dir: PathBuf,
    /// `None` once it was closed.
    map: Option<Box<dyn Map>>,
    /// Partitions whose content was checked against its digest.
    verified: HashMap<u32, Digest>,
    /// Filled by that check.
    known: Arc<Known>,
    /// After the whole store was thrown away: partitions that know of it. The others' next checkpoint would rely
    /// on snapshots that are gone, so they must be discarded by their owners first.
    discarded: Option<HashSet<u32>>,
    /// The engine panicked: nothing in memory can be trusted.
    broken: bool,
}

fn corrupt<T>(what: &str) -> Outcome<T> {
    Err(SnapshotError::Corrupt(what.to_owned()))
}

impl Shelf {
    pub(super) fn open(engine: Engine, data_dir: &Path) -> Result<Self, OpenSnapshotsError> {
        let dir = data_dir.join(engine.folder());
        let map = open_or_move_aside(engine, &dir)?;
        let (verified, known, discarded) = (HashMap::new(), Arc::default(), None);
        Ok(Self { engine, dir, map: Some(map), verified, known, discarded, broken: false })
    }

    pub(super) fn known(&self) -> Arc<Known> {
        self.known.clone()
    }

    /// What to say after `work` panicked.
    pub(super) fn panicked(&mut self) -> SnapshotError {
        self.broken = true;
        SnapshotError::Failed(format!("{} panicked; discard and rebuild", self.engine.word()))
    }

    pub(super) fn close(&mut self) {
        self.map = None;
    }

    fn map(&self) -> Outcome<&dyn Map> {
        if self.broken {
            return corrupt("the engine panicked");
        }
        self.map.as_deref().ok_or_else(|| SnapshotError::Failed("the snapshot store is closed".to_owned()))
    }

    /// The map, once `partition` has been checked.
    fn checked(&mut self, partition: u32) -> Outcome<(&dyn Map, Digest)> {
        if self.discarded.as_ref().is_some_and(|known| !known.contains(&partition)) {
            return corrupt("the whole store was thrown away");
        }
        let digest = match self.verified.get(&partition) {
            Some(digest) => *digest,
            None => {
                let digest = verify(self.map()?, partition, &self.known)?;
                self.verified.insert(partition, digest);
                self.known.complete(partition);
                digest
            }
        };
        Ok((self.map()?, digest))
    }

    pub(super) fn checkpoint(&mut self, partition: u32) -> Outcome<Option<Checkpoint>> {
        let (map, _) = self.checked(partition)?;
        Ok(read_checkpoint(map, partition)?.map(|(checkpoint, _)| checkpoint))
    }

    pub(super) fn load(&mut self, partition: u32, conversation: &ConversationId) -> Outcome<Stored> {
        let (map, _) = self.checked(partition)?;
        let Some((entry, _)) = read_entry(&|key| map.get(key), partition, conversation)? else {
            return Ok(Stored::default());
        };
        let snapshot = map.get(&key(SNAPSHOT, partition, conversation.as_str().as_bytes()))?;
        let Some(snapshot) = snapshot.filter(|bytes| crc32fast::hash(bytes) == entry.snapshot_crc) else {
            return corrupt("a snapshot is not the one that its entry names");
        };
        let mut ranges = Vec::new();
        for chunk in 0..entry.chunks {
            ranges.extend(read_chunk(&|key| map.get(key), partition, conversation, &entry, chunk)?);
        }
        Ok(Stored { snapshot: Some(snapshot), offsets: index::merge(ranges) })
    }

    pub(super) fn flush(&mut self, flush: Flush) -> Outcome<()> {
        let (map, digest) = self.checked(flush.partition)?;
        let mut pending = Pending { map, partition: flush.partition, writes: BTreeMap::new(), digest };
        for dirty in flush.dirty {
            pending.put(dirty)?;
        }
        let digest = pending.digest;
        let key = key(CHECKPOINT, flush.partition, &[]);
        let value = seal(&key, encode_checkpoint(&flush.checkpoint, digest));
        pending.writes.insert(key, Some(value));
        let writes = pending.writes.into_iter().collect();
        match map.write(writes) {
            Ok(()) => {
                self.verified.insert(flush.partition, digest);
                Ok(())
            }
            Err(error) => {
                // What is on the disk now has to be found out.
                self.verified.remove(&flush.partition);
                Err(error)
            }
        }
    }

    pub(super) fn open_turns(
        &mut self,
        partition: u32,
        limit: usize,
    ) -> Outcome<Vec<(ConversationId, Open)>> {
        let (map, _) = self.checked(partition)?;
        let mut open = Vec::new();
        let mut sound = true;
        map.scan(&key(OPEN, partition, &[]), &end(OPEN, partition), &mut |key, value| {
            if open.len() == limit {
                return false;
            }
            let found = parse_open(key, value);
            sound &= found.is_some();
            open.extend(found);
            sound
        })?;
        if sound { Ok(open) } else { corrupt("what is open in a conversation") }
    }

    pub(super) fn conversations(
        &mut self,
        partition: u32,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> Outcome<Vec<ConversationId>> {
        let (map, _) = self.checked(partition)?;
        let mut from = key(ENTRY, partition, after.map_or(&[][..], |id| id.as_str().as_bytes()));
        if after.is_some() {
            // The least key behind that conversation's.
            from.push(0);
        }
        let mut ids = Vec::new();
        let mut sound = true;
        map.scan(&from, &end(ENTRY, partition), &mut |key, _| {
            if ids.len() == limit {
                return false;
            }
            let id = conversation_of(rest(key));
            sound &= id.is_some();
            ids.extend(id);
            sound
        })?;
        if sound { Ok(ids) } else { corrupt("a conversation's key") }
    }

    pub(super) fn discard(&mut self, partition: u32) -> Outcome<()> {
        self.verified.remove(&partition);
        let cleared = match self.map() {
            Ok(map) => clear(map, partition),
            Err(SnapshotError::Failed(reason)) => return Err(SnapshotError::Failed(reason)),
            Err(error) => Err(error),
        };
        if let Err(error) = cleared {
            self.throw_away(&error)?;
        }
        if let Some(known) = &mut self.discarded {
            known.insert(partition);
        }
        Ok(())
    }

    /// Not even deleting works: the folder goes aside and an empty store takes its place.
    pub(super) fn throw_away(&mut self, error: &SnapshotError) -> Outcome<()> {
        let failed = |reason: String| SnapshotError::Failed(reason);
        let map = self.map.take();
        // An engine that panicked may panic again while it is dropped.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(map)));
        let aside = move_aside(&self.dir).map_err(|error| failed(error.to_string()))?;
        tracing::warn!(
            moved_to = %aside.display(), reason = %error,
            "the snapshot store was moved aside; snapshots are rebuilt from the log"
        );
        self.map =
            Some(open_or_move_aside(self.engine, &self.dir).map_err(|error| failed(error.to_string()))?);
        self.broken = false;
        self.verified.clear();
        self.discarded = Some(HashSet::new());
        Ok(())
    }
}

fn open_or_move_aside(engine: Engine, dir: &Path) -> Result<Box<dyn Map>, OpenSnapshotsError> {
    let path = || dir.display().to_string();
    let unusable = |reason: String| OpenSnapshotsError::Unusable { path: path(), reason };
    let guarded = || {
        let open = std::panic::AssertUnwindSafe(|| engine::open(engine, dir));
        let panicked = |_| Err(NotOpened::Broken("it panicked while opening".to_owned()));
        std::panic::catch_unwind(open).unwrap_or_else(panicked)
    };
    match guarded() {
        Ok(map) => return Ok(map),
        Err(NotOpened::Locked) => return Err(OpenSnapshotsError::Locked { path: path() }),
        Err(NotOpened::Io(error)) => return Err(unusable(error.to_string())),
        Err(NotOpened::Broken(reason)) => {
            let aside = move_aside(dir).map_err(|error| unusable(error.to_string()))?;
            tracing::warn!(
                moved_to = %aside.display(), reason,
                "the snapshot store does not open and was moved aside; snapshots are rebuilt from the log"
            );
        }
    }
    guarded().map_err(|_| unusable("not even an empty store opens there".to_owned()))
}

/// Recomputes a partition's digest and compares it with the checkpoint's; every conversation on the way is known from then on.
fn verify(map: &dyn Map, partition: u32, known: &Known) -> Outcome<Digest> {
    let mut found = Digest::default();
    // What the entries say is open, minus what is there as open: nothing, if all is well.
    let mut difference = Digest::default();
    let mut sound = true;
    map.scan(&key(ENTRY, partition, &[]), &end(ENTRY, partition), &mut |key, value| {
        let entry = unseal(key, value).and_then(Entry::decode);
        if let (Some(entry), Some(id)) = (entry, conversation_of(rest(key))) {
            found.add(key, value);
            known.add(partition, [&id]);
            if let Some(open_at_ms) = entry.open_at_ms {
                difference.add(&open_key(partition, open_at_ms, &id), &entry.open_crc.to_be_bytes());
            }
        } else {
            sound = false;
        }
        sound
    })?;
    map.scan(&key(OPEN, partition, &[]), &end(OPEN, partition), &mut |key, value| {
        difference.remove(key, &crc32fast::hash(value).to_be_bytes());
        true
    })?;
    let expected = read_checkpoint(map, partition)?.map_or(Digest::default(), |(_, digest)| digest);
    if sound && found == expected && difference == Digest::default() {
        return Ok(found);
    }
    corrupt("a partition's entries are not those that its checkpoint relies on")
}

/// Deletes a partition's keys, the checkpoint first.
fn clear(map: &dyn Map, partition: u32) -> Outcome<()> {
    /// Deletions of one write: bounds its memory.
    const STEP: usize = 4_096;
    for kind in KINDS {
        loop {
            let mut writes: Vec<Write> = Vec::new();
            map.scan(&key(kind, partition, &[]), &end(kind, partition), &mut |key, _| {
                writes.push((key.to_vec(), None));
                writes.len() < STEP
            })?;
            if writes.is_empty() {
                break;
            }
            map.write(writes)?;
        }
    }
    Ok(())
}

fn read_checkpoint(map: &dyn Map, partition: u32) -> Outcome<Option<(Checkpoint, Digest)>> {
    let key = key(CHECKPOINT, partition, &[]);
    let Some(value) = map.get(&key)? else { return Ok(None) };
    match unseal(&key, &value).and_then(decode_checkpoint) {
        Some(checkpoint) => Ok(Some(checkpoint)),
        None => corrupt("a checkpoint"),
    }
}

type Get<'a> = dyn Fn(&[u8]) -> Outcome<Option<Vec<u8>>> + 'a;

/// A conversation's entry, and its value as stored.
fn read_entry(
    get: &Get<'_>,
    partition: u32,
    conversation: &ConversationId,
) -> Outcome<Option<(Entry, Vec<u8>)>> {
    let key = key(ENTRY, partition, conversation.as_str().as_bytes());
    let Some(value) = get(&key)? else { return Ok(None) };
    match unseal(&key, &value).and_then(Entry::decode) {
        Some(entry) => Ok(Some((entry, value))),
        None => corrupt("a conversation's entry"),
    }
}

fn read_chunk(
    get: &Get<'_>,
    partition: u32,
    conversation: &ConversationId,
    entry: &Entry,
    chunk: u32,
) -> Outcome<Vec<std::ops::Range<u64>>> {
    let key = chunk_key(partition, conversation, chunk);
    let value = get(&key)?.unwrap_or_default();
    let is_last = chunk + 1 == entry.chunks;
    let body = unseal(&key, &value).filter(|body| !is_last || crc32fast::hash(body) == entry.last_chunk_crc);
    match body.and_then(index::decode) {
        Some(ranges) => Ok(ranges),
        None => corrupt("a part of an offset index"),
    }
}

/// A flush in the making: reads see what it will write.
struct Pending<'a> {
    map: &'a dyn Map,
    partition: u32,
    writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    digest: Digest,
}

impl Pending<'_> {
    fn get(&self, key: &[u8]) -> Outcome<Option<Vec<u8>>> {
        self.writes.get(key).map_or_else(|| self.map.get(key), |value| Ok(value.clone()))
    }

    fn put(&mut self, dirty: Dirty) -> Outcome<()> {
        let Dirty { conversation, snapshot, offsets, open } = dirty;
        let partition = self.partition;
        let entry_key = key(ENTRY, partition, conversation.as_str().as_bytes());
        let old = read_entry(&|key| self.get(key), partition, &conversation)?;
        let mut entry = Entry::default();
        if let Some((before, value)) = old {
            self.digest.remove(&entry_key, &value);
            entry = before;
        }
        if let Some(open_at_ms) = entry.open_at_ms {
            self.writes.insert(open_key(partition, open_at_ms, &conversation), None);
        }
        (entry.open_at_ms, entry.open_crc) = (open.as_ref().map(Open::place_ms), 0);
        if let Some(open) = open {
            let key = open_key(partition, open.place_ms(), &conversation);
            let value = seal(&key, open.encode());
            entry.open_crc = crc32fast::hash(&value);
            self.writes.insert(key, Some(value));
        }
        self.put_offsets(&conversation, &mut entry, &offsets)?;
        entry.snapshot_crc = crc32fast::hash(&snapshot);
        self.writes.insert(key(SNAPSHOT, partition, conversation.as_str().as_bytes()), Some(snapshot));
        let value = seal(&entry_key, entry.encode());
        self.digest.add(&entry_key, &value);
        self.writes.insert(entry_key, Some(value));
        Ok(())
    }

    fn put_offsets(
        &mut self,
        conversation: &ConversationId,
        entry: &mut Entry,
        offsets: &[u64],
    ) -> Outcome<()> {
        let first = entry.chunks.saturating_sub(1);
        let last = match entry.chunks {
            0 => Vec::new(),
            _ => read_chunk(&|key| self.get(key), self.partition, conversation, entry, first)?,
        };
        for (chunk, ranges) in (first..).zip(index::extend(last, offsets)) {
            let key = chunk_key(self.partition, conversation, chunk);
            let body = index::encode(&ranges);
            entry.last_chunk_crc = crc32fast::hash(&body);
            entry.chunks = chunk + 1;
            let value = seal(&key, body);
            self.writes.insert(key, Some(value));
        }
        Ok(())
    }
}
