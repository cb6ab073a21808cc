//! Where figures go: one JSON file a job and log, so that two runs can be laid side by side.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

/// Middle and worst of a set of times.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Spread {
    pub count: usize,
    pub p50_s: f64,
    pub max_s: f64,
}

impl Spread {
    pub fn of(mut times_ms: Vec<i64>) -> Self {
        times_ms.sort_unstable();
        let seconds = |at: usize| times_ms.get(at).map_or(0.0, |ms| *ms as f64 / 1_000.0);
        let count = times_ms.len();
        Self { count, p50_s: seconds(count / 2), max_s: seconds(count.saturating_sub(1)) }
    }
}

/// How the bench itself was built; the binary under test is built beside it.
pub fn build() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}

/// What was typed, so that a result says how to repeat it.
pub fn command() -> String {
    let words = std::env::args().skip(1);
    std::iter::once("callboard-bench".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Writes to `file`, in `file` where that is a folder, or else in `bench/results`.
pub fn write(file: Option<&Path>, job: &str, log: &str, figures: &impl Serialize) -> Result<()> {
    let name = format!("{job}-{log}.json");
    let file = match file {
        Some(folder) if folder.is_dir() => folder.join(name),
        Some(file) => file.to_owned(),
        None => PathBuf::from("bench/results").join(name),
    };
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let text = serde_json::to_string_pretty(figures)?;
    std::fs::write(&file, text + "\n").with_context(|| format!("{} cannot be written", file.display()))?;
    println!("  written to {}", file.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn a_spread_has_middle_and_worst() {
        let spread = Spread::of(vec![3_000, 1_000, 2_000]);
        assert_eq!((spread.count, spread.p50_s, spread.max_s), (3, 2.0, 3.0));
        assert_eq!(Spread::of(Vec::new()).count, 0);
    }
}
