//! The log as a story: when each turn began and ended in effect, what moved when, and what became of each effect.
//!
//! One fold per conversation, beside `domain::audit`, which names broken promises but keeps no times.

use std::collections::{BTreeMap, BTreeSet};

use callboard_domain::conversation::{Applied, Recorded, State, apply};
use callboard_domain::event::{Event, Outcome, Settlement};
use callboard_domain::id::{CommandId, ConversationId, EffectId, StepId};
use callboard_domain::wire::Readable;

use crate::topics::Topics;

/// A turn that was accepted in effect.
#[derive(Debug, Clone)]
pub struct Turn {
    pub conversation: ConversationId,
    pub message: String,
    pub began_ms: i64,
    /// Terminal events in effect: name and time. One, or a promise is broken.
    pub ends: Vec<(&'static str, i64)>,
    /// The code of a failure.
    pub failure: Option<String>,
    /// Whether a step ended with an error: its answer cannot hold everything.
    pub step_failed: bool,
}

/// A record that moved an open turn.
#[derive(Debug, Clone)]
pub struct Move {
    pub ms: i64,
    pub partition: u32,
    pub event: &'static str,
    pub began_ms: i64,
}

/// What the log says of one effect.
#[derive(Debug, Clone, Default)]
pub struct Effect {
    pub tool: String,
    /// A result counted, from a worker or from whoever settled it.
    pub done: bool,
    pub failed: Option<String>,
    pub doubts: u32,
    pub settled: Vec<String>,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Story {
    pub turns: BTreeMap<CommandId, Turn>,
    /// In the order of time.
    pub moves: Vec<Move>,
    pub effects: BTreeMap<String, Effect>,
    /// Effects that are in doubt at the end of the log.
    pub doubtful: BTreeSet<String>,
    /// Ids of all commands that have an event.
    pub decided: BTreeSet<String>,
}

impl Story {
    pub fn read(topics: &Topics) -> Self {
        let mut story = Self::default();
        for (conversation, records) in &topics.events {
            let partition = topics.partition.get(conversation).copied().unwrap_or_default();
            story.conversation(conversation, partition, records);
        }
        story.moves.sort_by_key(|moved| moved.ms);
        story
    }

    fn conversation(&mut self, id: &ConversationId, partition: u32, records: &[Recorded]) {
        let mut state = State::new(id.clone());
        for record in records {
            let open_before = state.open.len();
            let changed = apply(&mut state, record) == Applied::Changed;
            let (Readable::Event(event), Some(command)) = (&record.body, &record.command) else { continue };
            self.decided.insert(command.to_string());
            self.decided.extend(answers_command(event).map(|command| command.to_string()));
            if !changed {
                continue;
            }
            self.moved(id, partition, record.timestamp_ms, command, event);
            if event.is_terminal() && state.open.len() < open_before {
                self.ended(record.timestamp_ms, command, event);
            }
            self.effect(id, command, event);
        }
        let open = state.open.iter().map(|turn| (&turn.command, &turn.versions));
        let closed = state.closed.iter().map(|turn| (&turn.command, &turn.versions));
        for (command, versions) in open.chain(closed) {
            for (version, step) in
                versions.iter().flat_map(|plan| plan.doubts().map(|step| (plan.version, &step.plan.id)))
            {
                self.doubtful.insert(effect_id(id, command, version, step));
            }
        }
    }

    fn moved(&mut self, id: &ConversationId, partition: u32, ms: i64, command: &CommandId, event: &Event) {
        if let Event::UserQueryReceived(body) = event {
            let turn = Turn {
                conversation: id.clone(),
                message: body.message.to_string(),
                began_ms: ms,
                ends: Vec::new(),
                failure: None,
                step_failed: false,
            };
            self.turns.entry(command.clone()).or_insert(turn);
        }
        if let Some(turn) = self.turns.get(command) {
            let began_ms = turn.began_ms;
            self.moves.push(Move { ms, partition, event: event.name(), began_ms });
        }
    }

    fn ended(&mut self, ms: i64, command: &CommandId, event: &Event) {
        if let Some(turn) = self.turns.get_mut(command) {
            turn.ends.push((event.name(), ms));
            if let Event::PlanFailed(body) = event {
                turn.failure = Some(body.error.code.to_string());
            }
        }
    }

    fn effect(&mut self, conversation: &ConversationId, command: &CommandId, event: &Event) {
        let of = |version: u32, step: &StepId| effect_id(conversation, command, version, step);
        match event {
            Event::PlanGenerated(plan) => {
                for step in &plan.steps {
                    let effect = Effect { tool: step.tool.to_string(), ..Effect::default() };
                    self.effects.insert(of(plan.version, &step.id), effect);
                }
            }
            Event::ToolInvocationResulted(body) => {
                let effect = self.effects.entry(of(body.version, &body.step)).or_default();
                match &body.outcome {
                    Outcome::Ok(_) => effect.done = true,
                    Outcome::Error(error) => {
                        effect.failed = Some(error.kind.to_string());
                        if let (false, Some(turn)) = (error.retryable, self.turns.get_mut(command)) {
                            turn.step_failed = true;
                        }
                    }
                }
            }
            Event::ToolInvocationInDoubt(body) => {
                let effect = self.effects.entry(of(body.version, &body.step)).or_default();
                effect.doubts += 1;
            }
            Event::InvocationSettled(body) => {
                let effect = self.effects.entry(of(body.version, &body.step)).or_default();
                effect.done |= matches!(body.settlement, Settlement::Done(_));
                effect.settled.push(body.by.to_string());
            }
            _ => {}
        }
    }
}

/// The command that an event answers, where that is not the one of its turn.
fn answers_command(event: &Event) -> Option<&CommandId> {
    match event {
        Event::InvocationSettled(body) => body.settle_command.as_ref(),
        Event::RetryAdvanced(body) => body.retry_command.as_ref(),
        Event::PlanCancelled(body) => body.cancel_command.as_ref(),
        Event::ApprovalRecorded(body) => body.approval_command.as_ref(),
        _ => None,
    }
}

fn effect_id(conversation: &ConversationId, command: &CommandId, version: u32, step: &StepId) -> String {
    let (conversation, command, step) = (conversation.clone(), command.clone(), step.clone());
    EffectId { conversation, command, version, step }.to_string()
}
