//! Many seeds, on as many threads as are given: each seed is a run of its own, so their order does not matter.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use callboard_domain::audit::{Report, Violation};
use callboard_domain::planted::Defect;

use crate::fault::Fault;
use crate::judge::Ledgered;
use crate::run::{Outcome, THREAD, listen_to_panics, run, take_panics};

/// What many runs come to.
#[derive(Debug, Clone, Default)]
pub struct Total {
    pub seeds: u64,
    pub elapsed: Duration,
    /// Time on a processor, of all threads together; nothing where the system does not say.
    pub busy: Duration,
    pub virtual_ms: u64,
    pub entries: u64,
    /// By [`Fault::ALL`]: how often, and in how many seeds.
    pub faults: Vec<(u64, u64)>,
    pub report: Report,
    pub ledger: Ledgered,
    /// Seeds with violations, with what was violated.
    pub broken: BTreeMap<u64, Vec<String>>,
}

impl Total {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.virtual_ms += outcome.virtual_ms;
        self.entries += outcome.entries;
        self.faults.resize(Fault::ALL.len(), (0, 0));
        for (sum, times) in self.faults.iter_mut().zip(&outcome.faults) {
            sum.0 += u64::from(*times);
            sum.1 += u64::from(*times > 0);
        }
        self.report.merge(outcome.report);
        self.ledger.merge(outcome.ledger);
        if !outcome.violations.is_empty() {
            self.broken.insert(outcome.seed, outcome.violations.iter().map(words).collect());
        }
    }
}

fn words(violation: &Violation) -> String {
    format!("{} {}: {}", violation.invariant, violation.conversation, violation.detail)
}

/// How a sweep is run.
pub struct Sweep {
    pub seeds: Range<u64>,
    pub threads: usize,
    pub defect: Option<Defect>,
    /// Ends with the first seed that violates something.
    pub until_broken: bool,
}

/// A run whose simulation itself broke counts as a violation, too.
fn guarded(seed: u64, defect: Option<Defect>) -> Result<Outcome, String> {
    let outcome = std::panic::catch_unwind(|| run(seed, defect, false));
    outcome.map_err(|_| format!("the simulation itself panicked: {}", take_panics().join("; ")))
}

/// How long this thread has been on a processor: what a seed costs, however busy the machine is.
fn busy() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0);
    Duration::from_nanos(nanos)
}

impl Sweep {
    /// Runs all seeds; `tell` hears how far it has come.
    pub fn run(&self, mut tell: impl FnMut(&Total)) -> Total {
        let started = Instant::now();
        let mut total = Total::default();
        let stop = AtomicBool::new(false);
        self.until(&stop, |seed, outcome, busy| {
            total.busy += busy;
            match outcome {
                Ok(outcome) => total.add(outcome),
                Err(words) => {
                    total.seeds += 1;
                    total.broken.insert(seed, vec![words]);
                }
            }
            total.elapsed = started.elapsed();
            tell(&total);
            if self.until_broken && !total.broken.is_empty() {
                stop.store(true, Ordering::Relaxed);
            }
        });
        total
    }

    /// Runs all seeds and gives every outcome, in no certain order; an error says how the simulation itself broke.
    pub fn each(&self, mut take: impl FnMut(u64, Result<Outcome, String>)) {
        self.until(&AtomicBool::new(false), |seed, outcome, _| take(seed, outcome));
    }

    fn until(&self, stop: &AtomicBool, mut take: impl FnMut(u64, Result<Outcome, String>, Duration)) {
        /// Outcomes that wait to be counted; counting is quick.
        const WAITING: usize = 64;
        listen_to_panics();
        let next = AtomicU64::new(self.seeds.start);
        std::thread::scope(|scope| {
            let (sender, outcomes) = sync_channel(WAITING);
            for i in 0..self.threads.max(1) {
                let (sender, next) = (sender.clone(), &next);
                let body = move || {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        let done = seed >= self.seeds.end || stop.load(Ordering::Relaxed);
                        if done {
                            return;
                        }
                        let before = busy();
                        let outcome = guarded(seed, self.defect);
                        if sender.send((seed, outcome, busy().saturating_sub(before))).is_err() {
                            return;
                        }
                    }
                };
                std::thread::Builder::new()
                    .name(format!("{THREAD}-{i}"))
                    .spawn_scoped(scope, body)
                    .expect("the system can start a few threads");
            }
            drop(sender);
            for (seed, outcome, busy) in outcomes {
                take(seed, outcome, busy);
            }
        });
    }
}
