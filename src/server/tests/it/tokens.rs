//! Answers token by token, from a model server that writes slowly: over a crash of the node, for readers who come late, through
//! Kafka where the writer is another process, and with the very words of the README.

use std::time::Duration;

use callboard_testkit::clients::Client;
use callboard_testkit::stubs::OpenAi;
use callboard_testkit::wait;
use serde_json::{Value, json};

use crate::listener::{Event, Listener, answer, names};
use crate::streaming::blocks;
use crate::world::{Options, PATIENCE, Server};

const ANSWER: &str = "A log keeps what happened, in order and for good. An agent that acts only on what it has read back \
    from its log can be killed at any moment: whoever comes next reads the same records, comes to the same state, and goes \
    on where it stopped. Nothing is lost, and nothing is done twice. That is what makes it durable, on one node or many.";

/// A model that plans no steps and says [`ANSWER`], in some seconds.
fn model() -> OpenAi {
    let model = OpenAi::start().unwrap();
    model.respond_with(|request| {
        let first = request["messages"][0]["content"].as_str().unwrap_or_default();
        let plans = first.contains("You are the planner");
        let plan = r#"{"steps":[],"then":"answer","guidance":"no tool is needed"}"#;
        if plans { plan.to_owned() } else { ANSWER.to_owned() }
    });
    model.pause_between_chunks(Duration::from_millis(10));
    model
}

fn asking(model: &OpenAi) -> Options {
    Options::default()
        .env("CALLBOARD__PLANNER__ORDER", "openai,builtin")
        .env("CALLBOARD__MODELS__OPENAI__BASE_URL", format!("{}/v1", model.url()))
        .env("OPENAI_API_KEY", "sk-none")
}

fn question() -> Value {
    json!({ "message": "Tell me why a log makes agents durable." })
}

/// Listens until so many pieces of the answer have come.
fn some(listener: &mut Listener, pieces: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while events.iter().filter(|event: &&Event| event.name == "answer").count() < pieces {
        events.push(listener.next().expect("the stream goes on"));
    }
    let said = answer(&events);
    assert!(ANSWER.starts_with(&said) && said.len() < ANSWER.len(), "{said:?}");
    events
}

/// Each epoch says the beginning of the answer, every piece of it once, and the last one all of it.
fn sound(events: &[Event], restarts: usize) {
    let mut epochs = vec![String::new()];
    for event in events {
        match event.name.as_str() {
            "answer_restarted" => epochs.push(String::new()),
            "answer" => epochs.last_mut().unwrap().push_str(event.data["text"].as_str().unwrap()),
            _ => {}
        }
    }
    assert_eq!(epochs.len(), restarts + 1, "{:?}", names(events));
    assert!(epochs.iter().all(|said| ANSWER.starts_with(said.as_str())), "{epochs:?}");
    assert_eq!(epochs.last().unwrap(), ANSWER);
    let done = events.last().unwrap();
    assert_eq!((done.name.as_str(), &done.data["answer"]), ("done", &json!(ANSWER)));
}

fn url(events: &[Event]) -> String {
    events[0].data["url"].as_str().unwrap().to_owned()
}

#[test]
fn a_node_killed_mid_answer_says_it_again_in_a_higher_epoch() {
    let model = model();
    let server = Server::start(asking(&model));
    let mut listener = Listener::ask(&server, &question(), &[]);
    let mut events = some(&mut listener, 5);
    let server = server.kill_and_restart();
    while let Some(event) = listener.next() {
        events.push(event);
    }
    let after = events.last().unwrap().id.clone();
    events.extend(Listener::resume(&server, &url(&events), &after).rest());
    sound(&events, 1);
    let epochs: Vec<&Value> =
        events.iter().map(|event| &event.data["epoch"]).filter(|e| e.is_string()).collect();
    assert_ne!(epochs.first(), epochs.last());
    let talk = events[0].data["conversation_id"].as_str().unwrap();
    let kinds = server.kinds(talk);
    assert_eq!(kinds.iter().filter(|kind| *kind == "FinalAnswerSynthesized").count(), 1, "{kinds:?}");
    server.cli(&["verify"]);
}

#[test]
fn whoever_comes_late_or_comes_back_has_every_piece_once() {
    let model = model();
    let server = Server::start(asking(&model));
    let mut first = Listener::ask(&server, &question(), &[]);
    let early = some(&mut first, 6);
    let late = Listener::resume(&server, &url(&early), "");
    let back = Listener::resume(&server, &url(&early), &early.last().unwrap().id);
    let readers = std::thread::scope(|scope| {
        let readers = [late, back].map(|reader| scope.spawn(move || reader.rest()));
        readers.map(|reader| reader.join().unwrap())
    });
    let [late, back] = readers;
    sound(&late, 0);
    sound(&[early.clone(), back].concat(), 0);
    let piece = |events: &[Event]| events.iter().find(|event| event.name == "answer").unwrap().data.clone();
    assert!(piece(&late)["text"].as_str().unwrap().len() > piece(&early)["text"].as_str().unwrap().len());
    sound(&[early, first.rest()].concat(), 0);
}

#[cfg(feature = "kafka")]
#[test]
fn a_writer_in_another_process_is_heard_through_kafka() {
    let Some(cluster) = callboard_testkit::kafka::shared() else { return };
    let (model, prefix) = (model(), callboard_testkit::unique_name("chunks-"));
    let options = asking(&model).kafka(&cluster.bootstrap(), &prefix);
    let server = Server::start(options.clone().arg("--without").arg("synthesis"));
    let folder = tempfile::tempdir().unwrap();
    let args = ["worker", "--synthesis"];
    let writer = crate::world::launch(&folder, &args, &options);
    let mut listener = Listener::ask(&server, &question(), &[]);
    let mut events = some(&mut listener, 4);
    writer.sigkill().unwrap();
    let _writer = crate::world::launch(&folder, &args, &options);
    events.extend(listener.rest());
    sound(&events, 1);
    let topic = format!("{prefix}answer-chunks");
    let chunks = cluster.console_consumer(&topic, 4, Duration::from_secs(20), &[]).unwrap();
    assert!(
        chunks.lines().iter().any(|line| line.contains("io.callboard.chunk.AnswerChunk.v1")),
        "{chunks:?}"
    );
    let talk = events[0].data["conversation_id"].as_str().unwrap();
    assert!(!server.kinds(talk).iter().any(|kind| kind == "AnswerChunk"));
}

#[test]
fn what_the_readme_shows_survives_kill_9() {
    let model = model();
    model.pause_between_chunks(Duration::from_millis(50));
    let server = Server::start(asking(&model));
    let shown = blocks("README.md", "python");
    let shown = shown.iter().find(|block| block.contains("openai")).expect("the README shows it");
    assert!(shown.lines().count() <= 14, "it is short");
    let Some(script) = Client::Python.script(&shown.replace("http://127.0.0.1:8080", &server.url)) else {
        return;
    };
    let script = script.start().unwrap();
    // What it prints is one line until the end, so that the model server says how far it is.
    wait::until(PATIENCE, "the answer begins", || {
        model.requests().iter().any(|request| {
            request.method == "POST" && !request.json().to_string().contains("You are the planner")
        })
    })
    .unwrap();
    let server = server.kill_and_restart_there();
    let ended = script.wait_exit(PATIENCE).unwrap_or_else(|error| panic!("{error}\n{}", script.tail()));
    assert!(ended.success(), "{}", script.tail());
    let said = script.stdout();
    assert!(said.contains("The answer so far is void.") && said.trim_end().ends_with(ANSWER), "{said}");
    let page = server.get("/v1/conversations");
    let talks = page["conversations"].as_array().unwrap();
    assert_eq!(talks.len(), 1, "one conversation");
    let talk = talks[0]["conversation_id"].as_str().unwrap();
    assert_eq!(server.get(&format!("/v1/conversations/{talk}"))["turns"], 1, "one turn");
}
