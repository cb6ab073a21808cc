//! A write that fails: the log closes, says so to everyone, and holds what it acknowledged.
//!
//! The failure is a real one: a child of this test binary runs under a file size limit, whose signal it ignores.

use std::process::{Command, Stdio};

use callboard_ports::Topic;
use callboard_ports::contract::story::{append_to, record};
use callboard_ports::log::{AppendError, Log, LogError};
use callboard_stores::{EmbeddedLog, EmbeddedOptions};

const DIR: &str = "CALLBOARD_STORES_FULL_DIR";
const EVENTS: Topic = Topic::ConversationEvents;

fn options() -> EmbeddedOptions {
    EmbeddedOptions { partitions: 1, ..EmbeddedOptions::default() }
}

/// Not a story of its own: what the child does under its limit.
#[tokio::test]
async fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let log = EmbeddedLog::open(std::path::Path::new(&dir), options()).unwrap();
    let mut acked = 0_u64;
    let fate = loop {
        match append_to(&*log, vec![record(EVENTS, 0, "k", vec![0; 10_000])]).await {
            Ok(_) => acked += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(fate, AppendError::Unknown(_)), "it was enqueued, nobody knows: {fate}");
    let after = append_to(&*log, vec![record(EVENTS, 0, "k", "v")]).await;
    assert!(matches!(after, Err(AppendError::Closed(_))), "{after:?}");
    assert!(log.failure().unwrap().contains("a write failed"), "{:?}", log.failure());
    let flushed = log.flush(std::time::Duration::from_secs(5)).await;
    assert!(matches!(flushed, Err(LogError::Closed(_))), "{flushed:?}");
    assert_eq!(log.bounds(EVENTS, 0).await.unwrap().end, acked, "nobody sees what is not acknowledged");
    println!("acknowledged={acked}.");
}

#[tokio::test]
async fn a_failed_write_closes_the_log_and_keeps_its_promises() {
    let dir = tempfile::tempdir().unwrap();
    // The journal of a new log is pre-allocated beyond the limit; that of an old one is not.
    EmbeddedLog::open(dir.path(), options()).unwrap().close().await;
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 4000; exec \"$0\" disk_full::child --exact --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .env(DIR, dir.path())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    let acked = out.split_once("acknowledged=").and_then(|(_, rest)| rest.split_once('.'));
    let acked: u64 = acked.unwrap_or_else(|| panic!("{out}\n{err}")).0.parse().unwrap();
    assert!(acked > 50, "the limit came too early: {acked}");

    let log = EmbeddedLog::open(dir.path(), options()).unwrap();
    let end = log.bounds(EVENTS, 0).await.unwrap().end;
    assert!(end >= acked, "{acked} were acknowledged, {end} are there");
    let next = append_to(&*log, vec![record(EVENTS, 0, "k", "there is room again")]).await.unwrap();
    assert_eq!(next, [end]);
}
