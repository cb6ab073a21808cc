//! `callboard verify`: replay every conversation and compare; a bar while it lasts, the counts at the end.

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::client::{Client, Request, block_on, say, say_json, segment};
use super::{Failure, Global, Outcome, VerifyArgs};
use crate::offline::Offline;

/// Ids of conversations that differ which are printed; the count has them all.
const SHOWN: usize = 20;

#[derive(Default)]
struct Counts {
    equal: u64,
    different: Vec<String>,
    failed: Vec<(String, String)>,
}

pub fn run(global: &Global, args: &VerifyArgs) -> Outcome {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} conversations verified, {per_sec}") {
        bar.set_style(style);
    }
    let counts = block_on(async {
        if global.offline { offline(global, args, &bar).await } else { online(global, args, &bar).await }
    })?;
    bar.finish_and_clear();
    let different = counts.different.len() + counts.failed.len();
    if global.json {
        let failed: Vec<Value> =
            counts.failed.iter().map(|(id, why)| json!({ "conversation_id": id, "problem": why })).collect();
        say_json(&json!({ "equal": counts.equal, "different": counts.different, "failed": failed }))?;
    } else {
        let verdict = if different == 0 { "equal" } else { "NOT equal" };
        say(&format!(
            "{verdict}: {} conversations equal, {} different",
            counts.equal,
            counts.different.len()
        ))?;
        for id in counts.different.iter().take(SHOWN) {
            say(&format!("different: {id}"))?;
        }
        for (id, why) in counts.failed.iter().take(SHOWN) {
            say(&format!("not verified: {id}: {why}"))?;
        }
    }
    if different == 0 { Ok(()) } else { Err(Failure::Said) }
}

impl Counts {
    /// Counts a replay. `listed`: the id came from the list of conversations, not from a person.
    fn add(&mut self, id: &str, replay: Result<bool, Failure>, listed: bool, bar: &ProgressBar) {
        bar.inc(1);
        match replay {
            Ok(true) => self.equal += 1,
            Ok(false) => self.different.push(id.to_owned()),
            // An old folder's list may name what has no event that counts: nothing to compare.
            Err(Failure::Unknown(_)) if listed => {}
            Err(failure) => self.failed.push((id.to_owned(), failure.to_string())),
        }
    }
}

async fn online(global: &Global, args: &VerifyArgs, bar: &ProgressBar) -> Result<Counts, Failure> {
    let client = Client::new(global)?;
    let mut counts = Counts::default();
    if let Some(id) = &args.id {
        counts.add(id, replay(&client, id).await, false, bar);
        return Ok(counts);
    }
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/conversations?limit=500&cursor={cursor}");
        let page = client.json(Request::get(&path)).await?;
        for entry in page["conversations"].as_array().unwrap_or(&Vec::new()) {
            let id = entry["conversation_id"].as_str().unwrap_or_default();
            counts.add(id, replay(&client, id).await, true, bar);
        }
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return Ok(counts),
        }
    }
}

async fn replay(client: &Client, id: &str) -> Result<bool, Failure> {
    let path = format!("/v1/conversations/{}/replay?state=false", segment(id));
    Ok(client.json(Request::get(&path)).await?["equal"] == true)
}

async fn offline(global: &Global, args: &VerifyArgs, bar: &ProgressBar) -> Result<Counts, Failure> {
    let offline = Offline::open(global).await?;
    let ids = match &args.id {
        Some(id) => Ok(vec![id.clone()]),
        None => offline.conversations().await,
    };
    let mut counts = Counts::default();
    let ids = match ids {
        Ok(ids) => ids,
        Err(failure) => {
            offline.close().await;
            return Err(failure);
        }
    };
    for id in ids {
        let equal = offline.replay(&id).await.map(|compared| compared.equal);
        counts.add(&id, equal, args.id.is_none(), bar);
    }
    offline.close().await;
    Ok(counts)
}
