//! A conversation played by hand: one event after another, at chosen instants, and what `due` says in between.

use callboard_domain::command::{Asked, Command};
use callboard_domain::conversation::{Applied, Ignored, Step, StepState};
use callboard_domain::decide::{Decision, decide};
use callboard_domain::due::due;
use callboard_domain::effect::Effect;
use callboard_domain::event::{
    DeadlineExpired, Event, InvocationSettled, Outcome, PlanCancelled, PlanFailed, RetryAdvanced, Settlement,
    ToolError, ToolInvocationInDoubt, ToolInvocationResulted, TurnError,
};
use callboard_domain::plan::{EffectClass, OnFailure, PlanReason, Proposal, ProposedStep, validate};
use callboard_domain::time::Millis;
use callboard_domain::{CommandId, EffectId, RawJson, State, StepId, apply};

use super::tools::{Tools, author};
use super::{START_MS, conversation, query, recorded, turn_id};
use crate::due_laws::assert_sane;

/// A state and the clock of its log.
#[derive(Debug, Clone)]
pub struct Hand {
    pub state: State,
    pub now: Millis,
}

impl Hand {
    pub fn new() -> Self {
        Self { state: State::new(conversation()), now: START_MS }
    }

    /// Question 0, planned with these steps, side by side.
    pub fn acting(steps: &[(&str, EffectClass)]) -> Self {
        let mut hand = Self::new();
        hand.turn(0, steps);
        hand
    }

    /// Question `turn`, planned with these steps.
    pub fn turn(&mut self, turn: usize, steps: &[(&str, EffectClass)]) {
        let asked = Command::UserQueryReceived(query(&format!("question {turn}")));
        self.command(turn_id(turn).as_str(), asked).expect("a new question");
        assert_eq!(self.say(turn, plan(1, steps)), Applied::Changed);
    }

    /// Moves the clock on.
    pub fn wait(&mut self, ms: Millis) -> &mut Self {
        self.now += ms;
        self
    }

    /// Reads `event` about question `turn`.
    pub fn say(&mut self, turn: usize, event: Event) -> Applied {
        let record = recorded(self.state.next_offset, self.now, Some(&turn_id(turn)), event);
        apply(&mut self.state, &record)
    }

    /// Reads events about question 0, each of which counts.
    pub fn hears(&mut self, events: impl IntoIterator<Item = Event>) -> &mut Self {
        for event in events {
            let words = format!("{event:?}");
            assert_eq!(self.say(0, event), Applied::Changed, "{words}");
        }
        self
    }

    /// Reads an event about question 0 that does not count.
    pub fn ignores(&mut self, event: Event, why: Ignored) -> &mut Self {
        let words = format!("{event:?}");
        assert_eq!(self.say(0, event), Applied::Ignored(why), "{words}");
        self
    }

    /// Decides a command and reads its event back; `None` when it is known.
    pub fn command(&mut self, id: &str, command: Command) -> Option<Event> {
        let asked = Asked { id: CommandId::new(id).unwrap(), command };
        match decide(&self.state, &asked, &Tools::default(), self.now) {
            Decision::Known => None,
            Decision::Append { command, event } => {
                let record = recorded(self.state.next_offset, self.now, Some(&command), event.clone());
                apply(&mut self.state, &record);
                Some(event)
            }
        }
    }

    /// A step of question `turn`, open or closed.
    pub fn of(&self, turn: usize, step: &str) -> &Step {
        let plan = self.state.plan_of(turn_id(turn).as_str(), 1).expect("the turn is in the state");
        plan.step(&id(step)).expect("the plan has the step")
    }

    /// A step of question 0.
    pub fn step(&self, step: &str) -> &Step {
        self.of(0, step)
    }

    /// How the step of question 0 stands, in words: `in doubt #2`, `failed timeout #1`.
    pub fn stands(&self, step: &str) -> String {
        let step = self.step(step);
        let kind = match &step.state {
            StepState::Failed(error) => format!(" {}", error.kind),
            StepState::Done(result) => format!(" {}", result.as_str()),
            _ => String::new(),
        };
        format!("{}{kind} #{}", step.state.word(), step.attempt)
    }

    /// What is due, in words: `Invoke a #1`, `ToolInvocationInDoubt a #1`, `AskPlanner`.
    pub fn due(&self) -> Vec<String> {
        let found = due(&self.state, self.now);
        assert_sane(&self.state, &found, self.now);
        found.effects.iter().map(told).collect()
    }

    pub fn wakes_in(&self) -> Option<Millis> {
        due(&self.state, self.now).wake_at_ms.map(|at| at - self.now)
    }

    /// Appends what `due` wants appended, once.
    pub fn follow_due(&mut self) -> &mut Self {
        for effect in due(&self.state, self.now).effects {
            if let Effect::Append { command, event } = effect {
                let record = recorded(self.state.next_offset, self.now, Some(&command), event);
                apply(&mut self.state, &record);
            }
        }
        self
    }
}

fn told(effect: &Effect) -> String {
    match effect {
        Effect::Invoke { step, attempt, .. } => format!("Invoke {step} #{attempt}"),
        Effect::CancelInvocation { step, attempt, .. } => format!("CancelInvocation {step} #{attempt}"),
        Effect::AskPlanner { .. } => "AskPlanner".to_owned(),
        Effect::Synthesize { .. } => "Synthesize".to_owned(),
        Effect::Append { event, .. } => match event {
            Event::ToolInvocationInDoubt(body) => format!("{} {} #{}", event.name(), body.step, body.attempt),
            Event::DeadlineExpired(body) => format!("{} {} #{}", event.name(), body.step, body.attempt),
            Event::PlanFailed(body) => format!("PlanFailed {}", body.error.code),
            event => event.name().to_owned(),
        },
    }
}

pub fn id(step: &str) -> StepId {
    StepId::new(step).unwrap()
}

/// The effect of a step of question `turn`.
pub fn effect(turn: usize, step: &str) -> EffectId {
    EffectId { conversation: conversation(), command: turn_id(turn), version: 1, step: id(step) }
}

/// A plan of steps side by side; a failure of one does not end the others.
pub fn plan(version: u32, steps: &[(&str, EffectClass)]) -> Event {
    let proposed = |(id, _): &(&str, EffectClass)| ProposedStep {
        id: (*id).to_owned(),
        tool: "echo".into(),
        arguments: RawJson::parse(r#"{"text":"hi"}"#).unwrap(),
        depends_on: Vec::new(),
        on_failure: Some(OnFailure::Skip),
    };
    let proposal = Proposal { steps: steps.iter().map(proposed).collect(), ..Proposal::default() };
    let mut plan = validate(&proposal, &Tools::default(), author(), version, PlanReason::First).unwrap();
    for (step, (_, class)) in plan.steps.iter_mut().zip(steps) {
        step.policy.effect = *class;
    }
    Event::PlanGenerated(plan)
}

fn resulted(step: &str, attempt: u32, outcome: Outcome) -> Event {
    Event::ToolInvocationResulted(ToolInvocationResulted {
        version: 1,
        step: id(step),
        attempt,
        outcome,
        worker: "w1".into(),
        started_at: "2026-01-01T00:00:00.000Z".into(),
        finished_at: "2026-01-01T00:00:00.000Z".into(),
    })
}

pub fn ok(step: &str, attempt: u32, result: &str) -> Event {
    resulted(step, attempt, Outcome::Ok(RawJson::parse(result).unwrap()))
}

/// An error after which another attempt may help.
pub fn unavailable(step: &str, attempt: u32) -> Event {
    resulted(step, attempt, Outcome::Error(ToolError::new("unavailable", "it is down", true)))
}

/// An error that is final.
pub fn refused(step: &str, attempt: u32) -> Event {
    resulted(step, attempt, Outcome::Error(ToolError::new("refused", "it said no", false)))
}

pub fn doubt(step: &str, attempt: u32) -> Event {
    Event::ToolInvocationInDoubt(ToolInvocationInDoubt {
        version: 1,
        step: id(step),
        attempt,
        reason: "the connection was lost".into(),
    })
}

pub fn settled(step: &str, attempt: u32, settlement: Settlement) -> Event {
    Event::InvocationSettled(InvocationSettled {
        version: 1,
        step: id(step),
        attempt,
        settlement,
        by: "probe".into(),
        why: None,
        settle_command: None,
    })
}

pub fn done(result: &str) -> Settlement {
    Settlement::Done(RawJson::parse(result).unwrap())
}

pub fn expired(step: &str, attempt: u32) -> Event {
    Event::DeadlineExpired(DeadlineExpired { version: 1, step: id(step), attempt })
}

pub fn advanced(step: &str, attempt: u32) -> Event {
    Event::RetryAdvanced(RetryAdvanced {
        version: 1,
        step: id(step),
        attempt,
        by: Some("anna".into()),
        retry_command: None,
    })
}

pub fn cancelled() -> Event {
    Event::PlanCancelled(PlanCancelled { by: None, reason: None, cancel_command: None })
}

pub fn failed() -> Event {
    Event::PlanFailed(PlanFailed::of(TurnError::new("turn_timeout", "it took too long")))
}
