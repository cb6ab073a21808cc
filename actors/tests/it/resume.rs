//! Coming back with much on disk: what is open goes first, the oldest before the rest, and before everybody else whoever a
//! client waits for; what nobody needs stays where it is. The store is slow, so that order shows.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use callboard_actors::{Limits, Roles};
use callboard_domain::id::ConversationId;
use callboard_ports::clock::Clock;
use callboard_ports::fakes::{MemorySnapshots, OneArbiter};
use callboard_ports::partition::partition_of;
use callboard_ports::record::Topic;
use callboard_ports::snapshot::{Checkpoint, Flush, Open, SnapshotError, SnapshotStore, Stored};
use futures_util::future::BoxFuture;

use crate::check::{envelope, metric};
use crate::world::{Cast, PARTITIONS, World, command, conversation, pass, story, until};

/// How long the store takes for one conversation.
const LOAD: Duration = Duration::from_millis(20);

/// A store that reads one conversation at a time.
struct Slow {
    store: Arc<MemorySnapshots>,
    one: tokio::sync::Mutex<()>,
    loads: AtomicUsize,
}

impl SnapshotStore for Slow {
    fn checkpoint(&self, partition: u32) -> BoxFuture<'_, Result<Option<Checkpoint>, SnapshotError>> {
        self.store.checkpoint(partition)
    }

    fn load(&self, partition: u32, of: &ConversationId) -> BoxFuture<'_, Result<Stored, SnapshotError>> {
        let of = of.clone();
        Box::pin(async move {
            let _one = self.one.lock().await;
            self.loads.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(LOAD).await;
            self.store.load(partition, &of).await
        })
    }

    fn flush(&self, flush: Flush) -> BoxFuture<'_, Result<(), SnapshotError>> {
        self.store.flush(flush)
    }

    fn open_turns(
        &self,
        partition: u32,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(ConversationId, Open)>, SnapshotError>> {
        self.store.open_turns(partition, limit)
    }

    fn conversations(
        &self,
        partition: u32,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<ConversationId>, SnapshotError>> {
        self.store.conversations(partition, after, limit)
    }

    fn discard(&self, partition: u32) -> BoxFuture<'_, Result<(), SnapshotError>> {
        self.store.discard(partition)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.store.close()
    }
}

/// Names of conversations of the first partition.
fn names(prefix: &str, many: usize) -> Vec<String> {
    let all = (0..).map(|i| format!("{prefix}{i}"));
    all.filter(|id| partition_of(id.as_bytes(), PARTITIONS) == 0).take(many).collect()
}

/// Conversations in the order of their requests since `from_ms`.
fn requested(world: &World, from_ms: i64) -> Vec<String> {
    let mut requests = world.log.records(Topic::ToolInvocationRequests);
    requests.retain(|record| record.timestamp_ms > from_ms);
    requests.sort_by_key(|record| record.timestamp_ms);
    let of = |record| envelope(&record)["conversation_id"].as_str().unwrap().to_owned();
    requests.into_iter().map(of).collect()
}

#[test]
fn what_is_open_comes_back_in_order_and_what_a_client_waits_for_comes_first() {
    story(|| async {
        const OPEN: usize = 300;
        let limits = Limits { passivate_after: Duration::from_secs(10), ..Cast::default().limits };
        let world = World::with(Cast { limits, ..Cast::default() });
        let _node = world.start_as(Roles { pools: Vec::new(), ..World::roles() });
        let open = names("open", OPEN);
        for (i, id) in open.iter().enumerate() {
            world.say(id, "k1", "one").await;
            if i % 10 == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        until("all are requested", || requested(&world, i64::MIN).len() == OPEN).await;
        // Everything is in the store, nothing has to be replayed.
        pass(2).await;
        world.crash().await;
        let crashed_ms = world.clock.now_ms();

        let slow = Arc::new(Slow {
            store: world.snapshots.clone(),
            one: tokio::sync::Mutex::default(),
            loads: AtomicUsize::new(0),
        });
        let mut ports = world.ports("node", Arc::new(OneArbiter::start()));
        ports.snapshots = slow.clone();
        world.identity_ms.store(200, Ordering::SeqCst);
        let began = tokio::time::Instant::now();
        let no_pool = Roles { pools: Vec::new(), ..World::roles() };
        let node = callboard_actors::start(ports, no_pool, world.limits.clone(), "node");
        // The youngest of all, while the partition still catches up, and later one from the middle.
        let (last, middle) = (open[OPEN - 1].clone(), open[OPEN - 50].clone());
        let wait = |id: &str| {
            let (node, id) = (node.clone(), conversation(id));
            tokio::task::spawn_local(async move { node.ended(&id, &command("k1")).await.unwrap() })
        };
        let again = || requested(&world, crashed_ms);
        let first = wait(&last);
        until("the first is back", || !again().is_empty()).await;
        assert_eq!(again(), std::slice::from_ref(&last));
        assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
        let second = wait(&middle);
        until("the second is back", || again().contains(&middle)).await;
        assert!(again().len() < OPEN / 2, "{} others came before", again().len());
        until("all are back", || again().len() >= OPEN).await;
        // Apart from those that were waited for, the oldest first.
        let order: Vec<String> = again().into_iter().filter(|id| *id != last && *id != middle).collect();
        // Those that came in one go are of one age.
        let place = |id: &String| open.iter().position(|of| of == id).unwrap().div_ceil(10);
        assert!(order.iter().map(place).is_sorted(), "{order:?}");
        assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), OPEN - 2);
        assert_eq!(slow.loads.load(Ordering::SeqCst), OPEN, "each is read once");
        let _worker = world.start_named("worker", Roles { host: false, synthesis: false, ..World::roles() });
        let first = first.await.unwrap();
        assert_eq!((first.status, first.error), ("answered", None));
        assert_eq!(second.await.unwrap().status, "answered");
        until("all are answered", || metric(&node, "callboard_turns", Some("answered")) == OPEN as f64).await;
        for id in open.iter().step_by(37) {
            world.audit(id);
            world.equals_replay(&node, id).await;
        }
    });
}

#[test]
fn what_has_ended_is_not_read_at_a_start() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        let (closed, open) = (names("closed", 200), names("open", 3));
        for id in &closed {
            world.say(id, "k1", "one").await;
        }
        for id in &closed {
            world.answered(&node, id, "k1").await;
        }
        for id in &open {
            world.say(id, "k1", "slow one").await;
        }
        until("the tools run", || world.slow.calls() == 3).await;
        pass(2).await;
        world.crash().await;
        let slow = Arc::new(Slow {
            store: world.snapshots.clone(),
            one: tokio::sync::Mutex::default(),
            loads: AtomicUsize::new(0),
        });
        let mut ports = world.ports("node", Arc::new(OneArbiter::start()));
        ports.snapshots = slow.clone();
        let node = callboard_actors::start(ports, World::roles(), world.limits.clone(), "node");
        until("they run again", || world.slow.calls() == 6).await;
        pass(1).await;
        assert_eq!(slow.loads.load(Ordering::SeqCst), 3);
        world.slow_gate.open();
        for id in &open {
            world.answered(&node, id, "k1").await;
        }
    });
}
