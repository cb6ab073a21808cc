//! `callboard-bench compare A B`: figure by figure, what moved beyond noise between two results of the same job, log and settings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::arguments::CompareArgs;
use crate::shown::number;

/// Not figures of what was measured: where it was taken, how it is laid out, and instants.
const NOT_FIGURES: [&str; 6] = ["machine", "shown", "timeline", "at_ms", "seed", "cores"];
/// What two results must have alike to be compared at all.
const ALIKE: [&str; 5] = ["log", "settings", "turn", "setup", "workers_can_do_per_s"];
/// By which an entry of a list is known, whatever its place in it.
const NAMES: [&str; 8] =
    ["name", "row", "component", "clients", "load_percent", "in_flight", "conversations", "events"];

/// A figure that both have.
#[derive(Debug, PartialEq)]
struct Moved {
    name: String,
    a: f64,
    b: f64,
    /// B against A; nothing where A is nought.
    ratio: Option<f64>,
    beyond: bool,
}

pub fn run(arguments: &CompareArgs) -> Result<bool> {
    let (a, b) = (&arguments.a, &arguments.b);
    if arguments.noise.is_nan() || arguments.noise < 0.0 {
        bail!("--noise {} is no percentage; say how many percent are noise, 10 for example", arguments.noise);
    }
    match (a.is_dir(), b.is_dir()) {
        (false, false) => print(a, b, arguments.noise)?,
        (true, true) => {
            let pairs = pairs(a, b)?;
            for (a, b) in &pairs {
                match print(a, b, arguments.noise) {
                    Ok(()) => {}
                    Err(why) => eprintln!("{}: not compared: {why:#}", a.display()),
                }
            }
        }
        _ => bail!(
            "{} and {} are a file and a folder; name two results or two folders of results",
            a.display(),
            b.display()
        ),
    }
    Ok(true)
}

/// The results of the same name in two folders.
fn pairs(a: &Path, b: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut pairs = Vec::new();
    for entry in std::fs::read_dir(a)? {
        let file = entry?.path();
        let other = b.join(file.file_name().unwrap_or_default());
        if file.extension().is_some_and(|ending| ending == "json") && other.is_file() {
            pairs.push((file, other));
        }
    }
    if pairs.is_empty() {
        bail!("{} and {} have no result of the same name; results are JSON files", a.display(), b.display());
    }
    pairs.sort();
    Ok(pairs)
}

fn print(a: &Path, b: &Path, noise: f64) -> Result<()> {
    let (was, is) = (read(a)?, read(b)?);
    let all = compare(&was, &is, noise)
        .with_context(|| format!("{} and {} cannot be compared", a.display(), b.display()))?;
    let widest = all.iter().map(|moved| moved.name.len()).max().unwrap_or_default();
    println!("{} against {}, {noise} % is noise", a.display(), b.display());
    println!("  {:widest$} {:>14} {:>14} {:>8}", "figure", "A", "B", "B : A");
    for moved in &all {
        let ratio = moved.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let mark = if moved.beyond { "  moved" } else { "" };
        let (a, b) = (number(moved.a), number(moved.b));
        println!("  {:widest$} {a:>14} {b:>14} {ratio:>8}{mark}", moved.name);
    }
    let beyond = all.iter().filter(|moved| moved.beyond).count();
    println!("  {beyond} of {} figures moved beyond noise\n", all.len());
    Ok(())
}

fn read(file: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let result: Value = serde_json::from_str(&text)
        .with_context(|| format!("{} is no JSON; results of the bench are", file.display()))?;
    if !result.is_object() {
        bail!("{} is no result of the bench: those are JSON objects", file.display());
    }
    Ok(result)
}

/// Every figure that both have.
fn compare(a: &Value, b: &Value, noise: f64) -> Result<Vec<Moved>> {
    let (was, is) = (job(a), job(b));
    if let (Some(was), Some(is)) = (was, is)
        && was != is
    {
        bail!("A is of the job {was}, B of {is}; only results of the same job are alike");
    }
    for field in ALIKE {
        let (was, is) = (told(&a[field]), told(&b[field]));
        if was != is {
            bail!("A has {field} {was}, B {is}; take both with the same");
        }
    }
    let (mut was, mut is) = (Vec::new(), Vec::new());
    leaves("", a, &mut was);
    leaves("", b, &mut is);
    let is: BTreeMap<String, f64> = is.into_iter().collect();
    let all: Vec<Moved> = was
        .into_iter()
        .filter_map(|(name, a)| {
            let b = *is.get(&name)?;
            let ratio = (a != 0.0).then(|| b / a);
            let limit = 1.0 + noise / 100.0;
            let beyond = match ratio {
                Some(ratio) => ratio > limit || ratio < 1.0 / limit,
                None => b != 0.0,
            };
            Some(Moved { name, a, b, ratio, beyond })
        })
        .collect();
    if all.is_empty() {
        bail!("they have no figure in common; are both results of the same job?");
    }
    Ok(all)
}

/// The first word of the command that took it.
fn job(result: &Value) -> Option<&str> {
    result["machine"]["command"].as_str()?.split_whitespace().next()
}

/// A field's value in few words. How a run was seeded is not what it was about.
fn told(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, _)| !NOT_FIGURES.contains(&name.as_str()));
            Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect()).to_string()
        }
        value => value.to_string(),
    }
}

/// All numbers in `value` with their paths, in its order.
fn leaves(path: &str, value: &Value, into: &mut Vec<(String, f64)>) {
    match value {
        Value::Number(figure) => {
            into.extend(figure.as_f64().map(|figure| (path.to_owned(), figure)));
        }
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(name, _)| !NOT_FIGURES.contains(&name.as_str())) {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(&path, value, into);
            }
        }
        Value::Array(entries) => {
            for (at, entry) in entries.iter().enumerate() {
                leaves(&format!("{path}[{}]", entry_name(entry, at)), entry, into);
            }
        }
        _ => {}
    }
}

fn entry_name(entry: &Value, at: usize) -> String {
    let named = NAMES.iter().find_map(|name| Some((name, entry.get(name)?)));
    match named {
        Some((_, Value::String(text))) => text.clone(),
        Some((name, value @ Value::Number(_))) => format!("{name}={value}"),
        _ => at.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::compare;

    #[test]
    fn what_moved_beyond_noise_is_marked() {
        let a = json!({ "log": "kafka1", "machine": { "cores": 2 },
            "closed": [{ "clients": 1, "p50_ms": 2.0 }, { "clients": 16, "p50_ms": 4.0 }], "lost": 0 });
        let b = json!({ "log": "kafka1", "machine": { "cores": 4 },
            "closed": [{ "clients": 16, "p50_ms": 4.2 }, { "clients": 1, "p50_ms": 1.0 }], "lost": 1 });
        let all = compare(&a, &b, 10.0).unwrap();
        let told: Vec<_> = all.iter().map(|m| (m.name.as_str(), m.a, m.b, m.ratio, m.beyond)).collect();
        assert_eq!(
            told,
            [
                ("closed[clients=1].clients", 1.0, 1.0, Some(1.0), false),
                ("closed[clients=1].p50_ms", 2.0, 1.0, Some(0.5), true),
                ("closed[clients=16].clients", 16.0, 16.0, Some(1.0), false),
                ("closed[clients=16].p50_ms", 4.0, 4.2, Some(1.05), false),
                ("lost", 0.0, 1.0, None, true),
            ]
        );
    }

    #[test]
    fn results_that_are_not_alike_are_refused_with_what_differs() {
        let refused = |a, b| compare(&a, &b, 10.0).unwrap_err().to_string();
        let why = refused(json!({ "log": "kafka1", "x": 1 }), json!({ "log": "embedded", "x": 1 }));
        assert_eq!(why, "A has log \"kafka1\", B \"embedded\"; take both with the same");
        let of = |command: &str| json!({ "machine": { "command": command }, "x": 1 });
        let why = refused(of("turn --log kafka1"), of("floor"));
        assert_eq!(why, "A is of the job turn, B of floor; only results of the same job are alike");
        let why = refused(json!({ "a": 1 }), json!({ "b": 1 }));
        assert_eq!(why, "they have no figure in common; are both results of the same job?");
    }
}
