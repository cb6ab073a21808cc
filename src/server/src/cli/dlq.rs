//! `callboard dlq`: records that were given up, with reason and place.

use serde_json::Value;

use super::client::{Client, Request, block_on, say, say_json, segment};
use super::{DlqCommand, Global, Outcome};

pub fn run(global: &Global, command: &DlqCommand) -> Outcome {
    let client = Client::new(global)?;
    match command {
        DlqCommand::List => {
            let page = block_on(client.json(Request::get("/admin/v1/dead-letters")))?;
            if global.json { say_json(&page) } else { list(&page) }
        }
        DlqCommand::Show { id } => {
            let path = format!("/admin/v1/dead-letters/{}", segment(id));
            let letter = block_on(client.json(Request::get(&path)))?;
            if global.json { say_json(&letter) } else { show(&letter) }
        }
    }
}

fn text<'a>(letter: &'a Value, name: &str) -> &'a str {
    letter[name].as_str().unwrap_or("?")
}

fn list(page: &Value) -> Outcome {
    let empty = Vec::new();
    let letters = page["dead_letters"].as_array().unwrap_or(&empty);
    for letter in letters {
        let (id, reason, detail) = (text(letter, "id"), text(letter, "reason"), text(letter, "detail"));
        say(&format!("{}  {id}  {reason}  {detail}", text(letter, "at")))?;
    }
    if page["truncated"] == true {
        eprintln!("(older ones are left out)");
    }
    if letters.is_empty() { say("no dead letters") } else { Ok(()) }
}

fn show(letter: &Value) -> Outcome {
    for name in ["id", "at", "reason", "detail", "key"] {
        say(&format!("{name}: {}", text(letter, name)))?;
    }
    say(&format!("attempt: {}\n{}", letter["attempt"], text(letter, "value")))
}
