//! What is asked: phrases that the built-in planner turns into plans of known shape.

use crate::seed::Seed;

/// Which tools a question may make the planner plan.
#[derive(Debug, Clone, Default)]
pub struct Palette {
    /// Where effects go, when the binary under test has tools for them.
    pub counter: Option<String>,
}

/// A question.
#[derive(Debug, Clone)]
pub struct Question {
    pub message: String,
    pub tag: String,
}

impl Palette {
    /// The `number`th question: mostly several steps, some of them slow, half of them with an effect outside where
    /// there is somebody to have it.
    pub fn question(&self, seed: &Seed, number: usize) -> Question {
        let tag = format!("q{number}x{:08x}", seed.next() as u32);
        let a = 2 + seed.below(900);
        let b = 2 + seed.below(900);
        let slow_ms = 100 + seed.below(1_900);
        let plain = match seed.below(4) {
            0 => format!("echo {tag}"),
            1 => format!("echo {tag}; echo b; echo c"),
            2 => format!("echo {tag} after {slow_ms} ms; what is {a}*{b}"),
            _ => format!("echo {tag}; echo slow after {slow_ms} ms; echo third"),
        };
        let message = match (&self.counter, seed.below(4)) {
            (Some(url), 0) => format!("webhook {url}/hook with {tag}; {plain}"),
            (Some(url), 1) => format!("{plain}; deposit {tag} at {url}"),
            _ => plain,
        };
        Question { message, tag }
    }
}
