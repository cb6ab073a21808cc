//! A usual turn: a question, a plan of three parallel steps, their results, an answer; as events, as records and as bytes.

use callboard_domain::conversation::{Recorded, State};
use callboard_domain::event::{
    Author, Event, FinalAnswerSynthesized, Outcome, PlanGenerated, ToolInvocationResulted, TurnLimits,
    UserQueryReceived,
};
use callboard_domain::plan::{
    Backoff, EffectClass, OnFailure, PlanReason, Proposal, ProposedStep, StepPolicy, Then, ToolRefusal,
    Toolbox, validate,
};
use callboard_domain::wire::{self, Readable, Stamp};
use callboard_domain::{Applied, CommandId, ConversationId, RawJson, StepId, apply};

/// Conversations end; so does the list of turns that a fold remembers in full.
pub const TURNS: u32 = 20;
pub const STEPS: usize = 3;
pub const EVENTS_PER_TURN: usize = 3 + STEPS;
/// When the first turn began.
const BEGAN_MS: i64 = 1_795_000_000_000;

pub fn conversation() -> ConversationId {
    ConversationId::new("018f3a5e-7c00-7000-8000-00000000c0de").expect("an id of 36 characters")
}

/// Knows `echo` and nothing else.
pub struct Echo;

impl Toolbox for Echo {
    fn check(&self, tool: &str, _arguments: &RawJson) -> Result<StepPolicy, ToolRefusal> {
        if tool != "echo" {
            return Err(ToolRefusal::Unknown { name: tool.to_owned(), known: "echo".to_owned() });
        }
        Ok(StepPolicy {
            effect: EffectClass::Pure,
            pool: "default".into(),
            timeout_ms: 10_000,
            deadline_ms: 60_000,
            max_attempts: 3,
            backoff: Backoff { initial_ms: 200, max_ms: 5_000 },
            on_failure: OnFailure::Fail,
            needs_approval: false,
        })
    }

    fn turn_limits(&self, _agent: &str) -> TurnLimits {
        TurnLimits::default()
    }
}

/// `steps` echoes; each goes on from the one before where they are `chained`.
pub fn proposal(steps: usize, chained: bool) -> Proposal {
    let step = |at: usize| {
        let text = if chained && at > 0 { format!("${{e{}.text}}", at - 1) } else { format!("text {at}") };
        ProposedStep {
            id: format!("e{at}"),
            tool: "echo".to_owned(),
            arguments: RawJson::from_value(&serde_json::json!({ "text": text })),
            depends_on: Vec::new(),
            on_failure: None,
        }
    };
    Proposal { steps: (0..steps).map(step).collect(), then: Then::Answer, guidance: None }
}

pub fn builtin() -> Author {
    Author { provider: "builtin".into(), model: None, input_tokens: None, output_tokens: None }
}

pub fn plan() -> PlanGenerated {
    validate(&proposal(STEPS, false), &Echo, builtin(), 1, PlanReason::First).expect("a plan of known tools")
}

/// The events of one turn, in the order in which they are written.
pub fn events() -> Vec<Event> {
    let (started, finished) = ("2026-11-23T01:42:39.120Z", "2026-11-23T01:42:39.121Z");
    let mut events = vec![
        Event::UserQueryReceived(UserQueryReceived {
            message: "echo one; echo two; echo three".into(),
            agent: "default".into(),
            principal: None,
            metadata: None,
            body_hash: 0x1234_5678_9abc_def0,
            limits: TurnLimits::default(),
            token_budget: None,
            history: None,
        }),
        Event::PlanGenerated(plan()),
    ];
    for at in 0..STEPS {
        events.push(Event::ToolInvocationResulted(ToolInvocationResulted {
            version: 1,
            step: StepId::new(&format!("e{at}")).expect("a short id"),
            attempt: 1,
            outcome: Outcome::Ok(RawJson::from_value(&serde_json::json!({ "text": format!("text {at}") }))),
            worker: "node-1/default/0".into(),
            started_at: started.into(),
            finished_at: finished.into(),
        }));
    }
    events.push(Event::FinalAnswerSynthesized(FinalAnswerSynthesized {
        version: 1,
        answer: "one\ntwo\nthree".into(),
        synthesizer: builtin(),
        worker: "node-1/synthesis/0".into(),
        started_at: started.into(),
        finished_at: finished.into(),
        models: None,
    }));
    events
}

/// A conversation of [`TURNS`] turns, record after record.
pub fn records() -> Vec<Recorded> {
    let events = events();
    let record = |turn: u32, at: usize| {
        let offset = u64::from(turn) * EVENTS_PER_TURN as u64 + at as u64;
        Recorded {
            offset,
            timestamp_ms: BEGAN_MS + offset as i64,
            command: Some(CommandId::new(&format!("command-{turn}")).expect("a short id")),
            body: Readable::Event(events[at].clone()),
        }
    };
    (0..TURNS)
        .flat_map(|turn| (0..EVENTS_PER_TURN).map(move |at| (turn, at)))
        .map(|(t, at)| record(t, at))
        .collect()
}

/// The same conversation as it lies in the log.
pub fn written() -> Vec<Vec<u8>> {
    let conversation = conversation();
    let write = |record: &Recorded| {
        let stamp = Stamp {
            id: "018f3a5e-7c00-7000-8000-000000000001",
            conversation: &conversation,
            command: record.command.as_ref(),
            at: "2026-11-23T01:42:39.000Z",
            causation_id: "018f3a5e-7c00-7000-8000-000000000000",
        };
        let Readable::Event(event) = &record.body else { unreachable!("every record here is an event") };
        wire::write_event(stamp, event).expect("an event is JSON")
    };
    records().iter().map(write).collect()
}

/// Folds `records` from the first one on; every one of them must count.
pub fn fold(records: impl Iterator<Item = Recorded>) -> State {
    let mut state = State::new(conversation());
    for record in records {
        assert_eq!(apply(&mut state, &record), Applied::Changed, "offset {}", record.offset);
    }
    state
}

/// Records that were read from `written`.
pub fn read(written: &[Vec<u8>]) -> impl Iterator<Item = Recorded> {
    let key = conversation();
    written.iter().enumerate().map(move |(at, bytes)| {
        let (meta, body) = wire::read_event(key.as_str().as_bytes(), bytes).expect("it was written above");
        Recorded { offset: at as u64, timestamp_ms: BEGAN_MS + at as i64, command: meta.command, body }
    })
}

/// The state when the steps of a new turn are to be requested.
pub fn in_flight() -> State {
    fold(records().into_iter().take(2))
}
