//! What no clock can say: instructions and allocations of a turn, as callgrind counts them. One run with some turns, one with
//! twice as many; the difference is theirs, whatever a start and a stop cost.
//!
//! dhat cannot say the second: it knows the C library's allocator, and Rust's is mimalloc. So the calls of that are counted.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::arguments::LogKind;
use crate::stage::{Shape, Stage};
use crate::turn::{Client, TurnKind};
use crate::{load, metrics};

/// Valgrind runs fifty times slower, one thread at a time.
const STOP_WITHIN: Duration = Duration::from_secs(120);
/// What a start leaves to be done (an index of documents) takes as many instructions as a hundred turns.
const REST_WITHIN: Duration = Duration::from_secs(30);

/// A figure, or why there is none.
#[derive(Debug, Serialize)]
pub struct Counted {
    pub tool: String,
    pub turns: u64,
    pub per_turn: Option<PerTurn>,
    pub missing: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PerTurn {
    pub instructions: f64,
    /// Of Rust code, growth of what was allocated included.
    pub allocations: f64,
}

/// Where Rust's allocations end up: what the global allocator calls.
const ALLOCATING: [&str; 3] = ["mi_malloc_aligned", "mi_zalloc_aligned", "mi_realloc_aligned"];

/// The binary as `Stage` would find it.
pub fn binary(named: Option<&Path>) -> Result<PathBuf> {
    Ok(match named {
        Some(path) => path.canonicalize().with_context(|| format!("{} is not there", path.display()))?,
        None => std::env::current_exe()?.with_file_name("callboard"),
    })
}

/// Never fails: a machine without valgrind has two rows less.
pub async fn count(kind: LogKind, binary: &Path, turns: u64) -> Counted {
    let Some(version) = valgrind() else {
        let missing = Some("valgrind is not on this machine".to_owned());
        return Counted { tool: "valgrind --tool=callgrind".to_owned(), turns, per_turn: None, missing };
    };
    let tool = format!("{version} --tool=callgrind");
    let both = async {
        let few = run(kind, binary, turns).await?;
        let many = run(kind, binary, turns * 2).await?;
        let each = |of: fn(&Totals) -> u64| (of(&many) as f64 - of(&few) as f64) / turns as f64;
        anyhow::Ok(PerTurn {
            instructions: each(|totals| totals.instructions),
            allocations: each(|totals| totals.allocations),
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
async fn run(kind: LogKind, binary: &Path, turns: u64) -> Result<Totals> {
    let folder = tempfile::Builder::new().prefix("callboard-counted-").tempdir()?;
    let out = folder.path().join("out");
    let script = wrapper(binary, folder.path(), &out)?;
    let mut stage = Stage::prepare(kind, Some(&script), None)?;
    stage.install(Shape::Alone);
    stage.start(&load::http()?).await?;
    let serve = stage.serve().clone();
    metrics::at_rest(&serve, REST_WITHIN).await;
    let mut client = Client::connect(&serve.url).await?;
    for number in 0..turns {
        client.ask(&format!("counted-{}", number / 20), &TurnKind::default().ask(number)).await?;
    }
    drop(client);
    serve.stop(STOP_WITHIN)?;
    let text = std::fs::read_to_string(&out).context("callgrind wrote nothing")?;
    Totals::read(&text).context("no totals in what callgrind wrote")
}

/// A program that is the server under callgrind, so that it is started like any other.
fn wrapper(binary: &Path, folder: &Path, out: &Path) -> Result<PathBuf> {
    let script = folder.join("callboard");
    let text = format!(
        "#!/bin/sh\nexec valgrind --tool=callgrind --log-file='{}' --callgrind-out-file='{}' '{}' \"$@\"\n",
        folder.join("said").display(),
        out.display(),
        binary.display()
    );
    std::fs::write(&script, text)?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    Ok(script)
}

#[derive(Debug, PartialEq)]
struct Totals {
    instructions: u64,
    allocations: u64,
}

impl Totals {
    /// Reads callgrind's output, whose format is described in valgrind's manual ("Callgrind Format Specification"): a called
    /// function stands in `cfn=(NUMBER) NAME`, later without its name, and how often it was called in the next `calls=`.
    fn read(text: &str) -> Option<Self> {
        let (mut instructions, mut allocations) = (None, 0);
        let mut allocating: BTreeSet<&str> = BTreeSet::new();
        let mut called = "";
        for line in text.lines() {
            let function = ["fn=", "cfn="].iter().find_map(|word| line.strip_prefix(word));
            if let Some((number, name)) = function.map(|of| of.split_once(' ').unwrap_or((of, ""))) {
                if ALLOCATING.contains(&name) {
                    allocating.insert(number);
                }
                if line.starts_with('c') {
                    called = number;
                }
            } else if let Some(calls) = line.strip_prefix("calls=").filter(|_| allocating.contains(called)) {
                allocations += calls.split(' ').next()?.parse::<u64>().ok()?;
            } else if let Some(totals) = line.strip_prefix("totals: ") {
                instructions = totals.split(' ').next()?.parse().ok();
            }
        }
        instructions.map(|instructions| Self { instructions, allocations })
    }
}

#[cfg(test)]
mod tests {
    use super::Totals;

    #[test]
    fn totals_are_read_from_what_callgrind_writes() {
        let text = "fn=(1) main\n0 10\ncfn=(2) mi_malloc_aligned\ncalls=3 0\n0 30\ncfn=(3) mi_free\ncalls=5 0\n0 5\n\
                    fn=(3)\n0 5\ncfn=(2)\ncalls=4 +2\n0 9\nfn=(4) mi_realloc_aligned\n0 1\nfn=(1)\ncfn=(4)\n\
                    calls=2 0\n0 8\n\ntotals: 987654321\n";
        assert_eq!(Totals::read(text), Some(Totals { instructions: 987_654_321, allocations: 9 }));
        assert_eq!(Totals::read("fn=(1) main\n"), None);
    }
}
