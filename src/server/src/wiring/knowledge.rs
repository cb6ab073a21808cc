//! The tool `knowledge` from its settings: its own, those that every tool has, and where its index is kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use callboard_knowledge::{Knowledge, Options, spec};
use callboard_ports::model::Embedder;
use callboard_ports::tool::Tool;
use callboard_tools::{adjusted, config::PlainConfig};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::cli::Failure;

/// Where the tool comes from, for a person who has two of that name.
pub(super) const SOURCE: &str = "Callboard's retrieval";
/// How old a look at the folder may be. Looking at a thousand files takes milliseconds.
const CHECK_EVERY_MS: u64 = 2_000;
/// A larger number is a mistake in a unit.
const MAX_CHECK_EVERY_MS: u64 = 86_400_000;

/// `tools.knowledge`, without what every tool has.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Settings {
    path: Option<PathBuf>,
    about: Option<String>,
    check_every_ms: Option<u64>,
}

/// What a planner is told of the documents; it is part of every prompt.
const MAX_ABOUT_BYTES: usize = 1_000;

/// The tool; it keeps its index below `data_dir`.
///
/// # Errors
/// A setting of `tools.knowledge` that is wrong.
pub(super) fn tool(
    set: Option<Map<String, Value>>,
    data_dir: &Path,
    embedder: Option<Arc<dyn Embedder>>,
) -> Result<Arc<dyn Tool>, Failure> {
    let wrong = |e: serde_json::Error| Failure::usage(format!("tools.knowledge: {e}"));
    let mut set = set.unwrap_or_default();
    let own = ["path", "about", "check_every_ms"].into_iter().filter_map(|key| set.remove_entry(key));
    let own: Settings = serde_json::from_value(Value::Object(own.collect())).map_err(wrong)?;
    let every: PlainConfig = serde_json::from_value(Value::Object(set)).map_err(wrong)?;
    let check_every_ms = own.check_every_ms.unwrap_or(CHECK_EVERY_MS);
    if check_every_ms > MAX_CHECK_EVERY_MS {
        let words =
            format!("tools.knowledge.check_every_ms is {check_every_ms}; at most {MAX_CHECK_EVERY_MS}");
        return Err(Failure::usage(words));
    }
    if own.about.as_ref().is_some_and(|about| about.len() > MAX_ABOUT_BYTES) {
        return Err(Failure::usage(format!("tools.knowledge.about is longer than {MAX_ABOUT_BYTES} bytes")));
    }
    let spec = spec(own.about.as_deref(), own.path.is_none());
    let spec = adjusted(callboard_knowledge::NAME, spec, &every).map_err(Failure::usage)?;
    let options = Options {
        path: own.path,
        data: data_dir.join("knowledge"),
        check_every: Duration::from_millis(check_every_ms),
        embedder,
    };
    Ok(Arc::new(Knowledge::new(spec, options).map_err(Failure::usage)?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::tool;

    fn built(set: Value) -> Result<std::sync::Arc<dyn callboard_ports::tool::Tool>, String> {
        let folder = tempfile::tempdir().unwrap();
        let Value::Object(set) = set else { panic!("settings are an object") };
        tool(Some(set), folder.path(), None).map_err(|failure| failure.to_string())
    }

    #[test]
    fn it_has_its_own_settings_and_those_of_every_tool() {
        let folder = tempfile::tempdir().unwrap();
        let set = json!({"path": folder.path(), "about": "kettles", "timeout_ms": 1_234, "concurrency": 2});
        let built_with = built(set).unwrap();
        let spec = built_with.spec();
        assert_eq!((spec.timeout_ms, spec.concurrency, &*spec.pool), (1_234, 2, "rag"));
        assert!(spec.description.contains("about kettles"), "{}", spec.description);
        let spec = built(json!({"pool": "default"})).unwrap().spec().clone();
        assert_eq!(&*spec.pool, "default");
        assert!(spec.description.contains("No folder of documents is configured"), "{}", spec.description);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (set, says) in [
            (
                json!({"path": "/nowhere/at/all"}),
                "tools.knowledge.path is \"/nowhere/at/all\", which does not exist",
            ),
            (json!({"path": 7}), "tools.knowledge: invalid type"),
            (json!({"timeout_ms": 0}), "tools.knowledge.timeout_ms is 0; allowed are 1 to"),
            (json!({"pool": "a b"}), "tools.knowledge.pool is \"a b\""),
            (json!({"check_every_ms": 100_000_000}), "check_every_ms is 100000000; at most 86400000"),
            (json!({"about": "x".repeat(1_001)}), "tools.knowledge.about is longer than 1000 bytes"),
            (json!({"folder": "x"}), "unknown field `folder`"),
        ] {
            let refused = built(set).err().unwrap();
            assert!(refused.contains(says), "{refused}");
        }
    }
}
