//! What the built-in planner looks up in the documents, what it leaves alone, and how it tells what was found.

use std::sync::Arc;

use callboard_domain::event::{PlanGenerated, TurnLimits};
use callboard_models::builtin::{BuiltinPlanner, BuiltinSynthesizer};
use callboard_ports::fakes::ScriptedTool;
use callboard_ports::model::{Planner, Synthesizer, ToolDown};
use callboard_ports::tool::{Tool, ToolRegistry};
use callboard_tools::Registry;
use serde_json::{Value, json};

use crate::world::{registry, report, request, synthesis};

/// The real tools, and one that is called `knowledge`.
fn with_documents() -> Arc<dyn ToolRegistry> {
    let built_in = registry();
    let mut tools: Vec<Arc<dyn Tool>> =
        built_in.specs().iter().filter_map(|spec| built_in.tool(&spec.name)).collect();
    tools.push(Arc::new(ScriptedTool::echo("knowledge")));
    Arc::new(Registry::of(tools, TurnLimits::default()).unwrap())
}

async fn plan(message: &str) -> PlanGenerated {
    BuiltinPlanner::new(with_documents()).plan(request(message)).await.unwrap()
}

/// `knowledge “how long is it”`, `math`, with what it waits for.
fn told(plan: &PlanGenerated) -> Vec<String> {
    let told = |step: &callboard_domain::plan::PlannedStep| {
        let arguments = step.arguments.to_value();
        let query = arguments["query"].as_str().map_or_else(String::new, |query| format!(" “{query}”"));
        let after: Vec<&str> = step.depends_on.iter().map(|id| id.as_str()).collect();
        let after = if after.is_empty() { String::new() } else { format!(" after {}", after.join("+")) };
        format!("{}{query}{after}", step.tool)
    };
    plan.steps.iter().map(told).collect()
}

async fn expect(rows: &[(&str, &[&str])]) {
    let mut wrong = String::new();
    for (message, expected) in rows {
        let found = told(&plan(message).await);
        if found != *expected {
            wrong.push_str(&format!("{message:?}\n  found    {found:?}\n  expected {expected:?}\n"));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[tokio::test]
async fn a_question_that_nothing_else_understands_is_looked_up() {
    expect(&[
        ("How long is the warranty?", &["knowledge “How long is the warranty”"]),
        ("What does error E07 mean?", &["knowledge “What does error E07 mean”"]),
        ("tell me about the return policy", &["knowledge “tell me about the return policy”"]),
        ("Hello! Can I install it myself?", &["knowledge “Can I install it myself”"]),
        (
            "How long is the warranty, and what does E07 mean?",
            &["knowledge “How long is the warranty”", "knowledge “what does E07 mean”"],
        ),
        ("How long is the warranty? And 17% of 2340?", &["knowledge “How long is the warranty”", "math"]),
        ("look up the price of ${the} fan", &["knowledge “the price of $${the} fan”"]),
        ("look up the weather in Berlin", &["weather"]),
        ("what is 2 + 2?", &["math"]),
        ("weather in Berlin?", &["weather"]),
    ])
    .await;
}

#[tokio::test]
async fn small_talk_and_remarks_take_no_tool() {
    for message in
        ["Hello!", "thanks a lot", "who are you?", "what can you do?", "why?", "blue turtles", "", "?"]
    {
        let plan = plan(message).await;
        assert!(plan.steps.is_empty() && plan.guidance.is_some(), "{message}: {:?}", told(&plan));
    }
    // What has no tool for it here is answered as ever.
    let plan = BuiltinPlanner::new(registry()).plan(request("How long is the warranty?")).await.unwrap();
    assert!(plan.steps.is_empty());
    assert!(plan.guidance.unwrap().contains("“How long is the warranty”"));
}

#[tokio::test]
async fn looking_up_has_its_place_in_an_order() {
    expect(&[(
        "look up how long the warranty lasts then deposit coin 1 then look up what error E07 means then deposit coin 2",
        &[
            "knowledge “how long the warranty lasts”",
            "deposit after knowledge-1",
            "knowledge “what error E07 means” after deposit-2",
            "deposit after knowledge-3",
        ],
    )])
    .await;
}

#[tokio::test]
async fn no_more_than_a_few_are_looked_up_and_a_tool_that_is_down_is_said() {
    let many: Vec<String> = (1..=9).map(|n| format!("what is thing{n} made of?")).collect();
    let planned = plan(&many.join(" ")).await;
    assert_eq!(planned.steps.len(), 4);
    assert!(planned.guidance.unwrap().contains("what is thing5 made of"));

    let mut asked = request("How long is the warranty?");
    asked.down = vec![ToolDown { tool: "knowledge".into(), why: "no documents".into() }];
    let planned = BuiltinPlanner::new(with_documents()).plan(asked).await.unwrap();
    assert!(planned.steps.is_empty());
    assert!(planned.guidance.unwrap().contains("is down (no documents)"));
}

fn found(confidence: &str, samples: bool) -> Value {
    let passage = json!({
        "file": "warranty.md", "lines": "5-12", "title": "Warranty › How long it lasts", "text": "…", "score": 4.2,
        "excerpt": {"lines": "7-8", "text": "The warranty lasts ten years."}
    });
    let passages = if confidence == "none" { json!([]) } else { json!([passage]) };
    json!({
        "passages": passages, "confidence": confidence, "ranking": "bm25",
        "searched": {"documents": 17, "passages": 90, "samples": samples}
    })
}

async fn answer(results: &[Value]) -> String {
    let query = json!({"query": "How long is the warranty"});
    let step = |result: &Value| report("knowledge-1", "knowledge", &query, Some(Ok(result.clone())));
    let steps = results.iter().map(step).collect();
    let answer = BuiltinSynthesizer.synthesize(synthesis("a question", None, steps), 1_000).await.unwrap();
    answer.text.to_string()
}

#[tokio::test]
async fn an_answer_cites_its_lines_and_says_when_there_is_none() {
    assert_eq!(answer(&[found("good", true)]).await, "The warranty lasts ten years. [warranty.md:7-8]");
    assert_eq!(
        answer(&[found("weak", false)]).await,
        "The documents may not answer “How long is the warranty”. The nearest that they say: The warranty lasts ten \
         years. [warranty.md:7-8]"
    );
    let none = answer(&[found("none", true)]).await;
    assert!(
        none.starts_with(
            "The documents (samples: tools.knowledge.path is not set) say nothing about “How long is the warranty”.\n\
             For anything else give Callboard a language model"
        ),
        "{none}"
    );
    let both = answer(&[found("none", false), found("good", false)]).await;
    assert_eq!(
        both,
        "The documents say nothing about “How long is the warranty”.\nThe warranty lasts ten years. [warranty.md:7-8]"
    );
}
