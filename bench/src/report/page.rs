//! The page: what was written by hand, with tables, goals and plots in their places.

use std::fmt::Write;

use anyhow::{Result, bail};

use super::kept::Kept;
use super::{Drawn, JOBS};
use crate::shown::Table;

const TEMPLATE: &str = include_str!("template.md");

/// The whole page.
pub fn of(all: &[Kept], drawn: &Drawn) -> Result<String> {
    let mut page = TEMPLATE.replace("{{goals}}", &goals(all)).replace("{{taken}}", &taken(all));
    for job in JOBS {
        let results: Vec<&Kept> = all.iter().filter(|kept| kept.job == job).collect();
        let text = match results.as_slice() {
            [] => format!("No result of `{job}` is kept yet, so nothing is claimed."),
            results => results.iter().map(|kept| section(kept, drawn)).collect::<Vec<_>>().join("\n\n"),
        };
        page = page.replace(&format!("{{{{{job}}}}}"), &text);
    }
    if let Some(at) = page.find("{{") {
        bail!(
            "the template has a place that nothing fills: {}",
            page[at..].lines().next().unwrap_or_default()
        );
    }
    Ok(page)
}

/// Tables and plots of one result, and how it is taken again.
fn section(kept: &Kept, drawn: &Drawn) -> String {
    let mut parts: Vec<String> = kept.shown.tables.iter().map(table).collect();
    parts.extend(drawn.of(&kept.name).map(|(title, at)| format!("![{title}]({at})")));
    let again = match kept.taken.command.as_str() {
        "" => String::new(),
        command => format!("; again with `callboard-bench {command}`"),
    };
    parts.push(format!("From `{}`{again}.", kept.name));
    parts.join("\n\n")
}

fn table(table: &Table) -> String {
    let mut text = format!("**{}**\n\n", table.title);
    let heads: Vec<&str> = table.columns.iter().map(String::as_str).collect();
    text.push_str(&line(&heads));
    // The first column says what a row is about, the others are figures.
    let rules: Vec<&str> =
        heads.iter().enumerate().map(|(at, _)| if at == 0 { "---" } else { "---:" }).collect();
    text.push_str(&line(&rules));
    for row in &table.rows {
        text.push_str(&line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    if !table.note.is_empty() {
        let _ = writeln!(text, "\n{}", table.note);
    }
    text.trim_end().to_owned()
}

/// A line of a table.
fn line(cells: &[&str]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// Every goal of every result. What has no result has no line.
fn goals(all: &[Kept]) -> String {
    let mut text = String::new();
    for kept in all {
        for goal in &kept.shown.goals {
            let met = if goal.met { "yes" } else { "**no**" };
            let debug = if kept.taken.bench_build == "debug" { " (debug build)" } else { "" };
            let result = format!("`{}`{debug}", kept.name);
            text.push_str(&line(&[&goal.figure, &goal.goal, &goal.reached, met, &result]));
        }
    }
    if text.is_empty() {
        return "No result with a goal is kept yet, so nothing is claimed.".to_owned();
    }
    let heads = ["figure", "goal", "reached", "met", "result"];
    (line(&heads) + &line(&["---", "---:", "---:", "---", "---"]) + &text).trim_end().to_owned()
}

/// What each result was taken on.
fn taken(all: &[Kept]) -> String {
    if all.is_empty() {
        return "No result is kept yet.".to_owned();
    }
    let mut text = line(&["result", "version", "commit", "build", "cores", "processor", "memory", "kernel"]);
    text.push_str(&line(&["---", "---", "---", "---", "---:", "---", "---:", "---"]));
    for kept in all {
        let on = &kept.taken;
        let word = |word: &str| if word.is_empty() { "not said".to_owned() } else { word.to_owned() };
        let commit = on.commit.as_deref().map_or_else(|| "not said".to_owned(), |id| format!("`{id}`"));
        let count = |number: u64, unit: &str| {
            if number == 0 { "not said".to_owned() } else { format!("{number}{unit}") }
        };
        text.push_str(&line(&[
            &format!("`{}`", kept.name),
            &word(&on.version),
            &commit,
            &word(&on.bench_build),
            &count(on.cores, ""),
            &word(&on.processor),
            &count(on.memory_gb, " GB"),
            &word(&on.kernel),
        ]));
    }
    text.trim_end().to_owned()
}
