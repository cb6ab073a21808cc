//! `callboard-bench budget`: where the time of one turn goes, hop by hop, read from the log itself. The brokers stamp every record
//! when they append it; the client notes when it asked and when it had its answer, on the same clock.
//!
//! Stamps are whole milliseconds, so a single turn says little. Both ends of every stage are cut alike: over many turns the
//! cuts cancel in the mean, and only means are shown.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use callboard_kafka::probe::{Hops, Probe, Raw};
use callboard_ports::{Record, Topic};
use callboard_testkit::unique_name;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::arguments::{LogKind, StageArgs};
use crate::machine::Machine;
use crate::seed::now_ms;
use crate::shown::{Shown, Table, number};
use crate::stage::{self, Stage};
use crate::turn::{Client, TurnKind};
use crate::{load, result, topics};

/// As many hops of a record of this size are measured beside it.
const HOPS: usize = 2_000;
const RECORD_BYTES: usize = 400;
/// The first turns fetch metadata and open connections.
const WARM_UP: u64 = 50;

#[derive(Debug, Clone, Args)]
pub struct BudgetArgs {
    #[command(flatten)]
    pub stage: StageArgs,
    /// Turns, one after another
    #[arg(long, default_value_t = 1_000)]
    pub turns: u64,
}

/// The stages of a turn, from one stamp to the next.
const STAGES: [&str; 8] = [
    "HTTP in, question appended",
    "question read, decided, appended as accepted",
    "planned, plan appended",
    "plan read, requests appended",
    "request read, tool run, result appended",
    "last result read, synthesis request appended",
    "request read, answer written and appended",
    "answer read, HTTP out",
];

/// When what happened in one turn, epoch milliseconds.
#[derive(Debug, Default, Clone)]
struct Stamps {
    asked: i64,
    command: Option<i64>,
    received: Option<i64>,
    planned: Option<i64>,
    requests: Vec<i64>,
    results: Vec<i64>,
    synthesis: Option<i64>,
    answer: Option<i64>,
    had: i64,
}

#[derive(Debug, Serialize)]
struct Part {
    stage: &'static str,
    mean_ms: f64,
}

#[derive(Debug, Serialize)]
struct Figures {
    machine: Machine,
    log: &'static str,
    turns: usize,
    whole_mean_ms: f64,
    stages: Vec<Part>,
    /// A hop through plain rdkafka on the same broker.
    hop: Option<Hops>,
    shown: Shown,
}

pub fn run(arguments: &BudgetArgs) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let figures = runtime.block_on(measure(arguments))?;
    println!("{}", serde_json::to_string_pretty(&figures)?);
    result::write(arguments.stage.out.as_deref(), "budget", arguments.stage.log.word(), &figures)?;
    Ok(true)
}

async fn measure(arguments: &BudgetArgs) -> Result<Figures> {
    let at = &arguments.stage;
    let mut stage = Stage::prepare(at.log, at.binary.as_deref(), at.keep.as_deref())?;
    stage.install(stage::Shape::Alone);
    stage.start(&load::http()?).await?;
    let mut turns = ask(&stage.serve().url, arguments.turns).await?;
    let hop = match stage.engine.kafka() {
        Some(kafka) => Some(hop(kafka.cluster.bootstrap()).await?),
        None => None,
    };
    let data = stage.serve().data.clone();
    // The embedded log is read when nobody holds it any more; brokers outlive the processes.
    stage.stop()?;
    read(&stage, &data, &mut turns).await?;
    let rows: Vec<[f64; 8]> = turns.values().map(stages).collect::<Result<_>>()?;
    let means =
        std::array::from_fn(|stage| rows.iter().map(|row| row[stage]).sum::<f64>() / rows.len() as f64);
    let whole = means.iter().sum();
    Ok(Figures {
        machine: Machine::look(),
        log: at.log.word(),
        turns: rows.len(),
        whole_mean_ms: whole,
        stages: STAGES.iter().zip(means).map(|(&stage, mean_ms)| Part { stage, mean_ms }).collect(),
        hop,
        shown: Shown { tables: vec![table(at.log, &means, whole, hop.as_ref())], ..Shown::default() },
    })
}

/// Every question is a conversation of its own, named by its number.
async fn ask(url: &str, turns: u64) -> Result<HashMap<String, Stamps>> {
    let mut client = Client::connect(url).await?;
    let bar = ProgressBar::new(turns);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} turns")?);
    let mut stamps = HashMap::new();
    for number in 0..WARM_UP + turns {
        let conversation = format!("budget-{number}");
        let asked = now_ms();
        client.ask(&conversation, &TurnKind::default().ask(number)).await?;
        if number >= WARM_UP {
            stamps.insert(conversation, Stamps { asked, had: now_ms(), ..Stamps::default() });
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(stamps)
}

async fn hop(brokers: String) -> Result<Hops> {
    let work = move || {
        let (probe, topic) = (Probe::new(&brokers)?, unique_name("budget-hop-"));
        probe.create_topic(&topic, 8, &[])?;
        let value = [b'x'; RECORD_BYTES];
        anyhow::Ok(probe.hops(&topic, HOPS, Raw { value: Some(&value), ..Raw::default() })?)
    };
    tokio::task::spawn_blocking(work).await?
}

/// Reads the stamps of all turns back.
async fn read(stage: &Stage, data: &std::path::Path, turns: &mut HashMap<String, Stamps>) -> Result<()> {
    let opened = stage.engine.open(data)?;
    let bar = ProgressBar::hidden();
    for topic in [
        Topic::UserCommands,
        Topic::ConversationEvents,
        Topic::ToolInvocationRequests,
        Topic::SynthesisRequests,
    ] {
        for record in topics::whole(&*opened.log, topic, &bar).await? {
            let key = String::from_utf8_lossy(&record.key);
            let conversation = key.split(':').next().unwrap_or_default();
            if let Some(stamps) = turns.get_mut(conversation) {
                stamps.note(topic, &record);
            }
        }
    }
    opened.close().await;
    Ok(())
}

impl Stamps {
    fn note(&mut self, topic: Topic, record: &Record) {
        let kind = record.header("ce_type").unwrap_or_default();
        let is = |name: &str| kind.contains(&format!(".{name}."));
        let at = record.timestamp_ms;
        match topic {
            Topic::UserCommands => self.command = Some(at),
            Topic::ToolInvocationRequests => self.requests.push(at),
            Topic::SynthesisRequests => self.synthesis = Some(at),
            _ if is("UserQueryReceived") => self.received = Some(at),
            _ if is("PlanGenerated") => self.planned = Some(at),
            _ if is("ToolInvocationResulted") => self.results.push(at),
            _ if is("FinalAnswerSynthesized") => self.answer = Some(at),
            _ => {}
        }
    }
}

/// Milliseconds of each of [`STAGES`].
fn stages(stamps: &Stamps) -> Result<[f64; 8]> {
    let complete = (stamps.command, stamps.received, stamps.planned, stamps.synthesis, stamps.answer);
    let (Some(command), Some(received), Some(planned), Some(synthesis), Some(answer)) = complete else {
        bail!("a turn lacks a record: {stamps:?}");
    };
    let requested = mean(&stamps.requests).context("a turn without requests")?;
    let last = stamps.results.iter().max().copied().context("a turn without results")? as f64;
    Ok([
        (command - stamps.asked) as f64,
        (received - command) as f64,
        (planned - received) as f64,
        requested - planned as f64,
        last - requested,
        synthesis as f64 - last,
        (answer - synthesis) as f64,
        (stamps.had - answer) as f64,
    ])
}

fn mean(times: &[i64]) -> Option<f64> {
    (!times.is_empty()).then(|| times.iter().map(|time| *time as f64).sum::<f64>() / times.len() as f64)
}

fn table(log: LogKind, means: &[f64; 8], whole: f64, hop: Option<&Hops>) -> Table {
    let mut table = Table::new(
        &format!("One client's turn on {}, stage by stage", log.word()),
        &["stage", "mean ms", "% of the turn", "hops of plain rdkafka"],
    );
    let hop_ms = hop.map(|hop| hop.p50_us as f64 / 1e3);
    let in_hops = |ms: f64| hop_ms.map_or_else(|| "-".to_owned(), |hop| number(ms / hop.max(1e-3)));
    let mut add = |name: &str, ms: f64| {
        table.row([name.to_owned(), number(ms), number(100.0 * ms / whole.max(1e-9)), in_hops(ms)]);
    };
    STAGES.iter().zip(means).for_each(|(name, ms)| add(name, *ms));
    add("whole", whole);
    table.note =
        "From stamp to stamp; three parallel echo steps, of which the last to end counts.".to_owned();
    table
}

#[cfg(test)]
mod tests {
    use super::{Stamps, stages};

    #[test]
    fn the_stages_add_up_to_the_whole() {
        let stamps = Stamps {
            asked: 100,
            command: Some(101),
            received: Some(103),
            planned: Some(103),
            requests: vec![104, 105, 106],
            results: vec![106, 107, 109],
            synthesis: Some(110),
            answer: Some(112),
            had: 113,
        };
        let stages = stages(&stamps).unwrap();
        assert!((stages.iter().sum::<f64>() - 13.0).abs() < 1e-9, "{stages:?}");
        assert!((stages[4] - 4.0).abs() < 1e-9, "from the mean request to the last result: {stages:?}");
        assert!(super::stages(&Stamps { answer: None, ..stamps }).is_err());
    }
}
