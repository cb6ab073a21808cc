//! Folding that survives a fold that panics: the record is poison, its conversation is held in front of it, and everybody
//! else goes on. The fold is meant never to panic; this is for the day on which it does.

use std::panic::{AssertUnwindSafe, catch_unwind};

use callboard_domain::conversation::{Applied, Blocked, Recorded};
use callboard_domain::wire::Readable;
use callboard_domain::{State, apply};

/// The record that the fold panicked over. The state that it was folded into is not to be used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Poison {
    pub offset: u64,
}

/// Folds one record.
pub(super) fn fold(state: &mut State, recorded: &Recorded) -> Result<(), Poison> {
    guarded(state, recorded, apply)
}

fn guarded(
    state: &mut State,
    recorded: &Recorded,
    apply: impl FnOnce(&mut State, &Recorded) -> Applied,
) -> Result<(), Poison> {
    match catch_unwind(AssertUnwindSafe(|| apply(state, recorded))) {
        Ok(_) => Ok(()),
        Err(_) => Err(Poison { offset: recorded.offset }),
    }
}

/// Holds the conversation in front of a record, as one that this build does not know holds it.
pub(super) fn hold(state: &mut State, recorded: &Recorded) {
    let (kind, version) = match &recorded.body {
        Readable::Event(event) => (event.name().into(), event.version()),
        Readable::Unknown { kind, version } => (kind.clone(), *version),
    };
    tracing::error!(
        conversation = %state.conversation, offset = recorded.offset, %kind,
        "folding this record panics: the conversation is held in front of it, others go on"
    );
    state.blocked = Some(Blocked { offset: recorded.offset, kind, version });
}

#[cfg(test)]
mod tests {
    use callboard_domain::conversation::{Applied, Recorded};
    use callboard_domain::event::{Event, UserHistoryReset};
    use callboard_domain::id::{CommandId, ConversationId};
    use callboard_domain::wire::Readable;
    use callboard_domain::{State, apply};

    use super::{Poison, guarded, hold};

    fn reset(offset: u64) -> Recorded {
        let command = Some(CommandId::new(&format!("k{offset}")).unwrap());
        let body = Readable::Event(Event::UserHistoryReset(UserHistoryReset { by: None }));
        Recorded { offset, timestamp_ms: 1, command, body }
    }

    #[test]
    fn a_fold_that_panics_names_its_record_and_the_conversation_is_held_there() {
        let mut state = State::new(ConversationId::new("c").unwrap());
        assert_eq!(guarded(&mut state, &reset(0), apply), Ok(()));
        let panics = |_: &mut State, _: &Recorded| -> Applied { panic!("a defect") };
        assert_eq!(guarded(&mut state, &reset(1), panics), Err(Poison { offset: 1 }));
        hold(&mut state, &reset(1));
        assert_eq!(guarded(&mut state, &reset(2), apply), Ok(()));
        let blocked = state.blocked.as_ref().unwrap();
        assert_eq!((blocked.offset, &*blocked.kind), (1, "UserHistoryReset"));
        assert_eq!((state.next_offset, state.known.len()), (1, 1), "nothing behind it is folded");
    }
}
