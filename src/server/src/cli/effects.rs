//! `callboard effects` and `callboard retry-now`: what is in doubt, and what a person says or does about it.

use serde_json::{Value, json};

use super::client::{Client, Request, block_on, say, say_json, segment};
use super::columns::{cell, columns, length, text};
use super::{EffectsCommand, Failure, Global, Outcome, RetryNowArgs, SettleArgs};

/// Arguments and reasons are cut to this many characters; `--json` shows them whole.
const CELL: usize = 60;

pub fn run(global: &Global, command: &EffectsCommand) -> Outcome {
    match command {
        EffectsCommand::List => list(global),
        EffectsCommand::Settle(args) => settle(global, args),
    }
}

fn list(global: &Global) -> Outcome {
    let client = Client::new(global)?;
    let effects = block_on(client.all("/admin/v1/effects?limit=200", "effects", usize::MAX))?;
    if global.json {
        return say_json(&json!({ "effects": effects }));
    }
    if effects.is_empty() {
        return say("nothing is in doubt");
    }
    let head = ["EFFECT", "TOOL", "TRIES", "TURN'S AGE", "ARGUMENTS", "WHY"].map(str::to_owned);
    let row = |effect: &Value| {
        [
            text(&effect["effect_id"]),
            text(&effect["tool"]),
            text(&effect["attempts"]),
            length(effect["age_ms"].as_u64().unwrap_or(0)),
            cell(&effect["arguments"], CELL),
            cell(&effect["reason"], CELL),
        ]
    };
    let rows: Vec<_> = std::iter::once(head).chain(effects.iter().map(row)).collect();
    say(&columns(&rows))
}

fn settle(global: &Global, args: &SettleArgs) -> Outcome {
    let mut body = json!({ "outcome": if args.not_done { "not_done" } else { "done" } });
    if let Some(result) = &args.done {
        let parsed: Value = serde_json::from_str(result).map_err(|error| {
            Failure::usage(format!(
                "--done {result:?} is no JSON ({error}); text needs quotes: --done '\"paid\"'"
            ))
        })?;
        body["result"] = parsed;
    }
    if let Some(attempt) = args.attempt {
        body["attempt"] = Value::from(attempt);
    }
    for (name, value) in [("by", &args.by), ("why", &args.why)] {
        if let Some(value) = value {
            body[name] = Value::from(value.as_str());
        }
    }
    ask(global, &args.effect, "settle", body)
}

pub fn retry_now(global: &Global, args: &RetryNowArgs) -> Outcome {
    ask(global, &args.effect, "retry-now", json!({ "by": args.by }))
}

fn ask(global: &Global, effect: &str, verb: &str, body: Value) -> Outcome {
    let client = Client::new(global)?;
    let path = format!("/admin/v1/effects/{}/{verb}", segment(effect));
    // The same request again, should the server go away before it answers, is the same command.
    let key = uuid::Uuid::new_v4().to_string();
    let request = || Request::post(&path, body.clone()).header("idempotency-key", key.clone());
    let done = block_on(client.insisting(request))?;
    if global.json {
        return say_json(&done);
    }
    let step = &done["step"];
    say(&format!(
        "{} turn {} step {} is {}",
        text(&done["conversation_id"]),
        done["turn"],
        text(&step["id"]),
        text(&step["status"]).replace('_', " ")
    ))
}
