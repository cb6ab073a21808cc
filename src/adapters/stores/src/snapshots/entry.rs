//! Keys and small records of the layout. Every record ends with a CRC-32 over its key and itself, so that it can
//! neither be torn nor stand under another key.
//!
//! | key | value |
//! |---|---|
//! | `c` partition | checkpoint and digest |
//! | `e` partition, conversation | entry: what belongs to the conversation |
//! | `s` partition, conversation | snapshot, as the caller encoded it |
//! | `o` partition, wake time, conversation | what is open in it |
//! | `x` partition, conversation, 0, chunk | offset ranges |

use callboard_domain::id::{ConversationId, fnv1a};
use callboard_ports::log::LogIdentity;
use callboard_ports::snapshot::{Checkpoint, Open};

pub(super) const CHECKPOINT: u8 = b'c';
pub(super) const ENTRY: u8 = b'e';
pub(super) const SNAPSHOT: u8 = b's';
pub(super) const OPEN: u8 = b'o';
pub(super) const CHUNK: u8 = b'x';
/// Every kind that belongs to a partition; the checkpoint first, so that what is half discarded has none.
pub(super) const KINDS: [u8; 5] = [CHECKPOINT, ENTRY, SNAPSHOT, OPEN, CHUNK];

pub(super) fn key(kind: u8, partition: u32, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(5 + rest.len());
    key.push(kind);
    key.extend_from_slice(&partition.to_be_bytes());
    key.extend_from_slice(rest);
    key
}

/// Below which all keys of this kind and partition lie.
pub(super) fn end(kind: u8, partition: u32) -> Vec<u8> {
    match partition.checked_add(1) {
        Some(next) => key(kind, next, &[]),
        None => vec![kind + 1],
    }
}

/// What follows kind and partition.
pub(super) fn rest(key: &[u8]) -> &[u8] {
    key.get(5..).unwrap_or_default()
}

pub(super) fn open_key(partition: u32, place_ms: i64, conversation: &ConversationId) -> Vec<u8> {
    // Flipping the sign bit makes the byte order that of the numbers.
    let ordered = (place_ms as u64) ^ (1 << 63);
    let mut key = key(OPEN, partition, &ordered.to_be_bytes());
    key.extend_from_slice(conversation.as_str().as_bytes());
    key
}

/// Whose entry it is, and what is open there.
pub(super) fn parse_open(key: &[u8], value: &[u8]) -> Option<(ConversationId, Open)> {
    let (_, conversation) = rest(key).split_first_chunk::<8>()?;
    Some((conversation_of(conversation)?, Open::decode(unseal(key, value)?)?))
}

pub(super) fn chunk_key(partition: u32, conversation: &ConversationId, chunk: u32) -> Vec<u8> {
    let mut key = key(CHUNK, partition, conversation.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(&chunk.to_be_bytes());
    key
}

pub(super) fn conversation_of(bytes: &[u8]) -> Option<ConversationId> {
    ConversationId::new(std::str::from_utf8(bytes).ok()?).ok()
}

/// `body` with its checksum under `key`.
pub(super) fn seal(key: &[u8], mut body: Vec<u8>) -> Vec<u8> {
    let crc = checksum(key, &body);
    body.extend_from_slice(&crc.to_be_bytes());
    body
}

/// The body, when its checksum under `key` is right.
pub(super) fn unseal<'a>(key: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    let (body, crc) = value.split_last_chunk::<4>()?;
    (checksum(key, body) == u32::from_be_bytes(*crc)).then_some(body)
}

fn checksum(key: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(body);
    hasher.finalize()
}

/// What belongs to a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Entry {
    /// Where it stands among the open ones, if it has anything open, and the CRC of what that is.
    pub(super) open_at_ms: Option<i64>,
    pub(super) open_crc: u32,
    pub(super) snapshot_crc: u32,
    /// Chunks of its offset index, and the CRC of the last one, which alone changes.
    pub(super) chunks: u32,
    pub(super) last_chunk_crc: u32,
}

impl Entry {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![u8::from(self.open_at_ms.is_some())];
        out.extend_from_slice(&self.open_at_ms.unwrap_or(0).to_be_bytes());
        for number in [self.open_crc, self.snapshot_crc, self.chunks, self.last_chunk_crc] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (open, rest) = bytes.split_first()?;
        let (open_at, rest) = rest.split_first_chunk()?;
        let (open_crc, rest) = rest.split_first_chunk()?;
        let (snapshot_crc, rest) = rest.split_first_chunk()?;
        let (chunks, rest) = rest.split_first_chunk()?;
        let (last_chunk_crc, rest) = rest.split_first_chunk()?;
        rest.is_empty().then_some(Self {
            open_at_ms: (*open == 1).then_some(i64::from_be_bytes(*open_at)),
            open_crc: u32::from_be_bytes(*open_crc),
            snapshot_crc: u32::from_be_bytes(*snapshot_crc),
            chunks: u32::from_be_bytes(*chunks),
            last_chunk_crc: u32::from_be_bytes(*last_chunk_crc),
        })
    }
}

/// A sum over all entries and open turns of a partition: one that is missing or stale makes it differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Digest {
    count: u64,
    sum: u64,
}

impl Digest {
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(fnv1a(&[key, value]));
    }

    pub(super) fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(fnv1a(&[key, value]));
    }
}

pub(super) fn encode_checkpoint(checkpoint: &Checkpoint, digest: Digest) -> Vec<u8> {
    let mut out = Vec::new();
    for number in [checkpoint.next_offset, digest.count, digest.sum] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(checkpoint.identity.0.as_bytes());
    out
}

pub(super) fn decode_checkpoint(bytes: &[u8]) -> Option<(Checkpoint, Digest)> {
    let (next_offset, rest) = bytes.split_first_chunk()?;
    let (count, rest) = rest.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let identity = LogIdentity(std::str::from_utf8(rest).ok()?.to_owned());
    let checkpoint = Checkpoint { identity, next_offset: u64::from_be_bytes(*next_offset) };
    Some((checkpoint, Digest { count: u64::from_be_bytes(*count), sum: u64::from_be_bytes(*sum) }))
}

#[cfg(test)]
mod tests {
    use super::{ConversationId, ENTRY, Entry, Open, end, key, open_key, parse_open, seal, unseal};

    #[test]
    fn wake_times_sort_as_numbers() {
        let id = ConversationId::new("c").unwrap();
        let keys = [i64::MIN, -5, 0, 7, i64::MAX].map(|place| open_key(1, place, &id));
        assert!(keys.is_sorted());
        let open = Open { wake_at_ms: Some(-5), turns: Vec::new() };
        let value = seal(&keys[1], open.encode());
        assert_eq!(parse_open(&keys[1], &value), Some((id, open)));
        assert_eq!(parse_open(&keys[2], &value), None, "under another key it is nothing");
        assert!(end(ENTRY, u32::MAX) > key(ENTRY, u32::MAX, b"zzz"));
    }

    #[test]
    fn a_record_is_whole_and_under_its_own_key() {
        let entry =
            Entry { open_at_ms: Some(-1), open_crc: 5, snapshot_crc: 2, chunks: 3, last_chunk_crc: 4 };
        assert_eq!(Entry::decode(&entry.encode()), Some(entry));
        let sealed = seal(b"key", entry.encode());
        assert_eq!(unseal(b"key", &sealed), Some(&*entry.encode()));
        assert_eq!(unseal(b"yek", &sealed), None);
        assert_eq!(unseal(b"key", &sealed[1..]), None);
    }
}
