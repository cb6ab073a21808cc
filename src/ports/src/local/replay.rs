//! Replays over a [`Source`]: ranges read once, in bounded batches, at the reader's pace.

use std::ops::Range;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::{MAX_BATCH_BYTES, MAX_BATCH_RECORDS, Source, Spawner, check_partition, read_some};
use crate::log::{Batch, LogError};
use crate::record::{Record, Topic};

/// Batches under way: one is read while another is folded.
const CAPACITY: usize = 4;

type Sender = mpsc::Sender<Result<Batch, LogError>>;

struct Replay {
    source: Arc<dyn Source>,
    topic: Topic,
    partition: u32,
    key: Option<String>,
}

/// See [`Log::replay`](crate::log::Log::replay); the reading runs on `spawner`.
pub fn replay(
    source: &Arc<dyn Source>,
    spawner: &Spawner,
    (topic, partition): (Topic, u32),
    ranges: Vec<Range<u64>>,
    key: Option<String>,
) -> mpsc::Receiver<Result<Batch, LogError>> {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    let replay = Replay { source: source.clone(), topic, partition, key };
    spawner(Box::pin(async move {
        // A receiver that was dropped wants no error either.
        if let Err(Some(error)) = replay.run(ranges, &sender).await {
            let _ = sender.send(Err(error)).await;
        }
    }));
    receiver
}

impl Replay {
    /// `Err(None)`: nobody listens any more.
    async fn run(&self, ranges: Vec<Range<u64>>, sender: &Sender) -> Result<(), Option<LogError>> {
        check_partition(&*self.source, self.topic, self.partition)?;
        let mut kept = Vec::new();
        let mut kept_bytes = 0;
        for range in ranges {
            let mut from = range.start;
            while from < range.end {
                if sender.is_closed() {
                    return Err(None);
                }
                let bounds = self.source.bounds(self.topic, self.partition);
                if from >= bounds.end {
                    break;
                }
                if from < bounds.start {
                    return Err(Some(LogError::OutOfRange {
                        topic: self.topic,
                        partition: self.partition,
                        wanted: from,
                        start: bounds.start,
                        end: bounds.end,
                    }));
                }
                let before = range.end.min(bounds.end);
                let records = read_some(&*self.source, (self.topic, self.partition), from, before)?;
                from += records.len() as u64;
                self.keep(records, &mut kept, &mut kept_bytes, sender).await?;
                tokio::task::yield_now().await;
            }
        }
        self.send(&mut kept, sender).await
    }

    /// Takes in what was read. Without a filter it goes out as it is; the few records that a filter leaves are
    /// gathered over many reads.
    async fn keep(
        &self,
        records: Vec<Record>,
        kept: &mut Vec<Record>,
        kept_bytes: &mut usize,
        sender: &Sender,
    ) -> Result<(), Option<LogError>> {
        let Some(key) = &self.key else {
            return self.send(&mut { records }, sender).await;
        };
        for record in records {
            if record.key != key.as_bytes() {
                continue;
            }
            *kept_bytes += record.size_bytes();
            kept.push(record);
            if kept.len() >= MAX_BATCH_RECORDS || *kept_bytes >= MAX_BATCH_BYTES {
                *kept_bytes = 0;
                self.send(kept, sender).await?;
            }
        }
        Ok(())
    }

    async fn send(&self, records: &mut Vec<Record>, sender: &Sender) -> Result<(), Option<LogError>> {
        if records.is_empty() {
            return Ok(());
        }
        let records = Arc::from(std::mem::take(records));
        let batch = Batch { topic: self.topic, partition: self.partition, records };
        sender.send(Ok(batch)).await.map_err(|_| None)
    }
}
