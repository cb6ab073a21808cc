//! The result of a run: printed for people, written as JSON for comparison.

use std::collections::BTreeMap;

use serde::Serialize;

use super::recovery::{Cost, Entry};
use super::shown;
use super::verdict::Verdict;
use crate::machine::Machine;
use crate::shown::Shown;

/// How a run was made, so that it can be made again.
#[derive(Debug, Clone, Serialize)]
pub struct Setup {
    pub log: &'static str,
    pub seed: u64,
    pub rate: f64,
    pub pace_s: f64,
    pub bench_build: &'static str,
    pub cores: usize,
    pub effects_outside: bool,
}

/// Replay against live.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Replay {
    pub equal: usize,
    pub different: Vec<String>,
    pub not_compared: Vec<String>,
}

/// Everything about one run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub good: bool,
    pub setup: Setup,
    /// With faults, without start and drain.
    pub seconds: f64,
    pub drain_seconds: f64,
    pub faults: BTreeMap<String, usize>,
    pub timeline: Vec<Entry>,
    pub verdict: Verdict,
    pub replay: Replay,
    /// Processes that ended without being killed, by name and how.
    pub exits: BTreeMap<String, u32>,
    /// Of those, the ones that no promise allows for.
    pub unexpected_exits: Vec<String>,
    /// Steps that the harness settled, by what the counter said, and those that it approved.
    pub settled: BTreeMap<String, usize>,
    pub costs: BTreeMap<String, Cost>,
    /// What clients met on their way.
    pub tallies: BTreeMap<String, u64>,
    pub machine: Machine,
    pub shown: Shown,
}

impl Report {
    /// Whether every promise was kept.
    pub fn judge(mut self) -> Self {
        let kept = self.verdict.broken().iter().all(|(_, broken)| broken.count == 0);
        let compared = self.replay.different.is_empty() && self.replay.not_compared.is_empty();
        self.good = kept && compared && self.unexpected_exits.is_empty();
        self.shown = shown::of(&self);
        self
    }

    pub fn print(&self) {
        let verdict = &self.verdict;
        println!(
            "\nchaos on {} (seed {}, {} bench): {:.0} s of faults, {:.0} s to come to rest",
            self.setup.log, self.setup.seed, self.setup.bench_build, self.seconds, self.drain_seconds
        );
        println!("  faults          {}", listed(&self.faults));
        println!(
            "  turns           {} asked, {} accepted, {} began, {} terminal events in effect",
            verdict.asked, verdict.accepted, verdict.turns, verdict.terminal_in_effect
        );
        println!(
            "  endings         {} answered, {} cancelled, failed: {}",
            verdict.answered,
            verdict.cancelled,
            listed(&verdict.failed)
        );
        println!(
            "  effects         {} executed outside, {} steps ever in doubt, settled by hand: {}; deposits repeated: {}",
            verdict.effects_executed,
            verdict.steps_ever_in_doubt,
            listed(&self.settled),
            verdict.deposits_repeated
        );
        println!("  failed steps    {}", listed(&verdict.steps_failed));
        println!("  dead letters    {}", listed(&verdict.dead_letters));
        println!(
            "  replay = live   {} of {} conversations",
            self.replay.equal,
            self.replay.equal + self.replay.different.len() + self.replay.not_compared.len()
        );
        println!(
            "  repeated work   {} duplicate results, {} records ignored of {}",
            verdict.duplicate_results, verdict.ignored_records, verdict.records
        );
        println!("  own exits       {}", listed(&self.exits));
        println!("  clients met     {}", listed(&self.tallies));
        println!("  {:24} {:>6}  next progress p50 / max   open turns' end p50 / max", "fault", "count");
        for (kind, cost) in &self.costs {
            println!(
                "  {kind:24} {:>6}  {:>8.2} s / {:>7.2} s      {:>8.2} s / {:>7.2} s",
                cost.faults,
                cost.next_progress.p50_s,
                cost.next_progress.max_s,
                cost.open_turns_end.p50_s,
                cost.open_turns_end.max_s
            );
        }
        self.print_broken();
    }

    fn print_broken(&self) {
        for (name, broken) in self.verdict.broken().iter().filter(|(_, broken)| broken.count > 0) {
            println!("  BROKEN {name}: {}", broken.count);
            for one in &broken.first {
                println!("    {one}");
            }
        }
        for (name, all) in [
            ("replay differs", &self.replay.different),
            ("replay not compared", &self.replay.not_compared),
            ("unexpected exit", &self.unexpected_exits),
        ] {
            for one in all.iter().take(20) {
                println!("  BROKEN {name}: {one}");
            }
        }
        let word = if self.good { "good" } else { "BAD" };
        println!(
            "  verdict: {word}: {} lost, {} doubled, {} duplicate unsafe effects",
            self.verdict.lost.count, self.verdict.doubled.count, self.verdict.duplicate_effects.count
        );
    }
}

fn listed<N: std::fmt::Display>(counts: &BTreeMap<String, N>) -> String {
    if counts.is_empty() {
        return "none".to_owned();
    }
    counts.iter().map(|(name, n)| format!("{n} {name}")).collect::<Vec<_>>().join(", ")
}
