//! `callboard cancel` and `callboard reset`.

use serde_json::json;

use super::client::{Client, Request, block_on, say, say_json, segment};
use super::{CancelArgs, Global, OneConversation, Outcome};

pub fn cancel(global: &Global, args: &CancelArgs) -> Outcome {
    let client = Client::new(global)?;
    let id = segment(&args.id);
    let path = match &args.turn {
        Some(turn) => format!("/v1/conversations/{id}/turns/{}/cancel", segment(turn)),
        None => format!("/v1/conversations/{id}/cancel"),
    };
    let done = block_on(client.json(Request::post(&path, json!({ "reason": args.reason }))))?;
    if global.json {
        return say_json(&done);
    }
    say(&format!("turn {} is {}", done["turn"], done["status"].as_str().unwrap_or("?")))
}

pub fn reset(global: &Global, args: &OneConversation) -> Outcome {
    let client = Client::new(global)?;
    let path = format!("/v1/conversations/{}/reset", segment(&args.id));
    let done = block_on(client.json(Request::post(&path, json!({}))))?;
    if global.json { say_json(&done) } else { say("the context of later turns is cleared") }
}
