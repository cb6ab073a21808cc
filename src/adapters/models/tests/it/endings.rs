//! What a dropped request leaves behind: nothing.

use std::time::Duration;

use callboard_models::{ModelsConfig, build};
use callboard_testkit::stubs::Ollama;
use serde_json::json;
use tokio::runtime::Handle;

use crate::world::{registry, request};

#[tokio::test]
async fn a_dropped_plan_request_is_let_go_at_the_model_too() {
    let ollama = Ollama::start().unwrap();
    let config: ModelsConfig =
        serde_json::from_value(json!({"models": {"ollama": {"base_url": ollama.url()}}})).unwrap();
    let built = build(&config, registry(), Handle::current()).await.unwrap();
    ollama.hold();
    let asking = tokio::spawn({
        let planner = built.planner.clone();
        async move { planner.plan(request("what is 2+2?")).await }
    });
    until(|| ollama.in_flight() == 1).await;
    asking.abort();
    until(|| ollama.in_flight() == 0).await;
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
