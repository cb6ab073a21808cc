//! `callboard dlq`: records that were given up, with reason and place; `redrive` appends them again.

mod redrive;

use serde_json::{Value, json};

use super::client::{Client, Request, block_on, say, say_json, segment};
use super::columns::text;
use super::{DlqCommand, Failure, Global, Letters, Outcome};

pub fn run(global: &Global, command: &DlqCommand) -> Outcome {
    let client = Client::new(global)?;
    match command {
        DlqCommand::List { which, limit } => {
            let (letters, truncated) = block_on(letters(&client, which, limit.unwrap_or(usize::MAX)))?;
            if global.json {
                return say_json(&json!({ "dead_letters": letters, "truncated": truncated }));
            }
            list(&letters, truncated)
        }
        DlqCommand::Show { id } => {
            let path = format!("/admin/v1/dead-letters/{}", segment(id));
            let letter = block_on(client.json(Request::get(&path)))?;
            if global.json { say_json(&letter) } else { show(&letter) }
        }
        DlqCommand::Redrive(args) => redrive::run(global, &client, args),
    }
}

/// All letters that are wanted, page by page, and whether the server left older ones out.
async fn letters(client: &Client, which: &Letters, limit: usize) -> Result<(Vec<Value>, bool), Failure> {
    let mut path = String::from("/admin/v1/dead-letters?limit=500");
    for (name, value) in which.set() {
        path.push_str(&format!("&{name}={}", segment(value)));
    }
    let mut truncated = false;
    let letters =
        client.pages(&path, "dead_letters", limit, |page| truncated |= page["truncated"] == true).await?;
    Ok((letters, truncated))
}

/// What can be done about a letter, in a word or two.
fn standing(letter: &Value) -> String {
    match (letter["redriven"]["by"].as_str(), letter["stays"]["code"].as_str()) {
        (Some(by), _) => format!("redriven by {by}"),
        (None, Some(code)) => format!("stays: {code}"),
        (None, None) => "may be redriven".to_owned(),
    }
}

fn list(letters: &[Value], truncated: bool) -> Outcome {
    for letter in letters {
        let of = |name: &str| text(&letter[name]);
        say(&format!(
            "{}  {}  {}  [{}]  {}",
            of("at"),
            of("id"),
            of("reason"),
            standing(letter),
            of("detail")
        ))?;
    }
    if truncated {
        eprintln!("(older ones are left out: there are more than the server keeps in mind)");
    }
    if letters.is_empty() { say("no dead letters") } else { Ok(()) }
}

fn show(letter: &Value) -> Outcome {
    for name in ["id", "at", "reason", "detail", "key", "attempt", "redrive_of"] {
        if !letter[name].is_null() {
            say(&format!("{name}: {}", text(&letter[name])))?;
        }
    }
    say(&format!("redrive: {}", standing(letter)))?;
    if let Some(why) = letter["stays"]["detail"].as_str() {
        say(&format!("  {why}"))?;
    }
    say(&text(&letter["value"]))
}
