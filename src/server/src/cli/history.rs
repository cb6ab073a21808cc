//! `callboard history`: what was said, of one conversation or of all.

use serde_json::Value;

use super::client::{Client, Request, block_on, say, say_json, segment};
use super::{Failure, Global, HistoryCommand, Outcome};
use crate::offline::Offline;

pub fn run(global: &Global, command: &HistoryCommand) -> Outcome {
    block_on(async {
        if global.offline {
            let offline = Offline::open(global).await?;
            let done = from_folder(global, &offline, command).await;
            offline.close().await;
            return done;
        }
        let client = Client::new(global)?;
        match command {
            HistoryCommand::Show(one) => show(global, &of(&client, &one.id).await?),
            HistoryCommand::Export => export(&client).await,
        }
    })
}

async fn of(client: &Client, id: &str) -> Result<Value, Failure> {
    let path = format!("/v1/conversations/{}/history?limit=1000", segment(id));
    client.json(Request::get(&path)).await
}

async fn export(client: &Client) -> Outcome {
    let mut cursor = String::new();
    loop {
        let page = client.json(Request::get(&format!("/v1/conversations?limit=500&cursor={cursor}"))).await?;
        for entry in page["conversations"].as_array().unwrap_or(&Vec::new()) {
            say(&of(client, entry["conversation_id"].as_str().unwrap_or_default()).await?.to_string())?;
        }
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return Ok(()),
        }
    }
}

async fn from_folder(global: &Global, offline: &Offline, command: &HistoryCommand) -> Outcome {
    match command {
        HistoryCommand::Show(one) => show(global, &offline.history(&one.id).await?),
        HistoryCommand::Export => {
            for id in offline.conversations().await? {
                say(&offline.history(&id).await?.to_string())?;
            }
            Ok(())
        }
    }
}

fn show(global: &Global, history: &Value) -> Outcome {
    if global.json {
        return say_json(history);
    }
    for turn in history["turns"].as_array().unwrap_or(&Vec::new()) {
        say(&format!("{}. {}", turn["turn"], turn["message"].as_str().unwrap_or_default()))?;
        let answer = turn["answer"]
            .as_str()
            .map_or_else(|| format!("({})", turn["status"].as_str().unwrap_or("?")), str::to_owned);
        say(&format!("   {}", answer.replace('\n', "\n   ")))?;
    }
    Ok(())
}
