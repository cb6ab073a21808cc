//! `callboard-bench floor`: what Kafka itself costs here, through plain rdkafka. The turn's shape is that of a real turn, which
//! is asked of Callboard first and read back from the topics. `shown` lays it out.

mod shown;

use anyhow::{Context, Result, bail};
use callboard_kafka::floor::{Pace, Rates, Shape, Slot, TurnRecord, chains, rates, turns};
use callboard_kafka::probe::{Hops, Probe, Raw};
use callboard_ports::{Record, Topic};
use callboard_testkit::unique_name;
use indicatif::ProgressBar;
use serde::Serialize;

use crate::arguments::FloorArgs;
use crate::machine::Machine;
use crate::shown::Shown;
use crate::stage::{self, Stage};
use crate::turn::{Client, TurnKind};
use crate::{load, result, topics};

/// Of the records of chains and rates, as a middling event has them.
const RECORD_BYTES: usize = 400;
const PARTITIONS: i32 = 8;
/// Produced and consumed for each second of `--seconds`.
const RATE_RECORDS_PER_S: f64 = 60_000.0;
/// Hops one after the other; a short run does with fewer.
const HOPS_PER_S: f64 = 400.0;
const MOST_HOPS: f64 = 2_000.0;

/// What plain Kafka does here.
#[derive(Debug, Clone, Serialize)]
pub struct Floor {
    pub hop: Hops,
    pub chain_hops: u32,
    pub chains: Vec<Pace>,
    /// The turn's own records.
    pub turn_records: usize,
    pub turn_bytes: usize,
    pub turns: Vec<Pace>,
}

#[derive(Debug, Serialize)]
struct Figures {
    machine: Machine,
    log: &'static str,
    floor: Floor,
    rates: Rates,
    shown: Shown,
}

pub fn run(arguments: &FloorArgs) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let figures = runtime.block_on(async {
        let at = &arguments.stage;
        let mut stage = Stage::prepare(at.log, at.binary.as_deref(), at.keep.as_deref())?;
        if stage.engine.kafka().is_none() {
            bail!("the floor is Kafka's: say --log kafka1 or --log kafka3");
        }
        stage.install(stage::Shape::Alone);
        stage.start(&load::http()?).await?;
        let serve = stage.serve().clone();
        let shape = shape(&stage, &serve.url, &TurnKind::default()).await?;
        stage.stop()?;
        let floor = measure(&stage, shape, arguments.hops, &arguments.in_flight, arguments.seconds).await?;
        let brokers = bootstrap(&stage)?;
        let records = (RATE_RECORDS_PER_S * arguments.seconds).max(1_000.0) as usize;
        let rates = tokio::task::spawn_blocking(move || {
            let topic = topic(&brokers, "rates")?;
            anyhow::Ok(rates(&brokers, (&topic, PARTITIONS), records, RECORD_BYTES)?)
        });
        let rates = rates.await??;
        let shown = shown::of(at.log.word(), &floor, &rates);
        anyhow::Ok(Figures { machine: Machine::look(), log: at.log.word(), floor, rates, shown })
    })?;
    println!("{}", serde_json::to_string_pretty(&figures)?);
    result::write(arguments.stage.out.as_deref(), "floor", arguments.stage.log.word(), &figures)?;
    Ok(true)
}

fn bootstrap(stage: &Stage) -> Result<String> {
    Ok(stage.engine.kafka().context("the floor needs Kafka")?.cluster.bootstrap())
}

/// A topic of this run's own.
fn topic(brokers: &str, what: &str) -> Result<String> {
    let name = unique_name(&format!("floor-{what}-"));
    Probe::new(brokers)?.create_topic(&name, PARTITIONS, &[])?;
    Ok(name)
}

/// Hop, chains and turns, each with `in_flight` at once for about `seconds`.
pub async fn measure(
    stage: &Stage,
    records: Vec<TurnRecord>,
    hops: u32,
    in_flight: &[usize],
    seconds: f64,
) -> Result<Floor> {
    let (brokers, in_flight) = (bootstrap(stage)?, in_flight.to_vec());
    let hop_count = (HOPS_PER_S * seconds).clamp(100.0, MOST_HOPS) as usize;
    let work = move || {
        let probe = Probe::new(&brokers)?;
        let value = [b'x'; RECORD_BYTES];
        let hop = Raw { value: Some(&value), ..Raw::default() };
        let hop = probe.hops(&topic(&brokers, "hop")?, hop_count, hop)?;
        let chain_topic = topic(&brokers, "chain")?;
        let shape = Shape {
            commands: topic(&brokers, "commands")?,
            events: topic(&brokers, "events")?,
            requests: topic(&brokers, "requests")?,
            synthesis: topic(&brokers, "synthesis")?,
            partitions: PARTITIONS,
            records,
        };
        let (mut all_chains, mut all_turns) = (Vec::new(), Vec::new());
        for &in_flight in &in_flight {
            let place = (chain_topic.as_str(), PARTITIONS);
            let chain = |count| chains(&brokers, place, hops, in_flight, count, RECORD_BYTES);
            all_chains.push(for_about(seconds, in_flight, chain)?);
            all_turns.push(for_about(seconds, in_flight, |count| turns(&brokers, &shape, in_flight, count))?);
        }
        anyhow::Ok(Floor {
            hop,
            chain_hops: hops,
            chains: all_chains,
            turn_records: shape.records.len(),
            turn_bytes: shape.records.iter().map(bytes).sum(),
            turns: all_turns,
        })
    };
    tokio::task::spawn_blocking(work).await?
}

fn bytes(record: &TurnRecord) -> usize {
    let headers: usize = record.headers.iter().map(|(key, value)| key.len() + value.len()).sum();
    record.key.len() + record.value.len() + headers
}

/// Runs once to see how fast it goes, then for about `seconds`.
fn for_about<E>(
    seconds: f64,
    in_flight: usize,
    mut run: impl FnMut(usize) -> Result<Pace, E>,
) -> Result<Pace, E> {
    let look = run(100 + 4 * in_flight)?;
    run(((look.per_second * seconds) as usize).max(100 + 4 * in_flight))
}

/// Asks one turn, and reads back what it wrote.
pub async fn shape(stage: &Stage, url: &str, kind: &TurnKind) -> Result<Vec<TurnRecord>> {
    const CONVERSATION: &str = "floor-shape";
    Client::connect(url).await?.ask(CONVERSATION, &kind.ask(0xab_cdef)).await?;
    let opened = stage.engine.open(&stage.serve().data)?;
    let bar = ProgressBar::hidden();
    let mut records = Vec::new();
    for (from, slots) in [
        (Topic::UserCommands, &[("UserQueryReceived", Slot::Command)][..]),
        (
            Topic::ConversationEvents,
            &[
                ("UserQueryReceived", Slot::Received),
                ("PlanGenerated", Slot::Planned),
                ("ToolInvocationResulted", Slot::Result),
                ("FinalAnswerSynthesized", Slot::Answer),
            ],
        ),
        (Topic::ToolInvocationRequests, &[("ToolInvocationRequested", Slot::Request)]),
        (Topic::SynthesisRequests, &[("SynthesizeFinalAnswerRequested", Slot::Synthesis)]),
    ] {
        let all = topics::whole(&*opened.log, from, &bar).await?;
        for record in all.iter().filter(|record| record.key.starts_with(CONVERSATION.as_bytes())) {
            let kind = record.header("ce_type").unwrap_or_default();
            let slot = slots.iter().find(|(name, _)| kind.contains(&format!(".{name}.")));
            records.extend(slot.map(|(_, slot)| as_written(*slot, record)));
        }
    }
    opened.close().await;
    if records.len() != 5 + 2 * kind.steps {
        bail!("a turn of {} steps has {} records, not {}", kind.steps, 5 + 2 * kind.steps, records.len());
    }
    Ok(records)
}

fn as_written(slot: Slot, record: &Record) -> TurnRecord {
    TurnRecord {
        slot,
        key: record.key.to_vec(),
        value: record.value.to_vec(),
        headers: record.headers.iter().map(|h| (h.name.to_owned(), h.value.to_vec())).collect(),
    }
}
