//! Saving what a damaged log still holds.
//!
//! The folder is copied, each journal of the copy is cut where it stops making sense, fjall opens the copy, and
//! every partition's records are read from its start to the first one that is missing or unreadable. They go into
//! a new log under the same id and a raised epoch. The damaged folder is kept beside it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use callboard_ports::Topic;

use super::codec::{decode, offset_of, record_key};
use super::journal;
use super::options::OpenError;
use super::session::{About, position_key, position_value, read_positions, read_start, start_key};
use super::store::{MARK_KEY, Store, persist};

/// Why nothing could be saved. The damaged folder is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    #[error("there is no log in {path}", path = .0.display())]
    NoLog(PathBuf),
    #[error("the log in {path} is in use; stop the server first", path = .0.display())]
    InUse(PathBuf),
    #[error("repairing {path}: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "the log cannot be saved: {error}. Tried: a copy with its journals cut where they stop making sense \
         ({cuts}). The tables themselves are damaged; restore {path} from a backup, or move it away to start \
         with an empty log",
        path = path.display()
    )]
    Engine { path: PathBuf, cuts: String, error: String },
}

/// What was saved and what was cut, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairReport {
    pub records_kept: u64,
    /// Records that were seen behind a break, and so are known to be cut; those that left no trace are not counted.
    pub records_cut: u64,
    pub damaged_kept_in: PathBuf,
    pub lines: Vec<String>,
}

/// Repairs the log in `dir` (`DATA/log`), which nobody may have open.
///
/// # Errors
/// [`RepairError`]; the folder is then unchanged.
pub fn repair_log(dir: &Path) -> Result<RepairReport, RepairError> {
    let io = |source| RepairError::Io { path: dir.to_owned(), source };
    if !dir.join("version").is_file() {
        return Err(RepairError::NoLog(dir.to_owned()));
    }
    let lock = OpenOptions::new().write(true).open(dir.join("lock")).map_err(io)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(RepairError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => return Err(io(error)),
    }
    let copy = beside(dir, "repairing");
    let fresh = beside(dir, "repaired");
    for leftover in [&copy, &fresh] {
        remove(leftover).map_err(io)?;
    }
    copy_folder(dir, &copy).map_err(io)?;
    let cuts = cut_journals(&copy).map_err(io)?;
    let engine = |error: String| {
        let cuts = if cuts.is_empty() { "no journal needed it".to_owned() } else { cuts.join("; ") };
        RepairError::Engine { path: dir.to_owned(), cuts, error }
    };
    let mut report = save(&copy, &fresh).map_err(engine)?;
    report.lines.splice(0..0, cuts.clone());
    remove(&copy).map_err(io)?;
    report.damaged_kept_in = free_name(dir);
    drop(lock);
    fs::rename(dir, &report.damaged_kept_in).map_err(io)?;
    fs::rename(&fresh, dir).map_err(io)?;
    if let Some(parent) = dir.parent() {
        File::open(parent).and_then(|folder| folder.sync_all()).map_err(io)?;
    }
    report.lines.push(format!("the damaged log is kept in {}", report.damaged_kept_in.display()));
    Ok(report)
}

fn beside(dir: &Path, what: &str) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{what}"));
    dir.with_file_name(name)
}

fn free_name(dir: &Path) -> PathBuf {
    let names = (1..).map(|n: u32| beside(dir, &format!("damaged-{n}")));
    names.into_iter().find(|name| !name.exists()).expect("some number is free")
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Cuts every journal of the copy behind its last whole batch; says where something was lost.
fn cut_journals(copy: &Path) -> io::Result<Vec<String>> {
    let mut cuts = Vec::new();
    for path in journal::journals(copy)? {
        let scan = journal::scan(&fs::read(&path)?, true);
        if scan.valid_to < scan.written {
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(scan.valid_to as u64)?;
            file.sync_all()?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let lost = scan.written - scan.valid_to;
            cuts.push(format!("journal {name}: cut {lost} bytes behind {} whole batches", scan.batches));
        }
    }
    Ok(cuts)
}

/// Reads the readable prefix of every partition into a new log.
fn save(copy: &Path, fresh: &Path) -> Result<RepairReport, String> {
    let old = Store::open(copy).map_err(engine_words)?;
    let about = About::read(&old)?.ok_or("it does not say which log it is")?;
    let new = Store::open(fresh).map_err(engine_words)?;
    let mut report =
        RepairReport { records_kept: 0, records_cut: 0, damaged_kept_in: PathBuf::new(), lines: Vec::new() };
    let mut ends = Vec::new();
    for topic in Topic::ALL {
        for partition in 0..about.partitions {
            let saved = save_partition(&old, &new, topic, partition)?;
            report.records_kept += saved.end - saved.start;
            report.records_cut += saved.cut;
            if let Some(line) = saved.line {
                report.lines.push(line);
            }
            ends.push(((topic, partition), saved.end));
        }
    }
    let mut batch = new.db.batch().durability(persist(true));
    for (key, mut position) in read_positions(&old)? {
        let end = ends.iter().find(|(place, _)| *place == (key.1, key.2)).map_or(0, |(_, end)| *end);
        position.next_offset = position.next_offset.min(end);
        batch.insert(&new.meta, position_key(&key), position_value(&position));
    }
    batch.insert(&new.meta, MARK_KEY, [1]);
    batch.commit().map_err(|error| error.to_string())?;
    about.cut().write(&new).map_err(|error| error.to_string())?;
    report.lines.push(format!("{} records were saved", report.records_kept));
    Ok(report)
}

fn engine_words(error: OpenError) -> String {
    match error {
        OpenError::Damaged { what, .. } => what,
        other => other.to_string(),
    }
}

struct Saved {
    start: u64,
    end: u64,
    cut: u64,
    line: Option<String>,
}

fn save_partition(old: &Store, new: &Store, topic: Topic, partition: u32) -> Result<Saved, String> {
    /// Bytes of one batch into the new log.
    const BATCH_BYTES: usize = 1024 * 1024;
    let start = read_start(old, topic, partition)?;
    let mut saved = Saved { start, end: start, cut: 0, line: None };
    let mut batch = new.db.batch().durability(persist(false));
    batch.insert(&new.meta, start_key(topic, partition), start.to_be_bytes());
    let mut bytes = 0;
    let mut broken = None;
    let range = record_key(partition, start)..=record_key(partition, u64::MAX);
    for guard in old.topic(topic).range(range) {
        let (key, value) = match guard.into_inner() {
            Ok(entry) => entry,
            Err(error) => {
                broken.get_or_insert_with(|| error.to_string());
                break;
            }
        };
        let offset = offset_of(&key).ok_or("a record's key")?;
        if broken.is_none() && offset != saved.end {
            broken = Some(format!("{} is missing", saved.end));
        }
        if broken.is_none() && decode((topic, partition, offset), &value).is_none() {
            broken = Some(format!("{offset} cannot be read"));
        }
        if broken.is_some() {
            saved.cut += 1;
            continue;
        }
        bytes += value.len();
        batch.insert(new.topic(topic), key, value);
        saved.end = offset + 1;
        if bytes >= BATCH_BYTES {
            bytes = 0;
            let full = std::mem::replace(&mut batch, new.db.batch().durability(persist(false)));
            full.commit().map_err(|error| error.to_string())?;
        }
    }
    batch.commit().map_err(|error| error.to_string())?;
    saved.line = broken.map(|why| {
        format!("{topic}/{partition}: kept {start} to {}, cut {} records behind: {why}", saved.end, saved.cut)
    });
    Ok(saved)
}
