//! One turn as its records: a question, a plan of echo steps, their results, an answer. As Callboard itself would have written
//! them, but without anybody having thought.

use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use callboard_domain::conversation::Recorded;
use callboard_domain::event::{
    Author, Event, FinalAnswerSynthesized, Outcome, PlanGenerated, ToolInvocationResulted, TurnLimits,
    UserQueryReceived,
};
use callboard_domain::id::{CommandId, ConversationId, StepId, fnv1a};
use callboard_domain::json::RawJson;
use callboard_domain::plan::{Backoff, EffectClass, OnFailure, PlanReason, PlannedStep, StepPolicy, Then};
use callboard_domain::wire::{self, Readable, Stamp};
use callboard_ports::headers::{self, Family};
use callboard_ports::{NewRecord, Topic};

/// Any instant will do: senders' clocks are for display.
const AT: &str = "2026-11-28T10:00:00.000Z";
const WORKER: &str = "bench-worker";

/// The `number`th turn of a conversation.
#[derive(Debug, Clone)]
pub struct Turn {
    pub conversation: ConversationId,
    pub number: u64,
    pub steps: usize,
}

impl Turn {
    /// `conversation` must be a good id.
    pub fn new(conversation: &str, number: u64, steps: usize) -> Self {
        let conversation = ConversationId::new(conversation).expect("the bench names conversations well");
        Self { conversation, number, steps }
    }

    pub fn command(&self) -> CommandId {
        let spread = fnv1a(&[self.conversation.as_str().as_bytes(), &self.number.to_be_bytes()]);
        // As long as the ids that the gateway makes.
        let id = format!("019c{:04x}-{spread:016x}-{:010x}", spread as u16, self.number);
        CommandId::new(&id).expect("hexadecimal digits and hyphens")
    }

    /// Events of one turn: so many.
    pub fn len(steps: usize) -> usize {
        3 + steps
    }

    /// In the order in which they happen.
    pub fn events(&self) -> Vec<Event> {
        let text = |step: usize| format!("{:06x}{step:02}", self.number % 0xff_ffff);
        let message: Vec<String> = (0..self.steps).map(|step| format!("echo {}", text(step))).collect();
        let message = message.join("; ");
        let answer: Vec<String> = (0..self.steps).map(text).collect();
        let mut events = vec![
            Event::UserQueryReceived(UserQueryReceived {
                body_hash: fnv1a(&[message.as_bytes()]),
                message: Arc::from(message),
                agent: Arc::from("default"),
                principal: None,
                metadata: None,
                limits: TurnLimits::default(),
                token_budget: None,
                history: None,
            }),
            Event::PlanGenerated(PlanGenerated {
                version: 1,
                reason: PlanReason::First,
                planner: builtin(),
                steps: (0..self.steps).map(|step| planned(step, &text(step))).collect(),
                then: Then::Answer,
                guidance: None,
                models: None,
                approvals: Vec::new(),
            }),
        ];
        events.extend((0..self.steps).map(|step| {
            Event::ToolInvocationResulted(ToolInvocationResulted {
                version: 1,
                step: step_id(step),
                attempt: 1,
                outcome: Outcome::Ok(json(&format!(r#"{{"text":"{}"}}"#, text(step)))),
                worker: Arc::from(WORKER),
                started_at: Arc::from(AT),
                finished_at: Arc::from(AT),
            })
        }));
        events.push(Event::FinalAnswerSynthesized(FinalAnswerSynthesized {
            version: 1,
            answer: Arc::from(answer.join("\n")),
            synthesizer: builtin(),
            worker: Arc::from(WORKER),
            started_at: Arc::from(AT),
            finished_at: Arc::from(AT),
            models: None,
        }));
        events
    }

    /// Its records of `conversation-events`.
    pub fn records(&self, partition: u32) -> Result<Vec<NewRecord>> {
        let (command, key) = (self.command(), Bytes::copy_from_slice(self.conversation.as_str().as_bytes()));
        let written = self.events().into_iter().enumerate().map(|(at, event)| {
            let id = format!("{command}-{at}");
            let stamp = Stamp {
                id: &id,
                conversation: &self.conversation,
                command: Some(&command),
                at: AT,
                causation_id: command.as_str(),
            };
            let (family, about) = (Family::Event, &self.conversation);
            Ok(NewRecord {
                topic: Topic::ConversationEvents,
                partition,
                key: key.clone(),
                headers: headers::cloud_event(family, event.name(), event.version(), &id, about, AT, None)
                    .into(),
                value: wire::write_event(stamp, &event)?.into(),
            })
        });
        written.collect()
    }

    /// The same as it is read back, decoded; `offset` is that of the first.
    pub fn recorded(&self, offset: u64) -> Vec<Recorded> {
        let command = self.command();
        let events = self.events().into_iter().zip(offset..);
        let recorded = events.map(|(event, offset)| Recorded {
            offset,
            timestamp_ms: 1_800_000_000_000 + offset as i64,
            command: Some(command.clone()),
            body: Readable::Event(event),
        });
        recorded.collect()
    }
}

fn builtin() -> Author {
    Author { provider: Arc::from("builtin"), model: None, input_tokens: None, output_tokens: None }
}

fn json(text: &str) -> RawJson {
    RawJson::parse(text).expect("the bench writes JSON")
}

fn step_id(step: usize) -> StepId {
    StepId::new(&format!("s{}", step + 1)).expect("a letter and a number")
}

/// As the built-in planner plans an echo.
fn planned(step: usize, text: &str) -> PlannedStep {
    PlannedStep {
        id: step_id(step),
        tool: Arc::from("echo"),
        arguments: json(&format!(r#"{{"text":"{text}"}}"#)),
        depends_on: Vec::new(),
        policy: StepPolicy {
            effect: EffectClass::Pure,
            pool: Arc::from("default"),
            timeout_ms: 30_000,
            deadline_ms: 120_000,
            max_attempts: 3,
            backoff: Backoff { initial_ms: 500, max_ms: 30_000 },
            on_failure: OnFailure::Fail,
            needs_approval: false,
        },
    }
}

#[cfg(test)]
mod tests {
    use callboard_domain::conversation::{Applied, State, TurnStatus, apply};
    use callboard_domain::wire;

    use super::Turn;

    #[test]
    fn a_made_up_turn_is_one_that_the_fold_takes_whole() {
        let mut state = State::new(Turn::new("made-up", 0, 3).conversation);
        for number in 0..3 {
            let turn = Turn::new("made-up", number, 3);
            for record in turn.recorded(number * Turn::len(3) as u64) {
                assert_eq!(apply(&mut state, &record), Applied::Changed);
            }
        }
        assert_eq!((state.turns, state.open.len()), (3, 0));
        assert!(state.closed.iter().all(|turn| turn.status == TurnStatus::Answered));
    }

    #[test]
    fn its_records_are_read_back_as_the_same_events() {
        let turn = Turn::new("made-up", 7, 2);
        let read = turn.records(0).unwrap().into_iter().map(|record| {
            let (meta, body) = wire::read_event(&record.key, &record.value).unwrap();
            assert_eq!(meta.command, Some(turn.command()));
            body
        });
        assert!(read.eq(turn.recorded(0).into_iter().map(|recorded| recorded.body)));
    }
}
