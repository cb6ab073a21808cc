//! `config show`: every value with where it came from; secrets only say that they are set.

use figment::value::Value;
use serde::Serialize;

use super::keys;
use super::load::{DEFAULT, Loaded};
use super::sources::leaves;

/// One line of `config show`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    pub key: String,
    /// `null` where it is not set, `"(secret)"` where it must not be shown.
    pub value: serde_json::Value,
    pub origin: String,
}

/// All values in force, by key.
#[must_use]
pub fn shown(loaded: &Loaded) -> Vec<Shown> {
    let mut out = Vec::new();
    let Ok(root) = loaded.figment().extract::<figment::value::Dict>() else { return out };
    for name in root.keys() {
        let Ok(value) = loaded.figment().find_value(name) else { continue };
        let dict = figment::value::Dict::from([(name.clone(), value)]);
        for (path, value) in leaves(&dict) {
            let origin = loaded.figment().get_metadata(value.tag());
            out.push(Shown {
                key: path.join("."),
                value: json(&path, &value),
                origin: origin.map_or_else(|| DEFAULT.to_owned(), |found| found.name.to_string()),
            });
        }
    }
    out
}

fn json(path: &[String], value: &Value) -> serde_json::Value {
    let written = serde_json::to_value(value).unwrap_or_default();
    let set = !matches!(&written, serde_json::Value::Null);
    if set && keys::is_secret(path) { serde_json::Value::from("(secret)") } else { written }
}
