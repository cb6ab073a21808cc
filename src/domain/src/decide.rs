//! `decide`: a command becomes the one event that it yields. Refusals are events too.

use crate::command::{Asked, Command, PlanCancelRequest, UserQuery};
use crate::conversation::{State, TurnStatus};
use crate::event::{CommandRefused, Event, PlanCancelled, UserHistoryReset, UserQueryReceived};
use crate::id::CommandId;
use crate::plan::Toolbox;

/// What a command comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Append this, about the turn or command `command`.
    Append { command: CommandId, event: Event },
    /// The log knows this command already: nothing to append.
    Known,
}

/// Decides `asked` against the state as the log has it. Pure: appending and reading back is the host's work.
#[must_use]
pub fn decide(state: &State, asked: &Asked, toolbox: &dyn Toolbox) -> Decision {
    if state.known(asked.id.as_str()).is_some() {
        return Decision::Known;
    }
    let own = |event| Decision::Append { command: asked.id.clone(), event };
    match &asked.command {
        Command::UserQueryReceived(query) => own(Event::UserQueryReceived(accept(query, toolbox))),
        Command::UserHistoryReset(reset) => {
            own(Event::UserHistoryReset(UserHistoryReset { by: reset.by.clone() }))
        }
        Command::PlanCancelRequested(request) => match cancel(state, request, &asked.id) {
            Ok(event) => Decision::Append { command: request.turn_command_id.clone(), event },
            Err(refused) => own(Event::CommandRefused(refused)),
        },
    }
}

fn accept(query: &UserQuery, toolbox: &dyn Toolbox) -> UserQueryReceived {
    UserQueryReceived {
        message: query.message.clone(),
        agent: query.agent.clone(),
        principal: query.principal.clone(),
        metadata: query.metadata.clone(),
        body_hash: query.body_hash(),
        limits: toolbox.turn_limits(&query.agent),
    }
}

fn cancel(state: &State, request: &PlanCancelRequest, own: &CommandId) -> Result<Event, CommandRefused> {
    let refused = |code: &str, message: String| CommandRefused {
        command_type: "PlanCancelRequested".into(),
        code: code.into(),
        message: message.into(),
    };
    let turn = &request.turn_command_id;
    match state.known(turn.as_str()) {
        Some(known) if known.turn.is_some() && known.status == TurnStatus::Open => {
            Ok(Event::PlanCancelled(PlanCancelled {
                by: request.by.clone(),
                reason: request.reason.clone(),
                cancel_command: Some(own.clone()),
            }))
        }
        Some(_) => Err(refused("turn_not_open", format!("the turn of command {turn} has ended already"))),
        None => Err(refused("unknown_turn", format!("there is no turn of command {turn}"))),
    }
}
