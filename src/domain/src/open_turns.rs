//! What is open: unfinished turns and steps in doubt, for `GET /v1/turns` and the metrics. Derived, like `view`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::conversation::{Awaited, Phase, PlanVersion, State, Step, StepState, Turn};
use crate::id::{CommandId, ConversationId, EffectId, fnv1a};
use crate::time::{Millis, rfc3339};

/// What a turn waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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
    pub awaiting_approval: Vec<EffectId>,
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
        let awaiting_approval = approvals(turn).map(|(step, _)| about.effect(step)).collect();
        out.push(OpenTurn { status: status(turn, now_ms), awaiting_approval, ..open });
    }
    out
}

/// An open turn in a few bytes: what an index keeps of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenBrief {
    pub turn: u32,
    pub received_ms: Millis,
    pub status: OpenStatus,
    /// Steps in doubt.
    pub doubts: u32,
    /// Steps that await approval, whatever the others do.
    pub approvals: u32,
    /// Since when the first of them does.
    pub approval_since_ms: Option<Millis>,
    /// Bits of the tools whose steps have not ended ([`tool_bit`]).
    pub tools: u64,
}

/// A tool's bit in [`OpenBrief::tools`]. Tools may share one: a set bit says "perhaps", a clear one "no".
#[must_use]
pub fn tool_bit(tool: &str) -> u64 {
    1 << (fnv1a(&[tool.as_bytes()]) % u64::from(u64::BITS))
}

/// What [`open_turns`] would list, in brief; allocates nothing for a conversation with nothing open.
#[must_use]
pub fn briefs(state: &State, now_ms: Millis) -> Vec<OpenBrief> {
    let now_ms = now_ms.max(state.clock_ms);
    let mut out = Vec::new();
    let brief = |turn, received_ms, status, plan: Option<&PlanVersion>| OpenBrief {
        turn,
        received_ms,
        status,
        doubts: plan.map_or(0, |plan| plan.doubts().count() as u32),
        approvals: 0,
        approval_since_ms: None,
        tools: unended(plan).fold(0, |bits, step| bits | tool_bit(&step.plan.tool)),
    };
    if state.loose > 0 {
        for turn in state.closed.iter().filter(|turn| turn.loose) {
            let plan = turn.versions.last().filter(|plan| plan.doubts().next().is_some());
            if plan.is_some() {
                out.push(brief(turn.number, turn.received_ms, OpenStatus::InDoubt, plan));
            }
        }
    }
    for turn in &state.open {
        let of_turn = brief(turn.number, turn.received_ms, status(turn, now_ms), turn.plan());
        let since = approvals(turn).map(|(_, awaited)| awaited.since_ms);
        let (count, first) =
            since.fold((0, None), |(n, first), at| (n + 1, first.into_iter().chain([at]).min()));
        out.push(OpenBrief { approvals: count, approval_since_ms: first, ..of_turn });
    }
    out
}

/// What a turn asks people for: nothing any more when it is about to end.
fn approvals(turn: &Turn) -> impl Iterator<Item = (&Step, Awaited)> {
    let plan = turn.plan().filter(|_| turn.phase == Phase::Acting);
    plan.into_iter().flat_map(PlanVersion::approvals)
}

fn unended(plan: Option<&PlanVersion>) -> impl Iterator<Item = &Step> {
    plan.into_iter().flat_map(|plan| &plan.steps).filter(|step| !step.state.has_ended())
}

/// Whether the step's next attempt is put off.
fn backs_off(step: &Step, now_ms: Millis) -> bool {
    step.state == StepState::Ready && step.not_before_ms > now_ms
}

fn status(turn: &Turn, now_ms: Millis) -> OpenStatus {
    match &turn.phase {
        Phase::Queued => OpenStatus::Queued,
        Phase::Planning(_) => OpenStatus::Planning,
        Phase::Synthesizing => OpenStatus::Synthesizing,
        Phase::Failing(_) | Phase::Cancelling => OpenStatus::Ending,
        Phase::Acting => {
            let steps = || unended(turn.plan());
            if steps().any(|step| step.may_run(now_ms)) {
                OpenStatus::Running
            } else if steps().any(|step| matches!(step.state, StepState::InDoubt(_))) {
                OpenStatus::InDoubt
            } else if steps().any(|step| matches!(step.state, StepState::AwaitingApproval(_))) {
                OpenStatus::AwaitingApproval
            } else if steps().any(|step| backs_off(step, now_ms)) {
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
    fn effect(&self, step: &Step) -> EffectId {
        EffectId {
            conversation: self.state.conversation.clone(),
            command: self.command.clone(),
            version: self.plan.map_or(0, |plan| plan.version),
            step: step.plan.id.clone(),
        }
    }

    fn open(&self, number: u32, agent: &Arc<str>, received_ms: Millis) -> OpenTurn {
        let steps = || unended(self.plan);
        let waits = |step: &&Step| backs_off(step, self.now_ms);
        let mut tools: Vec<Arc<str>> = Vec::new();
        for step in steps() {
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
            in_doubt: self
                .plan
                .into_iter()
                .flat_map(PlanVersion::doubts)
                .map(|step| self.effect(step))
                .collect(),
            backing_off: steps().filter(waits).map(|step| self.effect(step)).collect(),
            awaiting_approval: Vec::new(),
        }
    }
}
