//! What a conversation does wrong when the simulation has switched a planted defect on (`domain::planted`). Without the
//! feature every question here is the constant `false`.

use callboard_domain::conversation::Recorded;
use callboard_domain::event::Event;
use callboard_domain::id::CommandId;
use callboard_domain::json::RawJson;
use callboard_domain::planted::{self, Defect};
use callboard_domain::wire::Readable;
use callboard_domain::{State, apply};

use super::Conversation;

impl Conversation {
    /// Takes what was decided for what happened, or numbers the turn by what is in hand.
    pub(super) fn misjudge(&mut self, command: &CommandId, mut event: Event) -> Event {
        if planted::is(Defect::WriterNumbersTurns)
            && let Event::UserQueryReceived(body) = &mut event
        {
            let number = self.state.turns as usize + self.host.orders.len();
            body.metadata = RawJson::parse(&format!("{{\"turn\":{number}}}")).ok();
        }
        if planted::is(Defect::ApplyBeforeLog) {
            let unread = Recorded {
                offset: self.state.next_offset,
                timestamp_ms: self.host.shared.now_ms(),
                command: Some(command.clone()),
                body: Readable::Event(event.clone()),
            };
            apply(&mut self.state, &unread);
        }
        event
    }

    /// A state that claims more than it has folded.
    pub(super) fn stale(&self) -> Option<State> {
        planted::is(Defect::StaleSnapshot).then(|| {
            let mut stale = self.state.clone();
            stale.known.pop_back();
            stale
        })
    }
}
