//! Model servers that misbehave in every way, asked for plans and for answers: whatever they do, somebody else goes on,
//! in time, and the record says what went wrong.

use std::time::{Duration, Instant};

use callboard_domain::event::PlanGenerated;
use callboard_models::{Built, ModelsConfig, build};
use callboard_ports::model::Answer;
use callboard_testkit::stubs::{Misbehaviour, Ollama, OpenAi};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::world::{at, registry, report, request, synthesis};

const PLAN: &str = r#"{"steps":[{"id":"sum","tool":"math","arguments":{"expression":"2+2"},"depends_on":[],"on_failure":"skip"}],"then":"answer","guidance":""}"#;
const CYCLE: &str = r#"{"steps":[{"id":"a","tool":"echo","arguments":{"text":"${b.text}"},"depends_on":[]},
    {"id":"b","tool":"echo","arguments":{"text":"${a.text}"},"depends_on":[]}],"then":"answer","guidance":""}"#;

/// Impatient, so that a test of silence is short.
fn patience() -> Value {
    json!({"first_token_timeout_ms": 400, "between_tokens_timeout_ms": 400, "timeout_ms": 3_000})
}

async fn with(config: Value) -> Built {
    let config: ModelsConfig = serde_json::from_value(config).unwrap();
    build(&config, registry(), Handle::current()).await.unwrap()
}

/// A bad provider before a good one, either way round.
struct Pair {
    ollama: Ollama,
    openai: OpenAi,
    built: Built,
}

impl Pair {
    async fn first(first: &str) -> Self {
        let (ollama, openai) = (Ollama::start().unwrap(), OpenAi::start().unwrap());
        let second = if first == "ollama" { "openai" } else { "ollama" };
        let built = with(json!({
            "planner": {"order": [first, second]},
            "models": {"ollama": at(ollama.url(), patience()), "openai": at(format!("{}/v1", openai.url()), patience())},
        }))
        .await;
        Self { ollama, openai, built }
    }

    fn bad(&self, first: &str) -> &callboard_testkit::stubs::ModelServer {
        if first == "ollama" { &self.ollama } else { &self.openai }
    }

    fn good(&self, first: &str) -> &callboard_testkit::stubs::ModelServer {
        if first == "ollama" { &self.openai } else { &self.ollama }
    }

    async fn plan(&self) -> PlanGenerated {
        self.built.planner.plan(request("what is 2+2?")).await.unwrap()
    }

    async fn answer(&self) -> Answer {
        let sum = report("sum", "math", &json!({"expression": "2+2"}), Some(Ok(json!({"result": "4"}))));
        self.built.synthesizer.synthesize(synthesis("what is 2+2?", None, vec![sum]), 20_000).await.unwrap()
    }
}

fn failed(calls: Option<&callboard_domain::event::ModelCalls>) -> Vec<String> {
    let calls = calls.expect("models were asked");
    calls.failed.iter().map(|call| format!("{} {}", call.provider, call.kind)).collect()
}

#[tokio::test]
async fn streams_that_go_wrong_lead_to_the_next_provider() {
    for first in ["ollama", "openai"] {
        for (how, kind) in [
            (Misbehaviour::Truncated, "unavailable"),
            (Misbehaviour::Cut, "unavailable"),
            (Misbehaviour::ErrorInside, "unavailable"),
            (Misbehaviour::HangsAtOnce, "timeout"),
            (Misbehaviour::Hangs, "timeout"),
        ] {
            let pair = Pair::first(first).await;
            let (bad, good) = (pair.bad(first), pair.good(first));
            bad.say(PLAN);
            bad.misbehave(how);
            good.say(PLAN);
            let began = Instant::now();
            let plan = pair.plan().await;
            assert!(began.elapsed() < Duration::from_secs(4), "{first} {how:?}");
            assert_eq!(plan.steps.len(), 1, "{first} {how:?}");
            let models = plan.models.as_deref();
            assert_eq!(failed(models), [format!("{first} {kind}")], "{how:?}");
            assert_eq!(models.unwrap().calls, 1);
            bad.say("It is four, as far as I know.");
            bad.misbehave(how);
            good.say("It is 4.");
            let answer = pair.answer().await;
            assert_eq!(
                (&*answer.text, failed(answer.models.as_deref()).len()),
                ("It is 4.", 1),
                "{first} {how:?}"
            );
        }
    }
}

#[tokio::test]
async fn connections_that_fail_before_any_head_lead_to_the_next_provider() {
    for first in ["ollama", "openai"] {
        let pair = Pair::first(first).await;
        let (bad, good) = (pair.bad(first), pair.good(first));
        good.respond_with(|_| PLAN.to_owned());
        // A fresh client and a pooled connection may both be tried.
        bad.reset_next(8);
        assert_eq!(failed(pair.plan().await.models.as_deref()), [format!("{first} unavailable")]);
        let pair = Pair::first(first).await;
        let (bad, good) = (pair.bad(first), pair.good(first));
        good.respond_with(|_| PLAN.to_owned());
        bad.fail_next(1, 500);
        assert_eq!(failed(pair.plan().await.models.as_deref()), [format!("{first} unavailable")]);
        bad.hold();
        assert_eq!(failed(pair.plan().await.models.as_deref()), [format!("{first} timeout")]);
    }
}

#[tokio::test]
async fn plans_that_are_none_are_mended_once_and_then_somebody_else_plans() {
    for (said, words) in [
        ("{\"steps\": [{", "cannot be read as a plan"),
        (CYCLE, "waits for itself"),
        (r#"{"steps":[{"id":"a","tool":"teleport","arguments":{}}]}"#, "there is no tool"),
        (r#"{"steps":[{"id":"a","tool":"math","arguments":{"formula":"2"}}]}"#, "arguments of tool"),
    ] {
        let pair = Pair::first("openai").await;
        pair.openai.say(said);
        pair.openai.say(said);
        pair.ollama.say(PLAN);
        let plan = pair.plan().await;
        assert_eq!((plan.steps.len(), &*plan.planner.provider), (1, "ollama"), "{said}");
        let models = plan.models.as_deref();
        assert_eq!((failed(models), models.unwrap().calls), (vec!["openai plan_refused".to_owned()], 3));
        let asked = pair.openai.requests();
        let repair = asked.last().unwrap().json();
        let last =
            repair["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned();
        assert!(last.contains(words) && last.contains(&['(', '_'][..]), "{last}");
        assert_eq!(pair.openai.hits(), 2, "mended once");
    }
}

#[tokio::test]
async fn prose_around_a_plan_and_replies_that_do_not_stream_are_understood() {
    for first in ["ollama", "openai"] {
        let pair = Pair::first(first).await;
        let bad = pair.bad(first);
        bad.say(format!("<think>{{\"steps\": \"hm\"}}</think>Here you are: {PLAN} Have fun!"));
        let plan = pair.plan().await;
        assert_eq!((&*plan.planner.provider, plan.steps.len()), (first, 1));
        bad.say(PLAN);
        bad.misbehave(Misbehaviour::Unstreamed);
        let plan = pair.plan().await;
        assert_eq!((&*plan.planner.provider, plan.steps.len()), (first, 1));
        assert!(plan.planner.output_tokens.is_some());
        bad.say("Größe: 4 🦀🦀🦀 – fünf");
        assert_eq!(&*pair.answer().await.text, "Größe: 4 🦀🦀🦀 – fünf", "split anywhere, whole in the end");
    }
}

#[tokio::test]
async fn endless_tokens_are_cut_for_an_answer_and_refused_for_a_plan() {
    for first in ["ollama", "openai"] {
        let pair = Pair::first(first).await;
        let (bad, good) = (pair.bad(first), pair.good(first));
        bad.say("la-".repeat(1_000));
        bad.misbehave(Misbehaviour::Endless);
        let answer = pair.answer().await;
        assert_eq!(&*answer.author.provider, first);
        assert!(answer.text.ends_with("(cut: the answer is too long)"));
        assert!(answer.text.len() <= callboard_domain::limits::MAX_ANSWER_BYTES);
        bad.say(format!("{{\"steps\":[{}", "[".repeat(3_000)));
        bad.misbehave(Misbehaviour::Endless);
        bad.say(PLAN);
        good.say("never asked");
        let plan = pair.plan().await;
        assert_eq!((&*plan.planner.provider, plan.models.unwrap().calls), (first, 2), "mended");
    }
}

#[tokio::test]
async fn a_limit_is_waited_for_when_it_is_short_and_otherwise_the_next_provider_is_asked() {
    let pair = Pair::first("openai").await;
    pair.openai.respond_with(|_| PLAN.to_owned());
    pair.ollama.respond_with(|_| PLAN.to_owned());
    pair.openai.refuse_next(429, &[("retry-after-ms", "200")]);
    let plan = pair.plan().await;
    assert_eq!((&*plan.planner.provider, pair.openai.hits()), ("openai", 2));
    assert!(plan.models.unwrap().latency_ms >= 200);
    // Without a word on when: a second is waited, once.
    pair.openai.forget();
    pair.openai.refuse_next(429, &[]);
    pair.openai.refuse_next(429, &[("retry-after", "30")]);
    let plan = pair.plan().await;
    assert_eq!(failed(plan.models.as_deref()), ["openai rate_limited"]);
    assert_eq!(pair.openai.hits(), 2);
    // Until then it is left alone.
    let plan = pair.plan().await;
    assert_eq!(
        (&*plan.planner.provider, failed(plan.models.as_deref())),
        ("ollama", vec!["openai rate_limited".to_owned()])
    );
    assert_eq!(pair.openai.hits(), 2);
}

#[tokio::test]
async fn a_dead_provider_is_left_alone_for_a_while_and_comes_back() {
    let (ollama, openai) = (Ollama::start().unwrap(), OpenAi::start().unwrap());
    let built = with(json!({"models": {
        "ollama": at(ollama.url(), patience()), "openai": at(format!("{}/v1", openai.url()), patience()),
        "breaker": {"failures": 2, "pause_ms": 300},
    }}))
    .await;
    ollama.respond_with(|_| PLAN.to_owned());
    openai.respond_with(|_| PLAN.to_owned());
    ollama.forget();
    ollama.fail_always(500);
    let plan = || async { built.planner.plan(request("what is 2+2?")).await.unwrap() };
    let mut kinds = Vec::new();
    for _ in 0..4 {
        kinds.extend(failed(plan().await.models.as_deref()));
    }
    assert_eq!(
        kinds,
        ["ollama unavailable", "ollama unavailable", "ollama breaker_open", "ollama breaker_open"]
    );
    assert_eq!(ollama.hits_of("/api/chat"), 2);
    ollama.heal();
    let back = async {
        while &*plan().await.planner.provider != "ollama" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), back).await.expect("it is tried again");
}

#[tokio::test]
async fn as_many_as_may_ask_at_once_and_others_wait_or_go_elsewhere() {
    let (ollama, openai) = (Ollama::start().unwrap(), OpenAi::start().unwrap());
    let built = with(json!({"models": {
        "ollama": at(ollama.url(), json!({"concurrency": 1, "queue": 1})),
        "openai": at(format!("{}/v1", openai.url()), json!({})),
    }}))
    .await;
    ollama.respond_with(|_| PLAN.to_owned());
    openai.respond_with(|_| PLAN.to_owned());
    ollama.forget();
    ollama.hold();
    let ask = || {
        let planner = built.planner.clone();
        tokio::spawn(async move { planner.plan(request("what is 2+2?")).await.unwrap() })
    };
    let first = ask();
    until(|| ollama.in_flight() == 1).await;
    let (second, third) = (ask(), ask());
    // One waits; the other finds the queue full.
    until(|| openai.hits() == 1).await;
    ollama.release();
    let mut by = Vec::new();
    for asked in [first, second, third] {
        let plan = asked.await.unwrap();
        if &*plan.planner.provider == "openai" {
            assert_eq!(failed(plan.models.as_deref()), ["ollama busy"]);
        }
        by.push(plan.planner.provider.to_string());
    }
    by.sort();
    assert_eq!(by, ["ollama", "ollama", "openai"]);
    assert_eq!(ollama.peak_in_flight(), 1);
}

async fn until(condition: impl Fn() -> bool) {
    tokio::time::timeout(Duration::from_secs(10), async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the condition comes true");
}
