//! The proof of the simulation's worth: for each planted defect, the first seed that finds it.

use callboard_domain::planted::Defect;

use crate::sweep::Sweep;

/// Seeds within which each defect has to be found.
pub const WITHIN: u64 = 500;

/// Which seed found a defect, and by which invariant.
#[derive(Debug, Clone)]
pub struct Found {
    pub defect: Defect,
    /// The seed and what it violated.
    pub by: Option<(u64, Vec<String>)>,
}

impl Found {
    /// The invariants that were violated, once each.
    #[must_use]
    pub fn invariants(&self) -> Vec<&str> {
        let all = self.by.iter().flat_map(|(_, violations)| violations);
        let mut names: Vec<&str> = all.filter_map(|words| words.split(' ').next()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Looks for a defect from seed 0 on.
#[must_use]
pub fn find(defect: Defect, threads: usize) -> Found {
    let sweep = Sweep { seeds: 0..WITHIN, threads, defect: Some(defect), until_broken: true };
    let total = sweep.run(|_| {});
    Found { defect, by: total.broken.into_iter().next() }
}

/// The table of `docs/SIMULATION.md`.
#[must_use]
pub fn table(found: &[Found]) -> String {
    let mut out = String::from("| planted defect | what it does | found by seed | by |\n|---|---|---|---|\n");
    for found in found {
        let (seed, by) = match &found.by {
            Some((seed, _)) => (seed.to_string(), found.invariants().join(", ")),
            None => (format!("not within {WITHIN}"), String::new()),
        };
        let (name, says) = (found.defect.name(), found.defect.says());
        out.push_str(&format!("| `{name}` | {says} | {seed} | {by} |\n"));
    }
    out
}
