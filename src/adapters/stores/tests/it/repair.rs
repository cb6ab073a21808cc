//! Damage: a flipped byte is never passed over, the log says what to do, and `repair_log` does it.

use std::path::{Path, PathBuf};

use callboard_ports::Topic;
use callboard_ports::contract::story::{append_to, record};
use callboard_ports::inbox::{Committed, Inbox, Joining};
use callboard_ports::log::Log;
use callboard_stores::{EmbeddedLog, EmbeddedOptions, OpenError, RepairError, repair_log};

const EVENTS: Topic = Topic::ConversationEvents;

fn options() -> EmbeddedOptions {
    EmbeddedOptions { partitions: 2, ..EmbeddedOptions::default() }
}

/// A closed log with 100 events, each its own batch.
async fn written(dir: &Path) {
    let log = EmbeddedLog::open(dir, options()).unwrap();
    for i in 0..100 {
        append_to(&*log, vec![record(EVENTS, i % 2, "k", format!("value {i}"))]).await.unwrap();
    }
    let joining = Joining { group: "g".into(), topic: EVENTS, lanes: 1 };
    let mut member = log.join(joining).unwrap();
    for _ in 0..2 {
        member.lanes[0].recv().await.unwrap();
    }
    member.control.commit(Topic::UserCommands, 0, Committed { next_offset: 5, metadata: "m".into() });
    member.control.leave().await;
    log.close().await;
}

fn journal(dir: &Path) -> PathBuf {
    let journals = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    journals.filter(|path| path.extension().is_some_and(|e| e == "jnl")).max().unwrap()
}

/// Flips a byte near the middle of what was written: in the value of an event, or of the batch's structure.
fn flip(dir: &Path, structure: bool) {
    let path = journal(dir);
    let mut bytes = std::fs::read(&path).unwrap();
    let needle = b"value 50";
    let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    // The batch's start tag lies before the item: find the trailer of the batch before it.
    let trailer = bytes[..at].windows(4).rposition(|window| window == b"FJL\x03").unwrap();
    bytes[if structure { trailer + 4 } else { at }] ^= 0x40;
    std::fs::write(path, bytes).unwrap();
}

async fn count(log: &EmbeddedLog, partition: u32) -> u64 {
    let end = log.bounds(EVENTS, partition).await.unwrap().end;
    let mut replay = log.replay(EVENTS, partition, vec![0..end], None);
    let mut records = 0;
    while let Some(batch) = replay.recv().await {
        records += batch.unwrap().records.len() as u64;
    }
    assert_eq!(records, end);
    records
}

#[tokio::test]
async fn one_flipped_byte_is_refused_and_repaired_up_to_it() {
    for structure in [false, true] {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("log");
        written(&dir).await;
        let log = EmbeddedLog::open(&dir, options()).unwrap();
        let before = log.identity(EVENTS, 0).await.unwrap();
        log.close().await;
        flip(&dir, structure);
        let damage = std::fs::read(journal(&dir)).unwrap();
        let refused = EmbeddedLog::open(&dir, options()).err().expect("damage is refused");
        assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
        assert!(refused.to_string().contains("callboard doctor --repair-log"), "{refused}");
        assert_eq!(std::fs::read(journal(&dir)).unwrap(), damage, "refusing changes nothing");

        let report = repair_log(&dir).unwrap();
        assert_eq!(report.records_kept, 50, "{report:?}");
        assert!(report.lines.iter().any(|line| line.contains("cut")), "{report:?}");
        assert!(report.damaged_kept_in.is_dir(), "the damaged log is kept");
        let log = EmbeddedLog::open(&dir, options()).unwrap();
        assert_eq!((count(&log, 0).await, count(&log, 1).await), (25, 25));
        assert_ne!(
            log.identity(EVENTS, 0).await.unwrap(),
            before,
            "snapshots of what was cut are not trusted"
        );
        let next = append_to(&*log, vec![record(EVENTS, 0, "k", "new")]).await.unwrap();
        assert_eq!(next, [25]);
    }
}

#[tokio::test]
async fn a_whole_log_is_repaired_into_itself() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("log");
    written(&dir).await;
    let report = repair_log(&dir).unwrap();
    assert_eq!((report.records_kept, report.records_cut), (100, 0), "{report:?}");
    let log = EmbeddedLog::open(&dir, options()).unwrap();
    assert_eq!((count(&log, 0).await, count(&log, 1).await), (50, 50));
    let in_use = repair_log(&dir).unwrap_err();
    assert!(matches!(in_use, RepairError::InUse(_)), "{in_use}");
    log.close().await;
    let again = repair_log(&dir).unwrap();
    assert!(again.damaged_kept_in.ends_with("log.damaged-2"), "{again:?}");
    let none = repair_log(&root.path().join("nothing")).unwrap_err();
    assert!(matches!(none, RepairError::NoLog(_)), "{none}");
}

#[tokio::test]
async fn tables_that_cannot_be_opened_are_said_to_be_beyond_repair() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("log");
    written(&dir).await;
    std::fs::write(dir.join("version"), "nonsense").unwrap();
    let refused = EmbeddedLog::open(&dir, options()).err().unwrap();
    assert!(refused.to_string().contains("doctor --repair-log"), "{refused}");
    let honest = repair_log(&dir).unwrap_err();
    assert!(matches!(honest, RepairError::Engine { .. }), "{honest}");
    assert!(honest.to_string().contains("Tried"), "{honest}");
    assert!(dir.is_dir(), "nothing was moved");
}
