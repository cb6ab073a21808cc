//! The simulation is worth its name: every planted defect is found, and the table in the document says which seed finds it.

use callboard_sim::Defect;
use callboard_sim::defects::{WITHIN, find, table};

fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, Into::into)
}

#[test]
fn every_planted_defect_is_found() {
    assert!(Defect::ALL.len() >= 12);
    let found: Vec<_> = Defect::ALL.iter().copied().map(|defect| find(defect, threads())).collect();
    println!("{}", table(&found));
    for found in &found {
        let (seed, violations) =
            found.by.as_ref().unwrap_or_else(|| panic!("{} was not found", found.defect.name()));
        assert!(*seed < WITHIN && !violations.is_empty());
        assert!(!violations[0].starts_with("the simulation itself"), "{violations:?}");
    }
}

#[test]
fn a_defect_is_gone_when_its_run_is_over() {
    let clean = callboard_sim::run(3, None, false);
    let planted = callboard_sim::run(3, Some(Defect::ApplyBeforeLog), false);
    let again = callboard_sim::run(3, None, false);
    assert!(!planted.violations.is_empty());
    assert_eq!((clean.hash, clean.violations), (again.hash, again.violations));
}

#[test]
fn names_are_names() {
    for defect in Defect::ALL.iter().copied() {
        assert_eq!(Defect::named(defect.name()), Some(defect));
    }
    assert_eq!(Defect::named("no-such-defect"), None);
}
