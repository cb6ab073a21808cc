//! What a sweep prints: a table of faults, the counts, and how to see each violation again.

use std::fmt::Write;

use crate::fault::Fault;
use crate::sweep::Total;

/// The table.
#[must_use]
pub fn table(total: &Total) -> String {
    let mut out = String::new();
    let mut line = |words: std::fmt::Arguments<'_>| {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{words}");
    };
    let seconds = total.elapsed.as_secs_f64().max(0.001);
    line(format_args!("{:<40} {:>10} {:>10}", "fault", "times", "in seeds"));
    for (fault, (times, seeds)) in Fault::ALL.iter().zip(&total.faults) {
        line(format_args!("{:<40} {times:>10} {seeds:>10}", fault.name()));
    }
    let faults: u64 = total.faults.iter().map(|(times, _)| times).sum();
    line(format_args!("{:<40} {faults:>10}", "all faults"));
    line(format_args!(""));
    let report = &total.report;
    for (what, count) in [
        ("seeds", total.seeds),
        ("turns", u64::from(report.turns)),
        ("  answered", u64::from(report.answered)),
        ("  failed", u64::from(report.failed)),
        ("  cancelled", u64::from(report.cancelled)),
        ("  open", u64::from(report.open)),
        ("unsafe and reconcilable effects done", total.ledger.effects),
        ("reservations", total.ledger.reserved),
        ("doubts declared", total.ledger.doubts),
        ("doubts settled", total.ledger.settled),
        ("approvals asked for", total.ledger.asked),
        ("approvals decided", total.ledger.decided),
        ("dead letters", total.ledger.dead_letters),
        ("answers heard while being written", total.ledger.heard),
        ("records ignored by the fold", u64::from(report.ignored)),
        ("entries of the traces", total.entries),
        ("virtual hours", total.virtual_ms / 3_600_000),
        ("seeds with violations", total.broken.len() as u64),
    ] {
        line(format_args!("{what:<40} {count:>10}"));
    }
    line(format_args!("{:<40} {:>10.1}", "seconds", seconds));
    line(format_args!("{:<40} {:>10.1}", "seconds on a processor", total.busy.as_secs_f64()));
    line(format_args!("{:<40} {:>10.1}", "seeds/s", total.seeds as f64 / seconds));
    out
}

/// What was violated, and how to see it again.
#[must_use]
pub fn violations(total: &Total, most: usize, defect: Option<&str>) -> String {
    let mut out = String::new();
    let with = defect.map(|name| format!(" --defect {name}")).unwrap_or_default();
    for (seed, violations) in total.broken.iter().take(most) {
        let _ = writeln!(out, "seed {seed}; see it again with: callboard-sim --trace {seed}{with}");
        for violation in violations.iter().take(4) {
            let _ = writeln!(out, "    {violation}");
        }
    }
    if total.broken.len() > most {
        let _ = writeln!(out, "and {} seeds more", total.broken.len() - most);
    }
    out
}
