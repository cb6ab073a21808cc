//! The book: every conversation's exchanges as `history.json` shows them. A lighter fold than the host's: it needs
//! messages and answers only, and the first terminal event of a turn counts here too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use callboard_domain::event::Event;
use callboard_domain::id::ConversationId;
use callboard_domain::time::rfc3339;
use callboard_domain::view::{HistoryTurn, HistoryView};
use callboard_domain::wire::Readable;
use callboard_ports::log::{Bounds, LogIdentity};
use serde::{Deserialize, Serialize};

use super::file::HistoryFile;
use crate::decode::Item;
use crate::limits::Limits;

/// One conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    #[serde(flatten)]
    pub view: HistoryView,
    /// Turns ever accepted; `turns` holds the newest.
    pub turns_total: u32,
    pub partition: u32,
}

/// All conversations, and how far each partition has been read.
#[derive(Debug, Clone, Default)]
pub struct Book {
    positions: BTreeMap<u32, u64>,
    identities: BTreeMap<u32, LogIdentity>,
    /// Shared with a file that is being written: only what changes meanwhile is copied.
    entries: BTreeMap<ConversationId, Arc<Entry>>,
    /// By offset sum of change: who changed longest ago leaves first.
    recency: BTreeSet<(u64, ConversationId)>,
    stamp_of: BTreeMap<ConversationId, u64>,
    stamp: u64,
    /// Whether any conversation has left the book: then an unknown id may be an old one.
    shrunk: bool,
}

impl Book {
    pub fn from_file(file: HistoryFile) -> Self {
        let mut book = Self { shrunk: file.shrunk, ..Self::default() };
        book.positions = file.positions;
        book.identities = file.log;
        for (id, entry) in file.conversations {
            book.touch(&id);
            book.entries.insert(id, entry);
        }
        book
    }

    pub fn to_file(&self) -> HistoryFile {
        HistoryFile {
            format: HistoryFile::FORMAT,
            log: self.identities.clone(),
            positions: self.positions.clone(),
            shrunk: self.shrunk,
            conversations: self.entries.clone(),
        }
    }

    pub fn conversations(&self) -> usize {
        self.entries.len()
    }

    pub fn position(&self, partition: u32) -> u64 {
        self.positions.get(&partition).copied().unwrap_or(0)
    }

    pub fn positions(&self) -> impl Iterator<Item = (u32, u64)> {
        self.positions.iter().map(|(partition, next)| (*partition, *next))
    }

    pub fn offset_sum(&self) -> u64 {
        self.positions.values().sum()
    }

    pub fn reached(&mut self, partition: u32, next_offset: u64) {
        let position = self.positions.entry(partition).or_default();
        *position = (*position).max(next_offset);
    }

    /// Starts a partition; a file that belongs to another log is forgotten there.
    pub fn begin(&mut self, partition: u32, identity: &LogIdentity, bounds: Bounds) {
        let same =
            self.identities.get(&partition) == Some(identity) && self.position(partition) <= bounds.end;
        if !same {
            self.positions.insert(partition, bounds.start);
            self.identities.insert(partition, identity.clone());
            let gone: Vec<ConversationId> = self
                .entries
                .iter()
                .filter(|(_, entry)| entry.partition == partition)
                .map(|(id, _)| id.clone())
                .collect();
            for id in gone {
                self.remove(&id);
            }
        }
    }

    fn remove(&mut self, id: &ConversationId) {
        self.entries.remove(id);
        if let Some(stamp) = self.stamp_of.remove(id) {
            self.recency.remove(&(stamp, id.clone()));
        }
    }

    fn touch(&mut self, id: &ConversationId) {
        self.stamp += 1;
        if let Some(before) = self.stamp_of.insert(id.clone(), self.stamp) {
            self.recency.remove(&(before, id.clone()));
        }
        self.recency.insert((self.stamp, id.clone()));
    }

    pub fn contains(&self, id: &ConversationId) -> bool {
        self.entries.contains_key(id)
    }

    /// Folds one record. True where its conversation was not in the book and may have left it: then what it said before this
    /// record is missing.
    pub fn apply(&mut self, partition: u32, item: &Item, limits: &Limits) -> bool {
        let id = &item.conversation;
        let is_new = !self.entries.contains_key(id);
        let may_have_left = is_new && self.shrunk;
        if is_new {
            self.open(partition, id, limits);
        }
        self.fold(item, limits);
        self.touch(id);
        may_have_left
    }

    /// Forgets what a conversation said: all of its records follow, by [`Self::fold`].
    pub fn begin_again(&mut self, id: &ConversationId) {
        if let Some(entry) = self.entries.get_mut(id).map(Arc::make_mut) {
            entry.turns_total = 0;
            entry.view.offset = 0;
            entry.view.turns.clear();
        }
    }

    /// Folds one record of a conversation that is in the book, without a change of place in it.
    pub fn fold(&mut self, item: &Item, limits: &Limits) {
        if let Some(entry) = self.entries.get_mut(&item.conversation).map(Arc::make_mut) {
            fold(entry, item, limits);
        }
    }

    fn open(&mut self, partition: u32, id: &ConversationId, limits: &Limits) {
        while self.entries.len() >= limits.history_conversations {
            let Some((_, oldest)) = self.recency.pop_first() else { break };
            self.remove(&oldest);
            self.shrunk = true;
        }
        let view = HistoryView { conversation_id: id.clone(), offset: 0, turns: Vec::new() };
        self.entries.insert(id.clone(), Arc::new(Entry { view, turns_total: 0, partition }));
    }
}

fn fold(entry: &mut Entry, item: &Item, limits: &Limits) {
    let (Readable::Event(event), Some(command)) = (&item.recorded.body, &item.recorded.command) else {
        return;
    };
    if item.recorded.offset < entry.view.offset {
        return;
    }
    entry.view.offset = item.recorded.offset + 1;
    let known = entry.view.turns.iter_mut().rev().find(|turn| turn.command_id == *command);
    let (status, answer) = match event {
        Event::UserQueryReceived(body) => {
            if known.is_some() {
                return;
            }
            entry.turns_total += 1;
            entry.view.turns.push(HistoryTurn {
                turn: entry.turns_total,
                command_id: command.clone(),
                message: body.message.clone(),
                status: "pending".into(),
                answer: None,
                at: rfc3339(item.recorded.timestamp_ms),
            });
            if entry.view.turns.len() > limits.history_turns {
                entry.view.turns.remove(0);
            }
            return;
        }
        Event::FinalAnswerSynthesized(body) => ("answered", Some(body.answer.clone())),
        Event::PlanFailed(_) => ("failed", None),
        Event::PlanCancelled(_) => ("cancelled", None),
        _ => return,
    };
    if let Some(turn) = known.filter(|turn| &*turn.status == "pending") {
        turn.status = status.into();
        turn.answer = answer;
    }
}
