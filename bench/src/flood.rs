//! `callboard-bench flood`: far more questions than the workers can answer. Memory must stay within its bounds, whoever is
//! refused must be told when to come again, and what was accepted must be answered. `shown` lays it out.

mod shown;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::arguments::FloodArgs;
use crate::load::{self, Load, Palette, Question, Targets};
use crate::machine::Machine;
use crate::result;
use crate::shown::Shown;
use crate::stage::{Member, Shape, Stage};

/// One step of a flooding question.
const STEP_MS: u64 = 100;
/// Connections that flood: enough to keep a server busy that answers in milliseconds.
const CONNECTIONS: usize = 128;
const SAMPLE: Duration = Duration::from_millis(100);
/// What may come on top of one and a half times the memory at rest, from the runtime's own bounds: the log's append queue
/// (64 MiB) and ring (16 MiB) or librdkafka's queues (the same order), the snapshot engine's cache (32 MiB), and commands
/// in flight (16 MiB for each of 8 partitions).
const BOUNDS_BYTES: u64 = (64 + 16 + 32 + 8 * 16) << 20;

#[derive(Debug, Default, Serialize)]
struct Figures {
    good: bool,
    log: &'static str,
    bench_build: &'static str,
    cores: usize,
    workers_can_do_per_s: f64,
    offered_per_s: f64,
    offered_factor: f64,
    asked: u64,
    accepted: u64,
    refused: BTreeMap<String, u64>,
    refused_without_retry_after: u64,
    ended: BTreeMap<String, u64>,
    drain_s: f64,
    rest_mb: f64,
    peak_mb: f64,
    peak_over_rest: f64,
    bounds_mb: f64,
    after_mb: f64,
    /// A question asked once all is over.
    then_answered_in_s: f64,
    /// Highest values that the server's own gauges showed.
    gauges: BTreeMap<String, f64>,
    machine: Option<Machine>,
    shown: Shown,
}

/// What happens to flooding questions.
#[derive(Default)]
struct Tally {
    asked: AtomicU64,
    without_retry_after: AtomicU64,
    refused: std::sync::Mutex<BTreeMap<String, u64>>,
    accepted: std::sync::Mutex<Vec<(String, String)>>,
}

pub fn run(arguments: &FloodArgs) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let figures = runtime.block_on(flood(arguments))?;
    println!("{}", serde_json::to_string_pretty(&figures)?);
    let out = arguments.stage.out.as_deref();
    result::write(out, "flood", arguments.stage.log.word(), &figures)?;
    Ok(figures.good)
}

async fn flood(arguments: &FloodArgs) -> Result<Figures> {
    let http = load::http()?;
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {elapsed} {msg}")?);
    bar.enable_steady_tick(Duration::from_millis(200));
    let stage = start(arguments, &http).await?;
    let serve = stage.serve().clone();
    answer_time(&http, &serve).await?;
    let lanes = (result::cores() / 2).max(1);
    let can_do = (arguments.workers * lanes) as f64 * 1_000.0 / STEP_MS as f64;
    let rest = serve.resident_bytes().unwrap_or_default();
    let watch = Watch::start(serve.clone(), http.clone());
    bar.set_message(format!("flooding with {:.0} questions/s", can_do * arguments.factor));
    let tally = Arc::new(Tally::default());
    let began = Instant::now();
    pour(arguments, can_do * arguments.factor, &http, &serve.url, &tally).await;
    let poured_s = began.elapsed().as_secs_f64();
    let accepted = std::mem::take(&mut *tally.accepted.lock().expect("no holder of this lock panics"));
    let draining = Instant::now();
    let ended = drained(arguments, &http, &serve.url, &accepted, &bar).await;
    let drain_s = draining.elapsed().as_secs_f64();
    let then_answered_in_s = answer_time(&http, &serve).await?;
    let (peak, gauges) = watch.stop();
    let asked = tally.asked.load(Ordering::Relaxed);
    let refused = std::mem::take(&mut *tally.refused.lock().expect("no holder of this lock panics"));
    bar.finish_and_clear();
    let mb = |bytes: u64| (bytes as f64 / 104_857.6).round() / 10.0;
    let unfinished = ended.get("pending").copied().unwrap_or_default();
    // Several may pass the gate before the first of them is read back: those beyond the bound are refused in the log.
    let answered_or_refused =
        ["answered", "failed queue_full"].map(|how| ended.get(how).copied().unwrap_or_default());
    let otherwise = accepted.len() as u64 - answered_or_refused.iter().sum::<u64>();
    let without = tally.without_retry_after.load(Ordering::Relaxed);
    let refused_busy = refused.contains_key("429");
    let within = peak <= rest * 3 / 2 + BOUNDS_BYTES;
    let mut figures = Figures {
        good: within && refused_busy && unfinished == 0 && otherwise == 0 && without == 0,
        log: arguments.stage.log.word(),
        bench_build: result::build(),
        cores: result::cores(),
        workers_can_do_per_s: can_do,
        offered_per_s: asked as f64 / poured_s,
        offered_factor: asked as f64 / poured_s / can_do,
        asked,
        accepted: accepted.len() as u64,
        refused,
        refused_without_retry_after: without,
        ended,
        drain_s,
        rest_mb: mb(rest),
        peak_mb: mb(peak),
        peak_over_rest: peak as f64 / rest.max(1) as f64,
        bounds_mb: mb(BOUNDS_BYTES),
        after_mb: mb(serve.resident_bytes().unwrap_or_default()),
        then_answered_in_s,
        gauges,
        machine: Some(Machine::look()),
        shown: Shown::default(),
    };
    figures.shown = shown::of(&figures);
    Ok(figures)
}

async fn start(arguments: &FloodArgs, http: &reqwest::Client) -> Result<Stage> {
    let at = &arguments.stage;
    let mut stage = Stage::prepare(at.log, at.binary.as_deref(), at.keep.as_deref())?;
    stage.set("CALLBOARD__LIMITS__WORKERS_PER_POOL", arguments.workers.to_string());
    // Work that waits for its turn is the point here, not work that is given up.
    stage.set("CALLBOARD__TOOLS__ECHO__DEADLINE_MS", "3600000");
    stage.set("CALLBOARD__TURNS__TURN_TIMEOUT_MS", "3600000");
    stage.install(Shape::Alone);
    stage.start(http).await?;
    Ok(stage)
}

/// Seconds to the answer of one plain question.
async fn answer_time(http: &reqwest::Client, serve: &Member) -> Result<f64> {
    let load = Load::new(http.clone(), Targets::of(&serve.url), Palette::default(), 0);
    let tag = format!("alone{}", crate::seed::now_ms());
    let question = Question { message: format!("echo {tag}"), tag: tag.clone() };
    let began = Instant::now();
    tokio::time::timeout(Duration::from_secs(120), load.ask(&tag, &question, true)).await?;
    Ok(began.elapsed().as_secs_f64())
}

/// Asks `rate` questions a second, none of them twice, without waiting for answers.
async fn pour(arguments: &FloodArgs, rate: f64, http: &reqwest::Client, url: &str, tally: &Arc<Tally>) {
    let until = Instant::now() + Duration::from_secs(arguments.seconds);
    let mut connections = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let (http, url, tally) = (http.clone(), url.to_owned(), tally.clone());
        let conversations = arguments.conversations;
        let mut tick = tokio::time::interval(Duration::from_secs_f64(CONNECTIONS as f64 / rate));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        connections.spawn(async move {
            for number in 0.. {
                tick.tick().await;
                if Instant::now() >= until {
                    return;
                }
                let conversation = match conversations {
                    0 => format!("flood-{connection}-{number}"),
                    some => format!("flood-{}", (connection + number * CONNECTIONS) % some),
                };
                one(&http, &url, &conversation, &tally).await;
            }
        });
    }
    while connections.join_next().await.is_some() {}
}

async fn one(http: &reqwest::Client, url: &str, conversation: &str, tally: &Tally) {
    tally.asked.fetch_add(1, Ordering::Relaxed);
    let body = json!({ "message": format!("echo x after {STEP_MS} ms"), "conversation_id": conversation });
    let request = http
        .post(format!("{url}/v1/chat"))
        .header("content-type", "application/json")
        .header("prefer", "respond-async")
        .body(body.to_string());
    let refuse = |why: String| {
        *tally.refused.lock().expect("no holder of this lock panics").entry(why).or_default() += 1;
    };
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(_) => return refuse("no answer".to_owned()),
    };
    let status = answer.status();
    if status.is_success() {
        let Ok(turn) = answer.json::<Value>().await else { return refuse("a broken answer".to_owned()) };
        let command = turn["command_id"].as_str().unwrap_or_default().to_owned();
        let mut accepted = tally.accepted.lock().expect("no holder of this lock panics");
        accepted.push((conversation.to_owned(), command));
        return;
    }
    if answer.headers().get("retry-after").is_none() {
        tally.without_retry_after.fetch_add(1, Ordering::Relaxed);
    }
    refuse(status.as_u16().to_string());
}

/// Waits until every accepted turn has ended; how they did.
async fn drained(
    arguments: &FloodArgs,
    http: &reqwest::Client,
    url: &str,
    accepted: &[(String, String)],
    bar: &ProgressBar,
) -> BTreeMap<String, u64> {
    let until = Instant::now() + Duration::from_secs(arguments.drain);
    let mut ended: BTreeMap<String, u64> = BTreeMap::new();
    for (number, (conversation, command)) in accepted.iter().enumerate() {
        bar.set_message(format!("{number} of {} accepted turns have ended", accepted.len()));
        let path = format!("{url}/v1/conversations/{conversation}/turns/{command}");
        let status = loop {
            let seen = http.get(&path).header("prefer", "wait=10").send().await;
            let seen = match seen {
                Ok(answer) if answer.status().is_success() => answer.json::<Value>().await.ok(),
                _ => None,
            };
            match seen.and_then(|turn| how(&turn)) {
                Some(ended) => break ended,
                _ if Instant::now() >= until => break "pending".to_owned(),
                _ => tokio::time::sleep(SAMPLE).await,
            }
        };
        *ended.entry(status).or_default() += 1;
    }
    ended
}

/// How a turn ended, with the reason where it failed; nothing while it is open.
fn how(turn: &Value) -> Option<String> {
    let status = turn["status"].as_str().filter(|status| *status != "pending")?;
    Some(match turn["error"]["code"].as_str() {
        Some(code) => format!("{status} {code}"),
        None => status.to_owned(),
    })
}

/// Samples memory and gauges beside the flood.
struct Watch {
    on: Arc<AtomicBool>,
    sampled: Arc<std::sync::Mutex<(u64, BTreeMap<String, f64>)>>,
}

impl Watch {
    fn start(serve: Arc<Member>, http: reqwest::Client) -> Self {
        let (on, sampled) = (Arc::new(AtomicBool::new(true)), Arc::default());
        let watch = Self { on: on.clone(), sampled: Arc::clone(&sampled) };
        tokio::spawn(async move {
            while on.load(Ordering::Relaxed) {
                let resident = serve.resident_bytes().unwrap_or_default();
                let gauges = gauges(&http, &serve.url).await;
                {
                    let mut sampled = sampled.lock().expect("no holder of this lock panics");
                    sampled.0 = sampled.0.max(resident);
                    for (name, value) in gauges {
                        let highest = sampled.1.entry(name).or_insert(value);
                        *highest = highest.max(value);
                    }
                }
                tokio::time::sleep(SAMPLE).await;
            }
        });
        watch
    }

    fn stop(&self) -> (u64, BTreeMap<String, f64>) {
        self.on.store(false, Ordering::Relaxed);
        self.sampled.lock().expect("no holder of this lock panics").clone()
    }
}

/// What tells of pressure, all labels of a name added up.
async fn gauges(http: &reqwest::Client, url: &str) -> BTreeMap<String, f64> {
    let told = ["open_turns", "paused", "refus", "in_flight", "conversations_live", "lag"];
    let mut gauges = BTreeMap::new();
    let Ok(answer) = http.get(format!("{url}/metrics")).send().await else { return gauges };
    let text = answer.text().await.unwrap_or_default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let value = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
        if let Some(value) = value
            && told.iter().any(|word| name.contains(word))
        {
            *gauges.entry(name.to_owned()).or_default() += value;
        }
    }
    gauges
}
