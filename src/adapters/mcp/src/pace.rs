//! How fast a server that ends is started again: at once at first, then ever slower, and hardly at all when nothing
//! helps. [`crate::server`] waits as this says.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The first pause: a process that was killed is back before most calls have noticed.
const FIRST: Duration = Duration::from_millis(250);
/// The longest pause within the budget.
const LONGEST: Duration = Duration::from_secs(30);
/// Failures in a row that are answered with ever longer pauses: some two minutes of trying.
const BUDGET: u32 = 10;
/// With the budget used up a person has to do something; this is to notice that they did.
const SPENT: Duration = Duration::from_secs(300);
/// Up for as long as this, a server has shown that it works: its next end is a first one.
const STEADY: Duration = Duration::from_secs(60);

/// Counts failures in a row.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    failures: u32,
}

impl Pace {
    /// The server ended, or did not start, after it had been up for `up`. How long to wait before the next start.
    pub fn pause_after(&mut self, up: Option<Duration>) -> Duration {
        if up.is_some_and(|up| up >= STEADY) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        if self.is_spent() {
            return jittered(SPENT);
        }
        jittered(FIRST.saturating_mul(1 << (self.failures - 1)).min(LONGEST))
    }

    /// Whether the budget of failures in a row is used up.
    pub fn is_spent(&self) -> bool {
        self.failures > BUDGET
    }
}

/// Down by up to a half, so that servers that died together do not start together.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8);
    let fraction = f64::from(u32::try_from(random >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX);
    pause.mul_f64(1.0 - fraction / 2.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BUDGET, LONGEST, Pace, SPENT, STEADY};

    #[test]
    fn pauses_grow_to_the_budget_and_a_steady_life_begins_anew() {
        let mut pace = Pace::default();
        let first = pace.pause_after(None);
        assert!((Duration::from_millis(125)..=Duration::from_millis(250)).contains(&first), "{first:?}");
        for _ in 1..BUDGET {
            let pause = pace.pause_after(Some(Duration::from_secs(1)));
            assert!(pause <= LONGEST && !pace.is_spent(), "{pause:?}");
        }
        let pause = pace.pause_after(None);
        assert!(pause >= SPENT / 2 && pace.is_spent(), "{pause:?}");
        let pause = pace.pause_after(Some(STEADY));
        assert!(pause <= Duration::from_millis(250) && !pace.is_spent(), "{pause:?}");
    }
}
