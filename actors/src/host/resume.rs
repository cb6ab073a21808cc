//! Bringing conversations back into memory without being asked: those with something due at a start, and those whose time
//! has come while they were not in memory. A bounded number at once, the oldest first, and whoever a client waits for
//! before everybody else. What it does with them is what is done with any conversation: launch, look at what is due.

use std::collections::{HashMap, HashSet, VecDeque};

use actix::{Handler, Message};
use callboard_domain::State;
use callboard_domain::id::ConversationId;
use callboard_ports::snapshot::Open;

use super::slots::{Pending, Slot};
use super::{Host, Phase};
use crate::conversation::open_of;
use crate::limits::{LAUNCHES_AT_ONCE, RESUMES_AT_ONCE, WANTED_FIRST};

/// Who is to be brought back.
#[derive(Default)]
pub(super) struct Resuming {
    waiting: VecDeque<ConversationId>,
    /// States of those that are in memory already; each has a slot that collects what arrives for it.
    states: HashMap<ConversationId, State>,
    /// Being read for this.
    reading: HashSet<ConversationId>,
    /// Asked for by clients while the partition caught up.
    wanted: Vec<ConversationId>,
}

impl Resuming {
    pub fn len(&self) -> usize {
        self.waiting.len() + self.reading.len()
    }

    /// A client asks for it, and the partition is not caught up yet.
    pub fn want(&mut self, conversation: &ConversationId) {
        if self.wanted.len() < WANTED_FIRST && !self.wanted.contains(conversation) {
            self.wanted.push(conversation.clone());
        }
    }

    /// The state of one that waits for its turn: somebody wants it now.
    pub fn take(&mut self, conversation: &ConversationId) -> Option<State> {
        self.states.remove(conversation)
    }

    pub fn read(&mut self, conversation: &ConversationId) {
        self.reading.remove(conversation);
    }
}

/// Some were launched, others wait.
#[derive(Message)]
#[rtype(result = "()")]
struct GoOn;

impl Host {
    /// Sorts what a catch-up has found: what is due is brought back, what waits gets its timer, and the index learns of all
    /// that is open. States that nobody needs now stay until they are written down.
    pub(super) fn resume_after_catch_up(&mut self, states: Vec<State>, stored: Vec<(ConversationId, Open)>) {
        let now_ms = self.context.shared.now_ms();
        let mut due: Vec<(bool, i64, ConversationId)> = Vec::new();
        let wanted: HashSet<ConversationId> = std::mem::take(&mut self.resuming.wanted).into_iter().collect();
        let mut sort = |host: &mut Self, id: &ConversationId, open: &Open| {
            host.context.open.set(id, &open.turns);
            match open.wake_at_ms {
                Some(at_ms) if at_ms <= now_ms => {
                    due.push((!wanted.contains(id), at_ms, id.clone()));
                    true
                }
                at_ms => {
                    host.context.wakes.set(id, at_ms);
                    false
                }
            }
        };
        for state in states {
            let id = state.conversation.clone();
            let is_due = open_of(&state, now_ms).is_some_and(|open| sort(self, &id, &open));
            if is_due {
                self.slots.slots.insert(id.clone(), Slot::Loading(Pending::default()));
                self.resuming.states.insert(id, state);
            } else if self.has_store() && self.dirty.contains_key(&id) {
                self.flush.keep(state);
            }
        }
        for (id, open) in &stored {
            if !self.slots.contains(id) && !self.flush.keeps(id) {
                sort(self, id, open);
            }
        }
        due.sort_unstable();
        self.resuming.waiting = due.into_iter().map(|(_, _, id)| id).collect();
    }

    /// Its time has come, and it is not in memory.
    pub(super) fn resume_later(&mut self, conversation: &ConversationId) {
        self.resuming.waiting.push_back(conversation.clone());
    }

    /// Brings back as many as may be under way.
    pub(super) fn resume(&mut self) {
        let mut launched = 0;
        while self.phase == Phase::Running && self.resuming.reading.len() < RESUMES_AT_ONCE {
            if launched == LAUNCHES_AT_ONCE {
                let host = self.addr.clone();
                self.task(async move { host.send(GoOn).await.unwrap_or_default() });
                return;
            }
            let Some(id) = self.resuming.waiting.pop_front() else { return };
            if let Some(state) = self.resuming.take(&id) {
                launched += 1;
                self.loaded(state);
            } else if !self.slots.contains(&id) {
                self.resuming.reading.insert(id.clone());
                self.load(&id);
            }
        }
    }
}

impl Handler<GoOn> for Host {
    type Result = ();

    fn handle(&mut self, _: GoOn, _: &mut Self::Context) {
        self.resume();
    }
}
