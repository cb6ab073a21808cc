//! What a client knows: which questions it asked, which were accepted, and how they ended. The log is judged against it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::seed::now_ms;

/// One question, from a client's side.
#[derive(Debug, Clone)]
pub struct Asked {
    pub conversation: String,
    /// A text that occurs in this question only, and in its answer.
    pub tag: String,
    pub asked_ms: i64,
    /// The command id, once a 2xx said that it is durable.
    pub accepted: Option<String>,
    pub ended: Option<Ended>,
    /// A 4xx that is no "come again": nothing that this client sends deserves one.
    pub refused: Option<String>,
}

/// How a turn ended, as the client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub status: String,
    /// Whether an answered turn's answer holds what was asked for.
    pub right: bool,
    pub ms: i64,
}

/// All questions of a run.
#[derive(Debug, Default)]
pub struct Book {
    asked: Mutex<Vec<Asked>>,
    tallies: Mutex<BTreeMap<String, u64>>,
}

impl Book {
    /// Notes a question; its number stands for it from now on.
    pub fn ask(&self, conversation: &str, tag: &str) -> usize {
        let mut asked = self.asked();
        asked.push(Asked {
            conversation: conversation.to_owned(),
            tag: tag.to_owned(),
            asked_ms: now_ms(),
            accepted: None,
            ended: None,
            refused: None,
        });
        asked.len() - 1
    }

    pub fn accepted(&self, number: usize, command: &str) {
        self.asked()[number].accepted.get_or_insert_with(|| command.to_owned());
    }

    pub fn command_of(&self, number: usize) -> Option<String> {
        self.asked()[number].accepted.clone()
    }

    pub fn ended(&self, number: usize, status: &str, right: bool) {
        let ended = Ended { status: status.to_owned(), right, ms: now_ms() };
        self.asked()[number].ended.get_or_insert(ended);
    }

    pub fn refused(&self, number: usize, why: String) {
        self.asked()[number].refused.get_or_insert(why);
    }

    /// Counts something worth a figure: an answer's status, a lost connection.
    pub fn tally(&self, what: &str) {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        *tallies.entry(what.to_owned()).or_default() += 1;
    }

    pub fn tallies(&self) -> BTreeMap<String, u64> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn all(&self) -> Vec<Asked> {
        self.asked().clone()
    }

    /// Conversations with a question that was asked before `ms` and has not ended.
    pub fn waiting_since(&self, ms: i64) -> Vec<String> {
        let waits = |asked: &&Asked| asked.ended.is_none() && asked.refused.is_none() && asked.asked_ms < ms;
        let mut waiting: Vec<String> =
            self.asked().iter().filter(waits).map(|asked| asked.conversation.clone()).collect();
        waiting.sort();
        waiting.dedup();
        waiting
    }

    /// (asked, accepted, ended)
    pub fn counts(&self) -> (usize, usize, usize) {
        let asked = self.asked();
        let accepted = asked.iter().filter(|asked| asked.accepted.is_some()).count();
        (asked.len(), accepted, asked.iter().filter(|asked| asked.ended.is_some()).count())
    }

    fn asked(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
