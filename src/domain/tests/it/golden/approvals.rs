//! Golden records of what approvals and token budgets added: a command, and optional fields of events and a request.

use callboard_domain::command::{ApprovalDecision, Command};
use callboard_domain::event::{
    Approval, ApprovalTimeout, Author, DeadlineExpired, Event, FailedCall, FinalAnswerSynthesized,
    ModelCalls, PlanGenerated, TurnLimits, UserQueryReceived,
};
use callboard_domain::plan::{Backoff, EffectClass, OnFailure, PlanReason, PlannedStep, StepPolicy, Then};
use callboard_domain::request::{ReplyTo, Request, SynthesizeFinalAnswerRequested};
use callboard_domain::{EffectId, StepId};

use super::values::{Body, json};

fn effect() -> EffectId {
    "conversation-1:command-1:1:pay".parse().unwrap()
}

fn pay() -> StepId {
    StepId::new("pay").unwrap()
}

fn given(decision: Approval, reason: Option<&str>) -> Body {
    Body::Command(Command::ApprovalGiven(ApprovalDecision {
        effect_id: effect(),
        decision,
        by: "anna".into(),
        reason: reason.map(Into::into),
    }))
}

fn author() -> Author {
    Author {
        provider: "ollama".into(),
        model: Some("llama3".into()),
        input_tokens: Some(812),
        output_tokens: Some(64),
    }
}

fn calls() -> ModelCalls {
    ModelCalls {
        prompt_hash: Some("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into()),
        calls: 2,
        latency_ms: 1_840,
        input_tokens: 1_650,
        output_tokens: 130,
        cost_nano_usd: Some(325_500),
        failed: vec![FailedCall {
            provider: "openai".into(),
            model: Some("gpt-4o-mini".into()),
            kind: "rate_limited".into(),
            latency_ms: 40,
        }],
    }
}

fn plan() -> PlanGenerated {
    let step = PlannedStep {
        id: pay(),
        tool: "webhook".into(),
        arguments: json(r#"{"amount": 120.00}"#),
        depends_on: Vec::new(),
        policy: StepPolicy {
            effect: EffectClass::Unsafe,
            pool: "default".into(),
            timeout_ms: 10_000,
            deadline_ms: 60_000,
            max_attempts: 3,
            backoff: Backoff { initial_ms: 200, max_ms: 5_000 },
            on_failure: OnFailure::Fail,
            needs_approval: true,
        },
    };
    PlanGenerated {
        version: 1,
        reason: PlanReason::First,
        planner: author(),
        steps: vec![step],
        then: Then::Answer,
        guidance: None,
        models: Some(Box::new(calls())),
        approvals: vec![ApprovalTimeout { step: pay(), timeout_ms: 604_800_000 }],
    }
}

pub fn all() -> Vec<(&'static str, Body)> {
    let received = UserQueryReceived {
        history: None,
        message: "pay".into(),
        agent: "default".into(),
        principal: None,
        metadata: None,
        body_hash: 7,
        limits: TurnLimits {
            planning_timeout_ms: 120_000,
            synthesis_timeout_ms: 180_000,
            turn_timeout_ms: 600_000,
            max_rounds: 4,
        },
        token_budget: Some(50_000),
    };
    let answered = FinalAnswerSynthesized {
        version: 1,
        answer: "Paid.".into(),
        synthesizer: author(),
        worker: "node-1/synthesis/1".into(),
        started_at: "2026-11-23T01:42:39.120Z".into(),
        finished_at: "2026-11-23T01:42:39.480Z".into(),
        models: Some(Box::new(calls())),
    };
    let synthesize = SynthesizeFinalAnswerRequested {
        version: 1,
        message: "pay".into(),
        agent: "default".into(),
        guidance: None,
        steps: Vec::new(),
        history: Vec::new(),
        not_after_ms: 1_795_398_339_000,
        reply_to: ReplyTo { topic: "conversation-events".into(), partition: 5, key: "conversation-1".into() },
        tokens_left: Some(0),
    };
    let expired = DeadlineExpired { version: 1, step: pay(), attempt: 0 };
    vec![
        ("ApprovalGiven", given(Approval::Approved, None)),
        ("ApprovalGiven.changed", given(Approval::ApprovedWith(json(r#"{"amount": 20.00}"#)), None)),
        ("ApprovalGiven.rejected", given(Approval::Rejected, Some("too much"))),
        ("UserQueryReceived.budget", Body::Event(Event::UserQueryReceived(received))),
        ("PlanGenerated.approvals", Body::Event(Event::PlanGenerated(plan()))),
        ("DeadlineExpired.approval", Body::Event(Event::DeadlineExpired(expired))),
        ("FinalAnswerSynthesized.models", Body::Event(Event::FinalAnswerSynthesized(answered))),
        (
            "SynthesizeFinalAnswerRequested.budget",
            Body::Request(Request::SynthesizeFinalAnswerRequested(synthesize)),
        ),
    ]
}
