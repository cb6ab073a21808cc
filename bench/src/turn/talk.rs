//! Which conversation a user asks in. One after the other, of so many turns each: talks end.

/// Turns in one conversation before its user opens the next.
const TURNS_PER_CONVERSATION: u64 = 20;

/// A user's conversations.
#[derive(Debug, Default)]
pub struct Talk {
    conversation: String,
    turns: u64,
}

impl Talk {
    /// Where question `number` of the run is asked.
    pub fn conversation(&mut self, number: u64) -> &str {
        if self.turns.is_multiple_of(TURNS_PER_CONVERSATION) {
            self.conversation = format!("bench-{number}");
        }
        self.turns += 1;
        &self.conversation
    }
}
