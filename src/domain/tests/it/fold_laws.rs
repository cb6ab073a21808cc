//! Laws of the fold: what it says depends on the log alone, and on the first of everything in it.

use callboard_domain::conversation::{Applied, Ignored, Phase, Step, StepState};
use callboard_domain::event::{Event, Outcome, PlanGenerated, ToolError, ToolInvocationResulted};
use callboard_domain::plan::{PlanReason, validate};
use callboard_domain::{Recorded, State, apply};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::world::script::{Mood, PlanScript, Reply, plan, script};
use crate::world::tools::{Tools, author};
use crate::world::{
    START_MS, World, bytes, conversation, ended, essence, proposal, recorded, replay, turn_id,
};

/// The log with record `source` once more behind position `at`, offsets given anew.
pub fn with_duplicate(log: &[Recorded], source: usize, at: usize) -> Vec<Recorded> {
    let mut longer = log.to_vec();
    let again = Recorded { timestamp_ms: log[at].timestamp_ms, ..log[source].clone() };
    longer.insert(at + 1, again);
    for (offset, record) in longer.iter_mut().enumerate() {
        record.offset = offset as u64;
    }
    longer
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// G3. What the host held after each record is what a replay of that prefix gives, byte for byte, in the
    /// snapshot's form and as JSON; so is going on from a snapshot of any prefix.
    #[test]
    fn replay_equals_live_at_every_prefix(script in script(Mood::Wild)) {
        let world = World::ran(script, &[0]);
        prop_assert_eq!(world.hosts[0].live.len(), world.log.len());
        let mut state = State::new(conversation());
        for (record, (offset, live)) in world.log.iter().zip(&world.hosts[0].live) {
            apply(&mut state, record);
            prop_assert_eq!(state.next_offset, *offset);
            prop_assert!(&bytes(&state) == live, "the replay differs at offset {}", record.offset);
            // From here on the state is one that came out of a snapshot.
            let restored: State = postcard::from_bytes(live).unwrap();
            let (now, then) = (serde_json::to_vec(&state).unwrap(), serde_json::to_vec(&restored).unwrap());
            prop_assert!(now == then, "the snapshot loses something at offset {}", record.offset);
            let read: State = serde_json::from_slice(&now).unwrap();
            prop_assert!(read == restored, "the JSON form loses something at offset {}", record.offset);
            state = restored;
        }
    }

    /// Records at or below the state's offset change nothing at all, however often they are read again.
    #[test]
    fn reading_again_changes_nothing(script in script(Mood::Wild), from in any::<Index>()) {
        let world = World::ran(script, &[0]);
        let mut state = replay(&world.log);
        let before = bytes(&state);
        for record in &world.log[from.index(world.log.len())..] {
            prop_assert_eq!(apply(&mut state, record), Applied::Ignored(Ignored::AlreadyApplied));
        }
        prop_assert!(bytes(&state) == before);
    }

    /// A second copy of any record, anywhere behind the first, is as if it were not there.
    #[test]
    fn duplicates_mean_nothing(
        script in script(Mood::Wild),
        places in prop::collection::vec(any::<(Index, Index)>(), 12),
    ) {
        let world = World::ran(script, &[0]);
        let whole = essence(&replay(&world.log));
        let mut piled = world.log.clone();
        for (source, at) in places {
            let source_at = source.index(world.log.len());
            let at = source_at + at.index(world.log.len() - source_at);
            let once = with_duplicate(&world.log, source_at, at);
            prop_assert_eq!(&essence(&replay(&once)), &whole, "record {} again behind {}", source_at, at);
            let source_at = source.index(piled.len());
            piled = with_duplicate(&piled, source_at, piled.len() - 1 - at % (piled.len() - source_at));
        }
        prop_assert_eq!(&essence(&replay(&piled)), &whole, "all of them together");
    }

    /// Results of steps that do not wait for each other may come in any order.
    #[test]
    fn independent_results_come_in_any_order(
        plan in plan(Mood::Calm),
        one in prop::collection::vec(any::<Index>(), 24),
        other in prop::collection::vec(any::<Index>(), 24),
    ) {
        prop_assert_eq!(after_results(&plan, &one), after_results(&plan, &other));
    }
}

fn resulted(plan: &PlanGenerated, script: &PlanScript, step: &Step) -> Event {
    let index: usize = step.plan.id.as_str()[1..].parse().unwrap();
    let outcome = match script.steps[index].replies.get(step.attempt as usize - 1) {
        None | Some(Reply::Ok) => Outcome::Ok(step.arguments().clone()),
        Some(reply) => Outcome::Error(ToolError::new("unavailable", "down", *reply == Reply::Retryable)),
    };
    Event::ToolInvocationResulted(ToolInvocationResulted {
        version: plan.version,
        step: step.plan.id.clone(),
        attempt: step.attempt,
        outcome,
        worker: "w1".into(),
        started_at: "2026-01-01T00:00:00.000Z".into(),
        finished_at: "2026-01-01T00:00:00.000Z".into(),
    })
}

/// What a plan comes to when `order` picks which of the steps under way ends next. Of a turn that is failing,
/// that it does, and what was done; the rest hangs on when it began to.
fn after_results(script: &PlanScript, order: &[Index]) -> serde_json::Value {
    let tools = Tools::default();
    let mut plan = validate(&proposal(script), &tools, author(), 1, PlanReason::First).unwrap();
    for step in &mut plan.steps {
        let index: usize = step.id.as_str()[1..].parse().unwrap();
        step.policy.max_attempts = script.steps[index].max_attempts;
    }
    let mut state = State::new(conversation());
    let mut offset = 0;
    let mut fold = |state: &mut State, event: Event| {
        let record = recorded(offset, START_MS, Some(&turn_id(0)), event);
        assert_eq!(apply(state, &record), Applied::Changed, "{record:?}");
        offset += 1;
    };
    fold(&mut state, crate::world::received(&tools));
    fold(&mut state, Event::PlanGenerated(plan.clone()));
    for pick in order.iter().cycle() {
        let steps = &state.open[0].versions[0].steps;
        let ready: Vec<&Step> = steps.iter().filter(|step| step.state == StepState::Ready).collect();
        if ready.is_empty() {
            break;
        }
        let event = resulted(&plan, script, ready[pick.index(ready.len())]);
        fold(&mut state, event);
    }
    let turn = &state.open[0];
    let all = turn.versions[0].steps.iter().map(|step| (step.plan.id.to_string(), ended(&step.state)));
    if let Phase::Failing(error) = &turn.phase {
        return serde_json::json!([error.code]);
    }
    serde_json::json!([turn.phase, turn.results_bytes, all.collect::<Vec<_>>()])
}
