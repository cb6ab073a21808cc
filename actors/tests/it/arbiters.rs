//! On real arbiters, in real time: two threads, and the outside on a third.

use std::sync::Arc;
use std::time::Duration;

use callboard_actors::{Arbiters, BlockingThreads, Limits, Ports};
use callboard_ports::fakes::SplitMixEntropy;
use tokio::sync::Semaphore;

use crate::world::{World, command, conversation};

#[test]
fn two_arbiters_answer_two_hundred_conversations() {
    const CONVERSATIONS: usize = 200;
    actix::System::new().block_on(async {
        let world = World::new();
        let arbiters = Arbiters::start(2);
        let ports = Ports {
            log: world.log.clone(),
            inbox: world.log.inbox_of("node"),
            snapshots: world.snapshots.clone(),
            planner: world.planner.clone(),
            synthesizer: world.synthesizer.clone(),
            tools: world.tools.clone(),
            clock: world.clock.clone(),
            entropy: Arc::new(SplitMixEntropy::new(7)),
            placement: arbiters.clone(),
            blocking: BlockingThreads::start(1),
            in_hand: std::sync::Arc::new(callboard_ports::in_hand::NoCrashes),
        };
        world.slow_gate.open();
        let node = callboard_actors::start(ports, World::roles(), Limits::default(), "test-node");
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
        node.stop(Duration::from_secs(10)).await;
        arbiters.stop();
    });
}
