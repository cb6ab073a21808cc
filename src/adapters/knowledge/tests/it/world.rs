//! What every story needs: a folder of documents, a data folder, and one question.

use std::path::{Path, PathBuf};
use std::time::Duration;

use callboard_domain::event::ToolError;
use callboard_domain::json::RawJson;
use callboard_knowledge::{Knowledge, Options, spec};
use callboard_ports::tool::{Call, Tool};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Folders that end with their story.
pub struct World {
    folder: TempDir,
}

impl World {
    pub fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(world.documents()).unwrap();
        world
    }

    pub fn documents(&self) -> PathBuf {
        self.folder.path().join("documents")
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.documents().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.documents().join(name)).unwrap();
    }

    /// The tool on the documents, which looks at them before every answer.
    pub fn tool(&self) -> Knowledge {
        let options = Options {
            path: Some(self.documents()),
            data: self.data(),
            check_every: Duration::ZERO,
            embedder: None,
        };
        Knowledge::new(spec(None, false), options).unwrap()
    }

    /// The tool without a folder.
    pub fn samples(&self) -> Knowledge {
        let options =
            Options { path: None, data: self.data(), check_every: Duration::from_secs(2), embedder: None };
        Knowledge::new(spec(None, true), options).unwrap()
    }
}

pub async fn call(tool: &Knowledge, arguments: Value) -> Result<Value, ToolError> {
    let call = Call {
        idempotency_key: "c-1:m-1:1:s-1".to_owned(),
        attempt: 1,
        arguments: RawJson::from_value(&arguments),
        timeout_ms: tool.spec().timeout_ms,
    };
    tool.call(call).await.map(|result| result.to_value())
}

pub async fn ask(tool: &Knowledge, query: &str) -> Value {
    call(tool, json!({ "query": query })).await.unwrap()
}

/// The files of the passages, best first.
pub fn files(found: &Value) -> Vec<&str> {
    let passages = found["passages"].as_array().unwrap();
    passages.iter().map(|passage| passage["file"].as_str().unwrap()).collect()
}

/// What stands in a file at `lines`, as a citation has them: `12` or `12-18`.
pub fn cited(folder: &Path, file: &str, lines: &str) -> String {
    let (first, last) = lines.split_once('-').unwrap_or((lines, lines));
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    let all: Vec<&str> = text.lines().collect();
    assert!(1 <= first && first <= last && last <= all.len(), "{file} has no lines {lines}");
    all[first - 1..last].join("\n")
}
