//! `MemoryLog`, `MemorySnapshots` and `MemoryInHand` under the contract suites.

use std::sync::Arc;

use callboard_ports::Topic;
use callboard_ports::clock::Clock;
use callboard_ports::contract::{self, InHandHarness, LogHarness, SnapshotHarness};
use callboard_ports::fakes::{MemoryLog, MemorySnapshots, TokioClock};
use callboard_ports::in_hand::{InHand, MemoryInHand};
use callboard_ports::inbox::Inbox;
use callboard_ports::log::Log;
use callboard_ports::snapshot::SnapshotStore;
use futures_util::future::BoxFuture;

struct Memory {
    log: MemoryLog,
    clock: Arc<TokioClock>,
}

impl Memory {
    fn new() -> Self {
        let clock = Arc::new(TokioClock::default());
        Self { log: MemoryLog::new(4, clock.clone()), clock }
    }
}

impl LogHarness for Memory {
    fn log(&self) -> Arc<dyn Log> {
        Arc::new(self.log.clone())
    }

    fn inbox(&self) -> Arc<dyn Inbox> {
        Arc::new(self.log.clone())
    }

    fn other_inbox(&self) -> Option<Arc<dyn Inbox>> {
        Some(self.log.inbox_of("another process"))
    }

    fn trim(&self, topic: Topic, partition: u32, before: u64) -> BoxFuture<'_, bool> {
        self.log.trim(topic, partition, before);
        Box::pin(async { true })
    }

    fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }
}

#[tokio::test(start_paused = true)]
async fn the_memory_log_keeps_the_contract_on_one_thread_in_virtual_time() {
    contract::log::all(&Memory::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_log_keeps_the_contract_on_several_threads() {
    contract::log::all(&Memory::new()).await;
}

struct Snapshots(MemorySnapshots);

impl SnapshotHarness for Snapshots {
    fn store(&self) -> Arc<dyn SnapshotStore> {
        Arc::new(self.0.clone())
    }
}

#[tokio::test]
async fn memory_snapshots_keep_the_contract() {
    contract::snapshot::all(&Snapshots(MemorySnapshots::default())).await;
}

#[derive(Default)]
struct Notes(Arc<MemoryInHand>);

impl InHandHarness for Notes {
    fn notes(&self) -> Arc<dyn InHand> {
        self.0.clone()
    }

    fn crash(&self) {
        self.0.crash();
    }
}

#[tokio::test]
async fn memory_notes_of_work_in_hand_keep_the_contract() {
    contract::in_hand::all(&Notes::default()).await;
}
