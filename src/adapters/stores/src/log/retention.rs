//! Retention: what is older than its topic's time and below every group's position goes, a stretch at a time,
//! when the writer has nothing else to do. `conversation-events` never go.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use callboard_ports::Topic;

use super::codec::{record_key, timestamp_ms};
use super::core::Core;
use super::options::Retention;
use super::writer::Writer;

/// Records looked at in one step.
const STRETCH: u64 = 4_096;
/// How often the whole log is looked through: retention is measured in days.
pub(super) const SWEEP_EVERY: Duration = Duration::from_secs(10 * 60);

/// Where the sweep through all partitions is.
#[derive(Default)]
pub(super) struct Sweep {
    next: usize,
}

impl Sweep {
    /// One short step; true while there is more to do in this round.
    pub(super) fn step(&mut self, writer: &Writer, retention: Retention) -> Result<bool, String> {
        let core = &writer.core;
        let places = Topic::ALL.len() * core.partitions as usize;
        let topic = Topic::ALL[self.next / core.partitions as usize];
        let partition = (self.next % core.partitions as usize) as u32;
        let cut = match keep_ms(topic, retention) {
            Some(keep_ms) => cut(core, topic, partition, keep_ms)?,
            None => None,
        };
        if let Some(before) = cut {
            writer.delete(topic, partition, before)?;
            tracing::debug!(%topic, partition, before, "retention deleted what was old");
            return Ok(true);
        }
        self.next = (self.next + 1) % places;
        Ok(self.next != 0)
    }
}

/// Ten minutes outlast any answer. One process hands pieces over in memory, so that none lie here but foreign ones.
const CHUNKS_MS: i64 = 10 * 60 * 1_000;

fn keep_ms(topic: Topic, retention: Retention) -> Option<i64> {
    match topic {
        Topic::UserCommands => Some(retention.user_commands_ms),
        // What a request asked for is only started while the request may be: the ledger is of no use without it.
        Topic::ToolInvocationRequests | Topic::SynthesisRequests | Topic::ToolEffects => {
            Some(retention.requests_ms)
        }
        Topic::DeadLetterQueue => Some(retention.dead_letters_ms),
        Topic::AnswerChunks => Some(CHUNKS_MS),
        Topic::ConversationEvents => None,
    }
}

/// The offset below which the next stretch of a partition may go; `None` when its oldest record stays.
fn cut(core: &Core, topic: Topic, partition: u32, keep_ms: i64) -> Result<Option<u64>, String> {
    let slot = core.slot(topic, partition);
    let start = core.start(slot);
    let limit = core.lowest_position(topic, partition).unwrap_or(u64::MAX).min(core.end(slot));
    let limit = limit.min(start.saturating_add(STRETCH));
    if limit <= start {
        return Ok(None);
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let oldest_kept_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX).saturating_sub(keep_ms);
    let mut before = None;
    let looked = core.with_store(|store| {
        let range = record_key(partition, start)..record_key(partition, limit);
        for (guard, offset) in store.topic(topic).range(range).zip(start..) {
            let value = guard.value().map_err(|error| error.to_string())?;
            if timestamp_ms(&value).is_none_or(|at| at >= oldest_kept_ms) {
                break;
            }
            before = Some(offset + 1);
        }
        Ok::<(), String>(())
    });
    looked.map_err(|error| error.to_string())??;
    Ok(before)
}
