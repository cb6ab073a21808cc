//! Idempotency keys: the same request is one turn, whoever retries it and however often.

use serde_json::json;

use crate::world::{Options, Server};

#[test]
fn the_same_key_is_one_turn_with_and_without_a_conversation_id() {
    let server = Server::start(Options::default());
    for conversation in [None, Some("my-conversation")] {
        let mut body = json!({ "message": "echo hello" });
        if let Some(id) = conversation {
            body["conversation_id"] = json!(id);
        }
        let key = format!("key-{conversation:?}").replace(['"', '(', ')'], "");
        let headers = [("Idempotency-Key", key.as_str())];
        let (first_status, first, _) = server.post("/v1/chat", &headers, body.to_string());
        let (status, second, returned) = server.post("/v1/chat", &headers, body.to_string());
        assert_eq!((first_status, status), (200, 200), "{first} {second}");
        assert_eq!(first["answer"], second["answer"]);
        assert_eq!(first["command_id"], second["command_id"]);
        assert_eq!(returned.get("Idempotent-Replayed").unwrap(), "true");
        let id = first["conversation_id"].as_str().unwrap();
        let kinds = server.kinds(id);
        assert_eq!(kinds.iter().filter(|kind| *kind == "UserQueryReceived").count(), 1, "{kinds:?}");
        let other = json!({ "message": "echo something else", "conversation_id": id });
        let (status, problem, _) = server.post("/v1/chat", &headers, other.to_string());
        if conversation.is_some() {
            assert_eq!(status, 422, "{problem}");
        }
    }
}

#[test]
fn a_repeated_key_joins_the_running_turn() {
    let server = Server::start(Options::default());
    let body = json!({ "message": "echo hello after 2 seconds", "conversation_id": "joined" }).to_string();
    std::thread::scope(|scope| {
        let ask = || server.post("/v1/chat", &[("Idempotency-Key", "one")], body.clone()).1;
        let answers: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        for answer in answers {
            assert_eq!(answer.join().unwrap()["status"], "answered");
        }
    });
    let kinds = server.kinds("joined");
    assert_eq!(kinds.iter().filter(|kind| *kind == "UserQueryReceived").count(), 1, "{kinds:?}");
}

#[test]
fn queued_messages_are_answered_in_order_and_a_short_wait_is_202() {
    let server = Server::start(Options::default());
    let body = |i: u32| {
        json!({ "message": format!("echo m{i} after 200 ms"), "conversation_id": "queue" }).to_string()
    };
    let mut commands = Vec::new();
    for i in 0..5 {
        let (status, turn, headers) = server.post("/v1/chat", &[("Prefer", "respond-async")], body(i));
        assert_eq!(status, 202, "{turn}");
        assert!(headers.contains_key("location"));
        commands.push(turn["command_id"].as_str().unwrap().to_owned());
    }
    let mut last = 0;
    for (i, command) in commands.iter().enumerate() {
        let turn = server.ended("queue", command);
        assert_eq!(turn["turn"].as_u64().unwrap() as usize, i + 1);
        assert!(turn["answer"].as_str().unwrap().contains(&format!("m{i}")), "{turn}");
        let offset = turn["offset"].as_u64().unwrap();
        assert!(offset > last);
        last = offset;
    }
}
