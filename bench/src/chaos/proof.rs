//! A judge that cannot condemn is none: logs with one broken promise each, and what the verdict says of them.

use std::collections::BTreeMap;

use callboard_domain::conversation::Recorded;
use callboard_domain::event::{
    Author, Event, FinalAnswerSynthesized, Outcome, PlanFailed, PlanGenerated, ToolError,
    ToolInvocationInDoubt, ToolInvocationResulted, TurnError, TurnLimits, UserQueryReceived,
};
use callboard_domain::id::{CommandId, ConversationId, StepId};
use callboard_domain::json::RawJson;
use callboard_domain::plan::{Backoff, EffectClass, OnFailure, PlanReason, PlannedStep, StepPolicy, Then};
use callboard_domain::wire::Readable;

use super::verdict::Verdict;
use crate::counter::Counts;
use crate::load::{Asked, Book};
use crate::story::Story;
use crate::topics::Topics;

const EFFECT: &str = "c:k1:1:tell";

fn author() -> Author {
    Author { provider: "builtin".into(), model: None, input_tokens: None, output_tokens: None }
}

fn question() -> Event {
    Event::UserQueryReceived(UserQueryReceived {
        message: "webhook http://x with q1".into(),
        agent: "default".into(),
        principal: None,
        metadata: None,
        body_hash: 7,
        limits: TurnLimits::default(),
        token_budget: None,
        history: None,
    })
}

fn plan() -> Event {
    let policy = StepPolicy {
        effect: EffectClass::Unsafe,
        pool: "default".into(),
        timeout_ms: 1_000,
        deadline_ms: 60_000,
        max_attempts: 3,
        backoff: Backoff { initial_ms: 1, max_ms: 1 },
        on_failure: OnFailure::Skip,
        needs_approval: false,
    };
    let step = PlannedStep {
        id: StepId::new("tell").unwrap(),
        tool: "webhook".into(),
        arguments: RawJson::parse("{}").unwrap(),
        depends_on: Vec::new(),
        policy,
    };
    Event::PlanGenerated(PlanGenerated {
        version: 1,
        reason: PlanReason::First,
        planner: author(),
        steps: vec![step],
        then: Then::Answer,
        guidance: None,
        models: None,
        approvals: Vec::new(),
    })
}

fn result(outcome: Outcome) -> Event {
    Event::ToolInvocationResulted(ToolInvocationResulted {
        version: 1,
        step: StepId::new("tell").unwrap(),
        attempt: 1,
        outcome,
        worker: "w".into(),
        started_at: "".into(),
        finished_at: "".into(),
    })
}

fn done() -> Event {
    result(Outcome::Ok(RawJson::parse("{}").unwrap()))
}

fn answer() -> Event {
    Event::FinalAnswerSynthesized(FinalAnswerSynthesized {
        version: 1,
        answer: "q1".into(),
        synthesizer: author(),
        worker: "w".into(),
        started_at: "".into(),
        finished_at: "".into(),
        models: None,
    })
}

/// Events of one conversation, each with its command.
fn topics(events: &[(&str, Event)]) -> Topics {
    let mut topics = Topics::default();
    let id = ConversationId::new("c").unwrap();
    let recorded = events.iter().zip(0..).map(|((command, event), offset)| Recorded {
        offset,
        timestamp_ms: 1_000 + i64::try_from(offset).unwrap(),
        command: Some(CommandId::new(command).unwrap()),
        body: Readable::Event(event.clone()),
    });
    topics.events.insert(id, recorded.collect());
    topics
}

fn asked() -> Vec<Asked> {
    let book = Book::default();
    let number = book.ask("c", "q1");
    book.accepted(number, "k1");
    book.ended(number, "answered", true);
    book.all()
}

fn executed(times: u64) -> Counts {
    Counts { calls: BTreeMap::from([(EFFECT.to_owned(), times)]), ..Counts::default() }
}

fn whole() -> Vec<(&'static str, Event)> {
    [question(), plan(), done(), answer()].map(|event| ("k1", event)).into()
}

/// What is broken, by name.
fn broken(asked: &[Asked], topics: &Topics, counts: &Counts) -> Vec<&'static str> {
    let verdict = Verdict::judge(asked, topics, &Story::read(topics), counts);
    verdict.broken().iter().filter(|(_, broken)| broken.count > 0).map(|(name, _)| *name).collect()
}

#[test]
fn a_whole_turn_is_good() {
    let topics = topics(&whole());
    assert_eq!(broken(&asked(), &topics, &executed(1)), [""; 0]);
    let verdict = Verdict::judge(&asked(), &topics, &Story::read(&topics), &executed(1));
    assert_eq!((verdict.accepted, verdict.turns, verdict.terminal_in_effect), (1, 1, 1));
}

#[test]
fn a_turn_without_an_end_is_lost_whether_the_log_knows_it_or_not() {
    let cut = topics(&whole()[..3]);
    assert_eq!(broken(&asked(), &cut, &executed(1)), ["lost", "audit violations"]);
    assert_eq!(broken(&asked(), &topics(&[]), &Counts::default()), ["lost"]);
    let mut undecided = topics(&whole());
    undecided.commands.push(("k2".to_owned(), ConversationId::new("c").unwrap()));
    assert_eq!(broken(&asked(), &undecided, &executed(1)), ["lost"]);
}

#[test]
fn one_question_that_became_two_turns_is_doubled() {
    let mut twice = whole();
    twice.extend([question(), plan(), done(), answer()].map(|event| ("k2", event)));
    let mut counts = executed(1);
    counts.calls.insert("c:k2:1:tell".to_owned(), 1);
    assert_eq!(broken(&asked(), &topics(&twice), &counts), ["doubled"]);
}

#[test]
fn effects_are_judged_by_the_outside() {
    let topics_of = |events: [Event; 4]| topics(&events.map(|event| ("k1", event)));
    assert_eq!(broken(&asked(), &topics(&whole()), &executed(2)), ["duplicate effects"]);
    assert_eq!(broken(&asked(), &topics(&whole()), &Counts::default()), ["effects misreported"]);
    let failed = result(Outcome::Error(ToolError::new("refused", "no", false)));
    let denied = topics_of([question(), plan(), failed, answer()]);
    assert_eq!(broken(&asked(), &denied, &executed(1)), ["effects misreported"]);
    assert_eq!(broken(&asked(), &denied, &Counts::default()), [""; 0]);
    let mut strange = executed(1);
    strange.deposits.insert("c:k9:1:x".to_owned(), 1);
    assert_eq!(broken(&asked(), &topics(&whole()), &strange), ["effects misreported"]);
}

#[test]
fn a_doubt_that_nobody_settled_is_named() {
    let doubt = Event::ToolInvocationInDoubt(ToolInvocationInDoubt {
        version: 1,
        step: StepId::new("tell").unwrap(),
        attempt: 1,
        reason: "lost".into(),
    });
    let failed = Event::PlanFailed(PlanFailed::of(TurnError::new("turn_timeout", "late")));
    let open = topics(&[question(), plan(), doubt, failed].map(|event| ("k1", event)));
    let mut asked = asked();
    asked[0].ended = None;
    assert_eq!(broken(&asked, &open, &executed(1)), ["unsettled"]);
}

#[test]
fn clients_who_were_misled_are_counted() {
    let mut told = asked();
    told[0].ended.as_mut().unwrap().status = "failed".to_owned();
    assert_eq!(broken(&told, &topics(&whole()), &executed(1)), ["misled clients"]);
    let mut told = asked();
    told[0].ended.as_mut().unwrap().right = false;
    assert_eq!(broken(&told, &topics(&whole()), &executed(1)), ["misled clients"]);
    let mut told = asked();
    told[0].refused = Some("400".to_owned());
    assert_eq!(broken(&told, &topics(&whole()), &executed(1)), ["misled clients"]);
}
