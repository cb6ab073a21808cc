//! `callboard events`: a conversation's records, one line each, from a server or from the data folder.

use futures_util::StreamExt;
use serde_json::Value;

use super::client::{Client, Request, block_on, say, segment};
use super::{EventsArgs, Failure, Global, Outcome};
use crate::offline::Offline;

pub fn run(global: &Global, args: &EventsArgs) -> Outcome {
    if global.offline {
        if args.follow {
            return Err(Failure::usage(
                "--follow needs a running server: nobody writes to a folder opened offline",
            ));
        }
        return block_on(async {
            let offline = Offline::open(global).await?;
            let done = offline.each_record(&args.id, |line| print(global.json, line, args.after)).await;
            offline.close().await;
            done
        });
    }
    let client = Client::new(global)?;
    let mut path = format!("/v1/conversations/{}/events?follow={}", segment(&args.id), args.follow);
    if let Some(after) = args.after {
        path.push_str(&format!("&after={after}"));
    }
    block_on(async {
        let response = client.wanted(Request::get(&path).accept("application/x-ndjson"), None).await?;
        let mut body = response.bytes_stream();
        let mut buffer: Vec<u8> = Vec::new();
        while let Some(chunk) = body.next().await {
            buffer.extend_from_slice(&chunk.map_err(|e| Failure::job(e.without_url()))?);
            while let Some(end) = buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                print(global.json, String::from_utf8_lossy(&line).trim_end(), None)?;
            }
        }
        Ok(())
    })
}

/// Prints one record: as it is, or as a line for people.
fn print(json: bool, line: &str, after: Option<u64>) -> Outcome {
    if line.is_empty() {
        return Ok(());
    }
    let record: Value = serde_json::from_str(line).unwrap_or_default();
    if after.is_some_and(|after| record["offset"].as_u64().is_some_and(|offset| offset <= after)) {
        return Ok(());
    }
    if json {
        return say(line);
    }
    let kind = record["type"].as_str().unwrap_or("(unreadable)");
    let words = if record["type"].is_null() {
        record["unreadable"].to_string()
    } else {
        record["payload"].to_string()
    };
    // A terminal shows the beginning of a payload; --json shows it whole.
    let words: String = words.chars().take(160).collect();
    say(&format!(
        "{:>8}  {}  {kind:<24}  {words}",
        record["offset"],
        record["timestamp"].as_str().unwrap_or("")
    ))
}
