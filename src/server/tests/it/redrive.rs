//! Dead letters through the whole of their life: listed with filters and pages, shown, redriven at a rate, once, and kept where
//! they may not be, each with its reason.

use callboard_kafka::probe::{Probe, Raw};
use callboard_ports::partition::partition_of;
use callboard_testkit::{kafka, unique_name, wait};
use serde_json::{Value, json};

use crate::duplicates::all_records;
use crate::world::{Options, PATIENCE, Server};

struct Stage {
    server: Server,
    probe: Probe,
    prefix: String,
}

impl Stage {
    fn new() -> Option<Self> {
        let cluster = kafka::shared()?;
        let prefix = unique_name("redrive-");
        let server = Server::start(Options::default().kafka(&cluster.bootstrap(), &prefix));
        let probe = Probe::new(&cluster.bootstrap()).unwrap();
        Some(Self { server, probe, prefix })
    }

    fn send(&self, topic: &str, partition: u32, key: &str, value: &Value) {
        let (partition, value) = (Some(i32::try_from(partition).unwrap()), value.to_string());
        let raw = Raw { partition, key: Some(key.as_bytes()), value: Some(value.as_bytes()), headers: &[] };
        self.probe.send(&format!("{}{topic}", self.prefix), raw).unwrap();
    }

    /// Letters that the listing gives for these parameters, all pages of them.
    fn letters(&self, query: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.server.get(&format!("/admin/v1/dead-letters?{query}&cursor={cursor}"));
            all.extend(page["dead_letters"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => return all,
            }
        }
    }

    fn one(&self, query: &str) -> Value {
        let look = || self.letters(query).pop();
        wait::until_some(PATIENCE, &format!("a dead letter with {query}"), look).unwrap()
    }
}

fn envelope(kind: &str, conversation: &str, command: &str, payload: Value) -> Value {
    json!({ "id": command, "type": kind, "version": 1, "conversation_id": conversation, "command_id": command,
            "at": "2026-11-23T00:00:00.000Z", "causation_id": command, "payload": payload })
}

fn home(key: &str) -> u32 {
    partition_of(key.as_bytes(), 8)
}

fn request(effect: &str, class: &str, not_after_ms: i64) -> Value {
    let mut parts = effect.split(':');
    let (conversation, command) = (parts.next().unwrap(), parts.next().unwrap());
    let reply_to =
        json!({ "topic": "conversation-events", "partition": home(conversation), "key": conversation });
    envelope(
        "ToolInvocationRequested",
        conversation,
        command,
        json!({
            "effect_id": effect, "attempt": 1, "tool": "echo", "arguments": { "text": "x" }, "effect": class,
            "timeout_ms": 1_000, "not_after_ms": not_after_ms, "reply_to": reply_to,
        }),
    )
}

/// Letters as a pool writes them, of requests that were poison: made by hand, because poison takes crashes.
fn poison(stage: &Stage, effect: &str, class: &str, not_after_ms: i64, offset: u64) -> String {
    let id = format!("tool-invocation-requests:{}:{offset}", home(effect));
    let value = request(effect, class, not_after_ms).to_string();
    let headers: Vec<(&str, &[u8])> = vec![
        ("callboard-dlq-id", id.as_bytes()),
        ("callboard-dlq-reason", b"poison"),
        ("callboard-dlq-detail", b"its process died 3 times with it in hand"),
        ("callboard-dlq-attempt", b"1"),
        ("callboard-pool", b"default"),
    ];
    let raw = Raw {
        partition: Some(i32::try_from(home(effect)).unwrap()),
        key: Some(effect.as_bytes()),
        value: Some(value.as_bytes()),
        headers: &headers,
    };
    stage.probe.send(&format!("{}dead-letter-queue", stage.prefix), raw).unwrap();
    id
}

#[test]
fn what_was_misrouted_arrives_and_only_once() {
    let Some(stage) = Stage::new() else { return };
    let conversation = "redriven-one";
    let wrong = (home(conversation) + 1) % 8;
    let command =
        envelope("UserQueryReceived", conversation, "question-1", json!({ "message": "echo at last" }));
    stage.send("user-commands", wrong, conversation, &command);
    let letter = stage.one("reason=misrouted");
    assert_eq!((&letter["stays"], &letter["redriven"]), (&Value::Null, &Value::Null), "{letter}");
    let id = letter["id"].as_str().unwrap();
    let tried = stage.server.cli(&["dlq", "redrive", id, "--dry-run"]);
    assert!(tried.contains("1 would be redriven (misrouted 1)"), "{tried}");
    assert_eq!(stage.server.try_get(&format!("/v1/conversations/{conversation}")).unwrap().0, 404);
    let said =
        stage.server.cli(&["dlq", "redrive", "--reason", "misrouted", "--rate", "10/s", "--by", "anna"]);
    assert!(said.contains("1 redriven (misrouted 1); 0 stay; 0 failed"), "{said}");
    let turn = stage.server.ended(conversation, "question-1");
    assert_eq!((&turn["status"], &turn["answer"]), (&json!("answered"), &json!("at last")), "{turn}");
    // Done with: shown as redriven, and refused the second time.
    let shown = stage.server.get(&format!("/admin/v1/dead-letters/{id}"));
    assert_eq!(
        (&shown["redriven"]["by"], &shown["stays"]["code"]),
        (&json!("anna"), &json!("already_redriven"))
    );
    assert!(shown["value"].as_str().unwrap().contains("at last"));
    let (code, said, _) = stage.server.cli_raw(&["dlq", "redrive", id]);
    assert!(code == 1 && said.contains("redriven by anna"), "{code} {said}");
    let again = stage.server.cli(&["dlq", "redrive", "--all"]);
    assert!(again.contains("0 redriven; 0 stay; 0 failed"), "{again}");
    let records = all_records(&stage.probe, &format!("{}user-commands", stage.prefix));
    let of: Vec<_> = records
        .iter()
        .filter(|record| record.headers.iter().any(|(n, _)| n == "callboard-redrive-of"))
        .collect();
    assert_eq!(of.len(), 1, "appended once");
    assert_eq!(
        of[0].headers.iter().find(|(name, _)| name == "callboard-redrive-of").unwrap().1,
        id.as_bytes()
    );
    // A crash between the record and its mark: the mark is forgotten, and the duplicate dropped by the command's id.
    stage.send("user-commands", home(conversation), conversation, &command);
    let server = &stage.server;
    assert_eq!(server.ask("echo after")["status"], "answered");
    let kinds = server.kinds(conversation);
    assert_eq!(kinds.iter().filter(|kind| *kind == "UserQueryReceived").count(), 1, "{kinds:?}");
    server.cli(&["verify"]);
}

#[test]
fn what_may_not_be_redriven_stays_with_its_reason() {
    let Some(stage) = Stage::new() else { return };
    let soon = i64::MAX / 2;
    stage.send("user-commands", 0, "garbage", &json!([1, 2, 3]));
    stage.send("conversation-events", 0, "garbage", &json!("no event"));
    stage.send(
        "user-commands",
        home("later"),
        "later",
        &envelope("TimeTravelRequested", "later", "k", json!({})),
    );
    let doomed = poison(&stage, "c1:k:1:s", "unsafe", soon, 900_001);
    let expired = poison(&stage, "c1:k:1:t", "pure", 1_000, 900_002);
    let fine = poison(&stage, "c1:k:1:u", "pure", soon, 900_003);
    wait::until(PATIENCE, "all letters are there", || stage.letters("limit=2").len() == 6).unwrap();
    let code = |letter: &Value| letter["stays"]["code"].as_str().unwrap_or("-").to_owned();
    let by_reason = |query: &str| stage.letters(query).iter().map(code).collect::<Vec<_>>();
    assert_eq!(by_reason("topic=user-commands&reason=not_an_envelope"), ["undecodable"]);
    assert_eq!(by_reason("topic=conversation-events"), ["from_conversation_events"]);
    assert_eq!(by_reason("reason=unknown_type"), ["unknown_type"]);
    assert_eq!(by_reason("conversation=later"), ["unknown_type"]);
    let of = |id: &str| code(&stage.server.get(&format!("/admin/v1/dead-letters/{id}")));
    assert_eq!(
        (of(&doomed).as_str(), of(&expired).as_str(), of(&fine).as_str()),
        ("unsafe_tool", "expired", "-")
    );
    assert_eq!(stage.letters("conversation=c1").len(), 3);
    assert!(stage.letters("since=1h&until=30m").is_empty() && stage.letters("since=1h").len() == 6);
    let listed = stage.server.cli(&["dlq", "list"]);
    assert!(listed.contains("[stays: unsafe_tool]") && listed.contains("[may be redriven]"), "{listed}");
    let (exit, said, _) = stage.server.cli_raw(&["dlq", "redrive", &doomed]);
    assert!(exit == 1 && said.contains("effects settle c1:k:1:s"), "{exit} {said}");
    let tried: Value =
        serde_json::from_str(&stage.server.cli(&["dlq", "redrive", "--all", "--dry-run", "--json"])).unwrap();
    assert_eq!((&tried["redriven"], tried["stays"].as_array().unwrap().len()), (&json!(1), 5), "{tried}");
    let said = stage.server.cli(&["dlq", "redrive", "--all"]);
    assert!(said.contains("1 redriven (poison 1); 5 stay"), "{said}");
    // Its original is not in the topic any more: the letter's bytes went, with the pool that it kept.
    let requests = all_records(&stage.probe, &format!("{}tool-invocation-requests", stage.prefix));
    let again = requests
        .iter()
        .find(|r| r.headers.iter().any(|(n, v)| n == "callboard-redrive-of" && v == fine.as_bytes()));
    let again = again.expect("it is in its topic");
    assert!(again.headers.iter().any(|(name, value)| name == "callboard-pool" && value == b"default"));
    assert_eq!(code(&stage.server.get(&format!("/admin/v1/dead-letters/{fine}"))), "already_redriven");
    let server = stage.server.kill_and_restart();
    assert_eq!(
        code(&server.get(&format!("/admin/v1/dead-letters/{fine}"))),
        "already_redriven",
        "after a crash too"
    );
}

#[test]
fn what_is_asked_wrongly_is_told() {
    let server = Server::start(Options::default());
    assert_eq!(server.cli(&["dlq", "list"]).trim(), "no dead letters");
    let refused = |query: &str, word: &str| {
        let (status, body) = server.try_get(&format!("/admin/v1/dead-letters{query}")).unwrap();
        assert!((400..405).contains(&status) && body.contains(word), "{query}: {status} {body}");
    };
    refused("?topic=nowhere", "user-commands");
    refused("?since=lately", "RFC 3339");
    refused("?redriven=perhaps", "true, false");
    refused("?cursor=x", "next_cursor");
    refused("?resaon=x", "reason");
    refused("/user-commands:x:1", "TOPIC:PARTITION:OFFSET");
    refused("/user-commands:1:77", "unknown_dead_letter");
    let post = |body: Value| server.post("/admin/v1/dead-letters/redrive", &[], body.to_string());
    for (body, field) in [
        (json!({}), "ids"),
        (json!({ "ids": [] }), "ids"),
        (json!({ "ids": ["x"] }), "ids"),
        (json!({ "ids": vec!["user-commands:1:1"; 101] }), "ids"),
        (json!({ "ids": ["user-commands:1:1"], "by": "" }), "by"),
    ] {
        let (status, problem, _) = post(body);
        assert_eq!((status, problem["field"].as_str()), (400, Some(field)), "{problem}");
    }
    let (status, answer, _) = post(json!({ "ids": ["user-commands:1:77"] }));
    assert_eq!((status, &answer["results"][0]["stays"]["code"]), (200, &json!("unknown_dead_letter")));
    for (args, word) in [
        (vec!["dlq", "redrive"], "--all"),
        (vec!["dlq", "redrive", "user-commands:1:1", "--all"], "leave out"),
        (vec!["dlq", "redrive", "--all", "--rate", "fast"], "10/s"),
    ] {
        let (code, _, words) = server.cli_raw(&args);
        assert!(code == 2 && words.contains(word), "{args:?}: {code} {words}");
    }
}
