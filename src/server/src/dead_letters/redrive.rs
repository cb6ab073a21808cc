//! Redriving one letter: its original is appended to its topic again, and then the letter is marked. A crash between the two
//! leaves it unmarked; redriven once more, the duplicate is dropped by what drops every duplicate (command ids, effect ids).

use std::time::Duration;

use callboard_domain::time::rfc3339;
use callboard_ports::dead_letter::{LETTER_ID, LetterId, REDRIVE_OF, redriven};
use callboard_ports::headers::{POOL, TRACEPARENT};
use callboard_ports::log::{AppendError, Log, LogError};
use callboard_ports::partition::partition_of;
use callboard_ports::record::{Header, HeaderList, NewRecord, Record};

use super::judge::{Stays, judge};
use super::{DeadLetters, Letter};
use crate::http::Running;

/// As a command: a log that is there answers in milliseconds, a fail-over included in seconds.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(10);
/// A full append queue drains in milliseconds; for this long it is tried again before the letter is given back.
const FULL_FOR: Duration = Duration::from_secs(5);
const FULL_RETRY: Duration = Duration::from_millis(50);

/// What became of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It would be, were this no dry run.
    Would,
    Redriven(LetterId),
    Stays(Stays),
    /// Nobody knows, or not now: asking again is safe.
    Failed(String),
}

/// A letter that was looked at: what it was given up for (`None` where there is no such letter), and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    pub reason: Option<String>,
    pub outcome: Outcome,
}

impl DeadLetters {
    /// Redrives these letters one after the other, as the log has them now.
    ///
    /// # Errors
    /// When the log cannot be read; what was done until then is marked.
    pub async fn redrive(
        &self,
        running: &Running,
        ids: &[LetterId],
        by: &str,
        dry_run: bool,
    ) -> Result<Vec<Done>, LogError> {
        let _one_at_a_time = self.redriving.lock().await;
        let mut all = Vec::with_capacity(ids.len());
        for id in ids {
            all.push(match self.find(&*running.log, *id).await? {
                Some(letter) => Done {
                    reason: Some(letter.reason().to_owned()),
                    outcome: one(running, &letter, by, dry_run).await?,
                },
                None => {
                    let stays = Stays::new("unknown_dead_letter", format!("there is no dead letter {id}"));
                    Done { reason: None, outcome: Outcome::Stays(stays) }
                }
            });
        }
        Ok(all)
    }
}

async fn one(running: &Running, letter: &Letter, by: &str, dry_run: bool) -> Result<Outcome, LogError> {
    let (log, id) = (&*running.log, letter.id);
    let record = match fit(running, letter).await {
        Err(stays) => return Ok(Outcome::Stays(stays)),
        Ok(()) => again(log, letter).await?,
    };
    if let Some(why) = record.oversize() {
        return Ok(Outcome::Stays(Stays::new("too_large", why)));
    }
    if dry_run {
        return Ok(Outcome::Would);
    }
    let place = (record.topic, record.partition);
    let offset = match append(log, record).await {
        Ok(offset) => offset,
        Err(error) => return Ok(Outcome::Failed(error.to_string())),
    };
    let now = LetterId { topic: place.0, partition: place.1, offset };
    tracing::info!(letter = %id, by, now_lies_at = %now, "dead letter redriven");
    let at = rfc3339(running.clock.now_ms());
    match append(log, redriven(&letter.record, id, by, &at, now)).await {
        Ok(_) => Ok(Outcome::Redriven(now)),
        Err(error) => {
            let words = format!(
                "it was appended as {now}, but the mark was not acknowledged ({error}); redriving it again is dropped as a duplicate"
            );
            Ok(Outcome::Failed(words))
        }
    }
}

/// Whether the ordinary path would take it now.
async fn fit(running: &Running, letter: &Letter) -> Result<(), Stays> {
    let fit = judge(letter, running.clock.now_ms())?;
    let Some(conversation) = fit.command_of else { return Ok(()) };
    // A conversation of another node is that node's to judge.
    match running.node.read(&conversation, |state| state.blocked.clone()).await {
        Ok(Some(blocked)) => {
            let words = format!(
                "its conversation is still held at offset {} by a {} of version {}; redrive it after the upgrade",
                blocked.offset, blocked.kind, blocked.version
            );
            Err(Stays::new("conversation_blocked", words))
        }
        _ => Ok(()),
    }
}

/// The record to append: the original where its topic still has it, or else what the letter kept of it.
async fn again(log: &dyn Log, letter: &Letter) -> Result<NewRecord, LogError> {
    let kept = &letter.record;
    let original = original(log, letter).await?;
    let mut headers = HeaderList::default();
    match &original {
        Some(original) => {
            let keeps = |header: &Header<'_>| ![REDRIVE_OF, LETTER_ID].contains(&header.name);
            headers.extend(original.headers.iter().filter(keeps));
        }
        None => {
            let keeps = |header: &Header<'_>| [POOL, TRACEPARENT].contains(&header.name);
            headers.extend(kept.headers.iter().filter(keeps));
        }
    }
    headers.push_text(REDRIVE_OF, letter.id);
    Ok(NewRecord {
        topic: letter.id.topic,
        // By its key, as every producer does: what was given up as misrouted arrives this time.
        partition: partition_of(&kept.key, log.partitions()),
        key: kept.key.clone(),
        headers: headers.into(),
        value: kept.value.clone(),
    })
}

/// The original, when its topic still has it: the same key and bytes, or it is the record of another log.
async fn original(log: &dyn Log, letter: &Letter) -> Result<Option<Record>, LogError> {
    let LetterId { topic, partition, offset } = letter.id;
    if partition >= log.partitions() {
        return Ok(None);
    }
    let bounds = log.bounds(topic, partition).await?;
    if !(bounds.start..bounds.end).contains(&offset) {
        return Ok(None);
    }
    #[allow(clippy::single_range_in_vec_init, reason = "the port takes ranges")]
    let mut records = log.replay(topic, partition, vec![offset..offset + 1], None);
    let mut found = None;
    while let Some(batch) = records.recv().await {
        match batch {
            // Expired between the look at the bounds and the read.
            Err(LogError::OutOfRange { .. }) => return Ok(None),
            Err(error) => return Err(error),
            Ok(batch) => found = found.or_else(|| batch.records.iter().find(|r| r.offset == offset).cloned()),
        }
    }
    let same = |record: &Record| record.key == letter.record.key && record.value == letter.record.value;
    Ok(found.filter(same))
}

/// Appends and waits until it is durable; gives the offset.
async fn append(log: &dyn Log, record: NewRecord) -> Result<u64, AppendError> {
    let until = tokio::time::Instant::now() + FULL_FOR;
    let receipt = loop {
        match log.append(vec![record.clone()]) {
            Err(AppendError::Full) if tokio::time::Instant::now() < until => {
                tokio::time::sleep(FULL_RETRY).await;
            }
            other => break other?,
        }
    };
    let unknown = |why: &str| AppendError::Unknown(why.to_owned());
    let outcome = tokio::time::timeout(ACKNOWLEDGED_WITHIN, receipt).await;
    let offsets = outcome
        .map_err(|_| unknown("the log did not answer in time"))?
        .map_err(|_| unknown("the log went away"))??;
    offsets.first().copied().ok_or_else(|| unknown("the log gave no offset"))
}
