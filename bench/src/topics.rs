//! Reads topics back, whole, through the port: the log's own word, with nothing of Callboard's runtime in between.

use std::collections::BTreeMap;

use anyhow::Result;
use callboard_domain::conversation::Recorded;
use callboard_domain::id::ConversationId;
use callboard_domain::wire;
use callboard_ports::log::Log;
use callboard_ports::{Record, Topic};
use indicatif::ProgressBar;

/// What the log holds.
#[derive(Debug, Default)]
pub struct Topics {
    /// All events, by conversation, in log order.
    pub events: BTreeMap<ConversationId, Vec<Recorded>>,
    pub partition: BTreeMap<ConversationId, u32>,
    /// Ids of all commands, with the conversation that they are for.
    pub commands: Vec<(String, ConversationId)>,
    /// Dead letters by reason; one that was written twice after a crash counts once.
    pub dead_letters: BTreeMap<String, u64>,
    /// Records of `conversation-events` and `user-commands` that nobody can read.
    pub unreadable: Vec<String>,
    pub records: u64,
}

impl Topics {
    /// Reads what is there now.
    pub async fn read(log: &dyn Log, bar: &ProgressBar) -> Result<Self> {
        let mut topics = Self::default();
        for record in whole(log, Topic::ConversationEvents, bar).await? {
            topics.event(&record);
        }
        for record in whole(log, Topic::UserCommands, bar).await? {
            topics.command(&record);
        }
        let mut letters: BTreeMap<String, String> = BTreeMap::new();
        for record in whole(log, Topic::DeadLetterQueue, bar).await? {
            topics.records += 1;
            let id = record.header("callboard-dlq-id").unwrap_or("foreign").to_owned();
            letters.insert(id, record.header("callboard-dlq-reason").unwrap_or("no reason").to_owned());
        }
        for reason in letters.into_values() {
            *topics.dead_letters.entry(reason).or_default() += 1;
        }
        Ok(topics)
    }

    fn event(&mut self, record: &Record) {
        self.records += 1;
        match wire::read_event(&record.key, &record.value) {
            Ok((meta, body)) => {
                let (offset, timestamp_ms) = (record.offset, record.timestamp_ms);
                self.partition.insert(meta.conversation.clone(), record.partition);
                let recorded = Recorded { offset, timestamp_ms, command: meta.command, body };
                self.events.entry(meta.conversation).or_default().push(recorded);
            }
            Err(problem) => self.unreadable.push(place(record, &problem.to_string())),
        }
    }

    fn command(&mut self, record: &Record) {
        self.records += 1;
        match wire::read_command(&record.key, &record.value) {
            Ok((meta, _)) => {
                let id = meta.command.map_or_else(|| meta.id.to_string(), |command| command.to_string());
                self.commands.push((id, meta.conversation));
            }
            Err(problem) => self.unreadable.push(place(record, &problem.to_string())),
        }
    }
}

fn place(record: &Record, problem: &str) -> String {
    format!("{}:{}:{}: {problem}", record.topic, record.partition, record.offset)
}

/// All records of a topic, partition by partition.
pub async fn whole(log: &dyn Log, topic: Topic, bar: &ProgressBar) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for partition in 0..log.partitions() {
        let bounds = log.bounds(topic, partition).await?;
        if bounds.start == bounds.end {
            continue;
        }
        let mut batches = log.replay(topic, partition, vec![bounds.start..bounds.end], None);
        while let Some(batch) = batches.recv().await {
            let batch = batch?;
            bar.inc(batch.records.len() as u64);
            records.extend(batch.records.iter().cloned());
        }
    }
    Ok(records)
}
