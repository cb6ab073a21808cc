//! Settings are judged before anything starts, in sentences that name the key.

use std::collections::BTreeMap;

use callboard_mcp::{ServerConfig, Settings};
use serde_json::{Value, json};

fn judged(name: &str, written: Value) -> Result<Settings, String> {
    let config: ServerConfig = serde_json::from_value(written).map_err(|error| error.to_string())?;
    let configs = BTreeMap::from([(name.to_owned(), config)]);
    Settings::judge(&configs).map(|mut all| all.remove(0)).map_err(|error| error.to_string())
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    let command = |more: Value| {
        let mut written = json!({ "command": "x" });
        written.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        written
    };
    for (written, beginning, word) in [
        (json!({}), "mcp.s.command", "a command to start or a url to reach"),
        (json!({ "command": "x", "url": "http://h" }), "mcp.s.url", "one of them"),
        (json!({ "command": " " }), "mcp.s.command", "empty"),
        (json!({ "command": "x", "headers": { "a": "b" } }), "mcp.s.headers", "url"),
        (json!({ "url": "http://h", "args": ["a"] }), "mcp.s.args", "command"),
        (json!({ "url": "http://h", "env": { "A": "b" } }), "mcp.s.env", "command"),
        (json!({ "url": "http://h", "cwd": "/" }), "mcp.s.cwd", "command"),
        (json!({ "url": "ftp://h" }), "mcp.s.url", "https://example.org/mcp"),
        (json!({ "url": "http://bob:hunter22@h" }), "mcp.s.url", "headers"),
        (json!({ "url": "http://h", "headers": { "a b": "c" } }), "mcp.s.headers", "no header name"),
        (json!({ "url": "http://h", "headers": { "Accept": "c" } }), "mcp.s.headers", "itself"),
        (
            json!({ "url": "http://h", "headers": { "x-a": "hunter22\n" } }),
            "mcp.s.headers.x-a",
            "no header takes",
        ),
        (command(json!({ "env": { "A=B": "c" } })), "mcp.s.env", "no environment variable"),
        (command(json!({ "timeout_ms": 0 })), "mcp.s.timeout_ms", "1 to 3600000"),
        (command(json!({ "start_timeout_ms": 600_001 })), "mcp.s.start_timeout_ms", "1 to 600000"),
        (command(json!({ "approval_timeout_ms": 5 })), "mcp.s.approval_timeout_ms", "set approval = true"),
        (command(json!({ "concurrency": 0 })), "mcp.s.concurrency", "1 to 1024"),
        (command(json!({ "pool": "a b" })), "mcp.s.pool", "[A-Za-z0-9_-]"),
        (command(json!({ "tools": [] })), "mcp.s.tools", "leave it out"),
        (command(json!({ "effect": "safe" })), "mcp.s.effect", "pure, idempotent and unsafe"),
        (command(json!({ "effects": { "t": "reconcilable" } })), "mcp.s.effects.t", "no probe"),
    ] {
        let error = judged("s", written.clone()).unwrap_err();
        assert!(error.starts_with(&format!("{beginning} ")) && error.contains(word), "{written}: {error}");
        assert!(!error.contains("hunter22"), "{error}");
    }
    for name in ["My", "my_files", "1st", "", "a.b", &"x".repeat(33)] {
        let error = judged(name, json!({ "command": "x" })).unwrap_err();
        assert!(error.contains("no name for a server"), "{error}");
    }
    assert!(judged("s", json!({ "comand": "x" })).unwrap_err().contains("comand"));
}

#[test]
fn what_is_right_is_taken_and_its_secrets_are_not_shown() {
    let written = json!({
        "url": "https://h/mcp?key=hunter22", "headers": { "Authorization": "Bearer hunter22" }, "pool": "p"
    });
    let settings = judged("git-hub", written).unwrap();
    assert_eq!((settings.name(), settings.pool()), ("git-hub", "p"));
    let written = json!({ "command": "npx", "args": ["-y", "x"], "env": { "TOKEN": "hunter22" } });
    let stdio = judged("files", written).unwrap();
    assert_eq!(stdio.pool(), "mcp-files");
    let shown = format!("{:?} {stdio:?}", settings);
    assert!(!shown.contains("Bearer") && !shown.replace("key=hunter22", "").contains("hunter22"), "{shown}");
}
