//! `callboard history`: what was said, of one conversation or of all.

use serde_json::Value;

use super::client::{Client, Request, block_on, say, say_json, segment};
use super::{Failure, Global, HistoryCommand, Outcome};
use crate::offline::Offline;

/// Conversations not exported that are printed; the count has them all.
const SHOWN: usize = 20;

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
    let mut failed = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.json(Request::get(&format!("/v1/conversations?limit=500&cursor={cursor}"))).await?;
        for entry in page["conversations"].as_array().unwrap_or(&Vec::new()) {
            let id = entry["conversation_id"].as_str().unwrap_or_default();
            line(id, of(client, id).await, &mut failed)?;
        }
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return report(&failed),
        }
    }
}

/// Prints one conversation of an export; one that cannot be read does not keep the others from being exported.
fn line(id: &str, history: Result<Value, Failure>, failed: &mut Vec<String>) -> Outcome {
    match history {
        Ok(history) => say(&history.to_string()),
        // An old folder's list may name what nothing was said in.
        Err(Failure::Unknown(_)) => Ok(()),
        Err(failure) => {
            failed.push(format!("{id}: {failure}"));
            Ok(())
        }
    }
}

fn report(failed: &[String]) -> Outcome {
    if failed.is_empty() {
        return Ok(());
    }
    for words in failed.iter().take(SHOWN) {
        eprintln!("not exported: {words}");
    }
    Err(Failure::job(format!("{} conversations could not be exported", failed.len())))
}

async fn from_folder(global: &Global, offline: &Offline, command: &HistoryCommand) -> Outcome {
    match command {
        HistoryCommand::Show(one) => show(global, &offline.history(&one.id).await?),
        HistoryCommand::Export => {
            let mut failed = Vec::new();
            for id in offline.conversations().await? {
                line(&id, offline.history(&id).await, &mut failed)?;
            }
            report(&failed)
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

#[cfg(test)]
mod tests {
    use super::{Failure, line, report};

    #[test]
    fn an_export_goes_on_after_what_cannot_be_read_and_says_so_at_the_end() {
        let mut failed = Vec::new();
        line("empty", Err(Failure::Unknown("there is none".to_owned())), &mut failed).unwrap();
        assert_eq!(report(&failed), Ok(()));
        line("held", Err(Failure::job("it is held")), &mut failed).unwrap();
        assert_eq!(failed, ["held: it is held"]);
        assert_eq!(report(&failed).unwrap_err().code(), 1);
    }
}
