//! The board: the text so far of every answer that is being written or watched in this process.
//!
//! Readers keep a place (epoch and byte) and take the text from there whenever it has grown, so that a slow one finds several
//! pieces joined, loses none, and holds nobody up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use callboard_domain::chunk::{AnswerChunk, Epoch};
use callboard_domain::id::{CommandId, ConversationId};
use callboard_domain::limits::MAX_ANSWER_BYTES;
use callboard_domain::planted::{self, Defect};
use tokio::sync::watch;

use crate::limits::{ANSWER_STREAMS, ANSWER_STREAMS_OF_ONE};
use crate::node::NodeError;

/// The text of one answer so far.
#[derive(Default)]
struct Text {
    /// The highest that was heard of.
    epoch: Option<(Epoch, Arc<str>)>,
    text: String,
    /// A piece is missing: nothing more is shown of this epoch.
    torn: bool,
}

impl Text {
    /// Whether pieces of `epoch` count; a higher one than known begins anew.
    fn admit(&mut self, epoch: &Epoch) -> bool {
        match &self.epoch {
            Some((known, _)) if known > epoch => return false,
            Some((known, _)) if known == epoch => return true,
            _ => {}
        }
        self.epoch = Some((epoch.clone(), epoch.name().into()));
        self.text.clear();
        self.torn = false;
        true
    }

    /// What goes beyond the bound of an answer is cut off, as it is of the answer.
    fn push(&mut self, text: &str) {
        let room = MAX_ANSWER_BYTES.saturating_sub(self.text.len());
        self.text.push_str(&text[..text.floor_char_boundary(room)]);
    }
}

struct Page {
    text: Mutex<Text>,
    grown: watch::Sender<()>,
}

impl Page {
    fn text(&self) -> MutexGuard<'_, Text> {
        self.text.lock().expect("no holder of this lock panics")
    }
}

#[derive(Default)]
struct Entry {
    page: Option<Arc<Page>>,
    writers: usize,
    watchers: usize,
}

#[derive(Default)]
struct Table {
    entries: HashMap<ConversationId, HashMap<CommandId, Entry>>,
    watchers: usize,
}

impl Table {
    fn entry(&mut self, conversation: &ConversationId, command: &CommandId) -> (&mut Entry, Arc<Page>) {
        let of = self.entries.entry(conversation.clone()).or_default();
        let entry = of.entry(command.clone()).or_default();
        let new = || Arc::new(Page { text: Mutex::default(), grown: watch::channel(()).0 });
        let page = entry.page.get_or_insert_with(new).clone();
        (entry, page)
    }

    fn leave(&mut self, conversation: &ConversationId, command: &CommandId, leave: impl FnOnce(&mut Entry)) {
        let Some(of) = self.entries.get_mut(conversation) else { return };
        let Some(entry) = of.get_mut(command) else { return };
        leave(entry);
        if entry.writers + entry.watchers == 0 {
            of.remove(command);
        }
        if of.is_empty() {
            self.entries.remove(conversation);
        }
    }
}

/// All of them. Bounded: writers by the synthesis workers, watchers by `ANSWER_STREAMS`, texts by the bound of an answer.
#[derive(Default)]
pub struct Streams {
    table: Arc<Mutex<Table>>,
}

impl Streams {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("no holder of this lock panics")
    }

    /// # Errors
    /// [`NodeError::Busy`] where as many watch as may.
    pub fn watch(&self, conversation: &ConversationId, command: &CommandId) -> Result<Watched, NodeError> {
        let mut table = self.table();
        let here = table.entries.get(conversation).and_then(|of| of.get(command));
        let here = here.map_or(0, |entry| entry.watchers);
        if table.watchers >= ANSWER_STREAMS {
            return Err(NodeError::Busy(format!("{ANSWER_STREAMS} answers are being streamed by this node")));
        }
        if here >= ANSWER_STREAMS_OF_ONE {
            return Err(NodeError::Busy(format!("{ANSWER_STREAMS_OF_ONE} streams follow this turn")));
        }
        table.watchers += 1;
        let (entry, page) = table.entry(conversation, command);
        entry.watchers += 1;
        let grown = page.grown.subscribe();
        let place =
            Place { table: self.table.clone(), conversation: conversation.clone(), command: command.clone() };
        Ok(Watched { page, grown, place })
    }

    /// Begins to write; `epoch` takes the place of lower ones with its first piece.
    pub fn write(&self, conversation: &ConversationId, command: &CommandId, epoch: Epoch) -> Writer {
        let mut table = self.table();
        let (entry, page) = table.entry(conversation, command);
        entry.writers += 1;
        let place =
            Place { table: self.table.clone(), conversation: conversation.clone(), command: command.clone() };
        Writer { page, epoch, place }
    }

    /// Whether anybody watches an answer of this conversation.
    pub fn is_watched(&self, conversation: &[u8]) -> bool {
        let Ok(conversation) = std::str::from_utf8(conversation) else { return false };
        self.table().entries.get(conversation).is_some_and(|of| of.values().any(|entry| entry.watchers > 0))
    }

    /// A piece that came through the topic. It may come again; one that is missing ends what is shown of its epoch.
    pub fn take(&self, conversation: &ConversationId, command: &CommandId, chunk: &AnswerChunk) {
        let page = {
            let table = self.table();
            let entry = table.entries.get(conversation).and_then(|of| of.get(command));
            let Some(page) = entry.filter(|entry| entry.watchers > 0).and_then(|entry| entry.page.clone())
            else {
                return;
            };
            page
        };
        let mut text = page.text();
        if !text.admit(&chunk.epoch) {
            return;
        }
        let (at, known) = (usize::try_from(chunk.at_byte).unwrap_or(usize::MAX), text.text.len());
        if at > known && planted::is(Defect::ShowTornAnswer) {
            text.push(&chunk.text);
        } else if at > known {
            text.torn = true;
        } else if at == 0 && known == 0 {
            text.torn = false;
            text.push(&chunk.text);
        } else if !text.torn
            && let Some(new) = chunk.text.get(known - at..)
        {
            text.push(new);
        } else {
            return;
        }
        drop(text);
        page.grown.send_replace(());
    }

    /// Answers on the board, and who watches them.
    #[cfg(test)]
    fn size(&self) -> (usize, usize) {
        let table = self.table();
        (table.entries.values().map(HashMap::len).sum(), table.watchers)
    }
}

/// Of a writer or a watcher.
struct Place {
    table: Arc<Mutex<Table>>,
    conversation: ConversationId,
    command: CommandId,
}

impl Place {
    fn leave(&self, leave: impl FnOnce(&mut Entry), watchers: usize) {
        let mut table = self.table.lock().expect("no holder of this lock panics");
        table.watchers -= watchers;
        table.leave(&self.conversation, &self.command, leave);
    }
}

/// Writes one epoch of one answer.
pub struct Writer {
    page: Arc<Page>,
    epoch: Epoch,
    place: Place,
}

impl Writer {
    pub fn piece(&self, piece: &str) {
        let mut text = self.page.text();
        if text.admit(&self.epoch) {
            text.push(piece);
            drop(text);
            self.page.grown.send_replace(());
        }
    }

    /// Goes on with a higher epoch.
    pub fn begin(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.place.leave(|entry| entry.writers -= 1, 0);
    }
}

/// What is new to a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Name of the epoch.
    pub epoch: Arc<str>,
    /// Where `text` begins: 0 where the epoch is another one than the reader's.
    pub at_byte: usize,
    pub text: String,
}

/// A watched answer.
pub struct Watched {
    page: Arc<Page>,
    grown: watch::Receiver<()>,
    place: Place,
}

impl Watched {
    /// Resolves when there may be something new. May be dropped at any time.
    pub async fn grown(&mut self) {
        if self.grown.changed().await.is_err() {
            // The sender lives in the page, which lives as long as this does.
            std::future::pending::<()>().await;
        }
    }

    /// What is new to a reader who has `bytes` of the epoch of this name.
    pub fn since(&self, has: Option<(&str, usize)>) -> Option<Said> {
        let text = self.page.text();
        let (_, name) = text.epoch.as_ref()?;
        let at_byte = match has {
            Some((epoch, bytes)) if *epoch == **name => bytes,
            _ => 0,
        };
        let new = text.text.get(at_byte..).filter(|new| !new.is_empty())?;
        Some(Said { epoch: name.clone(), at_byte, text: new.to_owned() })
    }

    /// Whether the first `bytes` of `answer` are what was said in the epoch of this name.
    pub fn agrees(&self, epoch: &str, bytes: usize, answer: &str) -> bool {
        let text = self.page.text();
        let known = text.epoch.as_ref().is_some_and(|(_, name)| **name == *epoch);
        known && text.text.get(..bytes).is_some_and(|said| answer.starts_with(said))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.place.leave(|entry| entry.watchers -= 1, 1);
    }
}

#[cfg(test)]
mod tests {
    use callboard_domain::chunk::{AnswerChunk, Epoch};
    use callboard_domain::id::{CommandId, ConversationId};

    use super::Streams;
    use crate::limits::{ANSWER_STREAMS, ANSWER_STREAMS_OF_ONE};

    fn ids() -> (ConversationId, CommandId) {
        (ConversationId::new("c").unwrap(), CommandId::new("k").unwrap())
    }

    fn epoch(start_ms: i64) -> Epoch {
        Epoch { version: 1, attempt: 1, start_ms, worker: "w".into() }
    }

    fn chunk(start_ms: i64, at_byte: u64, text: &str) -> AnswerChunk {
        AnswerChunk { epoch: epoch(start_ms), seq: 0, at_byte, text: text.into(), last: false }
    }

    #[test]
    fn whoever_comes_late_or_reads_slowly_gets_every_piece_once() {
        let (streams, (c, k)) = (Streams::default(), ids());
        let writer = streams.write(&c, &k, epoch(1));
        writer.piece("Grü");
        let watch = streams.watch(&c, &k).unwrap();
        let first = watch.since(None).unwrap();
        assert_eq!((first.at_byte, &*first.text), (0, "Grü"));
        writer.piece("ße, ");
        writer.piece("Welt");
        let rest = watch.since(Some((&first.epoch, first.text.len()))).unwrap();
        assert_eq!((rest.at_byte, &*rest.text), (4, "ße, Welt"));
        assert_eq!(watch.since(Some((&first.epoch, 13))), None, "nothing is new");
        assert!(watch.agrees(&first.epoch, 13, "Grüße, Welt!") && !watch.agrees(&first.epoch, 13, "Gruß"));
        drop(writer);
        assert_eq!(streams.size(), (1, 1), "who watches still reads what was said");
        drop(watch);
        assert_eq!(streams.size(), (0, 0));
    }

    #[test]
    fn the_higher_epoch_counts_and_the_lower_falls_silent() {
        let (streams, (c, k)) = (Streams::default(), ids());
        let watch = streams.watch(&c, &k).unwrap();
        let mut old = streams.write(&c, &k, epoch(1));
        old.piece("one");
        let said = watch.since(None).unwrap();
        let new = streams.write(&c, &k, epoch(2));
        new.piece("two");
        old.piece(" more");
        let again = watch.since(Some((&said.epoch, 3))).unwrap();
        assert_eq!((again.at_byte, &*again.text), (0, "two"));
        assert_ne!(again.epoch, said.epoch);
        old.begin(epoch(3));
        old.piece("three");
        assert_eq!(watch.since(Some((&again.epoch, 3))).unwrap().text, "three");
    }

    #[test]
    fn pieces_from_elsewhere_may_come_twice_but_not_be_missing() {
        let (streams, (c, k)) = (Streams::default(), ids());
        streams.take(&c, &k, &chunk(1, 0, "nobody watches"));
        let watch = streams.watch(&c, &k).unwrap();
        assert_eq!(watch.since(None), None);
        for (at, text) in [(0, "one "), (4, "two "), (0, "one "), (4, "two three")] {
            streams.take(&c, &k, &chunk(1, at, text));
        }
        let said = watch.since(None).unwrap();
        assert_eq!(said.text, "one two three");
        streams.take(&c, &k, &chunk(1, 20, "lost something"));
        streams.take(&c, &k, &chunk(1, 13, " four"));
        assert_eq!(watch.since(Some((&said.epoch, 13))), None, "what follows a gap is not shown");
        streams.take(&c, &k, &chunk(2, 5, "began before"));
        assert_eq!(watch.since(None), None);
        streams.take(&c, &k, &chunk(2, 0, "now all of it"));
        assert_eq!(watch.since(None).unwrap().text, "now all of it");
    }

    #[test]
    fn watchers_are_bounded_for_a_turn_and_for_the_node() {
        let (streams, (c, k)) = (Streams::default(), ids());
        let of_one: Vec<_> = (0..ANSWER_STREAMS_OF_ONE).map(|_| streams.watch(&c, &k).unwrap()).collect();
        assert!(streams.watch(&c, &k).is_err());
        let command = |i: usize| CommandId::new(&format!("k{i}")).unwrap();
        let rest = ANSWER_STREAMS - ANSWER_STREAMS_OF_ONE;
        let all: Vec<_> = (0..rest).map(|i| streams.watch(&c, &command(i)).unwrap()).collect();
        assert!(streams.watch(&c, &command(rest)).is_err());
        drop((of_one, all));
        assert!(streams.watch(&c, &k).is_ok() && streams.size() == (0, 0));
    }
}
