//! `callboard dlq redrive`: named letters, or all that a filter finds, at a rate, with a bar; the summary says by reason what
//! became of them.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::client::{Client, Request, block_on, say, say_json};
use super::super::columns::text;
use super::super::{Failure, Global, Letters, Outcome, Rate, RedriveArgs};
use super::letters;

/// Letters of one request: its answer, and so the bar, comes every few hundred milliseconds.
const MOST_AT_ONCE: u32 = 50;
/// Requests in a second at which the rate is kept: steady enough for those who take the records.
const REQUESTS_A_SECOND: u32 = 5;
/// Letters that are named when they stay or fail; `--json` has them all.
const SHOWN: usize = 20;

/// What became of the letters.
#[derive(Default)]
struct Summary {
    redriven: BTreeMap<String, u64>,
    /// Code and id, with the sentence.
    stays: Vec<(String, String, String)>,
    failed: Vec<(String, String)>,
}

pub fn run(global: &Global, client: &Client, args: &RedriveArgs) -> Outcome {
    let filtered = args.which != Letters::default();
    if args.ids.is_empty() && !filtered && !args.all {
        return Err(Failure::usage(
            "which letters? Name their ids, filter them (--reason, --topic, --since, --until, --conversation) or say --all",
        ));
    }
    if !args.ids.is_empty() && (filtered || args.all) {
        return Err(Failure::usage("ids name the letters; leave out the filters and --all"));
    }
    let summary = block_on(redrive(client, args))?;
    report(global, args, &summary)?;
    // A letter that was named and stays was not done; one that a filter found was never going to be.
    let undone = !summary.failed.is_empty() || (!args.ids.is_empty() && !summary.stays.is_empty());
    if undone { Err(Failure::Said) } else { Ok(()) }
}

async fn redrive(client: &Client, args: &RedriveArgs) -> Result<Summary, Failure> {
    let mut summary = Summary::default();
    let ids =
        if args.ids.is_empty() { find(client, &args.which, &mut summary).await? } else { args.ids.clone() };
    let bar = ProgressBar::new(ids.len() as u64);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} {pos}/{len} dead letters, {per_sec}, {eta} left")
    {
        bar.set_style(style);
    }
    let Rate(rate) = args.rate;
    let at_once = rate.div_ceil(REQUESTS_A_SECOND).clamp(1, MOST_AT_ONCE);
    let mut next = Instant::now();
    for ids in ids.chunks(at_once as usize) {
        tokio::time::sleep_until(next).await;
        next =
            Instant::now().max(next) + Duration::from_secs(1) * u32::try_from(ids.len()).unwrap_or(1) / rate;
        let body = json!({ "ids": ids, "by": args.by, "dry_run": args.dry_run });
        let request = || Request::post("/admin/v1/dead-letters/redrive", body.clone());
        let answer = client.insisting(request).await?;
        for result in answer["results"].as_array().into_iter().flatten() {
            summary.add(result);
        }
        bar.inc(ids.len() as u64);
    }
    bar.finish_and_clear();
    Ok(summary)
}

/// The letters of a filter that may be redriven; those that stay are counted.
async fn find(client: &Client, which: &Letters, summary: &mut Summary) -> Result<Vec<String>, Failure> {
    let (found, truncated) = letters(client, which, usize::MAX).await?;
    if truncated {
        eprintln!("(older letters are left out: there are more than the server keeps in mind)");
    }
    let mut ids = Vec::new();
    for letter in found {
        match letter["stays"]["code"].as_str() {
            None => ids.push(text(&letter["id"])),
            // Done with long ago: not worth a word.
            Some("already_redriven") => {}
            Some(code) => {
                let stays = (code.to_owned(), text(&letter["id"]), text(&letter["stays"]["detail"]));
                summary.stays.push(stays);
            }
        }
    }
    Ok(ids)
}

impl Summary {
    fn add(&mut self, result: &Value) {
        let id = text(&result["id"]);
        match result["outcome"].as_str() {
            Some("redriven" | "would_be_redriven") => {
                *self.redriven.entry(text(&result["reason"])).or_default() += 1;
            }
            Some("stays") => {
                let stays = &result["stays"];
                self.stays.push((text(&stays["code"]), id, text(&stays["detail"])));
            }
            _ => self.failed.push((id, text(&result["error"]))),
        }
    }

    fn redriven(&self) -> u64 {
        self.redriven.values().sum()
    }

    fn stays_by_code(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for (code, ..) in &self.stays {
            *counts.entry(code.clone()).or_default() += 1;
        }
        counts
    }
}

fn by(counts: &BTreeMap<String, u64>) -> String {
    let words: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}

fn report(global: &Global, args: &RedriveArgs, summary: &Summary) -> Outcome {
    if global.json {
        let stays = summary.stays.iter();
        let stays: Vec<Value> =
            stays.map(|(code, id, why)| json!({ "id": id, "code": code, "detail": why })).collect();
        let failed: Vec<Value> =
            summary.failed.iter().map(|(id, why)| json!({ "id": id, "error": why })).collect();
        return say_json(&json!({
            "dry_run": args.dry_run, "redriven": summary.redriven(), "by_reason": summary.redriven,
            "stays": stays, "failed": failed,
        }));
    }
    for (_, id, why) in summary.stays.iter().take(SHOWN) {
        say(&format!("{id} stays: {why}"))?;
    }
    if summary.stays.len() > SHOWN {
        say(&format!("… {} more stay", summary.stays.len() - SHOWN))?;
    }
    for (id, why) in summary.failed.iter().take(SHOWN) {
        say(&format!("{id} FAILED: {why}"))?;
    }
    let verb = if args.dry_run { "would be redriven" } else { "redriven" };
    say(&format!(
        "{} {verb}{}; {} stay{}; {} failed",
        summary.redriven(),
        by(&summary.redriven),
        summary.stays.len(),
        by(&summary.stays_by_code()),
        summary.failed.len()
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Summary, by};

    #[test]
    fn the_summary_counts_by_reason() {
        let mut summary = Summary::default();
        for (outcome, reason) in
            [("redriven", "unknown_type"), ("redriven", "misrouted"), ("redriven", "misrouted")]
        {
            summary.add(&json!({ "id": "x", "outcome": outcome, "reason": reason }));
        }
        summary.add(&json!({ "id": "y", "outcome": "stays", "stays": { "code": "expired", "detail": "d" } }));
        summary.add(&json!({ "id": "z", "outcome": "failed", "error": "busy" }));
        assert_eq!(
            (summary.redriven(), by(&summary.redriven).as_str()),
            (3, " (misrouted 2, unknown_type 1)")
        );
        assert_eq!(by(&summary.stays_by_code()), " (expired 1)");
        assert_eq!(summary.failed, [("z".to_owned(), "busy".to_owned())]);
    }
}
