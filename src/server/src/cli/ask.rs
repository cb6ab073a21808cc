//! `callboard ask`: one question, its answer, and with it the conversation to go on with.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Client, Request, block_on, say, say_json, segment};
use super::{AskArgs, Failure, Global, Outcome};

/// The server holds a request at most this long; longer waits ask again.
const MOST_PER_REQUEST_S: u64 = 300;

pub fn run(global: &Global, args: &AskArgs) -> Outcome {
    let client = Client::new(global)?;
    let turn = block_on(ask(&client, &args.text, args.conversation.as_deref(), args.wait))?;
    if global.json {
        say_json(&turn)?;
    } else {
        print(&turn)?;
        eprintln!("(conversation {})", turn["conversation_id"].as_str().unwrap_or("?"));
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

/// Asks, and waits up to `wait_s` for the turn to end. The same key goes with every attempt, so that a lost
/// answer never makes a second turn.
pub async fn ask(
    client: &Client,
    text: &str,
    conversation: Option<&str>,
    wait_s: u64,
) -> Result<Value, Failure> {
    let until = Instant::now() + Duration::from_secs(wait_s);
    let mut body = json!({ "message": text });
    if let Some(id) = conversation {
        body["conversation_id"] = id.into();
    }
    let key = uuid::Uuid::now_v7().to_string();
    let first = wait_s.min(MOST_PER_REQUEST_S);
    let request = Request::post("/v1/chat", body)
        .header("Idempotency-Key", key)
        .header("Prefer", format!("wait={first}"));
    let mut turn = client.json(request).await?;
    while turn["status"] == "pending" && Instant::now() < until {
        let left = until.saturating_duration_since(Instant::now()).as_secs().clamp(1, MOST_PER_REQUEST_S);
        let (id, command) = (turn["conversation_id"].as_str(), turn["command_id"].as_str());
        let path = format!(
            "/v1/conversations/{}/turns/{}",
            segment(id.unwrap_or("")),
            segment(command.unwrap_or(""))
        );
        turn = client.json(Request::get(&path).header("Prefer", format!("wait={left}"))).await?;
    }
    Ok(turn)
}
