//! `callboard replay`: fold a conversation's log from its first record and compare with the live state, byte
//! for byte.

use serde_json::Value;

use super::client::{Client, Request, block_on, say, say_json, segment};
use super::{Failure, Global, OneConversation, Outcome};
use crate::offline::Offline;

pub fn run(global: &Global, args: &OneConversation) -> Outcome {
    let replay = if global.offline {
        block_on(async {
            let offline = Offline::open(global).await?;
            let compared = offline.replay(&args.id).await;
            offline.close().await;
            compared.map(|compared| compared.to_json(true))
        })?
    } else {
        let client = Client::new(global)?;
        let path = format!("/v1/conversations/{}/replay", segment(&args.id));
        block_on(client.json(Request::get(&path)))?
    };
    if global.json {
        say_json(&replay)?;
    } else {
        print(&replay, global.offline)?;
    }
    if replay["equal"] == true { Ok(()) } else { Err(Failure::Said) }
}

fn print(replay: &Value, offline: bool) -> Outcome {
    let live = if offline { "snapshot and later records" } else { "live state" };
    let (mine, other) = (&replay["replay_digest"], &replay["live_digest"]);
    let text = |digest: &Value| digest.as_str().unwrap_or("?").to_owned();
    if replay["equal"] == true {
        say(&format!(
            "equal: {} records folded from the log give the {live} byte for byte ({} bytes, sha256 {})",
            replay["records"],
            replay["bytes"],
            text(mine)
        ))
    } else {
        say(&format!("DIFFERENT: the log gives sha256 {}, the {live} is {}", text(mine), text(other)))
    }
}
