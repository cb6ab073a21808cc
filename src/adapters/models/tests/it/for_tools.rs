//! What tools get from models: one answer to one question, and vectors for texts.

use std::sync::Arc;

use callboard_models::{Connected, ModelsConfig, connect};
use callboard_ports::model::CompletionRequest;
use callboard_testkit::stubs::{Ollama, OpenAi};
use serde_json::{Value, json};
use tokio::runtime::Handle;

async fn connected(config: Value) -> Connected {
    let config: ModelsConfig = serde_json::from_value(config).unwrap();
    connect(&config, Handle::current()).await.unwrap()
}

fn question(prompt: &str) -> CompletionRequest {
    let instructions = Some("Answer in one word.".into());
    CompletionRequest { instructions, prompt: prompt.into(), max_tokens: Some(16), timeout_ms: 10_000 }
}

fn texts(texts: &[&str]) -> Vec<Arc<str>> {
    texts.iter().map(|text| Arc::from(*text)).collect()
}

#[tokio::test]
async fn a_tool_asks_whichever_model_answers_and_hears_what_it_cost() {
    let (ollama, openai) = (Ollama::start().unwrap(), OpenAi::start().unwrap());
    let models = connected(json!({"models": {
        "ollama": {"base_url": ollama.url()},
        "openai": {"base_url": format!("{}/v1", openai.url()), "api_key": "sk-hush"},
    }}))
    .await;
    ollama.fail_always(500);
    openai.say("Paris.");
    let said = models.completer.complete(question("The capital of France?")).await.unwrap();
    assert_eq!((&*said.text, &*said.author.provider), ("Paris.", "openai"));
    assert_eq!((said.models.calls, said.models.failed.len()), (1, 1));
    assert_eq!((&*said.models.failed[0].provider, &*said.models.failed[0].kind), ("ollama", "unavailable"));
    assert!(said.models.input_tokens > 0 && said.models.output_tokens > 0);
    let asked = openai.requests().last().unwrap().json();
    let said: Vec<&str> =
        asked["messages"].as_array().unwrap().iter().map(|m| m["content"].as_str().unwrap()).collect();
    assert_eq!(said, ["Answer in one word.", "The capital of France?"]);
    openai.fail_always(500);
    let error = models.completer.complete(question("Again?")).await.unwrap_err();
    assert_eq!((error.kind, error.retryable), ("unavailable", true));
}

#[tokio::test]
async fn without_a_model_a_tool_hears_what_to_configure() {
    let models = connected(json!({"planner": {"order": ["builtin"]}})).await;
    let error = models.completer.complete(question("Anybody?")).await.unwrap_err();
    assert_eq!(error.kind, "no_model");
    assert!(error.message.contains("OPENAI_API_KEY") && error.message.contains("Ollama"), "{error}");
    assert!(models.embedder.is_none());
}

#[tokio::test]
async fn texts_become_vectors_in_their_order_whoever_makes_them() {
    let (ollama, openai) = (Ollama::start().unwrap(), OpenAi::start().unwrap());
    for (provider, model) in [("ollama", "nomic-embed-text"), ("openai", "text-embedding-3-small")] {
        let models = connected(json!({"models": {
            "embeddings": {"provider": provider, "model": model},
            "ollama": {"base_url": ollama.url()},
            "openai": {"base_url": format!("{}/v1", openai.url()), "api_key": "sk-hush"},
        }}))
        .await;
        let embedder = models.embedder.unwrap();
        assert_eq!(embedder.name(), format!("{provider}/{model}"));
        // More than one request's worth.
        let many: Vec<Arc<str>> = (0..70).map(|n| format!("document {n}").into()).collect();
        let vectors = embedder.embed(many, 10_000).await.unwrap();
        assert_eq!(vectors.len(), 70);
        let alone = embedder.embed(texts(&["document 33"]), 10_000).await.unwrap();
        assert_eq!(vectors[33], alone[0], "{provider}");
        assert!(embedder.embed(Vec::new(), 10_000).await.unwrap().is_empty());
    }
    let asked = openai.requests().last().unwrap().clone();
    assert_eq!((&*asked.path, asked.header("authorization")), ("/v1/embeddings", Some("Bearer sk-hush")));
}

#[tokio::test]
async fn an_embedding_server_that_fails_is_told_of_without_its_words_about_the_key() {
    let openai = OpenAi::start().unwrap();
    let models = connected(json!({"models": {
        "embeddings": {"provider": "openai", "model": "m"},
        "openai": {"base_url": format!("{}/v1", openai.url()), "api_key": "sk-hush"},
    }}))
    .await;
    let embedder = models.embedder.unwrap();
    openai.fail_next(1, 500);
    let error = embedder.embed(texts(&["a"]), 10_000).await.unwrap_err();
    assert_eq!((error.kind, error.retryable), ("unavailable", true));
    openai.fail_next(1, 401);
    assert!(!embedder.embed(texts(&["a"]), 10_000).await.unwrap_err().to_string().contains("hush"));
    let error = embedder.embed(texts(&[&"x".repeat(100_000)]), 10_000).await.unwrap_err();
    assert!(error.message.contains("100000 bytes"), "{error}");
    openai.hold();
    assert_eq!(embedder.embed(texts(&["a"]), 100).await.unwrap_err().kind, "timeout");
}
