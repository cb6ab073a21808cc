//! `callboard config show`: every key with its value in force and where that came from, secrets hidden.

use super::client::{say, say_json};
use super::{Global, Outcome};
use crate::{config, wiring};

pub fn run(global: &Global) -> Outcome {
    let loaded = crate::settings(global, &[])?;
    let mut shown = config::shown(&loaded);
    for (key, value) in wiring::chosen(&loaded.config) {
        // What is not set is somebody's to choose; where that is known, it is shown.
        if let Some(line) = shown.iter_mut().find(|line| line.key == key && line.value.is_null()) {
            line.value = value;
        }
    }
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
