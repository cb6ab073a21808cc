//! The everyday run: two thousand seeds without a violation, and the same seed twice is the same run.

use std::time::Duration;

use callboard_sim::{Sweep, report};

fn sweep(seeds: std::ops::Range<u64>) -> callboard_sim::Total {
    let threads = std::thread::available_parallelism().map_or(2, Into::into);
    Sweep { seeds, threads, defect: None, until_broken: false }.run(|_| {})
}

#[test]
fn two_thousand_seeds_hold() {
    let total = sweep(0..2_000);
    println!("{}", report::table(&total));
    assert!(total.broken.is_empty(), "{}", report::violations(&total, 20, None));
    assert!(
        total.faults.iter().all(|(times, _)| *times > 0),
        "every kind of fault happened: {:?}",
        total.faults
    );
    assert!(total.report.answered > 2_000, "{:?}", total.report);
    // On two cores: two minutes. By time on a processor, so that a busy machine does not fail it.
    assert!(total.busy < Duration::from_secs(240), "{:?}", total.busy);
}

#[test]
fn a_seed_is_one_run() {
    // Each thread hashes by keys of its own, and every map by keys of its own: an order that is not ours would show.
    let traces = || {
        let mut traces = std::collections::BTreeMap::new();
        let sweep = Sweep { seeds: 5_000..5_150, threads: 2, defect: None, until_broken: false };
        sweep.each(|seed, outcome| {
            let outcome = outcome.unwrap();
            traces.insert(seed, (outcome.hash, outcome.entries, outcome.virtual_ms));
        });
        traces
    };
    let (first, second) = (traces(), traces());
    assert_eq!(first.len(), 150);
    for (seed, trace) in &first {
        assert_eq!(trace, &second[seed], "seed {seed} made two different runs");
    }
}
