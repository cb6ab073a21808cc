//! What must be equal whatever the timing: the parts of a state that mean something to people.

use callboard_domain::conversation::{PlanVersion, StepState, TurnStatus};
use callboard_domain::{Recorded, State, apply};
use serde_json::{Value, json};

use super::conversation;

/// Fields that say where or when in the log something stood, not what.
const POSITIONS: [&str; 14] = [
    "next_offset",
    "clock_ms",
    "offset",
    "terminal_offset",
    "received_ms",
    "started_ms",
    "phase_since_ms",
    "ready_ms",
    "not_before_ms",
    "closed_ms",
    "generated_ms",
    "since_ms",
    "waiting_since_ms",
    "waited_ms",
];

/// The state without positions and clock: equal for two logs that say the same.
pub fn essence(state: &State) -> Value {
    let mut value = serde_json::to_value(state).unwrap();
    strip(&mut value);
    value
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !POSITIONS.contains(&name.as_str()));
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// What each turn came to: status, answer, the error's code; of an answered turn also how every step ended.
/// Of a failed one not, because it ends before its other steps do, at a moment that timing decides.
pub fn gist(state: &State) -> Value {
    let of = |plan: &PlanVersion| {
        let step = |step: &callboard_domain::conversation::Step| {
            json!([step.plan.id, step.attempt, step.arguments(), ended(&step.state)])
        };
        json!([plan.version, plan.reason, plan.steps.iter().map(step).collect::<Vec<_>>()])
    };
    let mut turns = Vec::new();
    for turn in &state.closed {
        let code = turn.error.as_ref().map(|error| error.code.clone());
        let plans: Vec<Value> = match turn.status {
            TurnStatus::Answered => turn.versions.iter().map(of).collect(),
            _ => Vec::new(),
        };
        turns.push(json!([turn.number, turn.command, turn.message, turn.status, turn.answer, code, plans]));
    }
    let open: Vec<_> = state.open.iter().map(|turn| turn.command.as_str()).collect();
    let known: Vec<_> =
        state.known.iter().map(|known| json!([known.command, known.turn, known.status])).collect();
    json!({ "turns": turns, "open": open, "known": known, "count": state.turns })
}

/// How a step ended, without an error's words.
pub fn ended(state: &StepState) -> Value {
    match state {
        StepState::Done(result) => json!({ "done": result }),
        StepState::Failed(error) => json!({ "failed": error.kind }),
        StepState::Skipped => json!("skipped"),
        _ => json!("not ended"),
    }
}

/// The snapshot bytes.
pub fn bytes(state: &State) -> Vec<u8> {
    postcard::to_stdvec(state).unwrap()
}

/// The state after `records`, from genesis.
pub fn replay<'a>(records: impl IntoIterator<Item = &'a Recorded>) -> State {
    let mut state = State::new(conversation());
    for record in records {
        apply(&mut state, record);
    }
    state
}
