//! A canary in place of the key: it reaches the server's `Authorization`, and nothing else.

use std::io::Write;
use std::sync::{Arc, Mutex};

use callboard_models::{ModelsConfig, connect};
use callboard_ports::model::CompletionRequest;
use callboard_testkit::stubs::OpenAi;
use serde_json::json;
use tokio::runtime::Handle;

use crate::world::{Reader, registry, request, synthesis};

const CANARY: &str = "sk-canary-5f3a9b";

/// Where log lines go.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_key_reaches_its_server_and_nothing_else() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _logged = tracing::subscriber::set_default(subscriber);
    let stub = OpenAi::start().unwrap();
    let config: ModelsConfig = serde_json::from_value(json!({
        "planner": {"order": ["openai"]},
        "models": {
            "openai": {"base_url": format!("{}/v1", stub.url()), "api_key": CANARY},
            "embeddings": {"provider": "openai", "model": "m"},
        },
    }))
    .unwrap();
    let mut told = format!("{config:?}{}", serde_json::to_string(&config).unwrap());
    let models = connect(&config, Handle::current()).await.unwrap();
    told.push_str(&format!("{:?}", models.examine().await));
    let (completer, embedder) = (models.completer.clone(), models.embedder.clone().unwrap());
    let built = models.build(registry()).unwrap();
    told.push_str(&built.banner);
    // It answers, and it fails in every way, each time repeating the key.
    stub.echo_authorization();
    for status in [0, 400, 401, 403, 404, 422, 429, 500, 503] {
        if status > 0 {
            stub.fail_always(status);
        }
        stub.respond_with(|_| r#"{"steps":[]}"#.to_owned());
        let reader = Arc::new(Reader::default());
        let plan = built.planner.plan(request("write a poem")).await.unwrap();
        told.push_str(&serde_json::to_string(&plan).unwrap());
        let asked = synthesis("write a poem", None, Vec::new());
        let answer = built.synthesizer.write(asked, 5_000, reader.clone()).await.unwrap();
        told.push_str(&format!("{answer:?}{reader:?}"));
        let asked =
            CompletionRequest { instructions: None, prompt: "?".into(), max_tokens: None, timeout_ms: 5_000 };
        told.push_str(&format!("{:?}", completer.complete(asked).await));
        told.push_str(&format!("{:?}", embedder.embed(vec!["x".into()], 5_000).await));
    }
    for asked in stub.requests() {
        assert_eq!(asked.header("authorization"), Some(format!("Bearer {CANARY}").as_str()));
        told.push_str(&String::from_utf8_lossy(&asked.body));
        told.push_str(&asked.path);
    }
    told.push_str(&String::from_utf8_lossy(&lines.0.lock().unwrap()));
    assert!(told.contains("it answered 500") && told.contains("(secret)"), "the search sees what was said");
    assert!(!told.contains("canary"), "{}", &told[told.find("canary").unwrap_or(0).saturating_sub(200)..]);
}
