//! What this process has in hand, noted in the file `in-hand` of the data folder, so that the next start knows what the
//! last one died with. Implements `callboard_ports::in_hand`; [`lines`] is how a note is written.
//!
//! A note is one short `write` to a file that is only appended to: from then on the kernel has it, and SIGKILL takes
//! nothing back. It is never synced, since only a power cut would need that, which is no crash of anybody's work. Opening
//! counts what was left in hand and rewrites the file; so does a file that has grown beyond its bound.

mod lines;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use callboard_ports::in_hand::InHand;

use self::lines::Line;

const FILE: &str = "in-hand";
/// Rewritten beyond this: some 10,000 notes, a few milliseconds to write and to read.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// More is no file of ours; the rest is not read.
const MAX_READ_BYTES: u64 = 64 * 1024 * 1024;
/// Keys with a crash that nobody has taken up since: the newest are remembered. They are effects of turns that have ended
/// otherwise, or are still to be redelivered, of which there are never as many.
const MAX_REMEMBERED: usize = 10_000;
/// Where writing fails, it is tried again after this many notes.
const RETRY_AFTER_NOTES: u32 = 1_024;

/// Notes in a file. Where it cannot be written they are kept in memory, and that is said once.
#[derive(Debug)]
pub struct InHandJournal {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    notes: HashMap<String, Note>,
    /// Orders notes by when they were made.
    next: u64,
    file: Disk,
    line: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Note {
    crashes: u32,
    in_hand: bool,
    made: u64,
}

#[derive(Debug)]
enum Disk {
    Open {
        file: File,
        bytes: u64,
        rewrite_at: u64,
    },
    /// Not written since; so many notes ago.
    Failing {
        notes: u32,
    },
}

impl InHandJournal {
    /// Opens the notes of `folder`, the data folder of which this process is the only user. Whatever was begun and not
    /// ended has one crash more. Never fails: without the file, counting begins anew.
    #[must_use]
    pub fn open(folder: &Path) -> Self {
        let path = folder.join(FILE);
        let notes = read(&path).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(path = %path.display(), %error, "the notes of work in hand cannot be read; crashes are counted anew");
            }
            HashMap::new()
        });
        let next = notes.len() as u64;
        let mut inner = Inner { path, notes, next, file: Disk::Failing { notes: 0 }, line: Vec::new() };
        inner.forget_oldest();
        match inner.rewritten() {
            Ok(disk) => inner.file = disk,
            Err(error) => inner.say(&error),
        }
        Self { inner: Mutex::new(inner) }
    }

    /// The process ends in good order: what it still has in hand is put down, which is no crash.
    pub fn close(&self) {
        let mut inner = self.lock();
        inner.notes.retain(|_, note| {
            note.in_hand = false;
            note.crashes > 0
        });
        inner.rewrite();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A note is complete or not made; there is nothing in between that a panic could leave.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InHandJournal {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.close();
        }
    }
}

impl InHand for InHandJournal {
    fn begin(&self, key: &str) -> u32 {
        let mut inner = self.lock();
        let made = inner.next;
        inner.next += 1;
        let note = inner.notes.entry(key.to_owned()).or_default();
        let crashes = note.crashes;
        if !std::mem::replace(&mut note.in_hand, true) {
            note.made = made;
            inner.write(Line::Begun { crashes, key });
        }
        crashes
    }

    fn end(&self, key: &str) {
        let mut inner = self.lock();
        if inner.notes.remove(key).is_some() {
            inner.write(Line::Ended { key });
        }
    }
}

impl Inner {
    fn write(&mut self, line: Line<'_>) {
        match &mut self.file {
            Disk::Open { file, bytes, rewrite_at } => {
                self.line.clear();
                line.append_to(&mut self.line);
                // One call, so that a kill leaves the whole line or none; a torn one is not read.
                if let Err(error) = file.write_all(&self.line) {
                    self.file = Disk::Failing { notes: 0 };
                    // Without the ends that are missing from here on, it would count what was no crash.
                    let _ = fs::remove_file(&self.path);
                    self.say(&error);
                    return;
                }
                *bytes += self.line.len() as u64;
                if *bytes > *rewrite_at {
                    self.rewrite();
                }
            }
            Disk::Failing { notes } => {
                *notes += 1;
                if *notes >= RETRY_AFTER_NOTES {
                    self.rewrite();
                }
            }
        }
    }

    /// Replaces the file by one that holds only what still counts.
    fn rewrite(&mut self) {
        let was_failing = matches!(self.file, Disk::Failing { .. });
        match self.rewritten() {
            Ok(disk) => {
                self.file = disk;
                if was_failing {
                    tracing::info!(path = %self.path.display(), "notes of work in hand are written again");
                }
            }
            Err(error) => {
                self.file = Disk::Failing { notes: 0 };
                if !was_failing {
                    self.say(&error);
                }
            }
        }
    }

    fn rewritten(&self) -> io::Result<Disk> {
        let mut notes: Vec<(&String, &Note)> = self.notes.iter().collect();
        notes.sort_by_key(|(_, note)| note.made);
        let mut text = Vec::new();
        for (key, note) in notes {
            let crashes = note.crashes;
            let line =
                if note.in_hand { Line::Begun { crashes, key } } else { Line::Crashed { crashes, key } };
            line.append_to(&mut text);
        }
        let beside = self.path.with_extension("new");
        fs::write(&beside, &text)?;
        fs::rename(&beside, &self.path)?;
        let file = OpenOptions::new().append(true).open(&self.path)?;
        let bytes = text.len() as u64;
        // Twice what is needed at least, or a file full of notes that count would be rewritten for each new one.
        Ok(Disk::Open { file, bytes, rewrite_at: MAX_FILE_BYTES.max(2 * bytes) })
    }

    fn forget_oldest(&mut self) {
        let mut made: Vec<u64> = self.notes.values().map(|note| note.made).collect();
        if made.len() > MAX_REMEMBERED {
            made.sort_unstable();
            let oldest_kept = made[made.len() - MAX_REMEMBERED];
            self.notes.retain(|_, note| note.made >= oldest_kept);
        }
    }

    fn say(&self, error: &io::Error) {
        tracing::warn!(
            path = %self.path.display(), %error,
            "work in hand cannot be noted; until there is room again, crashes of this process are not counted"
        );
    }
}

/// What the last start left, as this one counts it.
fn read(path: &Path) -> io::Result<HashMap<String, Note>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_READ_BYTES).read_to_end(&mut bytes)?;
    let mut notes: HashMap<String, Note> = HashMap::new();
    for (made, line) in lines::whole(&bytes).enumerate() {
        let made = made as u64;
        match Line::read(line) {
            Some((key, Line::Begun { crashes, .. })) => {
                notes.insert(key, Note { crashes: crashes.saturating_add(1), in_hand: false, made });
            }
            Some((key, Line::Crashed { crashes, .. })) => {
                notes.insert(key, Note { crashes, in_hand: false, made });
            }
            Some((key, Line::Ended { .. })) => {
                notes.remove(&key);
            }
            // A line of another build, or damage: it costs a count.
            None => {}
        }
    }
    let mut order: Vec<(u64, String)> = notes.iter().map(|(key, note)| (note.made, key.clone())).collect();
    order.sort_unstable();
    for (made, (_, key)) in order.into_iter().enumerate() {
        if let Some(note) = notes.get_mut(&key) {
            note.made = made as u64;
        }
    }
    Ok(notes)
}
