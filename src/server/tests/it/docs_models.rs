//! The settings in `docs/models.md` are read by the program's own reader, and can be built.

use std::path::Path;

use callboard::config::{Environment, load};

/// The blocks of a document that are marked with `language`.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    let parts = text.split(opening.as_str()).skip(1);
    parts.map(|part| part.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn every_setting_shown_is_one_and_works() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/models.md");
    let blocks = blocks(&std::fs::read_to_string(document).unwrap(), "toml");
    assert!(blocks.len() >= 5, "{} blocks", blocks.len());
    for block in blocks {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("callboard.toml");
        std::fs::write(&file, &block).unwrap();
        let loaded = load(Some(&file), folder.path(), &Environment::default(), &[])
            .unwrap_or_else(|error| panic!("{error}\n{block}"));
        let runtime = tokio::runtime::Handle::current();
        let connected = callboard::wiring::models(&loaded.config, runtime.clone())
            .await
            .unwrap_or_else(|error| panic!("{error}\n{block}"));
        let beside = callboard::wiring::Beside { http: runtime, completer: None, embedder: None, own: &[] };
        let tools = callboard::wiring::tools(&loaded.config, beside).unwrap();
        let built = connected.build(tools).unwrap_or_else(|error| panic!("{error}\n{block}"));
        assert!(built.banner.starts_with("planning with"), "{}", built.banner);
    }
}
