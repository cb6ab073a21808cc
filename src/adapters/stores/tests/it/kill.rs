//! SIGKILL: a child of this test binary appends and says what was acknowledged; all of it must be there.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use callboard_ports::Topic;
use callboard_ports::contract::story::{append_to, record};
use callboard_ports::log::Log;
use callboard_stores::{DataDir, EmbeddedLog, EmbeddedOptions, Fsync};

const ROLE: &str = "CALLBOARD_STORES_KILL_ROLE";
const TOPICS: [Topic; 3] = [Topic::ConversationEvents, Topic::UserCommands, Topic::ToolInvocationRequests];

fn options(fsync: Fsync) -> EmbeddedOptions {
    EmbeddedOptions { partitions: 2, fsync, ..EmbeddedOptions::default() }
}

/// Not a story of its own: what the child does, in the process that is killed.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (fsync, dir) = role.split_once(' ').unwrap();
    let mut folder = DataDir::acquire(std::path::Path::new(dir), 1).unwrap();
    folder.publish_address("http://127.0.0.1:1").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let log = EmbeddedLog::open(&folder.path().join("log"), options(fsync.parse().unwrap())).unwrap();
        let mut out = std::io::stdout();
        for round in 0_u64.. {
            let topic = TOPICS[(round % 3) as usize];
            let partition = (round % 2) as u32;
            let value = vec![b'v'; 10 + (round as usize * 37) % 3_000];
            let batch = (0..3).map(|i| record(topic, partition, &format!("{round}-{i}"), value.clone()));
            for offset in append_to(&*log, batch.collect()).await.unwrap() {
                writeln!(out, "acked {topic} {partition} {offset}").unwrap();
            }
            out.flush().unwrap();
        }
    });
}

/// Runs the child until it acknowledged so many records, kills it, and gives what it acknowledged.
fn run_and_kill(dir: &std::path::Path, fsync: Fsync, acks: usize) -> BTreeMap<(String, u32), u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["kill::child", "--exact", "--nocapture"])
        .env(ROLE, format!("{} {}", fsync.word(), dir.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut acked: BTreeMap<(String, u32), u64> = BTreeMap::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = 0;
    while let Some(Ok(line)) = lines.next() {
        let Some(rest) = line.split_once("acked ").map(|(_, rest)| rest) else { continue };
        let mut words = rest.split(' ');
        let (Some(topic), Some(partition), Some(offset)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let Ok(offset) = offset.parse() else { continue };
        acked.insert((topic.to_owned(), partition.parse().unwrap()), offset);
        seen += 1;
        if seen == acks {
            assert_eq!(
                DataDir::address_of_holder(dir).as_deref(),
                Some("http://127.0.0.1:1"),
                "others learn where the holder listens"
            );
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(seen >= acks, "the child ended early, after {seen}");
    acked
}

#[tokio::test]
async fn whatever_was_acknowledged_is_there_after_sigkill() {
    for fsync in [Fsync::Group, Fsync::Never, Fsync::Always] {
        let dir = tempfile::tempdir().unwrap();
        let mut identity = None;
        for acks in [40, 301, 1_000] {
            let acked = run_and_kill(dir.path(), fsync, acks);
            assert_eq!(DataDir::address_of_holder(dir.path()), None, "the dead hold nothing");
            let _folder = DataDir::acquire(dir.path(), 1).expect("the lock died with its process");
            let log = EmbeddedLog::open(&dir.path().join("log"), options(fsync)).unwrap();
            for ((topic, partition), last) in acked {
                let topic = Topic::named(&topic).unwrap();
                let bounds = log.bounds(topic, partition).await.unwrap();
                assert!(bounds.end > last, "{topic}/{partition} lost {last}: it ends at {}", bounds.end);
                let mut records = 0;
                let mut replay = log.replay(topic, partition, vec![0..bounds.end], None);
                while let Some(batch) = replay.recv().await {
                    records += batch.expect("every record can be read").records.len() as u64;
                }
                assert_eq!(records, bounds.end, "no hole in {topic}/{partition}");
            }
            let now = log.identity(Topic::ConversationEvents, 0).await.unwrap();
            let before = identity.get_or_insert(now.clone());
            if cfg!(target_os = "linux") || fsync != Fsync::Never {
                assert_eq!(*before, now, "a killed process loses nothing: it is the same log");
            }
            tokio::time::timeout(Duration::from_secs(30), log.close()).await.unwrap();
        }
    }
}
