//! Both snapshot engines under the contract suite, damaged and torn in every way a test can think of.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use callboard_domain::id::ConversationId;
use callboard_ports::contract::{self, SnapshotHarness};
use callboard_ports::log::LogIdentity;
use callboard_ports::snapshot::{Checkpoint, Dirty, Flush, Open, SnapshotError, SnapshotStore};
use callboard_stores::{Engine, OpenSnapshotsError, open_snapshots};
use futures_util::future::BoxFuture;

struct Snapshots {
    dir: tempfile::TempDir,
    engine: Engine,
    store: Mutex<Arc<dyn SnapshotStore>>,
}

impl Snapshots {
    fn new(engine: Engine) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Mutex::new(open_snapshots(engine, dir.path()).unwrap());
        Self { dir, engine, store }
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join(format!("snapshots-{}", self.engine.word()))
    }

    async fn around(&self, while_closed: impl FnOnce(&Path)) {
        self.store().close().await;
        while_closed(&self.folder());
        *self.store.lock().unwrap() = open_snapshots(self.engine, self.dir.path()).unwrap();
    }
}

impl SnapshotHarness for Snapshots {
    fn store(&self) -> Arc<dyn SnapshotStore> {
        self.store.lock().unwrap().clone()
    }

    fn reopen(&self) -> BoxFuture<'_, bool> {
        Box::pin(async {
            self.around(|_| {}).await;
            true
        })
    }

    fn damage(&self) -> BoxFuture<'_, bool> {
        Box::pin(async {
            self.around(|folder| flip(folder, 0.5)).await;
            true
        })
    }
}

/// The files that hold data, largest first.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort_by_key(|path| std::cmp::Reverse(std::fs::metadata(path).unwrap().len()));
    found
}

/// Flips 64 bytes of what was written, that far into the largest file.
fn flip(folder: &Path, share: f64) {
    let path = files(folder).remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    let at = (written as f64 * share) as usize;
    let end = (at + 64).min(bytes.len());
    bytes[at..end].iter_mut().for_each(|byte| *byte ^= 0x5a);
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn sled_keeps_the_contract() {
    contract::snapshot::all(&Snapshots::new(Engine::Sled)).await;
}

#[tokio::test]
async fn fjall_keeps_the_contract() {
    contract::snapshot::all(&Snapshots::new(Engine::Fjall)).await;
}

fn dirty(id: &ConversationId, round: u8) -> Dirty {
    let offsets = (0..3).map(|i| u64::from(round) * 1_000 + i * 100).collect();
    Dirty { conversation: id.clone(), snapshot: vec![round; 500], offsets, open: Some(Open::default()) }
}

async fn fill(store: &dyn SnapshotStore, ids: &[ConversationId]) {
    for round in 1..=5 {
        let dirty = ids.iter().map(|id| dirty(id, round)).collect();
        let checkpoint = Checkpoint { identity: LogIdentity("l".into()), next_offset: u64::from(round) };
        store.flush(Flush { partition: 0, dirty, checkpoint }).await.unwrap();
    }
}

/// Whatever was done to the files: the store says `Corrupt` or `Failed`, or everything below its checkpoint is
/// there. Afterwards it can be discarded and used.
async fn assert_honest(store: &dyn SnapshotStore, ids: &[ConversationId], what: &str) {
    if let Ok(Some(checkpoint)) = store.checkpoint(0).await {
        let round = checkpoint.next_offset as u8;
        for id in ids {
            let Ok(stored) = store.load(0, id).await else { continue };
            assert_eq!(stored.snapshot, Some(vec![round; 500]), "{what}: {id} is behind its checkpoint");
            let last = u64::from(round) * 1_000 + 200;
            assert!(stored.offsets.iter().any(|range| range.contains(&last)), "{what}: {id} lost offsets");
        }
        if let Ok(open) = store.open_turns(0, 1_000).await {
            assert_eq!(open.len(), ids.len(), "{what}: an open turn is lost");
        }
    }
    store.discard(0).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(store.checkpoint(0).await, Ok(None), "{what}");
    fill(store, ids).await;
    assert_eq!(store.load(0, &ids[0]).await.unwrap().snapshot, Some(vec![5; 500]), "{what}");
}

#[tokio::test]
async fn damage_anywhere_is_honest() {
    let ids: Vec<_> = (0..40).map(|i| ConversationId::new(&format!("c{i}")).unwrap()).collect();
    for engine in [Engine::Sled, Engine::Fjall] {
        for percent in (1..100).step_by(14) {
            let snapshots = Snapshots::new(engine);
            fill(&*snapshots.store(), &ids).await;
            snapshots.around(|folder| flip(folder, f64::from(percent) / 100.0)).await;
            let what = format!("{} flipped at {percent} %", engine.word());
            assert_honest(&*snapshots.store(), &ids, &what).await;
        }
        for share in [3, 10, 60, 95] {
            let snapshots = Snapshots::new(engine);
            fill(&*snapshots.store(), &ids).await;
            snapshots
                .around(|folder| {
                    let path = files(folder).remove(0);
                    let mut bytes = std::fs::read(&path).unwrap();
                    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
                    bytes.truncate(written * share / 100);
                    std::fs::write(path, bytes).unwrap();
                })
                .await;
            let what = format!("{} cut to {share} %", engine.word());
            assert_honest(&*snapshots.store(), &ids, &what).await;
        }
    }
}

#[tokio::test]
async fn what_does_not_open_goes_aside_and_a_locked_store_does_not() {
    for engine in [Engine::Sled, Engine::Fjall] {
        let snapshots = Snapshots::new(engine);
        let id = ConversationId::new("c").unwrap();
        fill(&*snapshots.store(), std::slice::from_ref(&id)).await;
        let second = open_snapshots(engine, snapshots.dir.path()).err().expect("one at a time");
        assert!(matches!(second, OpenSnapshotsError::Locked { .. }), "{second}");
        snapshots
            .around(|folder| {
                for path in files(folder) {
                    std::fs::write(path, "not a store").unwrap();
                }
            })
            .await;
        assert_eq!(snapshots.store().checkpoint(0).await, Ok(None), "empty");
        let aside = snapshots.dir.path().join(format!("snapshots-{}.bad-1", engine.word()));
        assert!(aside.is_dir(), "{}", aside.display());
    }
}

#[tokio::test]
async fn a_queue_of_calls_is_answered_in_order() {
    let snapshots = Snapshots::new(Engine::Sled);
    let store = snapshots.store();
    let id = ConversationId::new("c").unwrap();
    let calls = (1..=1_000_u64).map(|next_offset| {
        let checkpoint = Checkpoint { identity: LogIdentity("l".into()), next_offset };
        let dirty = vec![dirty(&id, (next_offset % 250) as u8)];
        store.flush(Flush { partition: 3, dirty, checkpoint })
    });
    let outcomes: Vec<Result<(), SnapshotError>> = futures_util::future::join_all(calls).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(store.checkpoint(3).await.unwrap().unwrap().next_offset, 1_000);
}
