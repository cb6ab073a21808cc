//! `callboard chat`: a conversation at the terminal. An empty line or Ctrl-D ends it; `/plan` shows the plan,
//! `/reset` clears the context. With `--json` every answer is one line of JSON.

use std::io::{BufRead, IsTerminal, Write};

use serde_json::{Value, json};

use super::ask::{ask, print};
use super::client::{Client, Request, block_on, say, say_json, segment};
use super::plan_table::table;
use super::{ChatArgs, Failure, Global, Outcome};

/// A person waits this long before asking again.
const WAIT_S: u64 = 120;

pub fn run(global: &Global, args: &ChatArgs) -> Outcome {
    let client = Client::new(global)?;
    let conversation = args.conversation.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    eprintln!(
        "conversation {conversation}; /plan shows the plan, /reset clears the context, an empty line ends"
    );
    let stdin = std::io::stdin();
    let prompt = stdin.is_terminal();
    let aloud = std::io::stdout().is_terminal() && !global.json;
    let mut lines = stdin.lock().lines();
    loop {
        if prompt {
            eprint!("> ");
            let _ = std::io::stderr().flush();
        }
        let Some(line) = lines.next() else { return Ok(()) };
        let line = line.map_err(Failure::job)?;
        let id = segment(&conversation);
        match line.trim() {
            "" => return Ok(()),
            "/plan" => {
                let path = format!("/v1/conversations/{id}/plan");
                let plan = block_on(client.json(Request::get(&path)));
                let show = |plan| if global.json { say_json(&plan) } else { say(&table(&plan)) };
                plan.and_then(show).or_else(complain)?;
            }
            "/reset" => {
                let path = format!("/v1/conversations/{id}/reset");
                let done = block_on(client.json(Request::post(&path, json!({}))));
                let show = |done| if global.json { say_json(&done) } else { say("the context is cleared") };
                done.and_then(show).or_else(complain)?;
            }
            text => {
                let turn = block_on(ask(&client, text, &conversation, WAIT_S, aloud));
                let show = |(turn, spoken): (Value, bool)| {
                    if global.json {
                        say_json(&turn)
                    } else if spoken && turn["status"] == "answered" {
                        Ok(())
                    } else {
                        print(&turn)
                    }
                };
                turn.and_then(show).or_else(complain)?;
            }
        }
    }
}

/// A failed question does not end the conversation.
fn complain(failure: Failure) -> Outcome {
    if failure == Failure::Said {
        return Err(failure);
    }
    eprintln!("{failure}");
    Ok(())
}
