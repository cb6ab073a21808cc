//! What the golden records say. A file's name is the type's, with a suffix where a type has several forms.

use callboard_domain::chunk::AnswerChunk;
use callboard_domain::command::{Command, HistoryReset, PlanCancelRequest, UserQuery};
use callboard_domain::event::{
    Approval, ApprovalRecorded, ApprovalRequested, Author, CommandRefused, DeadlineExpired, Event,
    FinalAnswerSynthesized, InvocationSettled, Outcome, PlanCancelled, PlanFailed, PlanGenerated, Settlement,
    ToolError, ToolInvocationInDoubt, ToolInvocationResulted, TurnError, TurnLimits, UserHistoryReset,
    UserQueryReceived,
};
use callboard_domain::ledger::Entry;
use callboard_domain::plan::{Backoff, EffectClass, OnFailure, PlanReason, PlannedStep, StepPolicy, Then};
use callboard_domain::request::{
    Exchange, ReplyTo, Request, StepReport, SynthesizeFinalAnswerRequested, ToolInvocationRequested,
};
use callboard_domain::{CommandId, RawJson, StepId};

#[derive(Debug, PartialEq)]
pub enum Body {
    Command(Command),
    Event(Event),
    Request(Request),
    Effect(Entry),
    Chunk(AnswerChunk),
}

impl Body {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Command(_) => "command",
            Self::Event(_) => "event",
            Self::Chunk(_) => "chunk",
            Self::Request(_) => "request",
            Self::Effect(_) => "effect",
        }
    }
}

pub fn all() -> Vec<(&'static str, Body)> {
    let commands = commands().into_iter().map(|(name, command)| (name, Body::Command(command)));
    let plans = planning().into_iter().chain(invoking()).chain(settling()).chain(ending());
    let events = plans.map(|(name, event)| (name, Body::Event(event)));
    let requests = requests().into_iter().map(|(name, request)| (name, Body::Request(request)));
    let later = super::effects::all().into_iter().chain(super::approvals::all()).chain(super::chunks::all());
    commands.chain(events).chain(requests).chain(later).collect()
}

pub fn json(text: &str) -> RawJson {
    RawJson::parse(text).unwrap()
}

pub fn id(text: &str) -> CommandId {
    CommandId::new(text).unwrap()
}

fn step(text: &str) -> StepId {
    StepId::new(text).unwrap()
}

const STARTED: &str = "2026-11-23T01:42:39.120Z";
const FINISHED: &str = "2026-11-23T01:42:39.480Z";

fn query(metadata: Option<RawJson>) -> UserQuery {
    let principal = metadata.as_ref().map(|_| "anna@example.org".into());
    UserQuery {
        message: "What is 17% of 2340?\nGrüße".into(),
        agent: "default".into(),
        principal,
        metadata,
        history: None,
    }
}

fn commands() -> Vec<(&'static str, Command)> {
    let metadata = json(r#"{"channel": "web", "n": 1.50}"#);
    let cancel = PlanCancelRequest {
        turn_command_id: id("command-0"),
        by: Some("anna".into()),
        reason: Some("changed my mind".into()),
    };
    vec![
        ("UserQueryReceived", Command::UserQueryReceived(query(Some(metadata)))),
        ("UserQueryReceived.bare", Command::UserQueryReceived(query(None))),
        ("UserHistoryReset", Command::UserHistoryReset(HistoryReset { by: Some("anna".into()) })),
        ("PlanCancelRequested", Command::PlanCancelRequested(cancel)),
    ]
}

fn limits() -> TurnLimits {
    TurnLimits {
        planning_timeout_ms: 120_000,
        synthesis_timeout_ms: 180_000,
        turn_timeout_ms: 600_000,
        max_rounds: 4,
    }
}

fn author(model: Option<&str>) -> Author {
    Author {
        provider: if model.is_some() { "ollama".into() } else { "builtin".into() },
        model: model.map(Into::into),
        input_tokens: model.map(|_| 812),
        output_tokens: model.map(|_| 64),
    }
}

fn policy(effect: EffectClass, on_failure: OnFailure) -> StepPolicy {
    StepPolicy {
        effect,
        pool: "default".into(),
        timeout_ms: 10_000,
        deadline_ms: 60_000,
        max_attempts: 3,
        backoff: Backoff { initial_ms: 200, max_ms: 5_000 },
        on_failure,
        needs_approval: effect == EffectClass::Unsafe,
    }
}

fn planning() -> Vec<(&'static str, Event)> {
    let asked = query(Some(json(r#"{"channel": "web", "n": 1.50}"#)));
    let received = UserQueryReceived {
        body_hash: asked.body_hash(),
        message: asked.message,
        agent: asked.agent,
        principal: asked.principal,
        metadata: asked.metadata,
        limits: limits(),
        token_budget: None,
        history: None,
    };
    let planned = |name: &str, tool: &str, arguments: &str, after: &[&str], policy: StepPolicy| PlannedStep {
        id: step(name),
        tool: tool.into(),
        arguments: json(arguments),
        depends_on: after.iter().map(|name| step(name)).collect(),
        policy,
    };
    let plan = |version, reason, model, steps, then, guidance: Option<&str>| {
        Event::PlanGenerated(PlanGenerated {
            version,
            reason,
            planner: author(model),
            steps,
            then,
            guidance: guidance.map(Into::into),
            models: None,
            approvals: Vec::new(),
        })
    };
    let steps = vec![
        planned(
            "rate",
            "exchange",
            r#"{"amount": 120.00, "from": "USD", "to": "EUR"}"#,
            &[],
            policy(EffectClass::Pure, OnFailure::Fail),
        ),
        planned(
            "share",
            "math",
            r#"{"expression":"${rate.value}*0.19"}"#,
            &["rate"],
            policy(EffectClass::Idempotent, OnFailure::Skip),
        ),
        planned(
            "tell",
            "webhook",
            r#"{"text":"${share.value}"}"#,
            &["share"],
            policy(EffectClass::Unsafe, OnFailure::Replan),
        ),
        planned("look", "lookup", "[]", &[], policy(EffectClass::Reconcilable, OnFailure::Fail)),
    ];
    vec![
        ("UserQueryReceived", Event::UserQueryReceived(received)),
        ("PlanGenerated", plan(1, PlanReason::First, Some("llama3"), steps, Then::Continue, None)),
        (
            "PlanGenerated.continue",
            plan(2, PlanReason::Continue, None, vec![], Then::Answer, Some("small talk")),
        ),
        ("PlanGenerated.failure", plan(2, PlanReason::Failure, None, vec![], Then::Answer, None)),
        ("PlanGenerated.edit", plan(2, PlanReason::Edit, None, vec![], Then::Answer, None)),
    ]
}

fn invoking() -> Vec<(&'static str, Event)> {
    let resulted = |outcome| {
        Event::ToolInvocationResulted(ToolInvocationResulted {
            version: 1,
            step: step("share"),
            attempt: 2,
            outcome,
            worker: "node-1/default/3".into(),
            started_at: STARTED.into(),
            finished_at: FINISHED.into(),
        })
    };
    let error = ToolError::new("timeout", "no answer within 10000 ms", true);
    vec![
        ("ToolInvocationResulted", resulted(Outcome::Ok(json(r#"{"value": 19.680, "unit": "EUR"}"#)))),
        ("ToolInvocationResulted.error", resulted(Outcome::Error(error))),
        (
            "ToolInvocationInDoubt",
            Event::ToolInvocationInDoubt(ToolInvocationInDoubt {
                version: 1,
                step: step("tell"),
                attempt: 1,
                reason: "the connection was lost after sending".into(),
            }),
        ),
        (
            "DeadlineExpired",
            Event::DeadlineExpired(DeadlineExpired { version: 1, step: step("share"), attempt: 3 }),
        ),
    ]
}

fn settling() -> Vec<(&'static str, Event)> {
    let settled = |settlement, by: &str, command: Option<&str>| {
        Event::InvocationSettled(InvocationSettled {
            version: 1,
            step: step("tell"),
            attempt: 1,
            settlement,
            by: by.into(),
            why: command.map(|_| "seen in the receiver's log".into()),
            settle_command: command.map(id),
        })
    };
    let recorded = |decision, reason: Option<&str>| {
        Event::ApprovalRecorded(ApprovalRecorded {
            version: 1,
            step: step("tell"),
            decision,
            by: "anna".into(),
            reason: reason.map(Into::into),
            approval_command: Some(id("command-7")),
        })
    };
    let requested = ApprovalRequested { version: 1, step: step("tell"), timeout_ms: 3_600_000 };
    vec![
        (
            "InvocationSettled",
            settled(Settlement::Done(json(r#"{"status":202}"#)), "anna", Some("command-6")),
        ),
        ("InvocationSettled.not_done", settled(Settlement::NotDone, "probe", None)),
        ("ApprovalRequested", Event::ApprovalRequested(requested)),
        ("ApprovalRecorded", recorded(Approval::Approved, None)),
        ("ApprovalRecorded.with", recorded(Approval::ApprovedWith(json(r#"{"text":"less"}"#)), None)),
        ("ApprovalRecorded.rejected", recorded(Approval::Rejected, Some("not today"))),
    ]
}

fn ending() -> Vec<(&'static str, Event)> {
    let cancelled = |by: Option<&str>, reason: &str, command: Option<&str>| {
        Event::PlanCancelled(PlanCancelled {
            by: by.map(Into::into),
            reason: Some(reason.into()),
            cancel_command: command.map(id),
        })
    };
    let answer = FinalAnswerSynthesized {
        version: 1,
        answer: "120 USD are 103.58 EUR; 19 % of it: 19.68 EUR.".into(),
        synthesizer: author(Some("llama3")),
        worker: "node-1/synthesis/1".into(),
        started_at: STARTED.into(),
        finished_at: FINISHED.into(),
        models: None,
    };
    let refused = CommandRefused {
        command_type: "PlanCancelRequested".into(),
        code: "turn_not_open".into(),
        message: "the turn of command command-0 has ended already".into(),
    };
    let failed = TurnError::new("turn_timeout", "the turn's turn_timeout of 600000 ms has passed");
    vec![
        ("PlanFailed", Event::PlanFailed(PlanFailed::of(failed.clone()))),
        ("PlanFailed.missing", Event::PlanFailed(PlanFailed { error: failed, missing_version: Some(2) })),
        ("PlanCancelled", cancelled(Some("anna"), "changed my mind", Some("command-5"))),
        ("PlanCancelled.reset", cancelled(None, "the history was reset", None)),
        ("FinalAnswerSynthesized", Event::FinalAnswerSynthesized(answer)),
        ("UserHistoryReset", Event::UserHistoryReset(UserHistoryReset { by: None })),
        ("CommandRefused", Event::CommandRefused(refused)),
    ]
}

fn requests() -> Vec<(&'static str, Request)> {
    let reply_to =
        ReplyTo { topic: "conversation-events".into(), partition: 5, key: "conversation-1".into() };
    let invoke = ToolInvocationRequested {
        effect_id: "conversation-1:command-1:1:share".parse().unwrap(),
        attempt: 2,
        tool: "math".into(),
        arguments: json(r#"{"expression":"103.58*0.19"}"#),
        effect: EffectClass::Pure,
        timeout_ms: 10_000,
        not_after_ms: 1_795_398_219_000,
        reply_to: reply_to.clone(),
    };
    let report = |name: &str, outcome| StepReport {
        version: 1,
        id: step(name),
        tool: "math".into(),
        arguments: json(r#"{"expression":"1+1"}"#),
        outcome,
    };
    let exchange = |message: &str, answer: Option<&str>| Exchange {
        message: message.into(),
        answer: answer.map(Into::into),
    };
    let synthesize = SynthesizeFinalAnswerRequested {
        version: 1,
        message: "What is 17% of 2340?".into(),
        agent: "default".into(),
        guidance: Some("give figures as the source does".into()),
        steps: vec![
            report("done", Some(Outcome::Ok(json("397.80")))),
            report("failed", Some(Outcome::Error(ToolError::new("timeout", "no answer", false)))),
            report("skipped", None),
        ],
        history: vec![exchange("hello", Some("Hello!")), exchange("and?", None)],
        not_after_ms: 1_795_398_339_000,
        reply_to,
        tokens_left: None,
    };
    vec![
        ("ToolInvocationRequested", Request::ToolInvocationRequested(invoke)),
        ("SynthesizeFinalAnswerRequested", Request::SynthesizeFinalAnswerRequested(synthesize)),
    ]
}
