//! What is open: unfinished turns and steps in doubt, for `GET /v1/turns` and the metrics. Derived, like `view`.

use std::sync::Arc;

use serde::Serialize;

use crate::conversation::{Phase, PlanVersion, State, StepState, Turn};
use crate::id::{CommandId, ConversationId, EffectId};
use crate::time::{Millis, rfc3339};

/// What a turn waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenStatus {
    Queued,
    Planning,
    Running,
    /// Nothing runs, and a step waits for its next attempt.
    BackingOff,
    AwaitingApproval,
    /// A step's outcome is unknown; the turn may have ended.
    InDoubt,
    Synthesizing,
    /// Its terminal event is on its way.
    Ending,
}

impl OpenStatus {
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Planning,
        Self::Running,
        Self::BackingOff,
        Self::AwaitingApproval,
        Self::InDoubt,
        Self::Synthesizing,
        Self::Ending,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Planning => "planning",
            Self::Running => "running",
            Self::BackingOff => "backing_off",
            Self::AwaitingApproval => "awaiting_approval",
            Self::InDoubt => "in_doubt",
            Self::Synthesizing => "synthesizing",
            Self::Ending => "ending",
        }
    }
}

/// An open turn, or a closed one with a step in doubt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenTurn {
    pub conversation_id: ConversationId,
    pub turn: u32,
    pub command_id: CommandId,
    pub agent: Arc<str>,
    pub status: OpenStatus,
    /// Whether its terminal event is in the log already: only its doubts are open.
    pub ended: bool,
    pub received_at: String,
    #[serde(skip)]
    pub received_ms: Millis,
    /// When the next attempt of a step in back-off starts.
    pub retry_at: Option<String>,
    /// Tools of the steps that have not ended.
    pub tools: Vec<Arc<str>>,
    pub in_doubt: Vec<EffectId>,
    pub backing_off: Vec<EffectId>,
}

/// What of `state` is open at `now_ms`, oldest turn first.
#[must_use]
pub fn open_turns(state: &State, now_ms: Millis) -> Vec<OpenTurn> {
    let now_ms = now_ms.max(state.clock_ms);
    let mut out = Vec::new();
    for turn in state.closed.iter().filter(|turn| turn.loose) {
        let plan = turn.versions.last();
        if plan.is_none_or(|plan| plan.doubts().next().is_none()) {
            continue;
        }
        let about = About { state, command: &turn.command, plan, now_ms };
        out.push(OpenTurn {
            status: OpenStatus::InDoubt,
            ended: true,
            ..about.open(turn.number, &turn.agent, turn.received_ms)
        });
    }
    for turn in &state.open {
        let about = About { state, command: &turn.command, plan: turn.plan(), now_ms };
        let open = about.open(turn.number, &turn.agent, turn.received_ms);
        out.push(OpenTurn { status: status(turn, &open, now_ms), ..open });
    }
    out
}

fn status(turn: &Turn, open: &OpenTurn, now_ms: Millis) -> OpenStatus {
    match &turn.phase {
        Phase::Queued => OpenStatus::Queued,
        Phase::Planning(_) => OpenStatus::Planning,
        Phase::Synthesizing => OpenStatus::Synthesizing,
        Phase::Failing(_) | Phase::Cancelling => OpenStatus::Ending,
        Phase::Acting => {
            let steps = || turn.plan().into_iter().flat_map(|plan| &plan.steps);
            if steps().any(|step| step.may_run(now_ms)) {
                OpenStatus::Running
            } else if !open.in_doubt.is_empty() {
                OpenStatus::InDoubt
            } else if steps().any(|step| step.state == StepState::AwaitingApproval) {
                OpenStatus::AwaitingApproval
            } else if !open.backing_off.is_empty() {
                OpenStatus::BackingOff
            } else {
                OpenStatus::Running
            }
        }
    }
}

struct About<'a> {
    state: &'a State,
    command: &'a CommandId,
    plan: Option<&'a PlanVersion>,
    now_ms: Millis,
}

impl About<'_> {
    fn open(&self, number: u32, agent: &Arc<str>, received_ms: Millis) -> OpenTurn {
        let steps = || self.plan.into_iter().flat_map(|plan| plan.steps.iter());
        let waits = |step: &&crate::conversation::Step| {
            step.state == StepState::Ready && step.not_before_ms > self.now_ms
        };
        let effect = |step: &crate::conversation::Step| EffectId {
            conversation: self.state.conversation.clone(),
            command: self.command.clone(),
            version: self.plan.map_or(0, |plan| plan.version),
            step: step.plan.id.clone(),
        };
        let mut tools: Vec<Arc<str>> = Vec::new();
        for step in steps().filter(|step| !step.state.has_ended()) {
            if !tools.contains(&step.plan.tool) {
                tools.push(step.plan.tool.clone());
            }
        }
        OpenTurn {
            conversation_id: self.state.conversation.clone(),
            turn: number,
            command_id: self.command.clone(),
            agent: agent.clone(),
            status: OpenStatus::Running,
            ended: false,
            received_at: rfc3339(received_ms),
            received_ms,
            retry_at: steps().filter(waits).map(|step| step.not_before_ms).min().map(rfc3339),
            tools,
            in_doubt: self.plan.into_iter().flat_map(PlanVersion::doubts).map(effect).collect(),
            backing_off: steps().filter(waits).map(effect).collect(),
        }
    }
}
