//! What the tool is when an operator has set nothing about it.

use std::sync::Arc;

use callboard_domain::json::RawJson;
use callboard_domain::plan::{Backoff, EffectClass, OnFailure};
use callboard_ports::tool::ToolSpec;
use serde_json::json;

use crate::bounds::{MAX_QUERY_CHARS, MAX_TOP_K, TOP_K};
use crate::samples;

/// The tool's name.
pub const NAME: &str = "knowledge";
/// Its pool: reading a large folder takes a while, and nobody else has to wait for it.
pub const POOL: &str = "rag";

/// The tool's properties. `about` says what the documents are about; `samples`, that they are the sample documents.
#[must_use]
pub fn spec(about: Option<&str>, samples: bool) -> ToolSpec {
    let whose = match (about, samples) {
        (Some(about), _) => format!("the documents, which are about {about}"),
        (None, true) => format!(
            "the documents. No folder of documents is configured, so they are samples about a fictitious product: {}",
            samples::ABOUT
        ),
        (None, false) => "the operator's own documents (manuals, policies, notes)".to_owned(),
    };
    let schema = json!({
        "type": "object",
        "properties": {
            "query": {
                "type": "string", "minLength": 1, "maxLength": MAX_QUERY_CHARS,
                "description": "What to look for: the question itself, or its important words."
            },
            "top_k": {
                "type": "integer", "minimum": 1, "maximum": MAX_TOP_K,
                "description": format!("Passages wanted; {TOP_K} when left out.")
            }
        },
        "required": ["query"],
        "additionalProperties": false
    });
    ToolSpec {
        name: Arc::from(NAME),
        description: format!(
            "Searches {whose}. Use it for every question that they may answer. The result has `passages`, the best first, \
             each with `file`, `lines`, `title` and `text`, and `confidence`: `good`, `weak` (they may be about something \
             else) or `none` (the documents do not say)."
        )
        .into(),
        schema: RawJson::from_value(&schema),
        effect: EffectClass::Pure,
        pool: Arc::from(POOL),
        // A search takes milliseconds; the first one may wait for a large folder.
        timeout_ms: 15_000,
        deadline_ms: 120_000,
        max_attempts: 4,
        backoff: Backoff { initial_ms: 500, max_ms: 5_000 },
        on_failure: OnFailure::Fail,
        approval_timeout_ms: None,
        // One thread searches: more would only wait for one another.
        concurrency: 4,
    }
}
