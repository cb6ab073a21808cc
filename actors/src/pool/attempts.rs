//! What a pool remembers of effects that it has not in hand: what was answered lately, what was called off. Changed by
//! `intake`, `cancel` and `answers`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use callboard_domain::time::Millis;

/// The highest attempt of effects, each until its time is over. Bounded: what ends first makes room, never what has just come
/// in, which is the likeliest to come again.
pub(super) struct Attempts {
    by_effect: HashMap<Arc<str>, (u32, Millis)>,
    by_time: BTreeSet<(Millis, Arc<str>)>,
    most: usize,
}

impl Attempts {
    pub fn new(most: usize) -> Self {
        Self { by_effect: HashMap::new(), by_time: BTreeSet::new(), most }
    }

    /// `attempt` and all earlier ones, until the instant `until_ms`.
    pub fn remember(&mut self, effect: &Arc<str>, attempt: u32, until_ms: Millis, now_ms: Millis) {
        let (attempt, until_ms) = match self.by_effect.get(effect) {
            Some((known, known_ms)) => {
                self.by_time.remove(&(*known_ms, effect.clone()));
                ((*known).max(attempt), (*known_ms).max(until_ms))
            }
            None => (attempt, until_ms),
        };
        self.by_effect.insert(effect.clone(), (attempt, until_ms));
        self.by_time.insert((until_ms, effect.clone()));
        while let Some((first_ms, first)) = self.by_time.first()
            && (*first_ms < now_ms || self.by_time.len() > self.most)
        {
            self.by_effect.remove(first);
            self.by_time.pop_first();
        }
    }

    /// Whether this attempt, or a later one, is among them at `now_ms`.
    pub fn holds(&self, effect: &str, attempt: u32, now_ms: Millis) -> bool {
        self.by_effect
            .get(effect)
            .is_some_and(|(highest, until_ms)| attempt <= *highest && now_ms <= *until_ms)
    }

    pub fn len(&self) -> usize {
        self.by_effect.len()
    }
}

#[cfg(test)]
mod tests {
    use super::Attempts;

    #[test]
    fn an_attempt_is_remembered_until_its_time_is_over() {
        let mut known = Attempts::new(3);
        known.remember(&"a".into(), 2, 100, 0);
        known.remember(&"a".into(), 1, 50, 0);
        assert!(known.holds("a", 2, 100) && known.holds("a", 1, 0));
        assert!(!known.holds("a", 3, 0) && !known.holds("b", 1, 0) && !known.holds("a", 1, 101));
        for (effect, until_ms) in [("b", 10), ("c", 200), ("d", 300)] {
            known.remember(&effect.into(), 1, until_ms, 0);
        }
        assert!(!known.holds("b", 1, 0) && known.holds("a", 1, 0), "the first to end makes room");
        known.remember(&"e".into(), 1, 400, 250);
        assert!(
            !known.holds("a", 1, 0) && !known.holds("c", 1, 0),
            "their time is over, and their place free"
        );
        assert!(known.holds("d", 1, 250) && known.holds("e", 1, 250) && known.len() == 2);
    }

    #[test]
    fn the_newest_are_remembered_however_many_there_are() {
        let mut known = Attempts::new(100);
        for number in 0..10_000_i64 {
            known.remember(&number.to_string().into(), 1, number + 1_000, number);
            assert!(known.holds(&number.to_string(), 1, number), "the {number}th has just been answered");
        }
        assert!(known.len() == 100 && known.holds("9900", 1, 9_999) && !known.holds("9899", 1, 9_999));
    }
}
