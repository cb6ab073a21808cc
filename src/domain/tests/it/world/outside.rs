//! What planner, tools and synthesizer say to an effect, by the script: events with the time they take.

use std::sync::Arc;

use callboard_domain::effect::{Effect, invocation};
use callboard_domain::event::{
    Approval, ApprovalRecorded, ApprovalRequested, ApprovalTimeout, Event, FinalAnswerSynthesized,
    InvocationSettled, ModelCalls, Outcome, PlanGenerated, Settlement, ToolError, ToolInvocationInDoubt,
    ToolInvocationResulted,
};
use callboard_domain::limits::MAX_ANSWER_BYTES;
use callboard_domain::plan::{Backoff, EffectClass, PlanReason, Proposal, ProposedStep, validate};
use callboard_domain::time::{Millis, rfc3339};
use callboard_domain::{CommandId, RawJson, State, StepId};

use super::script::{Answering, PlanScript, Reply, Script, StepScript, TurnScript, Word};
use super::tools::{Tools, author};

/// How long an approval is waited for.
pub const APPROVAL_MS: u64 = 60_000;

type Said = Vec<(u64, CommandId, Event)>;

/// The events that `effect` brings about and after how many milliseconds; none when the outside is silent.
pub fn answer(effect: &Effect, state: &State, script: &Script, tools: &Tools, now: Millis) -> Said {
    match effect {
        Effect::Append { command, event } => {
            let mut said = vec![(0, command.clone(), event.clone())];
            if let Event::ApprovalRequested(asked) = event {
                let scripted = step_of(turn_of(script, command), asked.version, &asked.step);
                said.extend(approved(command, asked, scripted.approval));
            }
            said
        }
        Effect::AskPlanner { command, version, reason, .. } => {
            let turn = turn_of(script, command);
            let Some(after) = turn.planner_ms else { return Vec::new() };
            let plan = generated(turn, *version, *reason, tools);
            vec![(after, command.clone(), Event::PlanGenerated(plan))]
        }
        Effect::Invoke { command, version, step, attempt, .. } => {
            let wanted = invocation(state, command, *version, step).expect("due names what is in the state");
            assert_eq!(wanted.attempt, *attempt);
            let scripted = step_of(turn_of(script, command), *version, step);
            invoked(command, *version, step, *attempt, &wanted.arguments, scripted, now)
        }
        Effect::CancelInvocation { command, version, step, attempt, .. } => {
            let scripted = step_of(turn_of(script, command), *version, step);
            // Of some unsafe calls nobody can say whether they were caught in time.
            let unsure = scripted.effect == EffectClass::Unsafe && scripted.latency_ms.is_multiple_of(2);
            let event =
                if unsure { lost(*version, step, *attempt) } else { caught(*version, step, *attempt, now) };
            vec![(30, command.clone(), event)]
        }
        Effect::Synthesize { command, version, .. } => {
            let (after, answer): (u64, Arc<str>) = match turn_of(script, command).answering {
                Answering::After(ms) => (ms, format!("the answer to {command} by plan {version}").into()),
                Answering::TooLarge => (50, "x".repeat(MAX_ANSWER_BYTES + 1).into()),
                Answering::Silent => return Vec::new(),
            };
            let event = Event::FinalAnswerSynthesized(FinalAnswerSynthesized {
                version: *version,
                answer,
                synthesizer: author(),
                worker: "w1".into(),
                started_at: rfc3339(now).into(),
                finished_at: rfc3339(now.saturating_add_unsigned(after)).into(),
                models: Some(Box::new(calls(5))),
            });
            vec![(after, command.clone(), event)]
        }
    }
}

fn calls(tokens: u64) -> ModelCalls {
    ModelCalls { calls: 1, input_tokens: tokens - 1, output_tokens: 1, ..ModelCalls::default() }
}

/// What a word decides; `None` for silence.
pub fn decision(word: Word) -> Option<Approval> {
    match word {
        Word::Approve(_) => Some(Approval::Approved),
        Word::Change(_) => {
            Some(Approval::ApprovedWith(RawJson::parse(r#"{"text":"as a person wants it"}"#).unwrap()))
        }
        Word::Reject(_) => Some(Approval::Rejected),
        Word::Never => None,
    }
}

/// The person's answer to a question.
fn approved(
    command: &CommandId,
    asked: &ApprovalRequested,
    word: Option<Word>,
) -> Option<(u64, CommandId, Event)> {
    let word = word.expect("only what needs approval asks for it");
    let (Word::Approve(after) | Word::Change(after) | Word::Reject(after)) = word else { return None };
    let event = Event::ApprovalRecorded(ApprovalRecorded {
        version: asked.version,
        step: asked.step.clone(),
        decision: decision(word)?,
        by: "anna".into(),
        reason: None,
        approval_command: None,
    });
    Some((after, command.clone(), event))
}

fn caught(version: u32, step: &StepId, attempt: u32, now: Millis) -> Event {
    Event::ToolInvocationResulted(ToolInvocationResulted {
        version,
        step: step.clone(),
        attempt,
        outcome: Outcome::Error(ToolError::new("cancelled", "its turn has ended", false)),
        worker: "w1".into(),
        started_at: rfc3339(now).into(),
        finished_at: rfc3339(now).into(),
    })
}

fn lost(version: u32, step: &StepId, attempt: u32) -> Event {
    Event::ToolInvocationInDoubt(ToolInvocationInDoubt {
        version,
        step: step.clone(),
        attempt,
        reason: "the connection was lost".into(),
    })
}

fn turn_of<'a>(script: &'a Script, command: &CommandId) -> &'a TurnScript {
    let index: usize = command.as_str().strip_prefix("turn-").unwrap().parse().unwrap();
    script.turns()[index]
}

fn step_of<'a>(turn: &'a TurnScript, version: u32, step: &StepId) -> &'a StepScript {
    let index: usize = step.as_str().strip_prefix('s').unwrap().parse().unwrap();
    &turn.rounds[version as usize - 1].steps[index]
}

/// The plan that the script has for a version, through the same door as a model's.
fn generated(turn: &TurnScript, version: u32, reason: PlanReason, tools: &Tools) -> PlanGenerated {
    let Some(script) = turn.rounds.get(version as usize - 1) else {
        let empty = validate(&Proposal::default(), tools, author(), version, reason).unwrap();
        return PlanGenerated { models: Some(Box::new(calls(10))), ..empty };
    };
    let mut plan = validate(&proposal(script), tools, author(), version, reason).unwrap();
    for step in &mut plan.steps {
        let scripted = step_of(turn, version, &step.id);
        step.policy.max_attempts = scripted.max_attempts;
        step.policy.effect = scripted.effect;
        step.policy.backoff = Backoff { initial_ms: scripted.backoff_ms, max_ms: 10 * scripted.backoff_ms };
        if scripted.approval.is_some() {
            step.policy.needs_approval = true;
            plan.approvals.push(ApprovalTimeout { step: step.id.clone(), timeout_ms: APPROVAL_MS });
        }
    }
    plan.models = Some(Box::new(calls(10)));
    plan
}

pub fn proposal(script: &PlanScript) -> Proposal {
    let of = |(i, step): (usize, &StepScript)| {
        let names: Vec<String> = step.depends_on.iter().map(|d| format!("s{d}")).collect();
        let references: Vec<String> = names.iter().map(|name| format!("${{{name}.of}}")).collect();
        let text = if step.by_reference { references.join(" and ") } else { format!("step {i}") };
        ProposedStep {
            id: format!("s{i}"),
            tool: "echo".into(),
            arguments: RawJson::of(&serde_json::json!({ "text": text })).unwrap(),
            depends_on: if step.by_reference { Vec::new() } else { names },
            on_failure: Some(step.on_failure),
        }
    };
    let mut steps: Vec<_> = script.steps.iter().enumerate().map(of).collect();
    if script.backwards {
        steps.reverse();
    }
    Proposal { steps, then: script.then, guidance: None }
}

fn invoked(
    command: &CommandId,
    version: u32,
    step: &StepId,
    attempt: u32,
    arguments: &RawJson,
    script: &StepScript,
    now: Millis,
) -> Said {
    let reply = script.replies.get(attempt as usize - 1).copied().unwrap_or(Reply::Ok);
    let after = script.latency_ms;
    let result =
        RawJson::of(&serde_json::json!({ "of": format!("{command}/{version}/{step}"), "given": arguments }))
            .unwrap();
    let resulted = |outcome: Outcome| {
        Event::ToolInvocationResulted(ToolInvocationResulted {
            version,
            step: step.clone(),
            attempt,
            outcome,
            worker: "w1".into(),
            started_at: rfc3339(now).into(),
            finished_at: rfc3339(now.saturating_add_unsigned(after)).into(),
        })
    };
    let in_doubt = lost(version, step, attempt);
    let settled = |settlement: Settlement| {
        Event::InvocationSettled(InvocationSettled {
            version,
            step: step.clone(),
            attempt,
            settlement,
            by: "probe".into(),
            why: None,
            settle_command: None,
        })
    };
    let error =
        |retryable| Outcome::Error(ToolError::new("unavailable", format!("{step} is down"), retryable));
    let said = match reply {
        Reply::Ok => vec![(after, resulted(Outcome::Ok(result)))],
        Reply::Retryable => vec![(after, resulted(error(true)))],
        Reply::Fatal => vec![(after, resulted(error(false)))],
        Reply::Silent => Vec::new(),
        Reply::Doubt => vec![(after, in_doubt)],
        Reply::DoubtDone => vec![(after, in_doubt), (2 * after, settled(Settlement::Done(result)))],
        Reply::DoubtNotDone => vec![(after, in_doubt), (2 * after, settled(Settlement::NotDone))],
    };
    said.into_iter().map(|(at, event)| (at, command.clone(), event)).collect()
}
