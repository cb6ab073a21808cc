//! `callboard events`: a conversation's records, one line each, from a server or from the data folder.

use std::borrow::Cow;

use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::value::RawValue;

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

/// What a line for people shows of a record; the payload stays as it was written.
#[derive(Deserialize)]
struct Shown<'a> {
    offset: u64,
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
    #[serde(borrow, default)]
    unreadable: Option<Cow<'a, str>>,
}

/// Prints one record: as it is, or as a line for people.
fn print(json: bool, line: &str, after: Option<u64>) -> Outcome {
    if line.is_empty() {
        return Ok(());
    }
    let record: Shown<'_> = serde_json::from_str(line).map_err(Failure::job)?;
    if after.is_some_and(|after| record.offset <= after) {
        return Ok(());
    }
    if json {
        return say(line);
    }
    let kind = record.kind.as_deref().unwrap_or("(unreadable)");
    let words = record.payload.map_or(record.unreadable.as_deref().unwrap_or(""), RawValue::get);
    // A terminal shows the beginning of a payload; --json shows it whole.
    let words: String = words.chars().take(160).collect();
    say(&format!("{:>6}  {}  {kind:<22}  {words}", record.offset, record.timestamp))
}
