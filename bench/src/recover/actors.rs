//! Actors killed through the endpoint while turns run: partition hosts (supervisors of conversations), the tool pool (supervisor
//! of workers) and tool workers. Every path is killed once, so that its supervisor's back-off is the first one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use callboard_domain::wire;
use callboard_ports::Topic;
use callboard_ports::log::Log;
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::arguments::RecoverArgs;
use crate::fill;
use crate::load::{self, Load, Palette, Question, Targets};
use crate::result::Spread;
use crate::seed::now_ms;
use crate::stage::{Member, Shape, Stage};
use crate::story::{Move, Story};
use crate::topics::{Topics, whole};

/// Clients, each with a conversation of its own: every partition has open turns at any time.
const CLIENTS: usize = 16;
/// A step takes so long: a call that died with its worker is made again, and its whole time is in what is measured; much shorter
/// ones would keep the cores busy.
const STEP_MS: u64 = 5;
const WARM_UP: Duration = Duration::from_secs(2);
/// Between two kills: everything is as before.
const PAUSE: Duration = Duration::from_millis(700);
/// `FIRST_PAUSE_MS` of `actors/src/supervise/budget.rs`: what a child that ends for the first time in a minute waits at most.
pub const BACK_OFF_S: f64 = 0.020;

/// What killing one kind of actor cost.
#[derive(Debug, Serialize)]
pub struct ActorsKilled {
    pub kind: &'static str,
    pub is_supervisor: bool,
    /// From the kill to the next record that only what was killed, or its like, writes.
    pub next_progress: Spread,
    /// Kills after which nothing of the kind was written any more before the load ended.
    pub without_progress: usize,
}

struct Kill {
    kind: &'static str,
    /// Of a host.
    partition: Option<u32>,
    at_ms: i64,
    /// The kill was answered: what it wrote before it died has an earlier time.
    answered_ms: i64,
}

const HOST: &str = "partition host";
const POOL: &str = "tool pool";
const WORKER: &str = "tool worker";
/// Of the pool that runs the questions' steps, whatever its arbiter.
const POOLS: &str = "/pool-default-";

pub async fn killed(arguments: &RecoverArgs) -> Result<Vec<ActorsKilled>> {
    if arguments.kills == 0 {
        return Ok(Vec::new());
    }
    let (http, at) = (load::http()?, &arguments.stage);
    let mut stage = Stage::prepare(at.log, at.binary.as_deref(), None)?;
    stage.install(Shape::Alone);
    stage.start(&http).await?;
    let serve = stage.serve().clone();
    let load = Arc::new(Load::new(http.clone(), Targets::of(&serve.url), Palette::default(), 3));
    let (on, numbers) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (load, on, numbers) = (load.clone(), on.clone(), numbers.clone());
        clients.spawn(async move {
            while on.load(Ordering::Relaxed) {
                let tag = format!("k{}", numbers.fetch_add(1, Ordering::Relaxed));
                let question = Question { message: format!("echo {tag} after {STEP_MS} ms"), tag };
                load.ask(&format!("under-{client}"), &question, true).await;
            }
        });
    }
    tokio::time::sleep(WARM_UP).await;
    let kills = kill_all(&http, &serve, arguments.kills).await?;
    on.store(false, Ordering::Relaxed);
    while clients.join_next().await.is_some() {}
    stage.stop()?;
    let told = read(&stage).await?;
    let unanswered = load.book.all().iter().filter(|asked| asked.ended.is_none()).count();
    if unanswered > 0 {
        bail!("{unanswered} questions were not answered after actors were killed");
    }
    Ok([(HOST, true), (POOL, true), (WORKER, false)]
        .into_iter()
        .map(|(kind, is_supervisor)| cost(kind, is_supervisor, &kills, &told))
        .collect())
}

/// What the topics say afterwards.
struct Told {
    /// In the order of time.
    moves: Vec<Move>,
    /// Requests to tools and writers, which nobody but the host of their conversation writes: time and its partition.
    requests: Vec<(i64, u32)>,
}

async fn read(stage: &Stage) -> Result<Told> {
    let opened = stage.engine.open(&stage.serve().data)?;
    let told = told(&*opened.log).await;
    opened.close().await;
    told
}

async fn told(log: &dyn Log) -> Result<Told> {
    let bar = ProgressBar::hidden();
    let topics = Topics::read(log, &bar).await?;
    let mut requests = Vec::new();
    for topic in [Topic::ToolInvocationRequests, Topic::SynthesisRequests] {
        for record in whole(log, topic, &bar).await? {
            let (meta, _) = wire::read_request(&record.value)?;
            if let Some(partition) = topics.partition.get(&meta.conversation) {
                requests.push((record.timestamp_ms, *partition));
            }
        }
    }
    Ok(Told { moves: Story::read(&topics).moves, requests })
}

async fn kill_all(http: &reqwest::Client, serve: &Member, each: usize) -> Result<Vec<Kill>> {
    let tree: Value = http.get(format!("{}/admin/v1/actors", serve.url)).send().await?.json().await?;
    let mut paths = Vec::new();
    collect(&tree, &mut paths);
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let of = |kind: &'static str, fits: &dyn Fn(&str) -> bool| -> Vec<(&'static str, String)> {
        paths.iter().filter(|path| fits(path)).take(each).map(|path| (kind, path.clone())).collect()
    };
    let hosts = of(HOST, &|path| last(path).starts_with("host-"));
    let pools = of(POOL, &|path| path.starts_with(POOLS) && path.matches('/').count() == 1);
    let workers = of(WORKER, &|path| path.starts_with(POOLS) && last(path).starts_with("worker-"));
    if hosts.is_empty() || pools.is_empty() || workers.is_empty() {
        bail!("the tree of actors has no host, pool or worker: {paths:?}");
    }
    let mut kills = Vec::new();
    // Pools last: their workers are other actors afterwards.
    let all: Vec<_> = hosts.into_iter().chain(workers).chain(pools).collect();
    let bar = fill::bar(all.len() as u64, "actors killed")?;
    for (kind, path) in all {
        let partition = last(&path).strip_prefix("host-").and_then(|number| number.parse().ok());
        let request = http
            .post(format!("{}/admin/v1/actors/kill", serve.url))
            .header("content-type", "application/json")
            .body(json!({ "path": path, "how": "panic" }).to_string());
        let at_ms = now_ms();
        let answer = request.send().await?;
        let status = answer.status();
        if status.is_success() {
            kills.push(Kill { kind, partition, at_ms, answered_ms: now_ms() });
        } else if kind != WORKER {
            let text = answer.text().await.context("the refusal of a kill is cut off")?;
            bail!("{path} was not killed: {status} {text}");
        }
        bar.inc(1);
        tokio::time::sleep(PAUSE).await;
    }
    bar.finish_and_clear();
    Ok(kills)
}

fn collect(node: &Value, into: &mut Vec<String>) {
    into.extend(node["path"].as_str().map(str::to_owned));
    for child in node["children"].as_array().map(Vec::as_slice).unwrap_or_default() {
        collect(child, into);
    }
}

fn cost(kind: &'static str, is_supervisor: bool, kills: &[Kill], told: &Told) -> ActorsKilled {
    let of_kind: Vec<&Kill> = kills.iter().filter(|kill| kill.kind == kind).collect();
    let next: Vec<i64> = of_kind.iter().filter_map(|kill| next_progress(kill, told)).collect();
    ActorsKilled {
        kind,
        is_supervisor,
        without_progress: of_kind.len() - next.len(),
        next_progress: Spread::of(next),
    }
}

/// Milliseconds to the next record that tells of it: of a host one that no worker writes, an event of its partition or a
/// request for one of its conversations; of pool and worker the result of a turn that was open. Counted from when the kill was
/// sent.
fn next_progress(kill: &Kill, told: &Told) -> Option<i64> {
    let from = told.moves.partition_point(|moved| moved.ms <= kill.answered_ms);
    let tells = |moved: &&Move| match kill.partition {
        Some(partition) => {
            moved.partition == partition
                && !["ToolInvocationResulted", "FinalAnswerSynthesized"].contains(&moved.event)
        }
        None => moved.event == "ToolInvocationResulted" && moved.began_ms <= kill.at_ms,
    };
    let event = told.moves[from..].iter().find(tells).map(|moved| moved.ms);
    let of_host = |(ms, of): &&(i64, u32)| *ms > kill.answered_ms && Some(*of) == kill.partition;
    let request = told.requests.iter().filter(of_host).map(|(ms, _)| *ms).min();
    event.into_iter().chain(request).min().map(|ms| ms - kill.at_ms)
}

#[cfg(test)]
mod tests {
    use super::{HOST, Kill, Move, Told, WORKER, next_progress};

    #[test]
    fn progress_is_told_by_those_who_write_it() {
        let moved = |ms, partition, event, began_ms| Move { ms, partition, event, began_ms };
        let moves = vec![
            moved(90, 1, "PlanGenerated", 80),
            moved(101, 1, "PlanGenerated", 80),
            moved(105, 1, "ToolInvocationResulted", 80),
            moved(110, 2, "PlanGenerated", 80),
            moved(130, 1, "PlanGenerated", 80),
        ];
        let told = Told { moves, requests: vec![(102, 2), (108, 2), (125, 4)] };
        let kill = |kind, partition| Kill { kind, partition, at_ms: 100, answered_ms: 102 };
        assert_eq!(next_progress(&kill(HOST, Some(1)), &told), Some(30));
        assert_eq!(next_progress(&kill(HOST, Some(2)), &told), Some(8));
        assert_eq!(next_progress(&kill(HOST, Some(3)), &told), None);
        assert_eq!(next_progress(&kill(HOST, Some(4)), &told), Some(25));
        assert_eq!(next_progress(&kill(WORKER, None), &told), Some(5));
    }
}
