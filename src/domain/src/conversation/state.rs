//! What a conversation remembers. Bounded: open turns whole, the newest closed turns in full, older ones as
//! entries of the command ring.
//!
//! Every type in here is written to snapshots with postcard: no skipped fields, no untagged enums, no maps of
//! unstable order. Changing a shape or a rule of the fold raises [`FOLD_VERSION`].

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::step::{Awaited, Step, StepState};
use super::turn::{Phase, PlanVersion, Turn};
use crate::event::TurnError;
use crate::id::{CommandId, ConversationId};
use crate::limits::{MAX_CLOSED_BYTES, MAX_CLOSED_TURNS, MAX_KNOWN_COMMANDS};
use crate::plan::EffectClass;
use crate::request::Exchange;
use crate::time::Millis;

/// Version of the fold. Snapshots of another version are rebuilt from the log.
pub const FOLD_VERSION: u32 = 3;

/// How a turn stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnStatus {
    Open,
    Answered,
    Failed,
    Cancelled,
}

/// One remembered command: the reach of idempotency keys, and the way to old answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    pub command: CommandId,
    /// Turn number for a user's question, `None` for any other command.
    pub turn: Option<u32>,
    pub body_hash: u64,
    pub status: TurnStatus,
    /// Offset of the event that made it known.
    pub offset: u64,
    /// Offset of the terminal event that took effect.
    pub terminal_offset: Option<u64>,
}

/// A turn that ended, in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClosedTurn {
    pub number: u32,
    pub command: CommandId,
    pub agent: Arc<str>,
    pub message: Arc<str>,
    pub status: TurnStatus,
    pub answer: Option<Arc<str>>,
    pub error: Option<TurnError>,
    pub versions: Vec<PlanVersion>,
    pub received_ms: Millis,
    pub closed_ms: Millis,
    pub terminal_offset: u64,
    /// Whether one of its steps may yet be heard of: in doubt, or requested and not ended when the turn closed.
    pub loose: bool,
}

impl ClosedTurn {
    /// The steps that may yet be heard of, with their plan version. Only the newest version has any: the next
    /// one comes when all steps have ended.
    pub fn loose_steps(&self) -> impl Iterator<Item = (u32, &Step)> {
        let plan = self.versions.last().into_iter();
        plan.flat_map(|plan| plan.steps.iter().map(|step| (plan.version, step)))
            .filter(|(_, step)| matches!(step.state, StepState::InDoubt(_)) || step.may_run(self.closed_ms))
    }

    /// The steps of which somebody has to say what came of them.
    fn held_steps(&self) -> impl Iterator<Item = &Step> {
        let steps = self.loose_steps().filter(|_| self.loose).map(|(_, step)| step);
        steps.filter(|step| {
            matches!(step.state, StepState::InDoubt(_)) || step.plan.policy.effect == EffectClass::Unsafe
        })
    }

    /// Whether it must stay in the state whole.
    fn is_held(&self) -> bool {
        self.held_steps().next().is_some()
    }

    /// What it costs to keep, roughly: texts, arguments and results.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.message.len()
            + self.answer.as_ref().map_or(0, |answer| answer.len())
            + self.versions.iter().map(PlanVersion::size_bytes).sum::<usize>()
    }
}

/// A record that this build cannot read holds the conversation at its offset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    pub offset: u64,
    pub kind: Box<str>,
    pub version: u32,
}

/// The fold of a conversation's records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub conversation: ConversationId,
    /// Records below this offset have been applied.
    pub next_offset: u64,
    /// max(record timestamps): the log's time as this conversation knows it.
    pub clock_ms: Millis,
    /// Turns ever accepted; the number of the newest.
    pub turns: u32,
    /// In order of acceptance; the first one runs.
    pub open: VecDeque<Turn>,
    /// Newest last.
    pub closed: VecDeque<ClosedTurn>,
    /// Newest last.
    pub known: VecDeque<Known>,
    /// Turns up to this number are outside the context of later ones (UserHistoryReset).
    pub context_floor: u32,
    pub blocked: Option<Blocked>,
    /// How many of `closed` are loose.
    pub loose: u32,
    /// What all plans and answers that took effect have cost.
    pub tokens_used: u64,
    /// What they may cost, as the newest question says; `None`: as much as it takes.
    pub token_budget: Option<u64>,
    /// What was said before the first turn, elsewhere; until the context is cleared.
    pub seed: Vec<Exchange>,
}

impl State {
    /// The state before the first record.
    #[must_use]
    pub fn new(conversation: ConversationId) -> Self {
        Self {
            conversation,
            next_offset: 0,
            clock_ms: 0,
            turns: 0,
            open: VecDeque::new(),
            closed: VecDeque::new(),
            known: VecDeque::new(),
            context_floor: 0,
            blocked: None,
            loose: 0,
            tokens_used: 0,
            token_budget: None,
            seed: Vec::new(),
        }
    }

    /// Whether nothing was ever recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && self.blocked.is_none()
    }

    /// The memory of a command; the newest are searched first.
    #[must_use]
    pub fn known(&self, command: &str) -> Option<&Known> {
        self.known.iter().rev().find(|known| known.command.as_str() == command)
    }

    /// The memory of turn `number`.
    #[must_use]
    pub fn known_turn(&self, number: u32) -> Option<&Known> {
        self.known.iter().rev().find(|known| known.turn == Some(number))
    }

    /// The turn that is being worked on.
    #[must_use]
    pub fn running(&self) -> Option<&Turn> {
        self.open.front()
    }

    pub(super) fn use_tokens(&mut self, tokens: u64) {
        self.tokens_used = self.tokens_used.saturating_add(tokens);
    }

    /// What is left of the token budget, where there is one.
    #[must_use]
    pub fn tokens_left(&self) -> Option<u64> {
        self.token_budget.map(|budget| budget.saturating_sub(self.tokens_used))
    }

    /// Every step that awaits approval: the turn, the plan version, since when and until when.
    pub fn approvals(&self) -> impl Iterator<Item = (&Turn, u32, &Step, Awaited)> {
        let acting = self.running().into_iter().filter(|turn| turn.phase == Phase::Acting);
        let acting = acting.filter_map(|turn| Some((turn, turn.plan()?)));
        acting.flat_map(|(turn, plan)| {
            plan.approvals().map(move |(step, awaited)| (turn, plan.version, step, awaited))
        })
    }

    /// Every step in doubt, of open and of closed turns: the turn's number and command, the plan version.
    pub fn doubts(&self) -> impl Iterator<Item = (u32, &CommandId, u32, &Step)> {
        let closed = self.closed.iter().filter(|turn| turn.loose);
        let closed = closed.map(|turn| (turn.number, &turn.command, &turn.versions));
        let open = self.open.iter().map(|turn| (turn.number, &turn.command, &turn.versions));
        closed.chain(open).flat_map(|(number, command, versions)| {
            let plans = versions.last().into_iter();
            plans.flat_map(move |plan| plan.doubts().map(move |step| (number, command, plan.version, step)))
        })
    }

    /// How many steps are in doubt or, being unsafe and under way when their turn closed, may yet be.
    pub(super) fn possible_doubts(&self) -> usize {
        let open = self.open.iter().filter_map(|turn| turn.versions.last());
        let open: usize = open.map(|plan| plan.doubts().count()).sum();
        open + self.closed.iter().map(|turn| turn.held_steps().count()).sum::<usize>()
    }

    /// The newest plan version of a turn in the state, open or closed, when it is `version`.
    #[must_use]
    pub fn plan_of(&self, command: &str, version: u32) -> Option<&PlanVersion> {
        let open = self.open.iter().find(|turn| turn.command.as_str() == command).map(|turn| &turn.versions);
        let closed = || self.closed.iter().rev().find(|turn| turn.command.as_str() == command);
        let versions = open.or_else(|| closed().map(|turn| &turn.versions))?;
        versions.last().filter(|plan| plan.version == version)
    }

    /// Looks again whether the closed turn at `at` is loose.
    pub(super) fn recount_loose(&mut self, at: usize) {
        let turn = &mut self.closed[at];
        let loose = turn.loose_steps().next().is_some();
        if std::mem::replace(&mut turn.loose, loose) != loose {
            self.loose = if loose { self.loose + 1 } else { self.loose.saturating_sub(1) };
        }
    }

    pub(super) fn remember(&mut self, known: Known) {
        self.known.push_back(known);
        if self.known.len() > MAX_KNOWN_COMMANDS {
            // An open turn is not forgotten: its own command, repeated, would become a second turn of one id.
            let oldest = self.known.iter().position(|known| known.status != TurnStatus::Open).unwrap_or(0);
            self.known.remove(oldest);
        }
    }

    pub(super) fn archive(&mut self, turn: ClosedTurn) {
        self.closed.reserve_exact(1);
        self.closed.push_back(turn);
        self.recount_loose(self.closed.len() - 1);
        let mut bytes: usize = self.closed.iter().map(ClosedTurn::size_bytes).sum();
        // The newest stays in any case, and so does whatever has to be settled: their number has a bound of its own.
        while self.closed.len() > MAX_CLOSED_TURNS || (bytes > MAX_CLOSED_BYTES && self.closed.len() > 1) {
            let newest = self.closed.len() - 1;
            let Some(oldest) = self.closed.iter().take(newest).position(|turn| !turn.is_held()) else {
                return;
            };
            if let Some(gone) = self.closed.remove(oldest) {
                bytes -= gone.size_bytes();
                self.loose -= u32::from(gone.loose);
            }
        }
    }
}
