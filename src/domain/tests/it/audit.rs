//! The audit finds what it is for: logs with a planted defect are named by invariant.

use callboard_domain::audit::{Report, conversation as audit};
use callboard_domain::{CommandId, Recorded};

use crate::story::step;
use crate::world::script::{Act, Script};
use crate::world::{World, conversation};

fn log() -> Vec<Recorded> {
    let mut script = Script::one(vec![step(&[], &[]), step(&[0], &[])]);
    let again = script.acts[0].1.clone();
    script.acts.extend([(0, again.clone()), (0, Act::Cancel(1)), (0, again)]);
    World::ran(script, &[0]).log
}

fn invariants(report: &Report) -> Vec<&'static str> {
    report.violations.iter().map(|violation| violation.invariant).collect()
}

#[test]
fn a_clean_log_is_counted() {
    let report = audit(&conversation(), &log(), true);
    let counted = (
        report.turns,
        report.answered,
        report.cancelled,
        report.failed,
        report.open,
        report.duplicate_results,
    );
    assert_eq!((counted, invariants(&report)), ((3, 2, 1, 0, 0, 0), vec![]));
}

#[test]
fn a_turn_without_an_ending_is_found_once_all_is_drained() {
    let mut cut = log();
    cut.truncate(cut.len() - 1);
    assert_eq!(invariants(&audit(&conversation(), &cut, true)), ["one_terminal_event"]);
    let report = audit(&conversation(), &cut, false);
    assert_eq!((invariants(&report), report.open), (vec![], 1), "while it runs that is in order");
}

#[test]
fn offsets_that_do_not_ascend_are_found() {
    let mut swapped = log();
    swapped.swap(3, 4);
    assert!(invariants(&audit(&conversation(), &swapped, false)).contains(&"log_order"));
}

#[test]
fn an_id_used_again_beyond_its_memory_is_two_endings_of_one_turn() {
    // 1,024 other commands make the fold forget the first; its id is then a new turn. The audit remembers.
    let mut records = log();
    let turn: Vec<Recorded> =
        records.iter().filter(|r| r.command == Some(crate::world::turn_id(0))).cloned().collect();
    let refused = |i: usize| {
        let refused = callboard_domain::event::CommandRefused {
            command_type: "PlanCancelRequested".into(),
            code: "unknown_turn".into(),
            message: "there is none".into(),
        };
        let id = CommandId::new(&format!("x{i}")).unwrap();
        crate::world::recorded(0, 0, Some(&id), callboard_domain::event::Event::CommandRefused(refused))
    };
    records.extend((0..1_100).map(refused));
    records.extend(turn);
    for (offset, record) in (0..).zip(&mut records) {
        record.offset = offset;
    }
    let report = audit(&conversation(), &records, true);
    assert!(invariants(&report).contains(&"one_terminal_event"), "{report:?}");
    assert!(invariants(&report).contains(&"result_counts_once"), "{report:?}");
    assert_eq!(report.duplicate_results, 2);
}

#[test]
fn reports_add_up() {
    let mut sum = Report::default();
    let one = audit(&conversation(), &log(), true);
    sum.merge(one.clone());
    sum.merge(one.clone());
    assert_eq!((sum.turns, sum.answered, sum.ignored), (2 * one.turns, 2 * one.answered, 2 * one.ignored));
}
