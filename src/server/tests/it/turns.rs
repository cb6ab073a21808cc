//! `GET /v1/turns` and `callboard turns`: what is open, filtered and a page at a time; parameters that are wrong say what would
//! be right.

use std::collections::BTreeSet;

use callboard_testkit::stubs::Exchange;
use callboard_testkit::wait;
use serde_json::{Value, json};

use crate::world::{Options, PATIENCE, Server};

/// Ids of the conversations on all pages.
fn all(server: &Server, query: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server.get(&format!("/v1/turns?{query}&cursor={cursor}"));
        let turns = page["turns"].as_array().unwrap();
        ids.extend(turns.iter().map(|turn| turn["conversation_id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return ids,
        }
    }
}

#[test]
fn open_turns_are_found_oldest_first_and_after_a_crash_too() {
    // A service that answers nothing for as long as the test takes.
    let exchange = Exchange::start().unwrap();
    exchange.hold();
    let options = Options::default().env("CALLBOARD__TOOLS__EXCHANGE__BASE_URL", exchange.url());
    let server = Server::start(options.env("CALLBOARD__TOOLS__EXCHANGE__TIMEOUT_MS", "600000"));
    let mut sent = Vec::new();
    for i in 1..8 {
        sent.push(server.send(&format!("convert {i} EUR to USD")).0);
    }
    let running = || all(&server, "status=running&limit=100").len() == 7;
    wait::until(PATIENCE, "seven turns run", running).unwrap();
    assert_eq!(all(&server, "limit=2"), sent, "the oldest first, whatever the page");
    assert_eq!(all(&server, "tool=exchange&limit=3").len(), 7);
    assert!(all(&server, "tool=weather&limit=3").is_empty());
    assert!(all(&server, "older_than=1h&limit=3").is_empty());
    assert!(all(&server, "status=queued&limit=3").is_empty());
    // One that waits behind another of its conversation.
    let body = json!({ "message": "echo later", "conversation_id": sent[0] }).to_string();
    server.post("/v1/chat", &[("Prefer", "respond-async")], body);
    let queued = || all(&server, "status=queued&limit=3") == sent[..1];
    wait::until(PATIENCE, "one is queued", queued).unwrap();
    let server = server.kill_and_restart();
    let found: BTreeSet<String> = all(&server, "limit=3").into_iter().collect();
    assert_eq!(found, sent.iter().cloned().collect());
    let turn = &server.get("/v1/turns?limit=1")["turns"][0];
    assert_eq!(
        (&turn["turn"], &turn["tools"], &turn["ended"]),
        (&json!(1), &json!(["exchange"]), &json!(false))
    );
    assert!(turn["age_ms"].as_u64().is_some() && turn["received_at"].is_string(), "{turn}");
    let listed: Value = serde_json::from_str(&server.cli(&["turns", "--json", "--limit", "3"])).unwrap();
    assert_eq!(listed["turns"].as_array().unwrap().len(), 3);
    let table = server.cli(&["turns"]);
    assert!(table.starts_with("8 open: ") && table.contains("CONVERSATION"), "{table}");
    let counted = || (server.metric("callboard_open_turns") - 8.0).abs() < 0.5;
    wait::until(PATIENCE, "the gauge counts them too", counted).unwrap();
}

#[test]
fn parameters_that_are_wrong_say_what_would_be_right() {
    let server = Server::start(Options::default());
    for (query, field, words) in [
        ("status=stuck", "status", "in_doubt"),
        ("older_than=soon", "older_than", "5m"),
        ("limit=0", "limit", "200"),
        ("limit=201", "limit", "200"),
        ("limit=many", "limit", "200"),
        ("cursor=nonsense", "cursor", "next_cursor"),
        ("staus=running", "staus", "older_than"),
        ("status=running&status=queued", "status", "twice"),
    ] {
        let (status, body) = server.try_get(&format!("/v1/turns?{query}")).unwrap();
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, problem["field"].as_str()), (400, Some(field)), "{query}: {body}");
        assert!(problem["detail"].as_str().unwrap().contains(words), "{query}: {body}");
    }
    let (code, _, words) = server.cli_raw(&["turns", "--status", "stuck"]);
    assert!(code == 1 && words.contains("backing_off"), "{code} {words}");
}
