//! Invariants that need more than one conversation's records: what was acknowledged, what a live actor holds, what was
//! really done outside, what was given up, what was issued by whom. The caller brings the evidence; nothing here reads.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::conversation::{Recorded, State, apply};
use crate::id::{CommandId, ConversationId, EffectId};
use crate::plan::EffectClass;
use crate::time::Millis;

/// One time that a tool really did something, counted by the service behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// The idempotency key: an effect id.
    pub key: String,
    pub attempt: u32,
    pub class: EffectClass,
    /// When the call began that did it.
    pub started_ms: Millis,
}

/// Something that was issued for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    pub partition: u32,
    /// Who issued what, and when.
    pub detail: String,
}

/// Where a violation lies that belongs to no single conversation.
fn partition(partition: u32) -> ConversationId {
    ConversationId::new(&format!("partition-{partition}")).expect("letters, digits and a dash are an id")
}

fn of_effect(key: &str) -> ConversationId {
    let effect: Result<EffectId, _> = key.parse();
    effect.map_or_else(|_| partition(0), |effect| effect.conversation)
}

/// The fold of all records of one conversation.
#[must_use]
pub fn replay(id: &ConversationId, records: &[Recorded]) -> State {
    let mut state = State::new(id.clone());
    for record in records {
        apply(&mut state, record);
    }
    state
}

/// G1: every command whose append was acknowledged is known to the fold.
#[must_use]
pub fn accepted_is_durable(acknowledged: &BTreeSet<CommandId>, state: &State) -> Vec<Violation> {
    let lost = acknowledged.iter().filter(|command| state.known(command.as_str()).is_none());
    lost.map(|command| Violation {
        invariant: "accepted_is_durable",
        conversation: state.conversation.clone(),
        detail: format!("command {command} was acknowledged and has no event"),
    })
    .collect()
}

/// G3: what an actor holds is the fold of the log, byte for byte as both are written down.
#[must_use]
pub fn replay_equals_live(live: &State, replayed: &State) -> Option<Violation> {
    let written = |state: &State| serde_json::to_string(state).unwrap_or_else(|error| error.to_string());
    let (live, replay) = (written(live), written(replayed));
    if live == replay {
        return None;
    }
    let same = live.bytes().zip(replay.bytes()).take_while(|(a, b)| a == b).count();
    let around = |text: &str| {
        let (from, to) = (same.saturating_sub(60), (same + 60).min(text.len()));
        text[text.floor_char_boundary(from)..text.floor_char_boundary(to)].to_owned()
    };
    Some(Violation {
        invariant: "replay_equals_live",
        conversation: replayed.conversation.clone(),
        detail: format!("live …{}… but the log says …{}…", around(&live), around(&replay)),
    })
}

/// G4: an unsafe or reconcilable effect was done at most once.
#[must_use]
pub fn unsafe_at_most_once(executions: &[Execution]) -> Vec<Violation> {
    let mut times: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    let guarded = |class| matches!(class, EffectClass::Unsafe | EffectClass::Reconcilable);
    for execution in executions.iter().filter(|execution| guarded(execution.class)) {
        times.entry(&execution.key).or_default().push(execution.attempt);
    }
    let doubled = times.into_iter().filter(|(_, attempts)| attempts.len() > 1);
    doubled
        .map(|(key, attempts)| Violation {
            invariant: "unsafe_at_most_once",
            conversation: of_effect(key),
            detail: format!("{key} was done {} times, in attempts {attempts:?}", attempts.len()),
        })
        .collect()
}

/// Nothing is started later than every request for its attempt allows. `not_after_ms` is by key and attempt;
/// `tolerance_ms` is how wrong a worker's clock may be.
#[must_use]
pub fn started_in_time(
    executions: &[Execution],
    not_after_ms: &BTreeMap<(String, u32), Millis>,
    tolerance_ms: u64,
) -> Vec<Violation> {
    let late = |execution: &&Execution| {
        let until = not_after_ms.get(&(execution.key.clone(), execution.attempt));
        until.is_none_or(|until| execution.started_ms > until.saturating_add_unsigned(tolerance_ms))
    };
    let violation = |execution: &Execution| {
        let Execution { key, attempt, started_ms, .. } = execution;
        let until = not_after_ms.get(&(key.clone(), *attempt));
        Violation {
            invariant: "started_in_time",
            conversation: of_effect(key),
            detail: format!("{key}#{attempt} was started at {started_ms}; its requests allow {until:?}"),
        }
    };
    executions.iter().filter(late).map(violation).collect()
}

/// G6: every record that could not be read has its dead letter. Both are named as dead letters are.
#[must_use]
pub fn given_up_is_kept(unreadable: &BTreeSet<String>, letters: &BTreeSet<String>) -> Vec<Violation> {
    let violation = |id: &String| Violation {
        invariant: "given_up_is_kept",
        conversation: partition(id.split(':').nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)),
        detail: format!("{id} cannot be read and has no dead letter"),
    };
    unreadable.difference(letters).map(violation).collect()
}

/// G7: what was seen in a queue is within its bound.
#[must_use]
pub fn bounded(queue: &str, of_partition: u32, depth: u64, bound: u64) -> Option<Violation> {
    (depth > bound).then(|| Violation {
        invariant: "bounded_queues",
        conversation: partition(of_partition),
        detail: format!("{queue} held {depth}; its bound is {bound}"),
    })
}

/// Nothing is issued for a partition after its revocation was seen; the evidence is what was issued all the same.
#[must_use]
pub fn nothing_after_revocation(issued: &[Issued]) -> Vec<Violation> {
    let violation = |issued: &Issued| Violation {
        invariant: "nothing_after_revocation",
        conversation: partition(issued.partition),
        detail: issued.detail.clone(),
    };
    issued.iter().map(violation).collect()
}
