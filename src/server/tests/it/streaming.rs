//! A turn as it happens: in order, taken up again behind every event, over a crash of the node, by many readers.

use serde_json::json;

use crate::listener::{Event, Listener, answer, names};
use crate::world::{Options, Server};

/// Asks and hears it all; gives the resume URL too.
fn heard(server: &Server, message: &str) -> (String, Vec<Event>) {
    let events = Listener::ask(server, &json!({ "message": message }), &[]).rest();
    (events[0].data["url"].as_str().unwrap().to_owned(), events)
}

#[test]
fn a_turn_is_told_in_order_and_taken_up_behind_every_event() {
    let server = Server::start(Options::default());
    let (url, events) = heard(&server, "echo one; echo two after 300 ms");
    let told = names(&events);
    assert_eq!(told[..3], ["resume", "accepted", "plan"], "{told:?}");
    assert_eq!(told[told.len() - 2..], ["answer", "done"], "{told:?}");
    let of = |name: &str| told.iter().filter(|told| **told == name).count();
    assert_eq!((of("step_started"), of("step_ended"), of("done")), (2, 2, 1), "{told:?}");
    let turn = &events.last().unwrap().data;
    assert_eq!(turn["status"], "answered");
    assert_eq!(answer(&events), turn["answer"].as_str().unwrap());
    let id = turn["conversation_id"].as_str().unwrap();
    assert_eq!(
        server.get(&format!("/v1/conversations/{id}/turns/1")),
        *turn,
        "done is what the JSON face says"
    );
    let step = events.iter().find(|event| event.name == "step_ended").unwrap();
    assert!(step.data["step"]["result"].is_object() && step.data["version"] == 1, "{step:?}");
    for (at, event) in events.iter().enumerate().take(events.len() - 1) {
        assert_eq!(Listener::resume(&server, &url, &event.id).rest(), events[at + 1..], "behind {event:?}");
    }
    let by_number = format!("/v1/conversations/{id}/turns/1/stream?after={}", events[1].id);
    assert_eq!(Listener::resume(&server, &by_number, "").rest(), events[2..]);
    let last = server.try_get(&format!("{url}?after={}", events.last().unwrap().id)).unwrap();
    assert_eq!(last, (204, String::new()), "whoever has it all need not come again");
    let (status, problem) = server.try_get(&format!("{url}?after=7")).unwrap();
    assert!(status == 400 && problem.contains("invalid_event_id"), "{problem}");
    let (status, problem) = server.try_get(&format!("/v1/conversations/{id}/turns/9/stream")).unwrap();
    assert!(status == 404 && problem.contains("unknown_turn"), "{problem}");
}

#[test]
fn the_same_key_hears_the_same_turn_again() {
    let server = Server::start(Options::default());
    let ask = |message: &str| {
        Listener::ask(&server, &json!({ "message": message }), &[("Idempotency-Key", "k")]).rest()
    };
    let first = ask("echo one");
    assert_eq!(ask("echo one"), first);
    let body = json!({ "message": "echo other" }).to_string();
    let headers = [("Idempotency-Key", "k"), ("Accept", "text/event-stream")];
    let (status, problem, _) = server.post("/v1/chat", &headers, body);
    assert_eq!((status, &problem["code"]), (422, &json!("idempotency_key_reused")));
}

#[test]
fn a_stream_goes_on_after_the_node_was_killed() {
    let server = Server::start(Options::default());
    let message = json!({ "message": "echo one; echo two after 3 seconds" });
    let mut listener = Listener::ask(&server, &message, &[]);
    let mut events = Vec::new();
    while !events.iter().any(|event: &Event| event.name == "step_ended") {
        events.push(listener.next().unwrap());
    }
    let url = events[0].data["url"].as_str().unwrap().to_owned();
    let server = server.kill_and_restart();
    assert_eq!(listener.next(), None, "the stream breaks off");
    events.extend(Listener::resume(&server, &url, &events.last().unwrap().id).rest());
    let told = names(&events);
    for once in ["accepted", "plan", "done", "answer"] {
        assert_eq!(told.iter().filter(|told| **told == once).count(), 1, "{once}: {told:?}");
    }
    assert_eq!(told.iter().filter(|told| **told == "step_ended").count(), 2, "{told:?}");
    assert_eq!(answer(&events), events.last().unwrap().data["answer"].as_str().unwrap());
    server.cli(&["verify"]);
}

#[test]
fn failures_end_a_stream_too_and_readers_are_bounded() {
    let server = Server::start(Options::default());
    let (conversation, command) = server.send("echo one after 4 seconds");
    let url = format!("/v1/conversations/{conversation}/turns/{command}/stream");
    let open = || Listener::resume(&server, &url, "");
    let many: Vec<Listener> = (0..64).map(|_| open()).collect();
    let (status, problem) = server.try_get(&url).unwrap();
    assert!(status == 429 && problem.contains("busy"), "{problem}");
    let cancel = format!("/v1/conversations/{conversation}/turns/{command}/cancel");
    let (status, body, _) = server.post(&cancel, &[], "{}");
    assert_eq!(status, 200, "{body}");
    let all: Vec<Vec<Event>> = many.into_iter().map(Listener::rest).collect();
    for events in &all {
        let last = events.last().unwrap();
        assert_eq!((last.name.as_str(), &last.data["status"]), ("done", &json!("cancelled")));
        assert_eq!(events, &all[0], "everybody hears the same");
    }
}

#[test]
fn ask_prints_an_answer_as_it_is_written() {
    let server = Server::start(Options::default());
    let said = server.cli(&["ask", "--stream", "What is 17% of 2340?"]);
    assert!(said.contains("397.8") && said.matches("397.8").count() == 1, "{said:?}");
    assert_eq!(said, server.cli(&["ask", "What is 17% of 2340?"]), "with and without pieces");
}

/// The blocks of a document that are in this language.
pub fn blocks(document: &str, language: &str) -> Vec<String> {
    let path = format!("{}/../../{document}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let fence = format!("```{language}\n");
    let blocks = text.split(&fence).skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_examples_of_the_document_run() {
    let server = Server::start(Options::default());
    let address = server.url.trim_start_matches("http://");
    let binary = format!("{} --server {}", env!("CARGO_BIN_EXE_callboard"), server.url);
    let said: Vec<String> = blocks("docs/streaming.md", "sh")
        .iter()
        .map(|block| {
            block.replace("localhost:8080", address).replace("callboard ask", &format!("{binary} ask"))
        })
        .map(|script| {
            let output = std::process::Command::new("bash").args(["-ec", &script]).output().unwrap();
            assert!(output.status.success(), "{script}: {output:?}");
            String::from_utf8(output.stdout).unwrap()
        })
        .collect();
    assert_eq!(said.len(), 4);
    assert!(said[0].starts_with("id: -\nevent: resume\n") && said[0].contains("397.8"), "{}", said[0]);
    assert_eq!(said[0].split_once("\n\n").unwrap().1, said[1], "taken up from the beginning, it is the same");
    assert!(said[2].contains("19.312128"), "{}", said[2]);
    assert!(said[3].contains("\"id\":\"default\"") && said[3].contains("data: [DONE]"), "{}", said[3]);
}
