//! `callboard ask`: one question, its answer, and with it the conversation to go on with.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Client, Miss, Request, block_on, say, say_json};
use super::live::{Heard, listen};
use super::{AskArgs, Failure, Global, Outcome};

/// The server holds a request at most this long; longer waits ask again.
const MOST_PER_REQUEST_S: f64 = 300.0;
/// Between two tries while the server is away: it starts within seconds.
const PAUSE: Duration = Duration::from_secs(1);

pub fn run(global: &Global, args: &AskArgs) -> Outcome {
    let client = Client::new(global)?;
    let conversation = args.conversation.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    // Before anything is sent: whatever happens to the server meanwhile, the question can be found again.
    eprintln!("(conversation {conversation})");
    let aloud = args.stream || std::io::stdout().is_terminal();
    let (turn, spoken) = block_on(ask(&client, &args.text, &conversation, args.wait, aloud && !global.json))?;
    if global.json {
        say_json(&turn)?;
    } else if !spoken || turn["status"] != "answered" {
        print(&turn)?;
    }
    match turn["status"].as_str() {
        Some("answered") => Ok(()),
        _ => Err(Failure::Said),
    }
}

/// Prints what a turn came to.
pub fn print(turn: &Value) -> Outcome {
    let error = &turn["error"];
    match turn["status"].as_str() {
        Some("answered") => say(turn["answer"].as_str().unwrap_or_default()),
        Some("pending") => {
            eprintln!(
                "no answer yet; the question is safe: `callboard inspect {}`",
                turn["conversation_id"].as_str().unwrap_or("?")
            );
            Ok(())
        }
        other => {
            let detail = error["detail"].as_str().unwrap_or("no reason was recorded");
            eprintln!("{}: {detail}", other.unwrap_or("failed"));
            Ok(())
        }
    }
}

/// Asks, and waits up to `wait_s` for the turn to end. Every attempt says the same with the same key: it joins the
/// turn that an earlier one made, so that a server may die and come back meanwhile, and there is one turn. `aloud` prints the
/// answer as it is written; with the turn comes whether that was done.
///
/// # Errors
/// What the server refuses; also when there is no server at all, or none that answers before the wait is over.
pub async fn ask(
    client: &Client,
    text: &str,
    conversation: &str,
    wait_s: u64,
    aloud: bool,
) -> Result<(Value, bool), Failure> {
    let key = uuid::Uuid::now_v7().to_string();
    let body = json!({ "message": text, "conversation_id": conversation });
    let began = Instant::now();
    let wait = Duration::from_secs(wait_s);
    let mut left = wait;
    // Nobody has ever been there until somebody answers or breaks off.
    let mut met = false;
    let mut said = false;
    let mut heard = Heard::default();
    loop {
        let seconds = left.as_secs_f64().ceil().min(MOST_PER_REQUEST_S);
        let request = Request::post("/v1/chat", body.clone())
            .header("Idempotency-Key", key.clone())
            .header("Prefer", format!("wait={seconds}"));
        let outcome = if aloud {
            listen(client, &body, &key, left, &mut heard).await
        } else {
            client.attempt(request).await
        };
        left = wait.saturating_sub(began.elapsed());
        match outcome {
            Ok(turn) if turn["status"] != "pending" || left.is_zero() => return Ok((turn, heard.spoken)),
            Ok(_) => {}
            Err(Miss::Final(failure)) => return Err(failure),
            Err(Miss::NoServer(failure)) if !met => return Err(failure),
            Err(Miss::NoServer(failure) | Miss::Passing(failure)) => {
                if left <= PAUSE {
                    return Err(failure);
                }
                if !said {
                    eprintln!("{failure}; trying again, with the same key");
                    said = true;
                }
                tokio::time::sleep(PAUSE).await;
                left = wait.saturating_sub(began.elapsed());
            }
        }
        met = true;
    }
}
