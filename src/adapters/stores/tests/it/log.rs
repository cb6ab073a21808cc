//! `EmbeddedLog` under the contract suites in every fsync mode, and what is peculiar to it.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use callboard_ports::Topic;
use callboard_ports::contract::story::{append_to, record};
use callboard_ports::contract::{self, LogHarness};
use callboard_ports::inbox::{Inbox, InboxEvent};
use callboard_ports::log::{AppendError, Bounds, Log};
use callboard_stores::{EmbeddedLog, EmbeddedOptions, Fsync, OpenError, Retention};
use futures_util::future::BoxFuture;

pub struct Embedded {
    dir: tempfile::TempDir,
    options: EmbeddedOptions,
    log: Mutex<Option<Arc<EmbeddedLog>>>,
}

impl Embedded {
    pub fn new(fsync: Fsync) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions { partitions: 4, fsync, ..EmbeddedOptions::default() };
        let log = EmbeddedLog::open(dir.path(), options).unwrap();
        Self { dir, options, log: Mutex::new(Some(log)) }
    }

    pub fn embedded(&self) -> Arc<EmbeddedLog> {
        self.log.lock().unwrap().clone().unwrap()
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl LogHarness for Embedded {
    fn log(&self) -> Arc<dyn Log> {
        self.embedded()
    }

    fn inbox(&self) -> Arc<dyn Inbox> {
        self.embedded()
    }

    fn other_inbox(&self) -> Option<Arc<dyn Inbox>> {
        // Members of one process share partitions as those of several do.
        Some(self.embedded())
    }

    fn reopen(&self) -> BoxFuture<'_, bool> {
        Box::pin(async {
            self.embedded().close().await;
            let opened = EmbeddedLog::open(self.path(), self.options).unwrap();
            *self.log.lock().unwrap() = Some(opened);
            true
        })
    }

    fn trim(&self, topic: Topic, partition: u32, before: u64) -> BoxFuture<'_, bool> {
        let log = self.embedded();
        Box::pin(async move {
            log.trim(topic, partition, before).await;
            true
        })
    }
}

#[tokio::test]
async fn the_embedded_log_keeps_the_contract_with_group_fsync() {
    contract::log::all(&Embedded::new(Fsync::Group)).await;
}

#[tokio::test]
async fn the_embedded_log_keeps_the_contract_with_an_fsync_for_each_append() {
    contract::log::all(&Embedded::new(Fsync::Always)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_log_keeps_the_contract_without_fsync() {
    contract::log::all(&Embedded::new(Fsync::Never)).await;
}

fn options(partitions: u32) -> EmbeddedOptions {
    EmbeddedOptions { partitions, ..EmbeddedOptions::default() }
}

#[tokio::test]
async fn a_folder_has_one_log_of_one_shape() {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(dir.path(), options(2)).unwrap();
    let second = EmbeddedLog::open(dir.path(), options(2)).err().unwrap();
    assert!(matches!(second, OpenError::Locked { .. }), "{second}");
    drop(log);
    let other = EmbeddedLog::open(dir.path(), options(3)).err().unwrap();
    assert!(matches!(other, OpenError::Partitions { found: 2, wanted: 3, .. }), "{other}");
    let none = EmbeddedLog::open(dir.path(), options(0)).err().unwrap();
    assert!(matches!(none, OpenError::PartitionsOutOfRange { wanted: 0 }), "{none}");
    EmbeddedLog::open(dir.path(), options(2)).unwrap();
}

#[tokio::test]
async fn a_closed_log_says_so_to_everyone() {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(dir.path(), options(2)).unwrap();
    let mut tail = log.tail(Topic::UserCommands, 1).unwrap();
    tail.control.assign(0, 0, 1);
    let receipt = log.append(vec![record(Topic::ConversationEvents, 0, "k", "v")]).unwrap();
    log.close().await;
    log.close().await;
    assert_eq!(receipt.await.unwrap(), Ok(vec![0]), "what was enqueued is written");
    assert!(tail.lanes[0].recv().await.is_none(), "tails end");
    let late = log.append(vec![record(Topic::ConversationEvents, 0, "k", "v")]);
    assert!(matches!(late, Err(AppendError::Closed(_))));
    let mut replay = log.replay(Topic::ConversationEvents, 0, vec![0..1, 1..2], None);
    assert!(!matches!(replay.recv().await, Some(Ok(batch)) if batch.records.is_empty()));
    assert!(log.flush(Duration::from_secs(5)).await.is_err());
}

#[tokio::test]
async fn a_full_queue_is_back_pressure_and_memory_stays_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let small = EmbeddedOptions { queue_records: 100, queue_bytes: 100_000, ..options(2) };
    let log = EmbeddedLog::open(dir.path(), small).unwrap();
    let (mut taken, mut refused) = (0, 0);
    let mut receipts = Vec::new();
    while refused == 0 && taken < 100_000 {
        match log.append(vec![record(Topic::ConversationEvents, 0, "k", vec![0; 1_000])]) {
            Ok(receipt) => {
                taken += 1;
                receipts.push(receipt);
            }
            Err(AppendError::Full) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(refused, 1, "the writer cannot keep up with a tight loop");
    for receipt in receipts {
        receipt.await.unwrap().expect("whatever was taken is written");
    }
    let end = log.bounds(Topic::ConversationEvents, 0).await.unwrap().end;
    assert_eq!(end, taken, "and nothing of what was refused");
}

#[tokio::test]
async fn retention_deletes_what_is_old_and_read_but_no_event() {
    let dir = tempfile::tempdir().unwrap();
    let now = Retention { user_commands_ms: 0, requests_ms: 0, dead_letters_ms: 0 };
    let aged = EmbeddedOptions { retention: now, ..options(2) };
    let topics = [Topic::UserCommands, Topic::ConversationEvents, Topic::DeadLetterQueue];
    let log = EmbeddedLog::open(dir.path(), options(2)).unwrap();
    for topic in topics {
        let batch = (0..10).map(|i| record(topic, 0, "k", format!("{i}"))).collect();
        append_to(&*log, batch).await.unwrap();
    }
    let joining = callboard_ports::inbox::Joining { group: "g".into(), topic: topics[0], lanes: 1 };
    let mut member = log.join(joining).unwrap();
    // Positions of a partition count once it is assigned.
    let assigned = |event: &InboxEvent| matches!(event, InboxEvent::Assigned { partition: 0, .. });
    while !assigned(&member.lanes[0].recv().await.unwrap()) {}
    let position = callboard_ports::inbox::Committed { next_offset: 4, metadata: String::new() };
    member.control.commit(topics[0], 0, position);
    member.control.leave().await;
    log.close().await;

    let log = EmbeddedLog::open(dir.path(), aged).unwrap();
    let swept = async {
        for (topic, start) in [(Topic::DeadLetterQueue, 10), (Topic::UserCommands, 4)] {
            while log.bounds(topic, 0).await.unwrap().start < start {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), swept).await.expect("retention runs");
    assert_eq!(log.bounds(Topic::UserCommands, 0).await, Ok(Bounds { start: 4, end: 10 }), "unread stays");
    assert_eq!(log.bounds(Topic::ConversationEvents, 0).await, Ok(Bounds { start: 0, end: 10 }), "for ever");
    let next = append_to(&*log, vec![record(Topic::DeadLetterQueue, 0, "k", "v")]).await.unwrap();
    assert_eq!(next, [10], "offsets go on after everything was deleted");
    log.close().await;
    let log = EmbeddedLog::open(dir.path(), options(2)).unwrap();
    assert_eq!(log.bounds(Topic::DeadLetterQueue, 0).await, Ok(Bounds { start: 10, end: 11 }));
    assert_eq!(log.bounds(Topic::UserCommands, 0).await, Ok(Bounds { start: 4, end: 10 }));
}
