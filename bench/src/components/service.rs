//! One service over a topic that was filled before it started: how many a second, and how long one takes alone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use callboard_actors::Roles;
use callboard_ports::log::{Log, Tail, TailEvent};
use callboard_ports::tool::ToolRegistry;
use callboard_ports::{NewRecord, Topic};
use indicatif::ProgressBar;

use super::arguments::ComponentsArgs;
use super::node::Bed;
use super::{Component, STEPS};
use crate::fill::{self, Turn};

/// A service that does nothing for so long has stopped.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(1);
/// Turns of each conversation that the history is made of.
const TALK: usize = 20;

/// What a service is given, and what it must make of it.
pub struct Task<'a> {
    pub component: String,
    pub what: &'static str,
    pub roles: Roles,
    pub input: &'a dyn Fn(usize) -> Result<NewRecord>,
    pub output: Topic,
    /// Records of `output` for each of the input.
    pub outputs: usize,
    /// What counts as events, for each of the input.
    pub events: usize,
}

pub async fn measure(
    tools: &Arc<dyn ToolRegistry>,
    arguments: &ComponentsArgs,
    task: Task<'_>,
) -> Result<Component> {
    let bed = Bed::make(tools.clone())?;
    let mut under_way = VecDeque::new();
    for number in 0..arguments.count {
        fill::append(&*bed.log, vec![(task.input)(number)?], &mut under_way).await?;
    }
    for receipt in under_way {
        receipt.await.context("the log closed")??;
    }
    let mut outputs = Outputs::from_the_end(&*bed.log, task.output).await?;
    let running = bed.start(task.roles)?;
    // Joining its group is no work of the service: time counts from its first record.
    let early = outputs.next(1, &task.component).await?;
    let (began, wanted) = (Instant::now(), arguments.count * task.outputs);
    let late = outputs.next(wanted.saturating_sub(early), &task.component).await?;
    let seconds = began.elapsed().as_secs_f64();
    let mut waited = Duration::ZERO;
    for number in arguments.count..arguments.count + arguments.alone {
        let input = (task.input)(number)?;
        let at = Instant::now();
        bed.log.append(vec![input])?;
        outputs.next(task.outputs, &task.component).await?;
        waited += at.elapsed();
    }
    running.stop().await;
    bed.log.close().await;
    let items = late as f64 / task.outputs as f64;
    Ok(Component {
        component: task.component,
        what: task.what,
        events_per_s: (late > 0).then(|| items * task.events as f64 / seconds.max(1e-9)),
        mean_ms: (arguments.alone > 0).then(|| waited.as_secs_f64() * 1e3 / arguments.alone as f64),
    })
}

/// The history projection by itself: from its start to the file with everything in it.
pub async fn history(tools: &Arc<dyn ToolRegistry>, arguments: &ComponentsArgs) -> Result<Component> {
    let bed = Bed::make(tools.clone())?;
    let conversations = (arguments.count / (TALK * Turn::len(STEPS))).max(1);
    let turns = (0..TALK as u64)
        .flat_map(|number| (0..conversations).map(move |of| Turn::new(&format!("said-{of}"), number, STEPS)));
    let events = fill::fill(&*bed.log, turns, &ProgressBar::hidden()).await?;
    let (file, began) = (bed.history_file(), Instant::now());
    let running = bed.start(Roles { history: Some(file.clone()), ..Roles::default() })?;
    while !file.exists() {
        if began.elapsed() > PATIENCE {
            bail!("the history projection wrote no file within {PATIENCE:?}");
        }
        tokio::time::sleep(LOOK).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    let written = std::fs::read_to_string(&file)?;
    running.stop().await;
    bed.log.close().await;
    if !written.contains(&format!("said-{}", conversations - 1)) {
        bail!("the history lacks a conversation that is in the log");
    }
    Ok(Component {
        component: "history projection".to_owned(),
        what: "an event read back, until history.json is written",
        events_per_s: Some(events as f64 / seconds),
        mean_ms: None,
    })
}

/// Records that appear at the end of a topic.
struct Outputs {
    tail: Tail,
}

impl Outputs {
    async fn from_the_end(log: &dyn Log, topic: Topic) -> Result<Self> {
        let tail = log.tail(topic, 1)?;
        for partition in 0..log.partitions() {
            tail.control.assign(partition, log.bounds(topic, partition).await?.end, 1);
        }
        Ok(Self { tail })
    }

    /// Waits for so many more; how many came at once with the last of them.
    async fn next(&mut self, wanted: usize, who: &str) -> Result<usize> {
        let mut seen = 0;
        while seen < wanted {
            let event = tokio::time::timeout(PATIENCE, self.tail.lanes[0].recv()).await;
            match event.with_context(|| format!("{who}: {seen} of {wanted} records in {PATIENCE:?}"))? {
                Some(TailEvent::Batch { batch, .. }) => seen += batch.records.len(),
                Some(TailEvent::Failed { error, .. }) => return Err(error.into()),
                None => bail!("{who}: the log's tail has ended"),
            }
        }
        Ok(seen)
    }
}
