//! A secret that somebody configures is in their file, and nowhere else: not in prompts, records, logs, answers, metrics,
//! the actor tree, what `config show` prints, or any file of the data folder. Also when a model server says it back.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use callboard_testkit::stubs::Weather;
use serde_json::{Value, json};

use crate::world::{Options, Server};

/// Each says what it is when it is found.
const CANARIES: [&str; 6] = [
    "sk-canary-openai-5f1c9a7be2",
    "canary-weather-8d40b6c1f3a9",
    "canary-of-alice-77e2d1c05b",
    "canary-kafka-password-31ac9",
    "canary-kafka-tls-6be02f44d8",
    "canary-tool-header-1a2b3c4d",
];

/// A model server that repeats the whole request's headers in its errors, as a careless one would; and a service of
/// somebody's own that does nothing else.
struct Parrot {
    address: SocketAddr,
    status: Arc<AtomicU16>,
    bodies: Arc<Mutex<Vec<String>>>,
}

impl Parrot {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (status, bodies) = (Arc::new(AtomicU16::new(200)), Arc::new(Mutex::new(Vec::new())));
        let (told, kept) = (status.clone(), bodies.clone());
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (told, kept) = (told.clone(), kept.clone());
                std::thread::spawn(move || serve(stream, told.load(Ordering::SeqCst), &kept));
            }
        });
        Self { address, status, bodies }
    }

    fn say(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn prompts(&self) -> String {
        self.bodies.lock().unwrap().join("\n")
    }
}

fn serve(stream: TcpStream, status: u16, kept: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body = String::from_utf8(body).unwrap();
    let request: Value = serde_json::from_str(&body).unwrap_or_default();
    kept.lock().unwrap().push(body);
    let status = if request["messages"].is_array() { status } else { 500 };
    let (kind, answer) = match status {
        200 => completion(&request),
        _ => {
            let message = format!("Incorrect request. You sent: {head}");
            ("application/json", json!({ "error": { "message": message, "code": "wrong" } }).to_string())
        }
    };
    let _ = write!(
        reader.into_inner(),
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{answer}",
        answer.len()
    );
}

/// A plan where a plan is wanted, a sentence elsewhere; streamed where that is wanted.
fn completion(request: &Value) -> (&'static str, String) {
    let planning =
        request["messages"][0]["content"].as_str().is_some_and(|text| text.contains("You are the planner"));
    let text = if planning {
        json!({ "steps": [
            { "id": "e", "tool": "echo", "arguments": { "text": "hi" }, "depends_on": [], "on_failure": "skip" },
            { "id": "w", "tool": "weather", "arguments": { "place": "Oslo" }, "depends_on": [], "on_failure": "skip" },
            { "id": "l", "tool": "lookup", "arguments": {}, "depends_on": [], "on_failure": "skip" },
        ], "then": "answer", "guidance": "" })
        .to_string()
    } else {
        "It was said.".to_owned()
    };
    let usage = json!({ "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 });
    if request["stream"] != true {
        let choice = json!({ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" });
        return (
            "application/json",
            json!({ "model": "m", "choices": [choice], "usage": usage }).to_string(),
        );
    }
    let chunk = json!({ "model": "m", "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": "stop" }] });
    let last = json!({ "model": "m", "choices": [], "usage": usage });
    ("text/event-stream", format!("data: {chunk}\n\ndata: {last}\n\ndata: [DONE]\n\n"))
}

/// Everything under a folder, by path.
fn files(folder: &Path, into: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, into);
        } else if let Ok(bytes) = std::fs::read(&path) {
            into.insert(path.display().to_string(), bytes);
        }
    }
}

fn config(parrot: &Parrot, weather: &Weather) -> String {
    let [openai, key_of_weather, alice, password, tls, header] = CANARIES;
    format!(
        r#"
planner.order = ["openai", "builtin"]
http.api_keys.alice = "{alice}"
kafka.properties."sasl.password" = "{password}"
kafka.properties."ssl.key.pem" = "{tls}"
[models.openai]
base_url = "http://{address}/v1"
api_key = "{openai}"
[tools.lookup]
run = "http"
url = "http://{address}/lookup"
effect = "pure"
description = "Looks something up."
max_attempts = 1
headers.authorization = "Bearer {header}"
schema = {{ type = "object" }}
[tools.weather]
base_url = "{}"
api_key = "{key_of_weather}"
max_attempts = 1
"#,
        weather.url(),
        address = parrot.address,
    )
}

/// Turns with a model server that answers, and with one that fails in every way.
fn turns(
    server: &Server,
    parrot: &Parrot,
    authorized: &[(&str, &str)],
    seen: &mut BTreeMap<String, Vec<u8>>,
) {
    for (name, status) in [
        ("a good turn", 200),
        ("a refused key", 401),
        ("a forbidden one", 403),
        ("a failure", 500),
        ("too many", 429),
    ] {
        parrot.say(status);
        let body =
            json!({ "message": "echo hi and the weather in Oslo", "conversation_id": format!("c-{status}") });
        let (code, turn, headers) = server.post("/v1/chat", authorized, body.to_string());
        assert!([200, 202].contains(&code), "{name}: {turn}");
        seen.insert(name.to_owned(), format!("{turn} {headers:?}").into_bytes());
    }
}

/// What the command line prints.
fn printed(server: &Server, seen: &mut BTreeMap<String, Vec<u8>>) {
    for args in [
        &["config", "show"][..],
        &["config", "show", "--json"],
        &["doctor"],
        &["events", "c-401"],
        &["actors"],
    ] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_callboard"))
            .args(args)
            .args(["--server", &server.url, "--api-key", CANARIES[2]])
            .current_dir(server.data.path())
            .output()
            .unwrap();
        seen.insert(args.join(" "), [output.stdout, output.stderr].concat());
    }
    assert!(
        String::from_utf8_lossy(&seen["config show"]).contains("models.openai.api_key"),
        "{:?}",
        seen["config show"]
    );
}

#[test]
fn secrets_stay_in_the_file_that_they_were_written_to() {
    let (parrot, weather) = (Parrot::start(), Weather::start().unwrap());
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("callboard.toml");
    std::fs::write(&file, config(&parrot, &weather)).unwrap();
    let options = Options::default()
        .arg("--allow-chaos")
        .env("CALLBOARD__PLANNER__ORDER", "openai,builtin")
        .env("CALLBOARD_LOG", "trace")
        .env("RUST_BACKTRACE", "full");
    let server = Server::start_in(data, options);
    let bearer = format!("Bearer {}", CANARIES[2]);
    let authorized = [("authorization", bearer.as_str()), ("prefer", "wait=60")];
    let mut seen = BTreeMap::new();
    turns(&server, &parrot, &authorized, &mut seen);
    // A wrong key is not said back, and neither is a right one.
    let wrong = format!("Bearer {}x", CANARIES[2]);
    let (code, problem, headers) =
        server.post("/v1/chat", &[("authorization", wrong.as_str())], json!({ "message": "x" }).to_string());
    assert_eq!(code, 401, "{problem}");
    seen.insert("a wrong key".to_owned(), format!("{problem} {headers:?}").into_bytes());
    // What a panic leaves in the log.
    let get = |path: &str| {
        let request = reqwest::blocking::Client::new().get(format!("{}{path}", server.url));
        request.header("authorization", &bearer).send().unwrap().bytes().unwrap().to_vec()
    };
    let tree: Value = serde_json::from_slice(&get("/admin/v1/actors")).unwrap();
    let victim = &tree["children"][0]["path"];
    let kill = json!({ "path": victim, "how": "panic" }).to_string();
    let killed = server.post("/admin/v1/actors/kill", &[("authorization", bearer.as_str())], kill);
    assert!(killed.0 < 300, "{victim}: {}", killed.1);
    callboard_testkit::wait::until(crate::world::PATIENCE, "the panic in the log", || {
        server.process.stderr().contains("panicked")
    })
    .unwrap();
    server.wait_ready();
    for path in [
        "/metrics",
        "/readyz",
        "/healthz",
        "/openapi.json",
        "/admin/v1/actors",
        "/admin/v1/effects",
        "/admin/v1/dead-letters",
        "/v1/conversations",
        "/v1/turns",
        "/v1/conversations/c-200",
        "/v1/conversations/c-500/plan",
        "/v1/conversations/c-401/history",
        "/v1/conversations/c-500/events?follow=false",
    ] {
        seen.insert(path.to_owned(), get(path));
    }
    assert!(String::from_utf8_lossy(&seen["/v1/conversations/c-500/plan"]).contains("\"steps\""));
    printed(&server, &mut seen);
    let prompts = parrot.prompts();
    assert!(prompts.contains("weather in Oslo"), "the model was asked: {prompts}");
    assert!(prompts.contains("- lookup:"), "and told of the tool: {prompts}");
    seen.insert("prompts".to_owned(), prompts.into_bytes());
    let weather_asked: Vec<String> =
        weather.requests().iter().map(|request| format!("{:?}", request.query)).collect();
    assert!(
        weather_asked.iter().any(|query| query.contains(CANARIES[1])),
        "the key is used: {weather_asked:?}"
    );
    assert_eq!(server.stop(), Some(0), "{}", server.process.tail());
    seen.insert("its log".to_owned(), (server.process.stdout() + &server.process.stderr()).into_bytes());
    files(&server.data.path().join("data"), &mut seen);
    no_canary_in(&seen);
}

fn no_canary_in(seen: &BTreeMap<String, Vec<u8>>) {
    assert!(seen.len() > 25, "{:?}", seen.keys());
    for (place, bytes) in seen {
        for canary in CANARIES {
            // The last characters are enough of a leak.
            let tail = &canary.as_bytes()[canary.len() - 12..];
            let found = bytes.windows(tail.len()).position(|window| window == tail);
            if let Some(at) = found {
                let around = &bytes[at.saturating_sub(200)..(at + 60).min(bytes.len())];
                panic!("{canary} is in {place}: …{}…", String::from_utf8_lossy(around));
            }
        }
    }
}
