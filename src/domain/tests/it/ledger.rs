//! The ledger's rules: whoever folds whichever part of it, at most one owner ever runs an attempt, and what was committed
//! answers for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use callboard_domain::event::Outcome;
use callboard_domain::ledger::{Book, Claim, EffectCommitted, EffectReserved, Entry, Verdict};
use callboard_domain::limits::MAX_LEDGER_EFFECTS;
use callboard_domain::plan::EffectClass;
use callboard_domain::time::Millis;
use callboard_domain::{EffectId, RawJson};
use proptest::prelude::*;

const CLAIM_MS: u64 = 5_000;
const TIMEOUT_MS: u64 = 10_000;
const OWNERS: [&str; 3] = ["node-1/a", "node-1/b", "node-2/a"];

fn effect(n: usize) -> EffectId {
    format!("c:m:1:s{n}").parse().unwrap()
}

fn reserved(n: usize, attempt: u32, owner: &str) -> Entry {
    Entry::EffectReserved(EffectReserved {
        effect_id: effect(n),
        attempt,
        tool: "webhook".into(),
        effect: EffectClass::Unsafe,
        owner: owner.into(),
        claim_ms: CLAIM_MS,
        timeout_ms: TIMEOUT_MS,
    })
}

fn committed(n: usize, attempt: u32, owner: &str) -> Entry {
    Entry::EffectCommitted(EffectCommitted {
        effect_id: effect(n),
        attempt,
        owner: owner.into(),
        outcome: Outcome::Ok(RawJson::null()),
        started_at: Arc::from(""),
        finished_at: Arc::from(""),
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    (0_usize..3, 1_u32..4, prop::sample::select(&OWNERS[..]), prop::bool::weighted(0.7)).prop_map(
        |(n, attempt, owner, reserves)| match reserves {
            true => reserved(n, attempt, owner),
            false => committed(n, attempt, owner),
        },
    )
}

/// A ledger: entries with the time that passed since the last.
fn ledger() -> impl Strategy<Value = Vec<(Millis, Entry)>> {
    prop::collection::vec((0_i64..12_000, entry()), 1..40).prop_map(|entries| {
        let mut at = 1_700_000_000_000;
        entries
            .into_iter()
            .map(|(gap, entry)| {
                at += gap;
                (at, entry)
            })
            .collect()
    })
}

fn folded(ledger: &[(Millis, Entry)]) -> Book {
    let mut book = Book::default();
    for (offset, (at, entry)) in (0..).zip(ledger) {
        book.apply(offset, *at, entry);
    }
    book
}

fn claim<'a>(effect: &'a EffectId, attempt: u32, owner: &'a str, not_after_ms: Millis) -> Claim<'a> {
    Claim { effect, attempt, owner, started: false, not_after_ms }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Three owners read the ledger to wherever they like, as often as they like, by whatever clock: for one attempt at one
    /// effect only one of them is ever told to run it, and never later than its claim allows.
    #[test]
    fn at_most_one_owner_runs_an_attempt(
        ledger in ledger(),
        skews in prop::collection::vec(-20_000_i64..20_000, 3),
        not_after in 0_i64..200_000,
    ) {
        let mut runs: BTreeMap<(EffectId, u32), BTreeSet<&str>> = BTreeMap::new();
        let not_after_ms = ledger[0].0 + not_after;
        for end in 0..=ledger.len() {
            let book = folded(&ledger[..end]);
            let read = ledger[..end].last().map_or(ledger[0].0, |(at, _)| *at);
            for (owner, skew) in OWNERS.iter().zip(&skews) {
                for n in 0..3 {
                    for attempt in 1..4 {
                        let (effect, now) = (effect(n), read + skew);
                        match book.judge(claim(&effect, attempt, owner, not_after_ms), now) {
                            Verdict::Run { until_ms } => {
                                prop_assert!(now <= until_ms && until_ms <= not_after_ms);
                                runs.entry((effect, attempt)).or_default().insert(owner);
                            }
                            Verdict::Reserve => prop_assert!(now <= not_after_ms),
                            Verdict::Wait { until_ms } => prop_assert!(now <= until_ms),
                            _ => {}
                        }
                    }
                }
            }
        }
        prop_assert!(runs.values().all(|owners| owners.len() == 1), "{runs:?}");
    }

    /// Reading a part again, from anywhere, changes nothing; so does whatever lies behind as a copy.
    #[test]
    fn reading_again_changes_nothing(ledger in ledger(), from in any::<prop::sample::Index>()) {
        let mut book = folded(&ledger);
        let before = book.clone();
        for (offset, (at, entry)) in (0..).zip(&ledger).skip(from.index(ledger.len())) {
            prop_assert!(!book.apply(offset, *at, entry));
        }
        prop_assert_eq!(&book, &before);
        // Each record once more, at the end: none of them counts.
        for (offset, (_, entry)) in (book.next_offset()..).zip(&ledger) {
            prop_assert!(!book.apply(offset, ledger[ledger.len() - 1].0, entry), "{entry:?}");
        }
        for n in 0..3 {
            let known = |book: &Book| book.standing(&effect(n)).map(|s| (s.attempt, s.reserved.clone(), s.committed));
            prop_assert_eq!(known(&book), known(&before));
        }
    }

    /// Once committed, every later reader of that attempt is answered from that record, or told that a later attempt is known.
    #[test]
    fn what_is_committed_answers_for_ever(ledger in ledger(), later in 0_i64..100_000_000) {
        let mut answers: BTreeMap<(EffectId, u32), u64> = BTreeMap::new();
        for end in 1..=ledger.len() {
            let book = folded(&ledger[..end]);
            for n in 0..3 {
                let effect = effect(n);
                let Some(standing) = book.standing(&effect) else { continue };
                for attempt in 1..4 {
                    let now = ledger[end - 1].0 + later;
                    let verdict = book.judge(claim(&effect, attempt, OWNERS[1], now), now);
                    prop_assert_eq!(verdict == Verdict::Stale, attempt < standing.attempt);
                    let known = answers.get(&(effect.clone(), attempt)).copied();
                    if let Verdict::Answer { committed } = verdict {
                        prop_assert!(known.is_none_or(|first| first == committed), "the first answers");
                        prop_assert_eq!(ledger[committed as usize].1.effect_id(), &effect);
                        answers.insert((effect.clone(), attempt), committed);
                    } else if known.is_some() {
                        prop_assert_eq!(verdict, Verdict::Stale);
                    }
                }
            }
        }
    }

    /// A claim in hand when its worker was lost, and somebody else's that is over, come to the same: nobody knows.
    #[test]
    fn what_was_begun_and_not_committed_is_abandoned(skew in -30_000_i64..30_000) {
        let at = 1_700_000_000_000;
        let book = folded(&[(at, reserved(0, 1, OWNERS[0]))]);
        let (effect, now) = (effect(0), at + skew);
        let own = book.judge(Claim { started: true, ..claim(&effect, 1, OWNERS[0], now) }, now);
        prop_assert_eq!(own, Verdict::Abandoned);
        let over = at + (CLAIM_MS + TIMEOUT_MS) as Millis;
        let others = book.judge(claim(&effect, 1, OWNERS[1], now), now);
        prop_assert_eq!(others, if now <= over { Verdict::Wait { until_ms: over } } else { Verdict::Abandoned });
    }
}

#[test]
fn the_story_of_an_attempt() {
    let (at, late) = (1_700_000_000_000, 1_700_000_100_000);
    let (pay, mine, other) = (effect(0), OWNERS[0], OWNERS[1]);
    let mut book = Book::default();
    assert_eq!(book.judge(claim(&pay, 1, mine, late), at), Verdict::Reserve);
    assert_eq!(book.judge(claim(&pay, 1, mine, at), at + 1), Verdict::Expired, "too late to begin");

    assert!(book.apply(0, at, &reserved(0, 1, mine)));
    assert!(!book.apply(1, at + 1, &reserved(0, 1, other)), "the first has it");
    let until_ms = at + CLAIM_MS as Millis;
    assert_eq!(book.judge(claim(&pay, 1, mine, late), until_ms), Verdict::Run { until_ms });
    assert_eq!(book.judge(claim(&pay, 1, mine, late), until_ms + 1), Verdict::Missed);
    assert_eq!(book.judge(claim(&pay, 1, mine, at + 7), at), Verdict::Run { until_ms: at + 7 });
    assert_eq!(
        book.judge(claim(&pay, 2, other, late), at),
        Verdict::Reserve,
        "another attempt is another claim"
    );

    assert!(book.apply(2, at + 9, &committed(0, 1, mine)));
    assert!(!book.apply(3, at + 9, &committed(0, 1, other)));
    for owner in OWNERS {
        assert_eq!(book.judge(claim(&pay, 1, owner, at), late), Verdict::Answer { committed: 2 });
    }
    assert!(book.apply(4, late, &reserved(0, 2, other)));
    assert!(!book.apply(5, late, &committed(0, 1, mine)), "of an attempt that is over");
    assert_eq!(book.judge(claim(&pay, 1, mine, late), late), Verdict::Stale);
    assert_eq!((book.len(), book.next_offset()), (1, 6));
}

#[test]
fn a_result_without_a_reservation_answers_too() {
    // Compaction may have taken the reservation, never the result: kinds have keys of their own.
    let mut book = Book::default();
    assert!(book.apply(7, 1, &committed(0, 1, OWNERS[0])));
    let pay = effect(0);
    assert_eq!(book.judge(claim(&pay, 1, OWNERS[1], 0), 9), Verdict::Answer { committed: 7 });
    assert!(book.apply(8, 2, &reserved(0, 1, OWNERS[1])));
    assert_eq!(book.judge(claim(&pay, 1, OWNERS[1], 9), 9), Verdict::Answer { committed: 7 });
    assert_ne!(reserved(0, 1, "a").key(), committed(0, 1, "a").key());
    assert_eq!(
        reserved(0, 1, "a").key(),
        reserved(0, 2, "b").key(),
        "a later attempt takes the place of an earlier one"
    );
}

#[test]
fn the_oldest_effects_are_forgotten_beyond_the_bound() {
    let mut book = Book::default();
    for n in 0..MAX_LEDGER_EFFECTS {
        book.apply(n as u64, n as Millis, &reserved(n, 1, OWNERS[0]));
    }
    assert_eq!(book.len(), MAX_LEDGER_EFFECTS);
    // What is heard of again is younger than its neighbours.
    book.apply(MAX_LEDGER_EFFECTS as u64, 0, &committed(0, 1, OWNERS[0]));
    for extra in 0..10 {
        let n = MAX_LEDGER_EFFECTS + extra;
        book.apply(n as u64 + 1, n as Millis, &reserved(n, 1, OWNERS[0]));
    }
    assert_eq!(book.len(), MAX_LEDGER_EFFECTS);
    assert!(book.standing(&effect(0)).is_some());
    for forgotten in 1..=10 {
        assert!(book.standing(&effect(forgotten)).is_none(), "{forgotten}");
    }
    assert!(book.standing(&effect(11)).is_some());
    book.skip(u64::from(u32::MAX));
    assert_eq!((book.next_offset(), book.is_empty()), (u64::from(u32::MAX) + 1, false));
}
