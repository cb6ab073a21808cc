//! A turn as a story: what each record of its conversation tells of it. The records are folded as everywhere, so that what the
//! fold ignores (a second plan, a late result) is not told either, and the same records always tell the same.

use callboard_domain::conversation::{Applied, Recorded, State, apply};
use callboard_domain::event::{Author, Event, ModelCalls};
use callboard_domain::id::CommandId;
use callboard_domain::view::{self, PlanView, StepStatus, StepView, TurnView};
use callboard_domain::wire::Readable;

use crate::http::dto::{PlanDto, StepDto};

/// One thing that happened to the turn.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    Accepted(TurnView),
    Plan(PlanDto),
    /// A step moved: `step_started`, `step_waiting`, `step_in_doubt`, `approval_requested`, `step_ended`.
    Step {
        what: &'static str,
        version: u32,
        step: Box<StepDto>,
    },
    Ended(TurnView),
}

/// Tokens of models, as far as the events name them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub input_tokens: u64,
    pub output_tokens: u64,
}

/// The story of one turn.
pub struct Story {
    state: State,
    command: CommandId,
    accepted: bool,
    plans: Vec<PlanView>,
    pub usage: Usage,
}

impl Story {
    /// Goes on from `state`, which does not know the turn yet.
    #[must_use]
    pub fn new(state: State, command: CommandId) -> Self {
        Self { state, command, accepted: false, plans: Vec::new(), usage: Usage::default() }
    }

    /// What this record tells, in order.
    pub fn tell(&mut self, record: &Recorded) -> Vec<Told> {
        let mut told = Vec::new();
        if apply(&mut self.state, record) != Applied::Changed
            || record.command.as_ref() != Some(&self.command)
        {
            return told;
        }
        let Some(turn) = view::turn(&self.state, self.command.as_str()) else { return told };
        self.count(record);
        if !self.accepted {
            self.accepted = true;
            told.push(Told::Accepted(turn.clone()));
        }
        let plans = view::plans(&self.state, turn.turn, record.timestamp_ms);
        let versions = plans.len();
        for plan in plans.iter().filter(|plan| plan.version > 0) {
            let known = self.plans.iter().find(|known| known.version == plan.version);
            if known.is_none() {
                told.push(Told::Plan(PlanDto::of(plan.clone(), versions)));
            }
            for (at, step) in plan.steps.iter().enumerate() {
                let before = known.and_then(|known| known.steps.get(at));
                if let Some(what) = moved(before, step) {
                    let step = Box::new(StepDto::from(step.clone()));
                    told.push(Told::Step { what, version: plan.version, step });
                }
            }
        }
        self.plans = plans;
        if turn.status != "pending" {
            told.push(Told::Ended(turn));
        }
        told
    }

    fn count(&mut self, record: &Recorded) {
        let Readable::Event(event) = &record.body else { return };
        let (author, models) = match event {
            Event::PlanGenerated(body) => (&body.planner, body.models.as_deref()),
            Event::FinalAnswerSynthesized(body) => (&body.synthesizer, body.models.as_deref()),
            _ => return,
        };
        let (input, output) = tokens(author, models);
        self.usage.input_tokens = self.usage.input_tokens.saturating_add(input);
        self.usage.output_tokens = self.usage.output_tokens.saturating_add(output);
    }
}

fn tokens(author: &Author, models: Option<&ModelCalls>) -> (u64, u64) {
    match models {
        Some(models) => (models.input_tokens, models.output_tokens),
        None => (author.input_tokens.unwrap_or(0), author.output_tokens.unwrap_or(0)),
    }
}

/// What a step's move is called; `None` where it stands as it stood.
fn moved(before: Option<&StepView>, now: &StepView) -> Option<&'static str> {
    let same = |before: &StepView| {
        (before.status, before.attempts, &before.retry_at) == (now.status, now.attempts, &now.retry_at)
    };
    if before.is_some_and(same) {
        return None;
    }
    match now.status {
        StepStatus::Running => Some("step_started"),
        StepStatus::Waiting => now.retry_at.is_some().then_some("step_waiting"),
        StepStatus::AwaitingApproval => Some("approval_requested"),
        StepStatus::InDoubt => Some("step_in_doubt"),
        StepStatus::Done | StepStatus::Failed | StepStatus::Skipped | StepStatus::Cancelled => {
            Some("step_ended")
        }
    }
}
