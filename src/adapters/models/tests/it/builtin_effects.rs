//! What the built-in planner makes of wishes with an effect outside, in which order, and what it does without a tool that
//! is down.

use callboard_domain::event::PlanGenerated;
use callboard_domain::plan::OnFailure;
use callboard_models::builtin::{BuiltinPlanner, BuiltinSynthesizer};
use callboard_ports::model::{Planner, Synthesizer, ToolDown};
use serde_json::{Value, json};

use crate::world::{registry, report, request, steps, synthesis};

const AT: &str = "http://127.0.0.1:8080";

async fn plan(message: &str) -> PlanGenerated {
    BuiltinPlanner::new(registry()).plan(request(message)).await.unwrap()
}

/// `deposit-1 {"text":"a"} after webhook-0`
fn told(plan: &PlanGenerated) -> Vec<String> {
    let after = |step: &callboard_domain::plan::PlannedStep| {
        let ids: Vec<&str> = step.depends_on.iter().map(|id| id.as_str()).collect();
        if ids.is_empty() { String::new() } else { format!(" after {}", ids.join("+")) }
    };
    plan.steps
        .iter()
        .map(|step| format!("{} {}{}", step.id, step.arguments.to_value(), after(step)))
        .collect()
}

async fn expect(rows: &[(&str, &[&str])]) {
    let mut wrong = String::new();
    for (message, expected) in rows {
        let plan = plan(message).await;
        let found = told(&plan);
        if found != *expected {
            wrong.push_str(&format!("{message:?}\n  found    {found:?}\n  expected {expected:?}\n"));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[tokio::test]
async fn one_effect() {
    expect(&[
        ("webhook http://h:1/a with hello", &[r#"webhook-1 {"text":"hello","url":"http://h:1/a"}"#]),
        ("Please call the webhook https://h/a?b=c&d", &[r#"webhook-1 {"url":"https://h/a?b=c&d"}"#]),
        ("webhook http://h/a.", &[r#"webhook-1 {"url":"http://h/a"}"#]),
        ("webhook http://h/a with \"one; two\"", &[r#"webhook-1 {"text":"one; two","url":"http://h/a"}"#]),
        ("webhook http://h/a with ${x.y}", &[r#"webhook-1 {"text":"$${x.y}","url":"http://h/a"}"#]),
        ("deposit coin 1", &[r#"deposit-1 {"text":"coin 1"}"#]),
        ("Deposit: bread and butter", &[r#"deposit-1 {"text":"bread and butter"}"#]),
        ("deposit coin 1 at http://h:1/below", &[r#"deposit-1 {"text":"coin 1","url":"http://h:1/below"}"#]),
        ("deposit \"me at http://h\"", &[r#"deposit-1 {"text":"me at http://h"}"#]),
        ("deposit \"a at b\" at http://h", &[r#"deposit-1 {"text":"a at b","url":"http://h"}"#]),
        ("webhook", &[]),
        ("webhook the neighbours", &[]),
        ("webhook http://h/a and so on", &[]),
        ("deposit", &[]),
        ("Deposit rates in Germany?", &[]),
    ])
    .await;
}

#[tokio::test]
async fn several_at_once_or_one_after_the_other() {
    expect(&[
        ("deposit a and deposit b", &[r#"deposit-1 {"text":"a"}"#, r#"deposit-2 {"text":"b"}"#]),
        (
            "deposit a at http://h; webhook http://h/x with b; deposit c",
            &[
                r#"deposit-1 {"text":"a","url":"http://h"}"#,
                r#"webhook-2 {"text":"b","url":"http://h/x"}"#,
                r#"deposit-3 {"text":"c"}"#,
            ],
        ),
        (
            "deposit coin 1 then deposit coin 2, and then deposit coin 3; then deposit coin 4\nThen deposit coin 5",
            &[
                r#"deposit-1 {"text":"coin 1"}"#,
                r#"deposit-2 {"text":"coin 2"} after deposit-1"#,
                r#"deposit-3 {"text":"coin 3"} after deposit-2"#,
                r#"deposit-4 {"text":"coin 4"} after deposit-3"#,
                r#"deposit-5 {"text":"coin 5"} after deposit-4"#,
            ],
        ),
        (
            "deposit a and deposit b then webhook http://h with c; echo d",
            &[
                r#"deposit-1 {"text":"a"}"#,
                r#"deposit-2 {"text":"b"}"#,
                r#"webhook-3 {"text":"c","url":"http://h"} after deposit-1+deposit-2"#,
                r#"echo-4 {"text":"d"} after deposit-1+deposit-2"#,
            ],
        ),
        (
            "convert 120 USD to EUR, then double it, then deposit it is done",
            &[
                r#"exchange-1 {"amount":120,"from":"USD","to":"EUR"}"#,
                r#"math-2 {"expression":"2 * ${exchange-1.converted}"} after exchange-1"#,
                r#"deposit-3 {"text":"it is done"} after math-2"#,
            ],
        ),
        (
            "echo a after 2 s then echo b after 2 s",
            &[r#"echo-1 {"delay_ms":2000,"text":"a"}"#, r#"echo-2 {"delay_ms":2000,"text":"b"} after echo-1"#],
        ),
        // Questions are asked at once, whatever their order.
        (
            "2+2, then weather in Oslo",
            &[r#"math-1 {"expression":"2 + 2"}"#, r#"weather-2 {"place":"Oslo"}"#],
        ),
    ])
    .await;
}

#[tokio::test]
async fn effects_stand_beside_questions_and_echoes() {
    expect(&[
        (
            &format!("webhook {AT}/hook with q1; echo q1 after 300 ms; what is 2*3"),
            &[
                r#"webhook-1 {"text":"q1","url":"http://127.0.0.1:8080/hook"}"#,
                r#"echo-2 {"delay_ms":300,"text":"q1"}"#,
                r#"math-3 {"expression":"2 * 3"}"#,
            ],
        ),
        (
            &format!("echo q1; echo b; echo c; deposit q1 at {AT}"),
            &[
                r#"echo-1 {"text":"q1"}"#,
                r#"echo-2 {"text":"b"}"#,
                r#"echo-3 {"text":"c"}"#,
                r#"deposit-4 {"text":"q1","url":"http://127.0.0.1:8080"}"#,
            ],
        ),
        (
            &format!("deposit 5 at {AT} and what is 2+2"),
            &[r#"deposit-1 {"text":"5","url":"http://127.0.0.1:8080"}"#, r#"math-2 {"expression":"2 + 2"}"#],
        ),
        // Within a text that is only repeated, nothing is done that is not set apart for certain.
        ("say I will go and deposit my money", &[r#"echo-1 {"text":"I will go and deposit my money"}"#]),
        (
            "echo a; deposit b then echo c",
            &[
                r#"echo-1 {"text":"a"}"#,
                r#"deposit-2 {"text":"b"}"#,
                r#"echo-3 {"text":"c"} after echo-1+deposit-2"#,
            ],
        ),
        ("repeat after me: a; deposit b", &[r#"echo-1 {"text":"a; deposit b"}"#]),
    ])
    .await;
}

#[tokio::test]
async fn a_chain_fails_its_turn_and_what_is_independent_goes_on() {
    let policies = |plan: PlanGenerated| plan.steps.iter().map(|s| s.policy.on_failure).collect::<Vec<_>>();
    assert_eq!(policies(plan("deposit a then deposit b then deposit c").await), [OnFailure::Fail; 3]);
    assert_eq!(policies(plan("deposit a; deposit b").await), [OnFailure::Skip; 2]);
}

#[tokio::test]
async fn a_tool_that_is_down_is_done_without_and_named() {
    let down = vec![ToolDown { tool: "deposit".into(), why: "it could not be reached".into() }];
    let asked =
        |message: &str| callboard_ports::model::PlanRequest { down: down.clone(), ..request(message) };
    let planner = BuiltinPlanner::new(registry());

    let partly = planner.plan(asked("deposit a then what is 2+2; deposit b")).await.unwrap();
    assert_eq!(steps(&partly), ["math 2 + 2"]);
    let guidance = partly.guidance.unwrap();
    for words in ["Note: ", "“deposit a”", "“deposit b”", "is down", "it could not be reached"] {
        assert!(guidance.contains(words), "{guidance}");
    }
    let nothing = planner.plan(asked("deposit a")).await.unwrap();
    assert!(nothing.steps.is_empty());
    assert!(nothing.guidance.unwrap().contains("is down"));
    let unconcerned = planner.plan(asked("what is 2+2")).await.unwrap();
    assert_eq!((steps(&unconcerned), unconcerned.guidance), (vec!["math 2 + 2".to_owned()], None));
}

#[tokio::test]
async fn what_came_of_effects_is_told_in_a_line() {
    let done = |body: Value| Some(Ok(json!({"status": 200, "body": body})));
    let steps = vec![
        report("deposit-1", "deposit", &json!({"text": "coin 1"}), done(json!({"n": 1}))),
        report("webhook-2", "webhook", &json!({"url": "http://h/a?key=secret"}), done(Value::Null)),
        report("webhook-3", "webhook", &json!({"url": "http://h/b"}), done(json!("thank you"))),
        report("webhook-4", "webhook", &json!({"url": "http://h/c?key=secret"}), None),
    ];
    let answer = BuiltinSynthesizer.synthesize(synthesis("…", None, steps), 1_000).await.unwrap().text;
    assert_eq!(
        &*answer,
        "deposit (coin 1) was answered with 200: {\"n\":1}\n\
         webhook (http://h/a) was answered with 200\n\
         webhook (http://h/b) was answered with 200: thank you\n\
         webhook (http://h/c) was skipped: a step that it needs did not succeed."
    );
}
