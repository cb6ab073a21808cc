//! `callboard eval`, as its users run it.

use std::process::Command;

use serde_json::Value;

use crate::world::{Options, Server};

/// The suite that ships.
fn shipped() -> String {
    format!("{}/../../eval/questions.toml", env!("CARGO_MANIFEST_DIR"))
}

/// Runs the command in an empty folder, without anybody's configuration; exit code, output, errors.
fn eval(args: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_callboard"));
    command.arg("eval").args(args).current_dir(folder.path());
    for name in
        ["KAFKA_BROKERS", "KAFKA_BOOTSTRAP_SERVERS", "OLLAMA_HOST", "OPENAI_API_KEY", "CALLBOARD_SERVER"]
    {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

#[test]
fn the_shipped_questions_are_asked_on_a_server_of_its_own_and_scored() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("scores.json");
    let (code, said, wrong) = eval(&[
        &shipped(),
        "--provider",
        "builtin",
        "--concurrency",
        "8",
        "--min-score",
        "0.5",
        "--out",
        out.to_str().unwrap(),
    ]);
    assert_eq!(code, 0, "{said}{wrong}");
    assert!(
        said.contains("QUESTION") && said.contains("three-sums") && said.contains("planned by builtin"),
        "{said}"
    );
    let report: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    let questions = report["questions"].as_array().unwrap();
    assert!(questions.len() >= 30, "{}", questions.len());
    let of = |id: &str| questions.iter().find(|question| question["id"] == id).unwrap();
    for right in ["percent", "three-sums", "convert-then-tax", "three-currencies", "hello"] {
        assert_eq!(of(right)["score"], 1.0, "{}", of(right));
    }
    // It is no language model, and the score says so.
    assert!(of("recall")["score"].as_f64().unwrap() < 1.0, "{}", of("recall"));
    assert_eq!(report["total"]["plan_validity"], 1.0);
    assert_eq!(report["total"]["input_tokens"], 0);
    let kinds = report["kinds"].as_object().unwrap();
    for kind in [
        "single",
        "parallel",
        "dependent",
        "multi-turn",
        "looping",
        "retrieval",
        "small-talk",
        "unanswerable",
        "refused",
    ] {
        assert!(kinds.contains_key(kind), "{kind}");
    }
}

#[test]
fn a_score_below_the_least_fails_and_says_so() {
    let (code, said, wrong) =
        eval(&[&shipped(), "--provider", "builtin", "--only", "recall", "--min-score", "1", "--why"]);
    assert_eq!(code, 1, "{said}{wrong}");
    assert!(wrong.contains("below --min-score 1"), "{wrong}");
    assert!(said.contains("recall: ") && said.contains("4711"), "{said}");
}

#[test]
fn a_running_server_is_asked_when_it_is_named() {
    let server = Server::start(Options::default());
    let (code, said, wrong) =
        server.cli_raw(&["eval", &shipped(), "--only", "percent,two-cities", "--json", "--repeat", "2"]);
    assert_eq!(code, 0, "{said}{wrong}");
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["total"]["questions"], 4);
    assert_eq!(report["questions"][0]["score"], 1.0, "{report}");
    // Its weather is the world's, of which the file knows nothing.
    assert_eq!(report["questions"][2]["answer_facts"].as_f64().unwrap_or_default(), 0.0, "{report}");
    let conversation = report["questions"][1]["conversation_id"].as_str().unwrap();
    assert_eq!(server.kinds(conversation)[0], "UserQueryReceived");
}

#[test]
fn what_cannot_be_evaluated_is_said_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    std::fs::write(&file, "[[question]]\nid = \"a\"\nkind = \"k\"\nmesage = \"x\"\n").unwrap();
    let (code, _, wrong) = eval(&[file.to_str().unwrap()]);
    assert_eq!(code, 2, "{wrong}");
    assert!(wrong.contains("mine.toml, line 4") && wrong.contains("mesage"), "{wrong}");
    for (args, words) in [
        (vec!["nothing-here.toml"], "nothing-here.toml"),
        (vec![shipped().leak() as &str, "--only", "nobody"], "--only nobody"),
        (vec![shipped().leak() as &str, "--provider", "openai"], "OPENAI_API_KEY"),
        (vec![shipped().leak() as &str, "--min-score", "2"], "between 0 and 1"),
        (vec![shipped().leak() as &str, "--server", "http://127.0.0.1:1", "--only", "percent"], "no server"),
    ] {
        let (code, said, wrong) = eval(&args);
        assert_ne!(code, 0, "{args:?}: {said}");
        assert!(wrong.contains(words), "{args:?}: {wrong}");
    }
}
