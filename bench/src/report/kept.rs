//! The results that are kept in a folder, as far as they show something.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use super::JOBS;
use crate::shown::Shown;

/// A result that shows something.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Of its file, without the ending.
    pub name: String,
    pub job: &'static str,
    pub taken: Taken,
    pub shown: Shown,
}

/// On what it was taken; empty words where the result does not say.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Taken {
    pub cores: u64,
    pub memory_gb: u64,
    pub processor: String,
    pub kernel: String,
    pub bench_build: String,
    pub version: String,
    pub commit: Option<String>,
    pub command: String,
}

/// All results in `folder` that show something, by the order of their jobs and then by name. The others are named on
/// stderr.
///
/// # Errors
/// A folder that is not there, and a file that is no JSON or shows something in another form.
pub fn read(folder: &Path) -> Result<Vec<Kept>> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("{} is no folder of results; name it with --results", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|ending| ending == "json"));
    files.sort_by_key(|file| file.file_stem().map(std::ffi::OsStr::to_owned));
    let mut all = Vec::new();
    for file in &files {
        match one(file)? {
            Ok(kept) => all.push(kept),
            Err(why) => eprintln!("{}: left out, {why}", file.display()),
        }
    }
    all.sort_by_key(|kept| JOBS.iter().position(|job| *job == kept.job));
    Ok(all)
}

/// The result in `file`, or why it is left out.
fn one(file: &Path) -> Result<Result<Kept, String>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let mut result: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let first = name.split('-').next().unwrap_or_default();
    let Some(job) = JOBS.into_iter().find(|job| *job == first) else {
        return Ok(Err(format!("no job is called {first:?}; there are: {}", JOBS.join(", "))));
    };
    let shown = match result["shown"].take() {
        Value::Null => return Ok(Err("it has no field `shown`: it is of an older build".to_owned())),
        shown => serde_json::from_value::<Shown>(shown).with_context(|| {
            format!("the field `shown` of {} is not as the bench writes it", file.display())
        })?,
    };
    if let Some(table) = shown.tables.iter().find(|t| t.rows.iter().any(|row| row.len() != t.columns.len())) {
        bail!(
            "{}: a row of the table {:?} has not as many cells as it has columns",
            file.display(),
            table.title
        );
    }
    let taken = serde_json::from_value(result["machine"].take()).unwrap_or_default();
    Ok(Ok(Kept { name, job, taken, shown }))
}
