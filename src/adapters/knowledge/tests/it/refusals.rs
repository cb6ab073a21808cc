//! What bad input gets, and what stays within its bounds.

use std::time::Duration;

use callboard_knowledge::{Knowledge, Options, spec};
use callboard_ports::tool::Tool;
use serde_json::json;

use crate::world::{World, ask, call, files};

#[test]
fn a_folder_that_is_none_is_refused_before_anything_starts() {
    let world = World::new();
    let file = world.documents().join("a.md");
    std::fs::write(&file, "x").unwrap();
    for (path, says) in [(file, "which is no folder"), (world.documents().join("b"), "which does not exist")]
    {
        let options =
            Options { path: Some(path), data: world.data(), check_every: Duration::ZERO, embedder: None };
        let refused = Knowledge::new(spec(None, false), options).err().unwrap().to_string();
        assert!(refused.starts_with("tools.knowledge.path is ") && refused.contains(says), "{refused}");
    }
    assert!(!world.data().exists(), "a tool that nobody asks makes nothing");
}

#[tokio::test]
async fn arguments_that_make_no_sense_are_refused_for_good() {
    let world = World::new();
    world.write("a.md", "The aardvark sleeps.");
    let tool = world.tool();
    for (arguments, says) in [
        (json!({"query": "  "}), "`query` has 1 to 1000 characters"),
        (json!({"query": "x".repeat(1_001)}), "`query` has 1 to 1000 characters"),
        (json!({"query": "x", "top_k": 0}), "`top_k` is 0; allowed are 1 to 10"),
        (json!({"query": "x", "top_k": 11}), "`top_k` is 11; allowed are 1 to 10"),
        (json!({"top_k": 3}), "missing field `query`"),
    ] {
        let error = call(&tool, arguments).await.unwrap_err();
        assert_eq!((&*error.kind, error.retryable), ("invalid_arguments", false));
        assert!(error.message.contains(says), "{}", error.message);
    }
}

#[tokio::test]
async fn a_result_is_small_whatever_the_documents_are() {
    let world = World::new();
    for n in 0..30 {
        let sentence = format!("The \"aardvark\" {n} sleeps — \u{1f9a1} and \\ sleeps. ");
        world.write(
            &format!("{n}.md"),
            format!("# {}\n\n{n} {}", "Aardvark ".repeat(500), sentence.repeat(100)),
        );
    }
    let tool = world.tool();
    let found = call(&tool, json!({"query": "aardvark", "top_k": 10})).await.unwrap();
    assert_eq!(files(&found).len(), 10);
    assert!(found.to_string().len() < 32 * 1024, "{} bytes", found.to_string().len());
    assert_eq!(files(&ask(&tool, "aardvark").await).len(), 4);
}

#[tokio::test]
async fn an_empty_folder_has_nothing_to_say() {
    let world = World::new();
    let found = ask(&world.tool(), "anything?").await;
    assert_eq!((files(&found).len(), &found["confidence"]), (0, &json!("none")));
    assert_eq!(found["searched"]["documents"], 0);
}

#[test]
fn a_question_in_any_words_is_a_question() {
    let world = World::new();
    world.write("a.md", "The aardvark sleeps.");
    let tool = world.tool();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for query in ["?", "\"", "a AND (b OR", "title:x^5 ~ *", "\u{0}\u{1}", "日本語の質問", "🦡", "-aardvark"]
    {
        let found = runtime.block_on(ask(&tool, query));
        assert!(files(&found).len() <= 1, "{query}");
    }
    assert!(tool.spec().description.contains("the operator's own documents"));
}
