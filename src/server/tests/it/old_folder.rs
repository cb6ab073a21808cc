//! A data folder of an older build opens: its log is read as it is, its snapshots are of another fold, or of the engine that was the
//! default then, and are rebuilt.
//! `tests/data/folder-fold-1.tar.xz` was written by the build before FOLD_VERSION 2: two conversations with answered turns (one
//! sent with the key `old-key`), and one whose step was running when the server stopped.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::world::{Options, Server};

fn unpacked() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/folder-fold-1.tar.xz");
    let tar = Command::new("tar").arg("xf").arg(archive).arg("-C").arg(folder.path()).status().unwrap();
    assert!(tar.success(), "tar and xz are needed");
    folder
}

#[test]
fn a_folder_of_the_fold_before_opens_is_rebuilt_and_answers() {
    opens("sled", "rebuilding from the log");
}

#[test]
fn a_folder_of_the_engine_before_opens_is_rebuilt_and_answers() {
    opens("fjall", "snapshots of another engine are not used");
}

fn opens(engine: &str, said: &str) {
    let server = Server::start_in(unpacked(), Options::default().env("CALLBOARD__SNAPSHOTS__ENGINE", engine));
    let history = server.get("/v1/conversations/old-one/history");
    let answers: Vec<&str> =
        history["turns"].as_array().unwrap().iter().map(|turn| turn["answer"].as_str().unwrap()).collect();
    assert_eq!(answers, ["17% of 2340 = 397.8\n12 miles = 19.312128 km", "one\ntwo"]);
    let words = server.process.tail();
    assert!(words.contains(said), "the old snapshots are not taken as they are:\n{words}");
    // The old key still means the old turn.
    let body = json!({ "message": "echo kept", "conversation_id": "old-two" }).to_string();
    let (status, turn, headers) = server.post("/v1/chat", &[("Idempotency-Key", "old-key")], body);
    assert_eq!((status, &turn["answer"]), (200, &json!("kept")), "{turn}");
    assert!(headers.contains_key("idempotent-replayed"), "{headers:?}");
    // The turn that was running then ends, by its deadline if nothing else: the log's time went on without it.
    let open = server.get("/v1/conversations/old-open/turns/1");
    let ended = server.ended("old-open", open["command_id"].as_str().unwrap());
    assert!(["failed", "answered"].contains(&ended["status"].as_str().unwrap()), "{ended}");
    let body = json!({ "message": "what is 2+3?", "conversation_id": "old-one" }).to_string();
    let (status, turn, _) = server.post("/v1/chat", &[], body);
    assert_eq!((status, &turn["turn"], &turn["answer"]), (200, &json!(3), &json!("2 + 3 = 5")), "{turn}");
    server.cli(&["verify"]);
    let server = server.kill_and_restart();
    assert_eq!(server.get("/v1/conversations/old-one")["turns"], 3);
    server.cli(&["verify"]);
}
