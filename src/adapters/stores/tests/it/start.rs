//! A start with a hundred thousand conversations on disk, a hundred of them open: what has to be read before the first of
//! them goes on, and how long that takes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use callboard_domain::State;
use callboard_domain::id::ConversationId;
use callboard_domain::open_turns::{OpenBrief, OpenStatus};
use callboard_ports::log::LogIdentity;
use callboard_ports::snapshot::{Checkpoint, Dirty, Flush, Open, SnapshotStore, encode};
use callboard_stores::{Engine, open_snapshots};

const CONVERSATIONS: u64 = 100_000;
const OPEN_EVERY: u64 = 1_000;
const PARTITIONS: u32 = 8;

fn identity() -> LogIdentity {
    LogIdentity("log".into())
}

/// A conversation of one finished turn, or with one that waits.
fn dirty(i: u64, partition: u32) -> Dirty {
    let conversation = ConversationId::new(&format!("conversation-{i:08}")).unwrap();
    let mut state = State::new(conversation.clone());
    state.next_offset = i + 11;
    // As large as a short conversation.
    let mut snapshot = encode(&state, partition, &identity());
    snapshot.extend(std::iter::repeat_n(b'x', 2_000));
    let brief = OpenBrief {
        turn: 1,
        received_ms: 5,
        status: OpenStatus::Running,
        doubts: 0,
        approvals: 0,
        approval_since_ms: None,
        tools: 1,
    };
    let open = (i.is_multiple_of(OPEN_EVERY)).then(|| Open { wake_at_ms: Some(5), turns: vec![brief] });
    Dirty { conversation, snapshot, offsets: (i..i + 11).collect(), open }
}

async fn fill(store: &dyn SnapshotStore) {
    for partition in 0..PARTITIONS {
        let all: Vec<u64> =
            (0..CONVERSATIONS).filter(|i| i % u64::from(PARTITIONS) == u64::from(partition)).collect();
        for part in all.chunks(2_000) {
            let dirty = part.iter().map(|i| dirty(*i, partition)).collect();
            let checkpoint = Checkpoint { identity: identity(), next_offset: CONVERSATIONS };
            store.flush(Flush { partition, dirty, checkpoint }).await.unwrap();
        }
    }
}

/// Every file, with its length.
fn files(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.metadata() {
            Ok(about) if about.is_dir() => found.extend(files(&path)),
            Ok(about) => drop(found.insert(path, about.len())),
            Err(_) => {}
        }
    }
    found
}

/// What lies in a folder at one instant: an engine that merges in the background moves its files under a copy's hands, which
/// is taken again then.
fn copy(from: &Path, to: &Path) {
    loop {
        let before = files(from);
        let copied = before.keys().all(|path| {
            let target = to.join(path.strip_prefix(from).unwrap());
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::copy(path, &target).is_ok()
        });
        if copied && files(from) == before {
            return;
        }
        std::fs::remove_dir_all(to).unwrap();
    }
}

#[tokio::test]
async fn a_start_reads_what_is_open_and_nothing_else() {
    for engine in [Engine::Sled, Engine::Fjall] {
        let (running, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = open_snapshots(engine, running.path()).unwrap();
        let began = Instant::now();
        fill(&*store).await;
        let filled = began.elapsed();
        // As SIGKILL leaves it: nobody closes anything.
        copy(running.path(), folder.path());
        store.close().await;
        drop(store);

        let began = Instant::now();
        let store = open_snapshots(engine, folder.path()).unwrap();
        let opened = began.elapsed();
        let mut first = None;
        let (mut verified, mut listed, mut loaded) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let mut open = 0;
        for partition in 0..PARTITIONS {
            let mark = Instant::now();
            assert!(store.checkpoint(partition).await.unwrap().is_some());
            verified += mark.elapsed();
            let mark = Instant::now();
            let found = store.open_turns(partition, 1_000_000).await.unwrap();
            listed += mark.elapsed();
            let mark = Instant::now();
            for (id, _) in &found {
                assert!(store.load(partition, id).await.unwrap().snapshot.is_some());
                first.get_or_insert_with(|| began.elapsed());
            }
            loaded += mark.elapsed();
            open += found.len() as u64;
        }
        let total = began.elapsed();
        eprintln!(
            "{}: filled in {filled:?}; a start: opened {opened:?}, verified {verified:?}, listed {listed:?}, loaded \
             {open} in {loaded:?}; the first after {first:?}, all after {total:?}",
            engine.word()
        );
        assert_eq!(open, CONVERSATIONS / OPEN_EVERY);
        // What is open is a hundredth of what is there, and so is the time that it takes, with much to spare: a ratio
        // within the run, since the machine's own speed is noise.
        assert!(listed < verified + opened, "{}: {listed:?} of {verified:?}", engine.word());
        assert!(first.is_some());
    }
}
