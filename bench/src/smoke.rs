//! `callboard-bench smoke`: every job in its smallest form, against a debug build too. What is asserted is shape: that a job ends
//! well, that its answers are right (each job checks its own), that its result has the fields and counts that it should have, and
//! that `report` and `compare` take it. Never how long anything took.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde_json::Value;

use crate::arguments::{Bench, CompareArgs, ReportArgs, SmokeArgs};
use crate::{compare, report};

/// A command line, and what its result must have: by JSON pointer, numbers above nought and lists and texts that are not empty.
struct Small {
    line: &'static str,
    /// Its verdict is about time as well, which says nothing here.
    timed: bool,
    has: &'static [&'static str],
}

/// Every job. `--out` and `--binary` are added.
const JOBS: &[Small] = &[
    Small {
        line: "floor --log kafka1 --in-flight 1,8 --seconds 0.2",
        timed: false,
        has: &["/floor/hop/count", "/floor/chains/1/count", "/floor/turns/1/count", "/rates/records"],
    },
    Small {
        line: "turn --log kafka1 --clients 1,4 --open 75 --seconds 0.4",
        timed: false,
        has: &["/floor/turns/1/count", "/closed/1/answered", "/open/0/load_percent", "/ratios"],
    },
    Small {
        line: "turn --log embedded --set log.fsync=never --clients 1,4 --open 75 --seconds 0.3 --matrix",
        timed: false,
        has: &[
            "/closed/1/answered",
            "/fsync_ms",
            "/matrix/2/waiting_steps",
            "/matrix/8/refused",
            "/matrix/12/answered",
            "/shown/goals",
        ],
    },
    Small {
        // Two seconds: how soon the first question is refused is a matter of how fast the machine is.
        line: "flood --log embedded --workers 1 --seconds 2 --conversations 3 --drain 60",
        timed: false,
        has: &["/asked", "/accepted", "/refused/429", "/ended/answered"],
    },
    Small {
        line: "components --count 100 --alone 10 --seconds 0.2",
        timed: true,
        has: &["/shown/tables/0/rows/5"],
    },
    Small {
        line: "host --seconds 0.1 --events 10,100 --conversations 200 --snapshots 200",
        timed: true,
        has: &["/shown/tables/0/rows/0"],
    },
    Small {
        line: "footprint --starts 1 --idle-seconds 1 --seconds 0.3 --counted-turns 0",
        timed: true,
        has: &["/shown/tables/0/rows/0"],
    },
    Small {
        line: "scale --conversations 100 --partitions 1,2 --turns 10 --seconds 0.3",
        timed: true,
        has: &["/shown/tables/0/rows/0"],
    },
    Small {
        line: "recover --log embedded --conversations 50 --open 2 --kills 1",
        timed: true,
        has: &["/log", "/conversations"],
    },
    Small {
        line: "budget --log embedded --turns 20",
        timed: false,
        has: &["/turns", "/whole_mean_ms", "/stages/7/stage"],
    },
    Small {
        line: "chaos --log embedded --minutes 0.1 --only serve,actor --pace 2 --rate 6 --drain 60",
        timed: false,
        has: &["/verdict/accepted", "/verdict/answered", "/replay/equal"],
    },
];

pub fn run(arguments: &SmokeArgs) -> Result<bool> {
    let folder = tempfile::Builder::new().prefix("callboard-smoke-").tempdir()?;
    let results = folder.path().join("results");
    std::fs::create_dir_all(&results)?;
    let wanted = |small: &&Small| arguments.only.as_ref().is_none_or(|word| small.line.contains(word));
    let mut told = Vec::new();
    for small in JOBS.iter().filter(wanted) {
        let began = Instant::now();
        one(small, arguments.binary.as_deref(), &results)
            .with_context(|| format!("smoke: {}", small.line))?;
        told.push(format!("{:6.1} s  {}", began.elapsed().as_secs_f64(), small.line));
    }
    if told.is_empty() {
        bail!("no job's command line holds {:?}", arguments.only.as_deref().unwrap_or_default());
    }
    page(folder.path(), &results)?;
    compare::run(&CompareArgs { a: results.clone(), b: results, noise: 10.0 })?;
    println!("smoke: all jobs have the right shape\n  {}", told.join("\n  "));
    Ok(true)
}

fn one(small: &Small, binary: Option<&Path>, results: &Path) -> Result<()> {
    let before = files(results)?;
    let mut words: Vec<String> = vec!["callboard-bench".to_owned()];
    words.extend(small.line.split_whitespace().map(str::to_owned));
    words.extend(["--out".to_owned(), results.display().to_string()]);
    if let Some(binary) = binary {
        words.extend(["--binary".to_owned(), binary.display().to_string()]);
    }
    if !crate::perform(Bench::try_parse_from(words)?.job)? && !small.timed {
        bail!("a promise was broken; it is printed above");
    }
    let written: Vec<PathBuf> = files(results)?.difference(&before).cloned().collect();
    let [file] = written.as_slice() else {
        bail!("it wrote {} results, not one", written.len());
    };
    let result: Value = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    // A run of the same job and log would write the same file again.
    let number = before.len();
    std::fs::rename(file, file.with_file_name(renamed(file, number)))?;
    match small.has.iter().find(|at| !is_something(result.pointer(at))) {
        Some(at) => bail!("its result has nothing at {at}"),
        None => Ok(()),
    }
}

/// `turn-embedded-2.json`
fn renamed(file: &Path, number: usize) -> String {
    format!("{}-{number}.json", file.file_stem().unwrap_or_default().to_string_lossy())
}

fn files(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

fn is_something(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Number(number)) => number.as_f64().is_some_and(|number| number > 0.0),
        Some(Value::Array(entries)) => !entries.is_empty(),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Bool(holds)) => *holds,
        Some(Value::Object(fields)) => !fields.is_empty(),
        Some(Value::Null) | None => false,
    }
}

/// The report of these results, in a folder that goes away.
fn page(folder: &Path, results: &Path) -> Result<()> {
    let out = folder.join("BENCHMARK.md");
    let plots = folder.join("bench/plots");
    report::run(&ReportArgs { results: results.to_owned(), out: out.clone(), plots: plots.clone() })?;
    let page = std::fs::read_to_string(out)?;
    for file in files(&plots)? {
        let link = format!("(bench/plots/{})", file.file_name().unwrap_or_default().to_string_lossy());
        if !page.contains(&link) {
            bail!("the report does not show its plot {link}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::JOBS;
    use crate::arguments::Bench;

    #[test]
    fn every_small_job_is_a_command_line() {
        for small in JOBS {
            let words = std::iter::once("callboard-bench").chain(small.line.split_whitespace());
            Bench::try_parse_from(words).unwrap();
        }
    }
}
