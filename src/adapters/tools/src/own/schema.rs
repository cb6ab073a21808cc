//! `tools.NAME.schema`, however it is written: a table, JSON as text, or the path of a file.
//!
//! Paths in a configuration file arrive here already relative to that file. [`super`] asks.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

/// A longer file is some other file.
const MAX_FILE_BYTES: u64 = 256 * 1024;

pub(super) fn read(written: Option<&Value>) -> Result<Value, String> {
    match written {
        Some(Value::Object(_)) => Ok(written.cloned().unwrap_or_default()),
        Some(Value::String(text)) if text.trim_start().starts_with('{') => {
            serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))
        }
        Some(Value::String(path)) => file(Path::new(path)),
        Some(_) => Err(format!("is of the wrong type; {WRITE}")),
        None => Err(format!("is missing; {WRITE}")),
    }
}

const WRITE: &str = "write a JSON Schema as a table, as JSON text, or as the path of a file with it; \
                     { type = \"object\" } takes any arguments";

fn file(path: &Path) -> Result<Value, String> {
    let shown = path.display();
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| format!("names the file {shown}, which cannot be read: {error}"))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("names the file {shown}, which has more than {MAX_FILE_BYTES} bytes"));
    }
    serde_json::from_str(&text).map_err(|error| format!("names the file {shown}, which is no JSON: {error}"))
}
