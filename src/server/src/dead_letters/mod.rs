//! Dead letters as people handle them: found (`index`), shown a page at a time (here), judged (`judge`) and redriven
//! (`redrive`). HTTP's `dead_letters` is the face of it.

mod index;
mod judge;
mod redrive;

use std::ops::{ControlFlow, Range};

use bytes::Bytes;
use callboard_ports::dead_letter::{
    LETTER_ATTEMPT, LETTER_DETAIL, LETTER_ID, LETTER_REASON, LetterId, REDRIVE_OF,
};
use callboard_ports::log::{Log, LogError};
use callboard_ports::snapshot::coalesce;
use callboard_ports::{Record, Topic};
use tokio::sync::Mutex;

use index::{Index, Place};

pub use index::{MAX_LETTERS, Mark};
pub use judge::{Stays, judge};
pub use redrive::{Done, Outcome};

/// Records that one page looks through for its filter, at most: with letters of a kilobyte some five megabytes, below a second.
const MAX_SCANNED: usize = 5_000;
/// Letters this close are read in one go.
const GAP: u64 = 64;

/// The dead letters of one installation.
pub struct DeadLetters {
    index: Mutex<Index>,
    /// One redrive at a time: two of the same letter would both find it unmarked.
    redriving: Mutex<()>,
}

/// A dead letter as it lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    pub id: LetterId,
    pub record: Record,
    /// Whether it was redriven, by whom and when.
    pub mark: Option<Mark>,
}

impl Letter {
    fn of(record: Record, mark: Option<Mark>) -> Self {
        Self { id: id_of(&record), record, mark }
    }

    fn header(&self, name: &str) -> &str {
        self.record.header(name).unwrap_or("")
    }

    /// Whether Callboard wrote it: anybody may write into a topic.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.id.topic == Topic::DeadLetterQueue
    }

    #[must_use]
    pub fn reason(&self) -> &str {
        self.header(LETTER_REASON)
    }

    #[must_use]
    pub fn detail(&self) -> &str {
        self.header(LETTER_DETAIL)
    }

    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.header(LETTER_ATTEMPT).parse().unwrap_or(0)
    }

    /// The letter that it came back from.
    #[must_use]
    pub fn redrive_of(&self) -> Option<&str> {
        self.record.header(REDRIVE_OF)
    }

    /// The key, which begins with the conversation's id wherever Callboard wrote the original.
    #[must_use]
    pub fn key(&self) -> String {
        String::from_utf8_lossy(&self.record.key).into_owned()
    }
}

/// Where the original lay; a record that is no letter of ours is known by its own place.
fn id_of(record: &Record) -> LetterId {
    record.header(LETTER_ID).and_then(|id| id.parse().ok()).unwrap_or_else(|| LetterId::of(record))
}

/// Which letters are wanted; nothing set wants all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub reason: Option<String>,
    pub topic: Option<Topic>,
    pub conversation: Option<String>,
    /// Written at or after this instant (epoch milliseconds)…
    pub since_ms: Option<i64>,
    /// …and before this one.
    pub until_ms: Option<i64>,
    pub redriven: Option<bool>,
}

impl Filter {
    fn wants(&self, letter: &Letter) -> bool {
        let at = letter.record.timestamp_ms;
        self.reason.as_ref().is_none_or(|reason| reason == letter.reason())
            && self.topic.is_none_or(|topic| topic == letter.id.topic)
            && self.conversation.as_ref().is_none_or(|wanted| belongs_to(&letter.key(), wanted))
            && self.since_ms.is_none_or(|since| at >= since)
            && self.until_ms.is_none_or(|until| at < until)
            && self.redriven.is_none_or(|redriven| redriven == letter.mark.is_some())
    }
}

/// Keys are conversation ids, or effect ids, which begin with one.
fn belongs_to(key: &str, conversation: &str) -> bool {
    key.split(':').next() == Some(conversation)
}

/// Where a page begins: a partition of `dead-letter-queue` and an offset in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    pub partition: u32,
    pub offset: u64,
}

/// Some letters, in order of partition and offset.
#[derive(Debug, Default)]
pub struct Page {
    /// Without their values, and with why they may not be redriven.
    pub letters: Vec<(Letter, Option<Stays>)>,
    /// `None` at the end. There may be one although nothing more matches.
    pub next: Option<Cursor>,
    /// Whether letters older than [`MAX_LETTERS`] were left out.
    pub truncated: bool,
}

impl DeadLetters {
    #[must_use]
    pub fn new(partitions: u32) -> Self {
        Self { index: Mutex::new(Index::new(partitions)), redriving: Mutex::new(()) }
    }

    /// Letters from `from` on, judged at `now_ms`.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn page(
        &self,
        log: &dyn Log,
        filter: &Filter,
        from: Cursor,
        limit: usize,
        now_ms: i64,
    ) -> Result<Page, LogError> {
        let (places, truncated) = {
            let mut index = self.index.lock().await;
            index.refresh(log).await?;
            (index.after(from, MAX_SCANNED), index.truncated())
        };
        let mut page = Page { truncated, ..Page::default() };
        for run in places.chunk_by(|a, b| a.partition == b.partition) {
            let take = |mut letter: Letter| {
                if page.letters.len() == limit {
                    page.next =
                        Some(Cursor { partition: letter.record.partition, offset: letter.record.offset });
                    return ControlFlow::Break(());
                }
                if filter.wants(&letter) {
                    let stays = judge(&letter, now_ms).err();
                    // A page of values at their bound would be gigabytes.
                    letter.record.value = Bytes::new();
                    page.letters.push((letter, stays));
                }
                ControlFlow::Continue(())
            };
            if walk(log, run, take).await?.is_break() {
                return Ok(page);
            }
        }
        let last = places.last().filter(|_| places.len() == MAX_SCANNED);
        page.next = last.map(|place| Cursor { partition: place.partition, offset: place.offset + 1 });
        Ok(page)
    }

    /// The letter of this id.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn find(&self, log: &dyn Log, id: LetterId) -> Result<Option<Letter>, LogError> {
        let place = {
            let mut index = self.index.lock().await;
            index.refresh(log).await?;
            index.place(id)
        };
        let Some(place) = place else { return Ok(None) };
        let mut found = None;
        let keep = |letter| {
            found = Some(letter);
            ControlFlow::Break(())
        };
        let _ = walk(log, &[place], keep).await?;
        Ok(found)
    }
}

/// Reads the letters at these places, all of one partition, until `take` has enough.
async fn walk(
    log: &dyn Log,
    places: &[Place],
    mut take: impl FnMut(Letter) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, LogError> {
    let Some(first) = places.first() else { return Ok(ControlFlow::Continue(())) };
    let ranges: Vec<Range<u64>> = coalesce(places.iter().map(|place| place.offset..place.offset + 1), GAP);
    let mut records = log.replay(Topic::DeadLetterQueue, first.partition, ranges, None);
    let mut wanted = places.iter().peekable();
    while let Some(batch) = records.recv().await {
        for record in batch?.records.iter() {
            while wanted.next_if(|place| place.offset < record.offset).is_some() {}
            let Some(place) = wanted.next_if(|place| place.offset == record.offset) else { continue };
            if take(Letter::of(record.clone(), place.mark.clone())).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

#[cfg(test)]
mod tests {
    use super::belongs_to;

    #[test]
    fn keys_of_commands_and_of_effects_belong_to_their_conversation() {
        assert!(belongs_to("c1", "c1") && belongs_to("c1:k:1:s", "c1"));
        assert!(!belongs_to("c10", "c1") && !belongs_to("c10:k:1:s", "c1") && !belongs_to("", "c1"));
    }
}
