//! The example as a user has it: started, asked, killed, asked again.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use callboard_testkit::process::{Launch, Process};
use callboard_testkit::{ports, wait};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_own-tool");

fn serve(folder: &Path, address: &str) -> Process {
    let launch = Launch::new(PROGRAM).folder(folder).args(["serve", "--listen", address]);
    launch
        .env("CALLBOARD__PLANNER__ORDER", "builtin")
        .env("CALLBOARD__TOOLS__DICE__TIMEOUT_MS", "1234")
        .start()
        .unwrap()
}

fn run(folder: &Path, address: &str, args: &[&str]) -> (bool, String) {
    let server = format!("http://{address}");
    let output =
        Command::new(PROGRAM).args(args).args(["--server", &server]).current_dir(folder).output().unwrap();
    let said = if args.contains(&"--json") { output.stdout } else { [output.stdout, output.stderr].concat() };
    let text = String::from_utf8_lossy(&said).into_owned();
    (output.status.success(), text)
}

#[test]
fn a_tool_in_rust_is_planned_run_and_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", ports::free_port());
    let server = serve(folder.path(), &address);
    let ready = || run(folder.path(), &address, &["ask", "dice {\"sides\": 6, \"count\": 3}", "--json"]).0;
    wait::until(Duration::from_secs(60), "it answers", ready)
        .unwrap_or_else(|e| panic!("{e}\n{}", server.tail()));
    let (_, said) = run(folder.path(), &address, &["ask", "dice {\"sides\": 2, \"count\": 100}", "--json"]);
    let turn: Value = serde_json::from_str(said.trim()).unwrap_or_else(|e| panic!("{e}: {said}"));
    let answer = turn["answer"].as_str().unwrap();
    assert!(answer.contains("\"dice\":[") && answer.contains("\"sum\":"), "{answer}");
    // Its settings are those of every tool, its schema is checked, its errors are told.
    let (_, refused) = run(folder.path(), &address, &["ask", "dice {\"sides\": 1}"]);
    assert!(refused.contains("sides"), "{refused}");
    let (_, failed) = run(folder.path(), &address, &["ask", "dice {\"sides\": 13}"]);
    assert!(failed.contains("bad luck"), "{failed}");
    let plan =
        run(folder.path(), &address, &["events", turn["conversation_id"].as_str().unwrap(), "--json"]).1;
    assert!(plan.replace(' ', "").contains("\"timeout_ms\":1234"), "{plan}");
    server.sigkill().unwrap();
    let again = serve(folder.path(), &address);
    let verified = || run(folder.path(), &address, &["verify"]).0;
    wait::until(Duration::from_secs(60), "the log replays", verified)
        .unwrap_or_else(|e| panic!("{e}\n{}", again.tail()));
}
