//! `callboard actors`: the tree of a running server.

use serde_json::Value;

use super::client::{Client, Request, block_on, say, say_json};
use super::{Global, Outcome};

pub fn run(global: &Global) -> Outcome {
    let client = Client::new(global)?;
    let tree = block_on(client.json(Request::get("/admin/v1/actors")))?;
    if global.json { say_json(&tree) } else { branch(&tree, 0) }
}

fn branch(actor: &Value, depth: usize) -> Outcome {
    let path = actor["path"].as_str().unwrap_or("?");
    let name = if depth == 0 { path } else { path.rsplit('/').next().unwrap_or(path) };
    let mailbox = format!("{}/{}", actor["mailbox"]["depth"], actor["mailbox"]["capacity"]);
    let restarts = match actor["restarts"].as_u64() {
        Some(0) | None => String::new(),
        Some(n) => format!("  restarts {n}"),
    };
    say(&format!(
        "{:indent$}{name}  [{}] {}  mailbox {mailbox}{restarts}",
        "",
        actor["kind"].as_str().unwrap_or("?"),
        actor["state"].as_str().unwrap_or("?"),
        indent = depth * 2
    ))?;
    for child in actor["children"].as_array().unwrap_or(&Vec::new()) {
        branch(child, depth + 1)?;
    }
    Ok(())
}
