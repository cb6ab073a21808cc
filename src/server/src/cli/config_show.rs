//! `callboard config show`: every value in force, where it came from, secrets hidden.

use super::client::{say, say_json};
use super::{Global, Outcome};
use crate::config;

pub fn run(global: &Global) -> Outcome {
    let loaded = crate::settings(global, &[])?;
    let shown = config::shown(&loaded);
    if global.json {
        return say_json(&serde_json::to_value(&shown).unwrap_or_default());
    }
    let width = shown.iter().map(|line| line.key.len()).max().unwrap_or(0);
    for line in &shown {
        let value = if line.value.is_null() { "(not set)".to_owned() } else { line.value.to_string() };
        say(&format!("{:width$} = {value}  # {}", line.key, line.origin))?;
    }
    Ok(())
}
