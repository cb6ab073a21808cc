//! Sums up judgements, as a table for people and as JSON for programs.
//!
//! The last part of [`super`].

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::observed::Observed;
use super::score::{Planned, Score, mean};
use super::suite::Question;
use crate::cli::columns::{columns, cut};

/// One question, asked and judged.
pub struct Row<'a> {
    pub question: &'a Question,
    pub seen: Observed,
    pub score: Score,
}

/// What many questions came to.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    pub questions: usize,
    pub score: f64,
    /// Questions that lost no point.
    pub perfect: usize,
    /// Shares of the questions for which the part is judged; null where it is judged for none.
    pub plan_validity: f64,
    pub plans_valid_at_first: f64,
    pub tool_choice: Option<f64>,
    pub argument_accuracy: Option<f64>,
    pub answer_facts: Option<f64>,
    pub rounds: Option<f64>,
    pub repairs: u32,
    pub model_calls: u32,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Of the calls whose price the configuration knows; null where it knows none.
    pub cost_usd: Option<f64>,
    pub latency_ms_p50: u64,
    pub latency_ms_p95: u64,
    /// Questions by who planned.
    pub planned_by: BTreeMap<String, usize>,
}

impl Summary {
    /// Sums up rows.
    pub fn of<'a>(rows: impl Iterator<Item = &'a Row<'a>>) -> Self {
        let rows: Vec<&Row<'_>> = rows.collect();
        let judged = |part: fn(&Score) -> Option<f64>| {
            let parts: Vec<f64> = rows.iter().filter_map(|row| part(&row.score)).collect();
            (!parts.is_empty()).then(|| mean(&parts))
        };
        let share =
            |part: fn(&Score) -> f64| mean(&rows.iter().map(|row| part(&row.score)).collect::<Vec<_>>());
        let mut latencies: Vec<u64> = rows.iter().map(|row| row.seen.latency_ms).collect();
        latencies.sort_unstable();
        let calls = || rows.iter().flat_map(|row| row.seen.calls());
        let mut planned_by = BTreeMap::new();
        for row in &rows {
            *planned_by.entry(planner(&row.seen)).or_default() += 1;
        }
        Self {
            questions: rows.len(),
            score: share(|score| score.score),
            perfect: rows.iter().filter(|row| row.score.score >= 1.0).count(),
            plan_validity: share(|score| score.validity),
            plans_valid_at_first: share(|score| if score.plan == Planned::Valid { 1.0 } else { 0.0 }),
            tool_choice: judged(|score| score.tools),
            argument_accuracy: judged(|score| score.arguments),
            answer_facts: judged(|score| score.facts),
            rounds: judged(|score| score.rounds),
            repairs: rows.iter().map(|row| row.score.repairs).sum(),
            model_calls: calls().map(|calls| calls.calls).sum(),
            input_tokens: calls().map(|calls| calls.input_tokens).sum(),
            output_tokens: calls().map(|calls| calls.output_tokens).sum(),
            cost_usd: dollars(calls().filter_map(|calls| calls.cost_nano_usd)),
            latency_ms_p50: percentile(&latencies, 50),
            latency_ms_p95: percentile(&latencies, 95),
            planned_by,
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "nine million dollars are exact to the billionth")]
fn dollars(nano_usd: impl Iterator<Item = u64>) -> Option<f64> {
    nano_usd.reduce(|a, b| a.saturating_add(b)).map(|sum| sum as f64 / 1e9)
}

/// The smallest value that `percent` of the sorted ones do not exceed.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// Who planned last: `openai gpt-4o-mini`, `builtin`, or a dash where there is no plan.
fn planner(seen: &Observed) -> String {
    match seen.plans.last() {
        Some(plan) => match &plan.model {
            Some(model) => format!("{} {model}", plan.provider),
            None => plan.provider.clone(),
        },
        None => "-".to_owned(),
    }
}

/// Everything as JSON.
pub fn json(title: &str, rows: &[Row<'_>]) -> Value {
    json!({
        "title": title,
        "callboard": env!("CARGO_PKG_VERSION"),
        "total": Summary::of(rows.iter()),
        "kinds": kinds(rows).into_iter().collect::<BTreeMap<_, _>>(),
        "questions": rows.iter().map(one).collect::<Vec<_>>(),
    })
}

fn one(row: &Row<'_>) -> Value {
    let (seen, score) = (&row.seen, &row.score);
    let steps = seen.steps().map(|step| {
        json!({ "version": step.version, "id": step.id, "tool": step.tool, "arguments": step.arguments,
                "depends_on": step.depends_on })
    });
    json!({
        "id": row.question.id,
        "kind": row.question.kind,
        "conversation_id": seen.conversation,
        "score": score.score,
        "plan": score.plan,
        "plan_validity": score.validity,
        "tool_choice": score.tools,
        "argument_accuracy": score.arguments,
        "answer_facts": score.facts,
        "rounds": score.rounds,
        "repairs": score.repairs,
        "lost": score.lost,
        "planned_by": planner(seen),
        "answered_by": seen.writer,
        "status": seen.status,
        "answer": seen.text,
        "steps": steps.collect::<Vec<_>>(),
        "model_calls": seen.calls().collect::<Vec<_>>(),
        "input_tokens": seen.calls().map(|calls| calls.input_tokens).sum::<u64>(),
        "output_tokens": seen.calls().map(|calls| calls.output_tokens).sum::<u64>(),
        "latency_ms": seen.latency_ms,
    })
}

/// Kinds in the order in which they first occur.
fn kinds(rows: &[Row<'_>]) -> Vec<(String, Summary)> {
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        if !names.contains(&row.question.kind.as_str()) {
            names.push(&row.question.kind);
        }
    }
    let of = |name: &str| Summary::of(rows.iter().filter(|row| row.question.kind == name));
    names.into_iter().map(|name| (name.to_owned(), of(name))).collect()
}

const HEAD: [&str; 9] = ["QUESTION", "KIND", "SCORE", "PLAN", "TOOLS", "ARGS", "FACTS", "TOKENS", "TIME"];

/// A row for each question, one for each kind, one for all.
pub fn table(rows: &[Row<'_>], why: bool) -> String {
    let mut cells = vec![HEAD.map(str::to_owned)];
    cells.extend(rows.iter().map(question_cells));
    let mut text = columns(&cells);
    let mut sums = vec![
        [
            "KIND",
            "QUESTIONS",
            "SCORE",
            "PLANS VALID",
            "TOOLS",
            "ARGS",
            "FACTS",
            "REPAIRS",
            "TOKENS",
            "P50",
            "P95",
        ]
        .map(str::to_owned),
    ];
    sums.extend(kinds(rows).iter().map(|(name, summary)| summary_cells(name, summary)));
    let total = Summary::of(rows.iter());
    sums.push(summary_cells("all", &total));
    text.push_str("\n\n");
    text.push_str(&columns(&sums));
    let planners: Vec<String> = total.planned_by.iter().map(|(who, n)| format!("{who} {n}")).collect();
    text.push_str(&format!(
        "\n\n{} of {} without a lost point; planned by {}",
        total.perfect,
        total.questions,
        planners.join(", ")
    ));
    if let Some(cost) = total.cost_usd {
        text.push_str(&format!("; {cost:.4} USD"));
    }
    if why {
        text.push('\n');
        for row in rows.iter().filter(|row| !row.score.lost.is_empty()) {
            let lost: Vec<String> = row.score.lost.iter().map(|words| cut(words, 160)).collect();
            text.push_str(&format!("\n{}: {}", row.question.id, lost.join("; ")));
        }
    }
    text
}

fn question_cells(row: &Row<'_>) -> [String; 9] {
    let (seen, score) = (&row.seen, &row.score);
    let plan = match score.plan {
        Planned::Valid => "valid",
        Planned::Repaired => "repaired",
        Planned::Refused => "refused",
        Planned::Unavailable => "unavailable",
        Planned::Missing => "none",
    };
    let tokens: u64 = seen.calls().map(|calls| calls.input_tokens + calls.output_tokens).sum();
    [
        row.question.id.clone(),
        row.question.kind.clone(),
        share(Some(score.score)),
        plan.to_owned(),
        share(score.tools),
        share(score.arguments),
        share(score.facts),
        tokens.to_string(),
        milliseconds(seen.latency_ms),
    ]
}

fn summary_cells(name: &str, summary: &Summary) -> [String; 11] {
    [
        name.to_owned(),
        summary.questions.to_string(),
        share(Some(summary.score)),
        share(Some(summary.plan_validity)),
        share(summary.tool_choice),
        share(summary.argument_accuracy),
        share(summary.answer_facts),
        summary.repairs.to_string(),
        (summary.input_tokens + summary.output_tokens).to_string(),
        milliseconds(summary.latency_ms_p50),
        milliseconds(summary.latency_ms_p95),
    ]
}

fn share(part: Option<f64>) -> String {
    part.map_or_else(|| "-".to_owned(), |part| format!("{part:.2}"))
}

fn milliseconds(ms: u64) -> String {
    if ms < 10_000 { format!("{ms} ms") } else { format!("{} s", (ms + 500) / 1_000) }
}
