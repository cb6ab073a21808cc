//! On real arbiters, in real time: threads of their own, and the outside on another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use callboard_actors::{Arbiters, BlockingThreads, Fatal, Limits, Node, Ports, WatchBounds};
use callboard_ports::fakes::ScriptedTool;
use callboard_ports::placement::Placement;
use callboard_ports::record::Topic;
use tokio::sync::Semaphore;

use crate::check::metric;
use crate::world::{Cast, World, command, conversation};

/// Starts a node on real threads.
fn start(world: &World, arbiters: &Arc<Arbiters>, limits: Limits) -> Node {
    let ports = Ports {
        blocking: BlockingThreads::start(1),
        ..world.ports("node", arbiters.clone() as Arc<dyn Placement>)
    };
    callboard_actors::start(ports, World::roles(), limits, "test-node")
}

#[test]
fn two_arbiters_answer_two_hundred_conversations() {
    const CONVERSATIONS: usize = 200;
    actix::System::new().block_on(async {
        let world = World::new();
        let arbiters = Arbiters::start(2, world.clock.clone());
        world.slow_gate.open();
        let node = start(&world, &arbiters, Limits::default());
        // As many clients as an HTTP server has at once.
        let clients = Arc::new(Semaphore::new(32));
        let mut waiting = Vec::new();
        for i in 0..CONVERSATIONS {
            let id = format!("c{i}");
            world.say(&id, "k1", "one; slow two; three").await;
            world.say(&id, "k2", "four").await;
            let (node, clients) = (node.clone(), clients.clone());
            waiting.push(tokio::spawn(async move {
                let _client = clients.acquire().await.unwrap();
                let first = node.ended(&conversation(&id), &command("k1")).await.unwrap();
                let second = node.ended(&conversation(&id), &command("k2")).await.unwrap();
                (first.status, second.status)
            }));
        }
        let all = futures_util::future::join_all(waiting);
        let all = tokio::time::timeout(Duration::from_secs(60), all).await.expect("all end within a minute");
        assert!(all.into_iter().all(|turn| turn.unwrap() == ("answered", "answered")));
        for i in 0..CONVERSATIONS {
            let report = world.audit(&format!("c{i}"));
            assert_eq!((report.answered, report.duplicate_results), (2, 0));
        }
        world.equals_replay(&node, "c7").await;
        assert_eq!(metric(&node, "callboard_arbiters_wedged", None), 0.0);
        node.stop(Duration::from_secs(10)).await;
        arbiters.stop();
    });
}

/// A tool whose first calls never come back to their arbiter, until they are let go.
#[derive(Clone, Default)]
struct Spin {
    calls: Arc<AtomicUsize>,
    spinning: Arc<AtomicUsize>,
    let_go: Arc<AtomicBool>,
}

impl Spin {
    fn tool(&self, spins: usize) -> ScriptedTool {
        let spin = self.clone();
        ScriptedTool::new(ScriptedTool::spec_named("echo"), move |call| {
            if spin.calls.fetch_add(1, Ordering::SeqCst) < spins {
                spin.spinning.fetch_add(1, Ordering::SeqCst);
                while !spin.let_go.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                spin.spinning.fetch_sub(1, Ordering::SeqCst);
            }
            Ok(call.arguments)
        })
    }
}

/// Short, so that the stories are.
const BOUNDS: WatchBounds =
    WatchBounds { tick: Duration::from_millis(20), wedged_after: Duration::from_millis(1_000) };

async fn within_a_minute<T>(what: &str, wanted: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), wanted).await.unwrap_or_else(|_| panic!("never: {what}"))
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within_a_minute(what, wait).await;
}

#[test]
fn an_arbiter_in_a_busy_loop_is_abandoned_and_the_turn_ends_once() {
    for arbiters in [1, 2] {
        actix::System::new().block_on(async {
            let spin = Spin::default();
            let world = World::with(Cast { tool: spin.tool(1), ..Cast::default() });
            let arbiters = Arbiters::start_within(BOUNDS, arbiters, world.clock.clone());
            let node = start(&world, &arbiters, world.limits.clone());
            world.say("c1", "k1", "one").await;
            until("the tool spins", || spin.spinning.load(Ordering::SeqCst) == 1).await;
            let silent = || arbiters.silence() >= Duration::from_millis(200);
            until("the silence is noticed", silent).await;

            within_a_minute("the turn ends", world.answered(&node, "c1", "k1")).await;
            assert_eq!(spin.calls.load(Ordering::SeqCst), 2, "another worker ran it");
            assert_eq!(spin.spinning.load(Ordering::SeqCst), 1, "while the first one spins on");
            assert_eq!(metric(&node, "callboard_arbiters_wedged", None), 1.0);
            assert!(!silent());

            // It comes back: its result is late, and its thread ends.
            spin.let_go.store(true, Ordering::SeqCst);
            until("the loop ends", || spin.spinning.load(Ordering::SeqCst) == 0).await;
            for of in ["c1", "c2", "c3", "c4", "c5"] {
                world.say(of, "k2", "two; three").await;
                within_a_minute("later turns end", world.answered(&node, of, "k2")).await;
            }
            let report = world.audit("c1");
            assert_eq!((report.turns, report.answered), (2, 2));
            assert!(report.duplicate_results <= 1, "{report:?}");
            world.equals_replay(&node, "c1").await;
            assert_eq!(world.log.records(Topic::DeadLetterQueue).len(), 0);
            assert!(tokio::time::timeout(Duration::from_millis(100), node.failed()).await.is_err());
            node.stop(Duration::from_secs(10)).await;
            arbiters.stop();
        });
    }
}

#[test]
fn a_second_busy_loop_is_fatal() {
    actix::System::new().block_on(async {
        let spin = Spin::default();
        let world = World::with(Cast { tool: spin.tool(2), ..Cast::default() });
        let arbiters = Arbiters::start_within(BOUNDS, 2, world.clock.clone());
        let node = start(&world, &arbiters, world.limits.clone());
        world.say("c1", "k1", "one").await;
        let fatal = within_a_minute("the node gives up", node.failed()).await;
        assert!(matches!(fatal, Fatal::Wedged(_)), "{fatal:?}");
        assert_eq!(spin.spinning.load(Ordering::SeqCst), 2);
        let stop = node.stop(Duration::from_secs(5));
        within_a_minute("it stops all the same", stop).await;
        spin.let_go.store(true, Ordering::SeqCst);
        arbiters.stop();
    });
}
