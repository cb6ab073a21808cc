//! What no clock can say: allocations and instructions of a turn, as valgrind counts them. One run with some turns, one with
//! twice as many; the difference is theirs, whatever a start and a stop cost.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::arguments::LogKind;
use crate::load;
use crate::stage::{Shape, Stage};
use crate::turn::{Client, TurnKind};

/// Valgrind runs fifty times slower, one thread at a time.
const STOP_WITHIN: Duration = Duration::from_secs(120);

/// A figure, or why there is none.
#[derive(Debug, Serialize)]
pub struct Counted {
    pub tool: String,
    pub turns: u64,
    pub per_turn: Option<PerTurn>,
    pub missing: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PerTurn {
    Allocations { blocks: f64, bytes: f64 },
    Instructions(f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Allocations,
    Instructions,
}

impl Subject {
    fn tool(self) -> &'static str {
        match self {
            Self::Allocations => "dhat",
            Self::Instructions => "callgrind",
        }
    }
}

/// The binary as `Stage` would find it.
pub fn binary(named: Option<&Path>) -> Result<PathBuf> {
    Ok(match named {
        Some(path) => path.canonicalize().with_context(|| format!("{} is not there", path.display()))?,
        None => std::env::current_exe()?.with_file_name("callboard"),
    })
}

/// Never fails: a machine without valgrind has one row less.
pub async fn count(subject: Subject, kind: LogKind, binary: &Path, turns: u64) -> Counted {
    let Some(version) = valgrind() else {
        let missing = Some("valgrind is not on this machine".to_owned());
        return Counted {
            tool: format!("valgrind --tool={}", subject.tool()),
            turns,
            per_turn: None,
            missing,
        };
    };
    let tool = format!("{version} --tool={}", subject.tool());
    let both = async {
        let few = run(subject, kind, binary, turns).await?;
        let many = run(subject, kind, binary, turns * 2).await?;
        let each = |at: usize| (many[at] - few[at]) / turns as f64;
        anyhow::Ok(match subject {
            Subject::Allocations => PerTurn::Allocations { blocks: each(1), bytes: each(0) },
            Subject::Instructions => PerTurn::Instructions(each(0)),
        })
    };
    match both.await {
        Ok(per_turn) => Counted { tool, turns, per_turn: Some(per_turn), missing: None },
        Err(error) => Counted { tool, turns, per_turn: None, missing: Some(format!("{error:#}")) },
    }
}

fn valgrind() -> Option<String> {
    let output = Command::new("valgrind").arg("--version").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Totals of a whole life of the server with so many turns.
async fn run(subject: Subject, kind: LogKind, binary: &Path, turns: u64) -> Result<Vec<f64>> {
    let folder = tempfile::Builder::new().prefix("callboard-counted-").tempdir()?;
    let said = folder.path().join("said");
    let script = wrapper(subject, binary, folder.path(), &said)?;
    let mut stage = Stage::prepare(kind, Some(&script), None)?;
    stage.install(Shape::Alone);
    stage.start(&load::http()?).await?;
    let serve = stage.serve().clone();
    let mut client = Client::connect(&serve.url).await?;
    for number in 0..turns {
        client.ask(&format!("counted-{}", number / 20), &TurnKind::default().ask(number)).await?;
    }
    drop(client);
    serve.stop(STOP_WITHIN)?;
    let text = std::fs::read_to_string(&said).context("valgrind said nothing")?;
    totals(subject, &text).with_context(|| format!("no totals in what valgrind said: {text}"))
}

/// A program that is the server under valgrind, so that it is started like any other.
fn wrapper(subject: Subject, binary: &Path, folder: &Path, said: &Path) -> Result<PathBuf> {
    let script = folder.join("callboard");
    let tool = subject.tool();
    let text = format!(
        "#!/bin/sh\nexec valgrind --tool={tool} --log-file='{}' --{tool}-out-file='{}' '{}' \"$@\"\n",
        said.display(),
        folder.join("out").display(),
        binary.display()
    );
    std::fs::write(&script, text)?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    Ok(script)
}

/// dhat: bytes and blocks; callgrind: instructions.
fn totals(subject: Subject, text: &str) -> Option<Vec<f64>> {
    let numbers = |line: &str| -> Vec<f64> {
        line.split_whitespace().filter_map(|word| word.replace(',', "").parse().ok()).collect()
    };
    let after =
        |word: &str| text.lines().find_map(|line| line.split_once(word)).map(|(_, rest)| numbers(rest));
    let (found, wanted) = match subject {
        Subject::Allocations => (after("Total:")?, 2),
        Subject::Instructions => (after("Collected :")?, 1),
    };
    (found.len() >= wanted).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::{Subject, totals};

    #[test]
    fn totals_are_read_from_what_valgrind_says() {
        let dhat = "==1== \n==1== Total:     1,234,567 bytes in 8,901 blocks\n==1== At t-gmax: 1 bytes in 2 blocks\n";
        assert_eq!(totals(Subject::Allocations, dhat), Some(vec![1_234_567.0, 8_901.0]));
        let callgrind = "==1== Events    : Ir\n==1== Collected : 987654321\n";
        assert_eq!(totals(Subject::Instructions, callgrind), Some(vec![987_654_321.0]));
        assert_eq!(totals(Subject::Instructions, dhat), None);
    }
}
