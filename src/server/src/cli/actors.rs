//! `callboard actors`: the tree of a running server, once or redrawn every second.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

use serde_json::Value;

use super::client::{Client, Request, block_on, say, say_json};
use super::{ActorsArgs, Failure, Global, Outcome};

/// Quick enough to see a restart, slow enough to read.
const REDRAWN_EVERY: Duration = Duration::from_secs(1);
/// ANSI: clear the screen, cursor to its first place.
const CLEAR: &str = "\x1b[2J\x1b[H";

pub fn run(global: &Global, args: &ActorsArgs) -> Outcome {
    let client = Client::new(global)?;
    block_on(async {
        // Only a server that was there is waited for.
        show(global, &read(&client).await?, args.watch)?;
        if !args.watch {
            return Ok(());
        }
        loop {
            tokio::time::sleep(REDRAWN_EVERY).await;
            match read(&client).await {
                Ok(tree) => show(global, &tree, true)?,
                Err(failure) => eprintln!("{failure}"),
            }
        }
    })
}

async fn read(client: &Client) -> Result<Value, Failure> {
    client.json(Request::get("/admin/v1/actors")).await
}

fn show(global: &Global, tree: &Value, again: bool) -> Outcome {
    if global.json {
        return say_json(tree);
    }
    let mut text = String::new();
    if again && std::io::stdout().is_terminal() {
        text.push_str(CLEAR);
    }
    branch(tree, 0, &mut text);
    say(text.trim_end())
}

fn branch(actor: &Value, depth: usize, text: &mut String) {
    let path = actor["path"].as_str().unwrap_or("?");
    let name = if depth == 0 { path } else { path.rsplit('/').next().unwrap_or(path) };
    let mailbox = format!("{}/{}", actor["mailbox"]["depth"], actor["mailbox"]["capacity"]);
    let restarts = match actor["restarts"].as_u64() {
        Some(0) | None => String::new(),
        Some(n) => format!("  restarts {n}"),
    };
    let _ = writeln!(
        text,
        "{:indent$}{name}  [{}] {}  mailbox {mailbox}{restarts}",
        "",
        actor["kind"].as_str().unwrap_or("?"),
        actor["state"].as_str().unwrap_or("?"),
        indent = depth * 2
    );
    for child in actor["children"].as_array().unwrap_or(&Vec::new()) {
        branch(child, depth + 1, text);
    }
}
