//! Contract of `InHand`: what was begun and not ended when the process died has one crash more, and nothing else has.

use std::sync::Arc;

use super::harness::InHandHarness;
use super::story::fresh;
use crate::in_hand::InHand;

pub async fn all(harness: &dyn InHandHarness) {
    super::run!(
        harness,
        "in hand",
        what_is_ended_is_forgotten,
        each_crash_with_it_in_hand_counts,
        a_crash_without_it_in_hand_does_not_count,
        an_end_forgets_its_crashes,
        any_key_is_kept_apart_from_any_other,
        notes_are_taken_from_many_threads,
        an_orderly_end_is_no_crash,
    );
}

async fn what_is_ended_is_forgotten(harness: &dyn InHandHarness) {
    let key = fresh("ended");
    assert_eq!(harness.notes().begin(&key), 0);
    harness.notes().end(&key);
    harness.notes().end(&key);
    harness.crash();
    assert_eq!(harness.notes().begin(&key), 0);
    harness.notes().end(&key);
}

async fn each_crash_with_it_in_hand_counts(harness: &dyn InHandHarness) {
    let (poison, other) = (fresh("poison"), fresh("other"));
    for crashes in 0..4 {
        assert_eq!(harness.notes().begin(&poison), crashes);
        assert_eq!(harness.notes().begin(&other), 0, "it was ended in time");
        harness.notes().end(&other);
        harness.crash();
    }
    assert_eq!(harness.notes().begin(&poison), 4);
    assert_eq!(harness.notes().begin(&poison), 4, "begun again in the same start, it is in hand once");
    harness.crash();
    assert_eq!(harness.notes().begin(&poison), 5);
    harness.notes().end(&poison);
}

async fn a_crash_without_it_in_hand_does_not_count(harness: &dyn InHandHarness) {
    let key = fresh("waiting");
    harness.notes().begin(&key);
    for _ in 0..3 {
        harness.crash();
    }
    assert_eq!(harness.notes().begin(&key), 1, "two starts died before they took it up");
    harness.notes().end(&key);
}

async fn an_end_forgets_its_crashes(harness: &dyn InHandHarness) {
    let key = fresh("mended");
    harness.notes().begin(&key);
    harness.crash();
    assert_eq!(harness.notes().begin(&key), 1);
    harness.notes().end(&key);
    assert_eq!(harness.notes().begin(&key), 0);
    harness.notes().end(&key);
    harness.crash();
    assert_eq!(harness.notes().begin(&key), 0);
    harness.notes().end(&key);
}

async fn any_key_is_kept_apart_from_any_other(harness: &dyn InHandHarness) {
    let stem = fresh("key");
    let long = format!("{stem}-{}", "x".repeat(4_096));
    let keys = [
        stem.clone(),
        format!("{stem} "),
        format!(" {stem}"),
        format!("{stem}\n+ {stem}"),
        format!("{stem}\\n+ {stem}"),
        format!("{stem}\r"),
        format!("- {stem}"),
        format!("7 {stem}"),
        format!("{stem}:ß日本"),
        String::new(),
        long,
    ];
    for (i, key) in keys.iter().enumerate() {
        assert_eq!(harness.notes().begin(key), 0, "{key:?}");
        if i % 2 == 0 {
            harness.notes().end(key);
        }
    }
    harness.crash();
    for (i, key) in keys.iter().enumerate() {
        assert_eq!(harness.notes().begin(key), u32::from(i % 2 == 1), "{key:?}");
    }
    for key in &keys {
        harness.notes().end(key);
    }
}

async fn notes_are_taken_from_many_threads(harness: &dyn InHandHarness) {
    let notes: Arc<dyn InHand> = harness.notes();
    let stem = fresh("thread");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (notes, stem) = (notes.clone(), stem.clone());
            scope.spawn(move || {
                for i in 0..500 {
                    let key = format!("{stem}-{thread}-{i}");
                    assert_eq!(notes.begin(&key), 0);
                    if i != 250 {
                        notes.end(&key);
                    }
                }
            });
        }
    });
    drop(notes);
    harness.crash();
    for thread in 0..4 {
        for i in [0, 249, 250, 251, 499] {
            let key = format!("{stem}-{thread}-{i}");
            assert_eq!(harness.notes().begin(&key), u32::from(i == 250), "{key}");
            harness.notes().end(&key);
        }
    }
}

async fn an_orderly_end_is_no_crash(harness: &dyn InHandHarness) {
    let (held, crashed) = (fresh("held"), fresh("crashed"));
    harness.notes().begin(&crashed);
    harness.crash();
    harness.notes().begin(&crashed);
    harness.notes().begin(&held);
    if harness.restart() {
        assert_eq!(harness.notes().begin(&held), 0, "it was put down, not dropped");
        assert_eq!(harness.notes().begin(&crashed), 1, "what it had before, it has");
    }
    harness.notes().end(&held);
    harness.notes().end(&crashed);
}
