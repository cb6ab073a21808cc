//! A tool's JSON Schema, compiled once; says which argument is wrong, and lets `${references}` pass until they are
//! resolved. [`crate::registry`] asks it for plans and for requests.

use callboard_domain::json::RawJson;
use callboard_domain::plan::reference::has_reference;
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

/// Problems that one refusal names: a model mends a few at a time, and the words must fit an error.
const MAX_NAMED_PROBLEMS: usize = 5;
/// Of one problem, in bytes: unknown argument names are the writer's and may be long.
const MAX_PROBLEM_BYTES: usize = 300;

pub(crate) struct ArgumentSchema(Validator);

impl ArgumentSchema {
    /// Compiles `schema`.
    pub fn compile(schema: &RawJson) -> Result<Self, String> {
        jsonschema::validator_for(&schema.to_value()).map(Self).map_err(|error| error.to_string())
    }

    /// Judges arguments as a planner wrote them: a value with a reference in it may still become anything.
    pub fn check_planned(&self, arguments: &RawJson) -> Result<(), String> {
        self.judge(arguments, |error| error.instance().as_str().is_some_and(has_reference))
    }

    /// Judges arguments whose references are resolved.
    pub fn check_resolved(&self, arguments: &RawJson) -> Result<(), String> {
        self.judge(arguments, |_| false)
    }

    fn judge(
        &self,
        arguments: &RawJson,
        exempt: impl Fn(&ValidationError<'_>) -> bool,
    ) -> Result<(), String> {
        let value: Value = serde_json::from_str(arguments.as_str()).map_err(|error| {
            format!("they cannot be read ({error}); nest less deeply and use smaller numbers")
        })?;
        let mut problems: Vec<String> = Vec::new();
        let mut more = 0_usize;
        for error in self.0.iter_errors(&value).filter(|error| !exempt(error)) {
            if problems.len() < MAX_NAMED_PROBLEMS {
                problems.push(sentence(&error));
            } else {
                more += 1;
            }
        }
        if problems.is_empty() {
            return Ok(());
        }
        if more > 0 {
            problems.push(format!("and {more} more"));
        }
        Err(problems.join("; "))
    }
}

/// Where and what, without the value itself: it may be a whole document.
fn sentence(error: &ValidationError<'_>) -> String {
    let path = error.instance_path().as_str();
    let mut text = match path {
        "" => error.masked_with("the object").to_string(),
        path => format!("at {path}: {}", error.masked_with("the value")),
    };
    text.truncate(text.floor_char_boundary(MAX_PROBLEM_BYTES));
    text
}
