//! Idempotency keys: the same request is one turn, whoever retries it and however often; what was accepted can be
//! read.

use callboard_testkit::wait;
use serde_json::json;

use crate::world::{Options, PATIENCE, Server, launch};

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

#[test]
fn a_location_can_be_read_as_soon_as_it_is_given() {
    let server = Server::start(Options::default());
    for i in 0..20 {
        let body = json!({ "message": "echo hello" }).to_string();
        let (status, turn, headers) = server.post("/v1/chat", &[("Prefer", "respond-async")], body);
        assert_eq!((status, turn["status"].as_str()), (202, Some("pending")), "{turn}");
        let (status, found) = server.try_get(headers["location"].to_str().unwrap()).unwrap();
        assert!(matches!(status, 200 | 202), "{i}: {status} {found}");
    }
}

#[test]
fn a_keyed_cancel_can_be_repeated_and_belongs_to_its_turn() {
    let server = Server::start(Options::default());
    let start = |conversation: &str| {
        let body = json!({ "message": "echo hello after 60 seconds", "conversation_id": conversation });
        let (status, turn, _) = server.post("/v1/chat", &[("Prefer", "respond-async")], body.to_string());
        assert_eq!(status, 202, "{turn}");
    };
    let cancel = |path: &str, key: &str| {
        let path = format!("/v1/conversations/{path}/cancel");
        server.post(&path, &[("Idempotency-Key", key), ("Prefer", "wait=30")], "")
    };
    for (conversation, rest) in [("by-number", "/turns/1"), ("newest", "")] {
        start(conversation);
        let path = format!("{conversation}{rest}");
        let (status, first, headers) = cancel(&path, "k");
        assert_eq!((status, first["status"].as_str()), (200, Some("cancelled")), "{first}");
        assert!(!headers.contains_key("idempotent-replayed"));
        let (status, second, headers) = cancel(&path, "k");
        assert_eq!((status, &second), (200, &first));
        assert_eq!(headers["idempotent-replayed"], "true");
        let (status, problem, _) = cancel(&path, "other");
        assert_eq!((status, problem["code"].as_str()), (409, Some("turn_not_open")), "{problem}");
    }
    start("by-number");
    let (status, turn, _) = cancel("by-number/turns/2", "k");
    assert_eq!((status, turn["status"].as_str()), (200, Some("cancelled")), "{turn}");
    start("newest");
    let (status, problem, _) = cancel("newest", "k");
    assert_eq!((status, problem["code"].as_str()), (422, Some("idempotency_key_reused")), "{problem}");
    let (status, turn, _) = cancel("newest", "other-turn");
    assert_eq!((status, turn["turn"].as_u64()), (200, Some(2)), "{turn}");
}

#[test]
fn ask_survives_a_server_that_is_killed_and_comes_back() {
    let server = Server::start(Options::default());
    let ask = || server.cli_raw(&["ask", "echo one; echo two; echo three after 3 seconds"]);
    std::thread::scope(|scope| {
        let asked = scope.spawn(ask);
        let conversation = || {
            let list = server.get("/v1/conversations");
            list["conversations"][0]["conversation_id"].as_str().map(str::to_owned)
        };
        let id = wait::until_some(PATIENCE, "the question is in the log", conversation).unwrap();
        server.process.sigkill().unwrap();
        let address = server.url.strip_prefix("http://").unwrap();
        let _second = launch(&server.data, &["serve", "--listen", address], &server.options);
        let (code, answer, words) = asked.join().unwrap();
        assert!(code == 0 && answer.contains("three"), "{code} {answer} {words}");
        assert!(
            words.starts_with(&format!("(conversation {id})")) && words.contains("trying again"),
            "{words}"
        );
        let kinds = server.kinds(&id);
        assert_eq!(kinds.iter().filter(|kind| *kind == "UserQueryReceived").count(), 1, "{kinds:?}");
    });
}
