//! `callboard approvals`: what waits for a person, and the person's word.

use serde_json::{Value, json};

use super::client::{Client, Request, block_on, say, say_json, segment};
use super::columns::{cell, columns, length, text};
use super::{ApprovalsArgs, ApprovalsCommand, Failure, Global, Outcome, WordArgs};

/// Arguments and messages are cut to this many characters; `--json` shows them whole.
const CELL: usize = 60;

pub fn run(global: &Global, args: &ApprovalsArgs) -> Outcome {
    match &args.command {
        None | Some(ApprovalsCommand::List) => list(global),
        Some(ApprovalsCommand::Approve { word, arguments }) => {
            let mut body = json!({ "decision": "approve" });
            if let Some(written) = arguments {
                let parsed: Value = serde_json::from_str(written).map_err(|error| {
                    Failure::usage(format!("--arguments {written:?} is no JSON ({error})"))
                })?;
                body["arguments"] = parsed;
            }
            decide(global, word, body)
        }
        Some(ApprovalsCommand::Reject { word }) => decide(global, word, json!({ "decision": "reject" })),
    }
}

fn list(global: &Global) -> Outcome {
    let client = Client::new(global)?;
    let approvals = block_on(client.all("/v1/approvals?limit=200", "approvals", usize::MAX))?;
    if global.json {
        return say_json(&json!({ "approvals": approvals }));
    }
    if approvals.is_empty() {
        return say("nothing waits for approval");
    }
    let head = ["EFFECT", "TOOL", "WAITS", "UNTIL", "ARGUMENTS", "MESSAGE"].map(str::to_owned);
    let row = |approval: &Value| {
        [
            text(&approval["effect_id"]),
            text(&approval["tool"]),
            length(approval["age_ms"].as_u64().unwrap_or(0)),
            text(&approval["expires_at"]),
            cell(&approval["arguments"], CELL),
            cell(&approval["message"], CELL),
        ]
    };
    let rows: Vec<_> = std::iter::once(head).chain(approvals.iter().map(row)).collect();
    say(&columns(&rows))
}

fn decide(global: &Global, word: &WordArgs, mut body: Value) -> Outcome {
    for (name, value) in [("by", &word.by), ("reason", &word.reason)] {
        if let Some(value) = value {
            body[name] = Value::from(value.as_str());
        }
    }
    let client = Client::new(global)?;
    // The conversation is the first part of the effect's id; what is no effect id the server names.
    let conversation = word.effect.split(':').next().unwrap_or(&word.effect);
    let path = format!("/v1/conversations/{}/approvals/{}", segment(conversation), segment(&word.effect));
    // The same request again, should the server go away before it answers, is the same command.
    let key = uuid::Uuid::new_v4().to_string();
    let request = || Request::post(&path, body.clone()).header("idempotency-key", key.clone());
    let done = block_on(client.insisting(request))?;
    if global.json {
        return say_json(&done);
    }
    let step = &done["step"];
    let now = text(&step["status"]).replace('_', " ");
    let said = if body["decision"] == "approve" { "approved" } else { "rejected" };
    let (of, turn, id) = (text(&done["conversation_id"]), &done["turn"], text(&step["id"]));
    say(&format!("{said}: {of} turn {turn} step {id} is {now}"))
}
