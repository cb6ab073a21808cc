//! Tools of one's own, end to end: the files of `examples/` as they are, a service in FastAPI and a worker in Python.

use std::path::{Path, PathBuf};

use callboard_testkit::process::Process;
use callboard_testkit::python::Python;
use callboard_testkit::stubs::Counter;
use callboard_testkit::{ports, wait};
use serde_json::Value;
use tempfile::TempDir;

use crate::world::{Options, PATIENCE, Server, launch};

const FASTAPI: &[&str] = &["fastapi==0.165.0", "uvicorn==0.54.0"];

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// A folder with the examples' configuration, changed by `change`.
fn folder(change: impl Fn(String) -> String) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let written = std::fs::read_to_string(examples().join("callboard.toml")).unwrap();
    std::fs::write(folder.path().join("callboard.toml"), change(written)).unwrap();
    std::fs::copy(examples().join("report.schema.json"), folder.path().join("report.schema.json")).unwrap();
    folder
}

/// As for the embedded log: without the external tool.
fn embedded(written: String, address: &str) -> String {
    let without = written.split("[tools.report]").next().unwrap().to_owned();
    without.replace("127.0.0.1:8000", address)
}

#[test]
fn a_service_in_fifteen_lines_of_python() {
    let text = std::fs::read_to_string(examples().join("http_tool.py")).unwrap();
    assert!(text.lines().count() <= 15, "the example has 15 lines");
    let Some(python) = Python::with(FASTAPI) else { return };
    let port = ports::free_port().to_string();
    let service = python
        .launch()
        .folder(examples())
        .args(["-m", "uvicorn", "http_tool:app", "--port", &port])
        .start()
        .unwrap();
    let listens = || std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok();
    wait::until(PATIENCE, "the service listens", listens)
        .unwrap_or_else(|e| panic!("{e}\n{}", service.tail()));
    let folder = folder(|written| embedded(written, &format!("127.0.0.1:{port}")));
    let server = Server::start_in(folder, Options::default());
    let turn = server.ask(r#"refund {"order": "A-1"}"#);
    assert_eq!(turn["status"], "answered", "{turn}");
    let answer = turn["answer"].as_str().unwrap();
    assert!(answer.contains("\"order\":\"A-1\"") && answer.contains("\"refund\":1"), "{answer}");
    // Its schema is checked before anything is sent.
    let refused = server.ask(r#"refund {"number": 7}"#);
    assert!(refused["answer"].as_str().unwrap().contains("order"), "{refused}");
    let plan = server.plan(turn["conversation_id"].as_str().unwrap());
    assert_eq!(plan["steps"][0]["tool"], "refund", "{plan}");
    server.cli(&["verify"]);
}

#[test]
fn a_service_that_fails_is_asked_again_under_the_same_key_and_no_secret_is_shown() {
    let counter = Counter::start().unwrap();
    let address = counter.url().replace("http://", "");
    let folder = folder(|written| {
        embedded(written, &address)
            .replace("timeout_ms = 10000", "timeout_ms = 10000\nheaders.x-key = \"canary-4711\"")
    });
    counter.fail_next(1, 500);
    let server = Server::start_in(
        folder,
        Options::default()
            .env("CALLBOARD__TOOLS__REFUND__BACKOFF__INITIAL_MS", "50")
            .env("CALLBOARD__TOOLS__REFUND__BACKOFF__MAX_MS", "500"),
    );
    let turn = server.ask(r#"refund {"order": "A-1"}"#);
    assert_eq!(turn["status"], "answered", "{turn}");
    let requests = counter.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].header("idempotency-key"), requests[1].header("idempotency-key"));
    assert_eq!(requests[1].header("callboard-attempt"), Some("2"));
    assert_eq!(requests[1].header("x-key"), Some("canary-4711"));
    let id = turn["conversation_id"].as_str().unwrap();
    let seen =
        [server.cli(&["events", id, "--json"]), server.cli(&["config", "show"]), server.process.tail()];
    assert!(seen.iter().all(|text| !text.contains("canary-4711")), "{seen:?}");
}

#[test]
fn wrong_settings_stop_the_start_with_a_sentence() {
    for (table, words) in [
        ("[tools.refund]\nrun = \"http\"\n", "tools.refund.effect is missing"),
        ("[tools.wether]\ntimeout_ms = 5\n", "did you mean tools.weather?"),
        ("[tools.math]\nrun = \"http\"\n", "math is a built-in tool"),
        ("[tools.math]\ntimeout_ms = \"long\"\n", "tools.math.timeout_ms: invalid type"),
        ("[tools.refund]\nrun = \"http\"\nconcurrency = \"all\"\n", "tools.refund.concurrency: invalid type"),
        ("[tools.http_get]\nallow = [\"10.0.0.1\"]\n", "tools.http_get.allow has \"10.0.0.1\""),
        (
            "[tools.far]\nrun = \"external\"\neffect = \"pure\"\ndescription = \"x\"\nschema = { type = \"object\" }\n",
            "tools.far.run is \"external\", which needs Kafka",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("callboard.toml"), table).unwrap();
        let process = launch(&folder, &["serve", "--listen", "127.0.0.1:0"], &Options::default());
        assert_eq!(process.wait_exit(PATIENCE).unwrap().code(), Some(2), "{}", process.tail());
        assert!(process.stderr().contains(words), "{words}: {}", process.stderr());
    }
}

/// The blocks of `language` in a document.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join(document)).unwrap();
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_configurations_that_the_documents_show_are_taken() {
    let shown = [blocks("docs/tools.md", "toml"), blocks("README.md", "toml")].concat();
    assert!(shown.len() >= 5, "{shown:?}");
    for text in shown {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("callboard.toml"), &text).unwrap();
        let process = launch(&folder, &["doctor", "--json"], &Options::default());
        process.wait_exit(PATIENCE).unwrap();
        let said: Value =
            serde_json::from_str(&process.stdout()).unwrap_or_else(|_| panic!("{}", process.tail()));
        let findings = said["findings"].as_array().unwrap();
        let tools = findings.iter().find(|finding| finding["what"] == "tools").unwrap();
        assert_eq!(tools["ok"], true, "{tools}\n{text}");
        for table in text.lines().filter_map(|line| line.strip_prefix("[tools.")) {
            let name = table.split(['.', ']']).next().unwrap();
            assert!(tools["says"].as_str().unwrap().contains(name), "{name}: {tools}");
        }
    }
}

#[cfg(feature = "kafka")]
fn worker(python: &Python, brokers: &str, prefix: &str) -> Process {
    let worker = python.launch().arg(examples().join("external-worker.py"));
    worker.env("KAFKA_BROKERS", brokers).env("TOPIC_PREFIX", prefix).start().unwrap()
}

#[cfg(feature = "kafka")]
#[test]
fn a_worker_in_sixty_lines_of_python_over_kafka() {
    let text = std::fs::read_to_string(examples().join("external-worker.py")).unwrap();
    assert!(text.lines().count() <= 60, "the example has at most 60 lines");
    let Some(cluster) = callboard_testkit::kafka::shared() else { return };
    let Some(python) = Python::with(&["confluent-kafka==2.16.1"]) else { return };
    let prefix = callboard_testkit::unique_name("external-");
    let brokers = cluster.bootstrap();
    let server = Server::start_in(folder(|written| written), Options::default().kafka(&brokers, &prefix));
    // Nobody serves it yet: the request waits, and this process leaves it alone.
    let (conversation, command) =
        server.send("report {\"title\": \"Kettles\"}\necho {\"text\": \"meanwhile\"}");
    let echoed = || server.plan(&conversation)["steps"][1]["status"] == "done";
    let planned = || server.try_kinds(&conversation).iter().any(|kind| kind == "ToolInvocationResulted");
    wait::until(PATIENCE, "the other step has ended", || planned() && echoed()).unwrap();
    let worker = worker(&python, &brokers, &prefix);
    let turn = server.ended(&conversation, &command);
    assert_eq!(turn["status"], "answered", "{turn}\n{}", worker.tail());
    let answer = turn["answer"].as_str().unwrap();
    assert!(answer.contains("\"pages\":7") || answer.contains("\"pages\": 7"), "{answer}");
    let plan = server.plan(&conversation);
    assert_eq!(plan["steps"][0]["tool"], "report", "{plan}");
    // An error of the worker's is the step's error.
    let turn = server.ask("report {\"title\": \" \"}");
    assert_eq!(turn["status"], "failed", "{turn}\n{}", worker.tail());
    assert!(turn["error"]["detail"].as_str().unwrap().contains("a report needs a title"), "{turn}");
    let letters: Value = serde_json::from_str(&server.cli(&["dlq", "list", "--json"])).unwrap_or(Value::Null);
    assert!(!letters.to_string().contains("tool-invocation-requests"), "{letters}");
    server.cli(&["verify"]);
}
