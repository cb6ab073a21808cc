//! One run of chaos: from an empty stage to a report.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::injector::Injector;
use super::recovery;
use super::report::{Replay, Report, Setup};
use super::settle::Settler;
use super::verdict::Verdict;
use crate::arguments::{ChaosArgs, LogKind};
use crate::load::{self, Load, Palette, Question, Targets};
use crate::machine::Machine;
use crate::result;
use crate::shown::Shown;
use crate::stage::{Shape, Stage};
use crate::story::Story;
use crate::topics::Topics;

/// Ends that the runtime has a code for: fenced, wedged, restart budget exhausted. A service manager starts it again.
const KNOWN_EXITS: [&str; 3] = ["exit code 3", "exit code 4", "exit code 5"];
const REPLAYS_AT_ONCE: usize = 4;
/// How often a replay is asked for again while hosts come to rest.
const REPLAY_TRIES: usize = 20;
/// How long a tool with an effect may take here: doubts are declared after it, so it bounds how long they last.
const EFFECT_TIMEOUT_MS: u64 = 3_000;

/// Everything that takes part.
pub struct Act {
    stage: Arc<Stage>,
    load: Arc<Load>,
    injector: Arc<Injector>,
    settler: Arc<Settler>,
    targets: Targets,
    http: reqwest::Client,
    bar: ProgressBar,
    setup: Setup,
}

impl Act {
    /// Starts log, counter and processes, and finds out which tools there are.
    pub async fn start(arguments: &ChaosArgs, log: LogKind) -> Result<Self> {
        let http = load::http()?;
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::with_template("{spinner} {elapsed} {msg}")?);
        bar.enable_steady_tick(Duration::from_millis(200));
        bar.set_message(format!("starting {}", log.word()));
        let keep = arguments.keep.as_ref().map(|folder| folder.join(log.word()));
        let mut stage = Stage::prepare(log, arguments.binary.as_deref(), keep.as_deref())?;
        if arguments.effects {
            stage.allow_effects(EFFECT_TIMEOUT_MS);
            stage.set("CALLBOARD__TOOLS__DEPOSIT__APPROVAL", "true");
        }
        stage.install(Shape::Apart);
        let stage = Arc::new(stage);
        stage.start(&http).await?;
        let targets = Targets::default();
        targets.set(vec![stage.serve().url.clone()]);
        let settler = Settler::new(stage.clone(), targets.clone(), http.clone());
        let palette = match arguments.effects {
            true => palette(&settler, &stage, &http, &targets).await,
            false => Palette::default(),
        };
        let setup = Setup {
            log: log.word(),
            seed: arguments.seed,
            rate: arguments.rate,
            pace_s: arguments.pace,
            bench_build: result::build(),
            cores: result::cores(),
            effects_outside: palette.counter.is_some(),
        };
        let load = Load::new(http.clone(), targets.clone(), palette, arguments.seed ^ 0x10ad);
        let injector = Injector::new(stage.clone(), targets.clone(), http.clone(), arguments);
        let (load, injector, settler) = (Arc::new(load), Arc::new(injector), Arc::new(settler));
        Ok(Self { stage, load, injector, settler, targets, http, bar, setup })
    }

    /// Breaks for `seconds` or as many kills as were asked for, lets everything come to rest, and judges.
    pub async fn play(&self, arguments: &ChaosArgs, seconds: Option<f64>) -> Result<Report> {
        let began = Instant::now();
        let (stop, give_up) = (watch::Sender::new(false), watch::Sender::new(false));
        let load = self.load.clone();
        let clients = tokio::spawn(load.run(arguments.rate, stop.subscribe(), give_up.subscribe()));
        let (settler, load) = (self.settler.clone(), self.load.clone());
        let person = tokio::spawn(async move { settler.run(&load).await });
        let shown = self.show();
        let enough = |injector: &Injector| {
            seconds.is_some_and(|seconds| began.elapsed().as_secs_f64() >= seconds)
                || arguments.kills.is_some_and(|kills| injector.count() >= kills)
        };
        self.injector.run(Duration::from_secs_f64(arguments.pace.max(0.1)), enough).await?;
        let seconds = began.elapsed().as_secs_f64();
        stop.send_replace(true);
        let resting = Instant::now();
        let drained = self.rest(clients, Duration::from_secs(arguments.drain)).await;
        give_up.send_replace(true);
        person.abort();
        shown.abort();
        if !drained {
            self.bar.println("not everything came to rest in time; judging what is there");
        }
        let drain_seconds = resting.elapsed().as_secs_f64();
        let report = self.judge(seconds, drain_seconds).await?;
        self.bar.finish_and_clear();
        Ok(report)
    }

    fn show(&self) -> JoinHandle<()> {
        let (bar, load, injector) = (self.bar.clone(), self.load.clone(), self.injector.clone());
        tokio::spawn(async move {
            loop {
                let (asked, accepted, ended) = load.book.counts();
                let faults: Vec<String> =
                    injector.counts().into_iter().map(|(kind, n)| format!("{n} {kind}")).collect();
                bar.set_message(format!(
                    "asked {asked}, accepted {accepted}, ended {ended}; {}",
                    faults.join(", ")
                ));
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        })
    }

    /// Waits until every client has its answer; whether they all got it in time.
    async fn rest(&self, clients: JoinHandle<()>, within: Duration) -> bool {
        let mut clients = clients;
        let until = tokio::time::sleep(within);
        tokio::pin!(until);
        loop {
            tokio::select! {
                ended = &mut clients => return ended.is_ok(),
                () = &mut until => return false,
                () = tokio::time::sleep(Duration::from_millis(200)) => {
                    if let Err(error) = self.injector.revive() {
                        self.bar.println(format!("a process cannot be started again: {error:#}"));
                    }
                }
            }
        }
    }

    async fn judge(&self, seconds: f64, drain_seconds: f64) -> Result<Report> {
        self.bar.set_message("settling what is in doubt");
        self.stage.wait_ready(&self.http).await.context("after the faults")?;
        let topics = self.settled_topics().await?;
        self.bar.set_message(format!("replaying {} conversations", topics.events.len()));
        let replay = self.replay(&topics).await;
        let counts = self.stage.counter.counts(&self.http).await?;
        let topics = match self.stage.engine.kafka() {
            Some(_) => self.read().await?,
            // Its folder has one reader at a time.
            None => {
                self.stage.stop()?;
                self.read().await?
            }
        };
        let story = Story::read(&topics);
        let asked = self.load.book.all();
        let faults = self.injector.faults();
        let mut exits = BTreeMap::new();
        for member in self.stage.members.iter().chain(&self.stage.second) {
            exits.extend(member.exits().into_iter().map(|(how, n)| (format!("{} {how}", member.name), n)));
        }
        let strange = |(end, n): (&String, &u32)| {
            let known = KNOWN_EXITS.iter().any(|known| end.ends_with(known));
            (!known).then(|| format!("{end}, {n} times"))
        };
        let report = Report {
            good: false,
            setup: self.setup.clone(),
            seconds,
            drain_seconds,
            faults: self.injector.counts(),
            timeline: recovery::timeline(&faults, &story),
            verdict: Verdict::judge(&asked, &topics, &story, &counts),
            replay,
            unexpected_exits: exits.iter().filter_map(strange).collect(),
            exits,
            settled: self.settler.counts(),
            costs: recovery::costs(&faults, &story),
            tallies: self.load.book.tallies(),
            machine: Machine::look(),
            shown: Shown::default(),
        };
        Ok(report.judge())
    }

    /// Settles what is still in doubt, turns that have ended included; gives what the log holds then. On the embedded
    /// log, which nobody else may read meanwhile, the conversations alone as the server lists them.
    async fn settled_topics(&self) -> Result<Topics> {
        /// A settlement is read back within seconds, or it is not taken at all.
        const ROUNDS: usize = 30;
        if self.stage.engine.kafka().is_none() {
            return self.settled_embedded().await;
        }
        let mut topics = self.read().await?;
        for _ in 0..ROUNDS {
            let doubtful = Story::read(&topics).doubtful;
            if doubtful.is_empty() {
                break;
            }
            for effect in &doubtful {
                self.settler.settle(effect).await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            topics = self.read().await?;
        }
        Ok(topics)
    }

    async fn settled_embedded(&self) -> Result<Topics> {
        self.stage.stop()?;
        let topics = self.read().await?;
        let doubtful = Story::read(&topics).doubtful;
        self.stage.start(&self.http).await?;
        for effect in &doubtful {
            self.settler.settle(effect).await;
        }
        Ok(topics)
    }

    async fn read(&self) -> Result<Topics> {
        let opened = self.stage.engine.open(&self.stage.serve().data)?;
        let topics = Topics::read(&*opened.log, &ProgressBar::hidden()).await;
        opened.close().await;
        topics
    }

    /// Replay against live, every conversation.
    async fn replay(&self, topics: &Topics) -> Replay {
        let bar = ProgressBar::new(topics.events.len() as u64);
        let mut under_way = JoinSet::new();
        let mut replay = Replay::default();
        let note = |replay: &mut Replay, (id, equal): (String, Result<bool, String>)| match equal {
            Ok(true) => replay.equal += 1,
            Ok(false) => replay.different.push(id),
            Err(why) => replay.not_compared.push(format!("{id}: {why}")),
        };
        for id in topics.events.keys() {
            let url = format!("{}/v1/conversations/{id}/replay?state=false", self.targets.at(0));
            let (http, id) = (self.http.clone(), id.to_string());
            under_way.spawn(async move { (id, replayed(&http, &url).await) });
            if under_way.len() >= REPLAYS_AT_ONCE
                && let Some(Ok(one)) = under_way.join_next().await
            {
                note(&mut replay, one);
            }
            bar.inc(1);
        }
        while let Some(Ok(one)) = under_way.join_next().await {
            note(&mut replay, one);
        }
        bar.finish_and_clear();
        replay
    }
}

async fn replayed(http: &reqwest::Client, url: &str) -> Result<bool, String> {
    let mut why = String::new();
    for _ in 0..REPLAY_TRIES {
        match http.get(url).send().await {
            Ok(answer) if answer.status().is_success() => {
                let body: Value = answer.json().await.map_err(|error| error.to_string())?;
                return Ok(body["equal"] == true);
            }
            Ok(answer) => why = format!("{}", answer.status()),
            Err(error) => why = error.to_string(),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Err(why)
}

/// Asks for both tools with an effect once; without them the load does without.
async fn palette(settler: &Settler, stage: &Stage, http: &reqwest::Client, targets: &Targets) -> Palette {
    let plain = Palette::default();
    let with_effects = Palette { counter: Some(stage.counter.url.clone()) };
    let probe = Load::new(http.clone(), targets.clone(), plain.clone(), 0);
    let url = &stage.counter.url;
    let message = format!("webhook {url}/hook with probe; deposit probe at {url}");
    let question = Question { message, tag: "probe".to_owned() };
    tokio::select! {
        _ = probe.ask("probe", &question, true) => {}
        () = settler.approve_all() => {}
    }
    match stage.counter.counts(http).await {
        Ok(counts) if !counts.calls.is_empty() && !counts.deposits.is_empty() => with_effects,
        _ => plain,
    }
}
