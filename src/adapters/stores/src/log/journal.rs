//! Looks through fjall's journals before fjall does.
//!
//! fjall takes the first byte it cannot parse for a torn end and cuts the journal there without a word: a flipped
//! byte in the middle would cost everything behind it. So the journals are checked first. A journal that stops
//! making sense although an acknowledged, fsynced batch lies further on (every batch of ours ends with
//! [`MARK_KEY`]) is damaged; one with nothing promised behind the break is torn, and fjall may cut it.
//!
//! The format is that of fjall 3 (`src/journal/entry.rs` there): a batch is Start(1: count u32, seqno u64), items
//! (2: type u8, compression u8, keyspace u64, key length u16, value length u32, stored length u32, key, value) or
//! clears (4: keyspace u64), End(3: xxh3-64 of the items' bytes, magic). Little endian.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::store::MARK_KEY;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const MAGIC: &[u8] = b"FJL\x03";

/// How one journal reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scan {
    /// Whole batches end here.
    pub(super) valid_to: usize,
    pub(super) batches: usize,
    /// Bytes that were written, valid or not.
    pub(super) written: usize,
    /// Something that was promised lies behind `valid_to`.
    pub(super) damaged: bool,
}

/// The journals of a database, oldest first.
pub(super) fn journals(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse().ok());
        if let Some(number) = number {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// What is wrong with the journals in `dir`, if anything is that must not be cut off in silence.
pub(super) fn check(dir: &Path) -> io::Result<Option<String>> {
    let journals = journals(dir)?;
    for (i, path) in journals.iter().enumerate() {
        let scan = scan(&fs::read(path)?, i + 1 < journals.len());
        if scan.damaged {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Ok(Some(format!("journal {name} cannot be read from byte {} on", scan.valid_to)));
        }
    }
    Ok(None)
}

/// Reads one journal; a `sealed` one was fsynced whole, so any break in it is damage.
pub(super) fn scan(bytes: &[u8], sealed: bool) -> Scan {
    let written = written(bytes);
    let bytes = &bytes[..written];
    let mut scan = Scan { valid_to: 0, batches: 0, written, damaged: false };
    let mut latest = None;
    // A batch's number is outside its checksum; the journal's lock makes the numbers ascend.
    while let Some(batch) = batch(bytes, scan.valid_to).filter(|batch| Some(batch.seqno) > latest) {
        latest = Some(batch.seqno);
        scan.valid_to = batch.end;
        scan.batches += 1;
    }
    let rest = scan.valid_to..written;
    scan.damaged = !rest.is_empty() && (sealed || promised(bytes, scan.valid_to));
    scan
}

/// Journals are pre-allocated with zeros; a batch ends with a byte that is not zero.
fn written(bytes: &[u8]) -> usize {
    const BLOCK: usize = 4_096;
    const ZEROS: [u8; BLOCK] = [0; BLOCK];
    let mut end = bytes.len();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let block = &bytes[start..end];
        if block != &ZEROS[..block.len()] {
            return start + block.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        }
        end = start;
    }
    0
}

/// Whether a whole, fsynced batch begins anywhere from the break on. A last batch of which only the checksum is
/// wrong is none; that one fjall refuses by itself.
fn promised(bytes: &[u8], from: usize) -> bool {
    let candidates = (from..bytes.len()).filter(|at| bytes[*at] == START);
    candidates.filter_map(|at| batch(bytes, at)).any(|batch| batch.synced)
}

struct BatchFound {
    end: usize,
    seqno: u64,
    synced: bool,
}

/// The whole batch that begins at `at`, if one does.
fn batch(bytes: &[u8], at: usize) -> Option<BatchFound> {
    let mut reader = Reader { bytes, at };
    if reader.u8()? != START {
        return None;
    }
    let count = u32::from_le_bytes(reader.array()?);
    let seqno = u64::from_le_bytes(reader.array()?);
    let items = reader.at;
    let mut synced = false;
    for _ in 0..count {
        match reader.u8()? {
            ITEM => {
                reader.skip(2 + 8)?;
                let key_length = usize::from(u16::from_le_bytes(reader.array()?));
                reader.skip(4)?;
                let stored = u32::from_le_bytes(reader.array()?) as usize;
                let key = reader.take(key_length)?;
                let value = reader.take(stored)?;
                if key == MARK_KEY {
                    synced = value.first() == Some(&1);
                }
            }
            CLEAR => reader.skip(8)?,
            _ => return None,
        }
    }
    let items = &bytes[items..reader.at];
    if reader.u8()? != END {
        return None;
    }
    let checksum = u64::from_le_bytes(reader.array()?);
    let whole = reader.take(MAGIC.len())? == MAGIC && checksum == xxh3_64(items);
    whole.then_some(BatchFound { end: reader.at, seqno, synced })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        self.take(length).map(|_| ())
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.first_chunk().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{MARK_KEY, Scan, scan};

    fn journal(synced: &[bool]) -> (Vec<u8>, Vec<usize>) {
        let dir = tempfile::tempdir().unwrap();
        let db = fjall::Database::builder(dir.path()).open().unwrap();
        let keyspace = db.keyspace("k", fjall::KeyspaceCreateOptions::default).unwrap();
        for (i, synced) in synced.iter().enumerate() {
            let mut batch = db.batch();
            batch.insert(&keyspace, format!("key {i}"), vec![i as u8 + 10; 100]);
            batch.insert(&keyspace, MARK_KEY, [u8::from(*synced)]);
            batch.commit().unwrap();
        }
        let path = super::journals(dir.path()).unwrap().pop().unwrap();
        let mut bytes = std::fs::read(path).unwrap();
        bytes.truncate(16 * 1024);
        let mut ends = vec![0];
        while let Some(batch) = super::batch(&bytes, *ends.last().unwrap()) {
            ends.push(batch.end);
        }
        (bytes, ends)
    }

    #[test]
    fn every_flipped_byte_before_a_promise_is_damage() {
        let (bytes, ends) = journal(&[true, true, true]);
        let whole = Scan { valid_to: ends[3], batches: 3, written: ends[3], damaged: false };
        assert_eq!(scan(&bytes, false), whole);
        assert_eq!(scan(&bytes, true), whole);
        for at in 0..ends[2] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x55;
            let scan = scan(&flipped, false);
            assert!(scan.damaged, "byte {at}");
            assert!(scan.valid_to <= ends[2], "byte {at}: nothing behind the break is taken for whole");
        }
    }

    #[test]
    fn a_torn_end_is_no_damage() {
        let (bytes, ends) = journal(&[true, false, false]);
        for torn in ends[1]..ends[3] {
            let mut journal = bytes[..torn].to_vec();
            journal.resize(bytes.len(), 0);
            assert!(!scan(&journal, false).damaged, "torn at {torn}");
        }
        let mut hole = bytes.clone();
        hole[ends[1]..ends[1] + 20].fill(0);
        assert!(!scan(&hole, false).damaged, "pages of unsynced batches may come in any order");
        assert!(scan(&hole, true).damaged, "a sealed journal was synced whole");
    }
}
