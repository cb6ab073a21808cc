//! Poison: it is dead-lettered with its reason, once, and nothing waits for it.

use callboard_actors::{Asked, Node, NodeError};
use callboard_ports::headers::POOL;
use callboard_ports::partition::partition_of;
use callboard_ports::record::{Headers, Topic};
use callboard_ports::snapshot::SnapshotStore;

use crate::world::{PARTITIONS, World, command, conversation, pass, story, until};

const POISONED: [Topic; 4] =
    [Topic::UserCommands, Topic::ConversationEvents, Topic::ToolInvocationRequests, Topic::SynthesisRequests];

/// An envelope as anybody might write it.
fn written(id: &str, kind: &str, version: u32, of: &str, payload: &serde_json::Value) -> Vec<u8> {
    let envelope = serde_json::json!({
        "id": id, "type": kind, "version": version, "conversation_id": of, "command_id": id,
        "at": "2026-01-01T00:00:00.000Z", "causation_id": id, "payload": payload,
    });
    serde_json::to_vec(&envelope).unwrap()
}

/// Garbage of several sorts: no envelope, or one that lacks something.
fn garbage(i: u64) -> Vec<u8> {
    match i % 5 {
        0 => Vec::new(),
        1 => b"\xff\xfe garbage".to_vec(),
        2 => b"[1, 2, 3]".to_vec(),
        3 => br#"{"id": "x"}"#.to_vec(),
        _ => br#"{"id":"x","type":"UserQueryReceived","version":0,"conversation_id":"c1","at":"","causation_id":"","payload":{}}"#.to_vec(),
    }
}

/// Dead letters of every poisoned topic.
fn letters(world: &World) -> [usize; 4] {
    POISONED.map(|topic| world.dead_letters(topic).len())
}

#[test]
fn a_hundred_garbage_records_in_each_topic_are_a_hundred_dead_letters_each() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        for i in 0..100_u64 {
            for topic in POISONED {
                let (partition, key) = ((i % u64::from(PARTITIONS)) as u32, format!("c{i}"));
                world.foreign(topic, partition, &key, Headers::default(), garbage(i)).await;
            }
            if i % 10 == 0 {
                world.say("c1", &format!("k{i}"), "one").await;
            }
        }
        for i in (0..100).step_by(10) {
            world.answered(&node, "c1", &format!("k{i}")).await;
        }
        until("everything is dead-lettered", || letters(&world) == [100; 4]).await;
        for topic in POISONED {
            assert!(world.dead_letters(topic).iter().all(|code| code == "not_an_envelope"), "{topic}");
        }
        // Every original is named once.
        let all = world.log.records(Topic::DeadLetterQueue);
        let ids: std::collections::BTreeSet<_> = all.iter().map(|l| l.header("callboard-dlq-id")).collect();
        assert_eq!(ids.len(), 400);
        world.audit("c1");

        pass(1).await;
        world.crash().await;
        let node = world.start();
        world.say("c1", "again", "one").await;
        world.answered(&node, "c1", "again").await;
        node.stop(std::time::Duration::from_secs(30)).await;
        world.crash().await;
        world.start_and_settle().await;
        // Nor does one that reads all of it again.
        world.crash().await;
        for partition in 0..PARTITIONS {
            world.snapshots.discard(partition).await.unwrap();
        }
        world.start_and_settle().await;
        assert_eq!(letters(&world), [100; 4], "a restart adds none");
    });
}

impl World {
    async fn start_and_settle(&self) {
        let _node = self.start();
        pass(10).await;
    }
}

/// What comes of one record of `user-commands` in the partition of its key.
async fn command_code(world: &World, key: &str, value: Vec<u8>) -> String {
    let before = world.dead_letters(Topic::UserCommands).len();
    world.raw(Topic::UserCommands, key, value).await;
    until("it is dead-lettered", || world.dead_letters(Topic::UserCommands).len() > before).await;
    world.dead_letters(Topic::UserCommands).pop().unwrap()
}

#[test]
fn commands_that_cannot_be_read_say_why() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        let payload = serde_json::json!({ "message": "hello", "agent": "default" });
        let empty = serde_json::json!({});
        let code = command_code(&world, "c1", written("a", "UserQueryReceived", 1, "c1", &empty)).await;
        assert_eq!(code, "bad_payload");
        let code = command_code(&world, "c1", written("b", "MakeCoffee", 1, "c1", &empty)).await;
        assert_eq!(code, "unknown_type");
        let code = command_code(&world, "c1", written("c", "UserQueryReceived", 2, "c1", &payload)).await;
        assert_eq!(code, "unknown_type");
        let code = command_code(&world, "c1", written("d", "UserQueryReceived", 1, "c2", &payload)).await;
        assert_eq!(code, "key_mismatch");
        let code = command_code(&world, "c1", written("not an id", "MakeCoffee", 1, "c1", &payload)).await;
        assert_eq!(code, "bad_id");

        let expected = partition_of(b"c1", PARTITIONS);
        let found = (expected + 1) % PARTITIONS;
        let value = written("e", "UserQueryReceived", 1, "c1", &payload);
        world.foreign(Topic::UserCommands, found, "c1", Headers::default(), value).await;
        until("it is dead-lettered", || world.dead_letters(Topic::UserCommands).len() == 6).await;
        let letters = world.log.records(Topic::DeadLetterQueue);
        let letter = letters.iter().find(|l| l.header("callboard-dlq-reason") == Some("misrouted")).unwrap();
        let detail = letter.header("callboard-dlq-detail").unwrap();
        assert_eq!(detail, format!("found in partition {found}, expected in {expected}"));

        assert_eq!(world.events("c1").len(), 0);
        world.say("c1", "k1", "one").await;
        world.answered(&node, "c1", "k1").await;
    });
}

#[test]
fn known_events_with_a_bad_payload_are_dead_letters_and_hold_nobody() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        world.say("c1", "k1", "slow one").await;
        until("the tool runs", || world.slow.calls() == 1).await;
        let bad = written("x", "FinalAnswerSynthesized", 1, "c1", &serde_json::json!({ "answer": 7 }));
        world.raw(Topic::ConversationEvents, "c1", bad).await;
        let bad = written("y", "ToolInvocationRequested", 1, "c1", &serde_json::json!({}));
        world.raw(Topic::ToolInvocationRequests, "any", bad.clone()).await;
        // Somebody else's pool: nobody here decodes it.
        let other = [(POOL, "gpu")].into_iter().collect();
        world.foreign(Topic::ToolInvocationRequests, 0, "any", other, bad).await;
        until("both are dead-lettered", || letters(&world) == [0, 1, 1, 0]).await;
        assert_eq!(world.dead_letters(Topic::ConversationEvents), ["bad_payload"]);
        assert_eq!(world.dead_letters(Topic::ToolInvocationRequests), ["bad_payload"]);
        world.slow_gate.open();
        world.answered(&node, "c1", "k1").await;
        world.equals_replay(&node, "c1").await;
    });
}

async fn asked(node: &Node, of: &str, id: &str) -> Result<Asked, NodeError> {
    node.ask(&conversation(of), &command(id)).await
}

#[test]
fn an_event_of_tomorrow_holds_its_conversation_and_nobody_else() {
    story(|| async {
        let world = World::new();
        let mut node = world.start();
        world.say("c1", "k1", "one").await;
        world.answered(&node, "c1", "k1").await;
        let tomorrow = written("t", "TurnPainted", 3, "c1", &serde_json::json!({}));
        world.raw(Topic::ConversationEvents, "c1", tomorrow).await;
        let offset = world.events("c1").last().unwrap().1.offset;
        for start in 0..3 {
            let held = NodeError::Blocked { offset, kind: "TurnPainted".into(), version: 3 };
            pass(1).await;
            assert_eq!(asked(&node, "c1", "k2").await, Err(held), "start {start}");
            world.say("c1", &format!("late-{start}"), "two").await;
            until("its commands are given up", || letters(&world) == [start + 1, 0, 0, 0]).await;
            // Same partition or not, the others go on.
            for other in 0..8 {
                let other = format!("other-{other}");
                world.say(&other, &format!("k{start}"), "one").await;
                world.answered(&node, &other, &format!("k{start}")).await;
            }
            pass(1).await;
            world.crash().await;
            node = world.start();
            until("it is ready again", || node.readiness().ready).await;
        }
        let codes = world.dead_letters(Topic::UserCommands);
        assert!(codes.iter().all(|code| code == "conversation_blocked"), "{codes:?}");
        assert_eq!(world.count("c1", "UserQueryReceived"), 1);
    });
}

#[test]
fn a_record_in_the_wrong_partition_is_no_record_of_its_conversation() {
    story(|| async {
        let world = World::new();
        let node = world.start();
        world.say("c1", "k1", "slow one").await;
        until("the tool runs", || world.slow.calls() == 1).await;
        let (_, accepted) = world.events("c1").remove(0);
        let wrong = (accepted.partition + 1) % crate::world::PARTITIONS;
        let value = accepted.value.to_vec();
        world.foreign(Topic::ConversationEvents, wrong, "c1", Headers::default(), value).await;
        until("it is dead-lettered", || world.dead_letters(Topic::ConversationEvents) == ["misrouted"]).await;
        world.slow_gate.open();
        world.answered(&node, "c1", "k1").await;
        world.say("c1", "k2", "again").await;
        world.answered(&node, "c1", "k2").await;
    });
}
