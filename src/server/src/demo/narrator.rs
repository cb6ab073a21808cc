//! What the person in front of the terminal sees: one line per thing that happens, the live plan below them, the
//! verdict last. Plain lines where there is no terminal, one JSON object per line for machines.
//!
//! [`super::play`] tells it what happens; it knows nothing of servers.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use serde_json::{Value, json};

use super::verdict::Verdict;

/// A step of the plan as it is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    pub id: String,
    pub status: String,
    pub attempts: u64,
    /// By the outside counter.
    pub executions: u64,
}

/// How things are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A terminal: the plan is drawn again in place.
    Terminal,
    Plain,
    Json,
}

/// ANSI: to the beginning of the line, and everything from there to the end of the screen is cleared.
const CLEAR_BELOW: &str = "\r\x1b[J";
const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const BLUE: &str = "\x1b[34m";
const DIM: &str = "\x1b[2m";
const OFF: &str = "\x1b[0m";

/// Tells a demo.
pub struct Narrator {
    shape: Shape,
    began: Instant,
    plan: Vec<Drawn>,
    /// Lines of the plan that stand at the end of the terminal.
    drawn_lines: usize,
}

impl Narrator {
    #[must_use]
    pub fn new(as_json: bool) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let shape = match (as_json, terminal) {
            (true, _) => Shape::Json,
            (false, true) => Shape::Terminal,
            (false, false) => Shape::Plain,
        };
        Self { shape, began: Instant::now(), plan: Vec::new(), drawn_lines: 0 }
    }

    /// Seconds since the demo began.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// The headline.
    pub fn title(&mut self, demo: &str, words: &str) {
        match self.shape {
            Shape::Json => self.put(&json!({"event": "demo", "demo": demo, "text": words}).to_string()),
            Shape::Plain => self.put(&format!("callboard demo {demo}: {words}")),
            Shape::Terminal => self.put(&format!("{BOLD}callboard demo {demo}{OFF}: {words}")),
        }
    }

    /// Something happened. `label` is one word: `start`, `ask`, `log`, `KILL`, `again`, `gone`, `wait`, `back`.
    pub fn tell(&mut self, label: &str, words: &str) {
        let seconds = self.seconds();
        let line = match self.shape {
            Shape::Json => {
                json!({"event": label.to_ascii_lowercase(), "at_s": rounded(seconds), "text": words})
                    .to_string()
            }
            Shape::Plain => format!("{seconds:>6.1} s  {label:<6} {words}"),
            Shape::Terminal => {
                let colour = match label {
                    "KILL" | "again" | "gone" | "wait" => RED,
                    "back" => GREEN,
                    "log" => DIM,
                    _ => BLUE,
                };
                format!("{DIM}{seconds:>6.1} s{OFF}  {colour}{label:<6}{OFF} {words}")
            }
        };
        self.put(&line);
    }

    /// The plan as it is now; said only when it changed.
    pub fn plan(&mut self, steps: Vec<Drawn>) {
        if steps == self.plan || steps.is_empty() {
            return;
        }
        self.plan = steps;
        match self.shape {
            Shape::Terminal => {
                self.erase();
                self.draw();
            }
            Shape::Plain => {
                let words: Vec<String> =
                    self.plan.iter().map(|step| format!("{} {}", step.id, marked(step))).collect();
                self.tell("plan", &words.join(" · "));
            }
            Shape::Json => {
                let steps: Vec<Value> = self
                    .plan
                    .iter()
                    .map(|s| json!({"id": s.id, "status": s.status, "attempts": s.attempts, "executions": s.executions}))
                    .collect();
                let at_s = rounded(self.seconds());
                self.put(&json!({"event": "plan", "at_s": at_s, "steps": steps}).to_string());
            }
        }
    }

    /// The last line; the plan stays above it.
    pub fn verdict(&mut self, verdict: &Verdict) {
        self.plan.clear();
        self.drawn_lines = 0;
        let seconds = self.seconds();
        let line = match self.shape {
            Shape::Json => json!({
                "event": "verdict", "at_s": rounded(seconds), "good": verdict.good(), "text": verdict.to_string(),
                "faults": verdict.faults, "facts": verdict.facts,
            })
            .to_string(),
            Shape::Plain => format!("{verdict} ({seconds:.1} s)"),
            Shape::Terminal => {
                let colour = if verdict.good() { GREEN } else { RED };
                format!("{BOLD}{colour}{verdict}{OFF} {DIM}({seconds:.1} s){OFF}")
            }
        };
        self.put(&line);
    }

    /// Writes a line above the plan. Nobody reads a closed standard output, and the demo still has to end in order.
    fn put(&mut self, line: &str) {
        self.erase();
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
        drop(out);
        if self.shape == Shape::Terminal {
            self.draw();
        }
    }

    fn erase(&mut self) {
        if self.drawn_lines > 0 {
            let mut out = std::io::stdout().lock();
            let _ = write!(out, "\x1b[{}A{CLEAR_BELOW}", self.drawn_lines);
            self.drawn_lines = 0;
        }
    }

    fn draw(&mut self) {
        let mut out = std::io::stdout().lock();
        for step in &self.plan {
            let (mark, colour) = match step.status.as_str() {
                "done" => ("✔", GREEN),
                "running" => ("▶", BLUE),
                "failed" | "cancelled" | "skipped" => ("✘", RED),
                "in_doubt" => ("?", RED),
                _ => ("·", DIM),
            };
            let tries =
                if step.attempts > 1 { format!(", attempt {}", step.attempts) } else { String::new() };
            let _ = writeln!(
                out,
                "          {colour}{mark} {:<12} {:<9}{OFF}{tries} {DIM}executed {}×{OFF}",
                step.id, step.status, step.executions
            );
        }
        let _ = out.flush();
        self.drawn_lines = self.plan.len();
    }
}

fn rounded(seconds: f64) -> f64 {
    (seconds * 1_000.0).round() / 1_000.0
}

fn marked(step: &Drawn) -> String {
    let tries = if step.attempts > 1 { format!(" (attempt {})", step.attempts) } else { String::new() };
    match step.executions {
        0 => format!("{}{tries}", step.status),
        n => format!("{}{tries}, executed {n}×", step.status),
    }
}
