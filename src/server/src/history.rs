//! A conversation's exchanges from its log: what the state no longer holds in full is still there.

use std::collections::VecDeque;
use std::sync::Arc;

use callboard_domain::event::Event;
use callboard_domain::id::ConversationId;
use callboard_domain::time::rfc3339;
use callboard_domain::view::{HistoryTurn, HistoryView};
use callboard_domain::wire::Readable;
use callboard_ports::log::{Batch, LogError};
use tokio::sync::mpsc;

use crate::compare::fold;

/// The newest `limit` exchanges, oldest first.
///
/// # Errors
/// When the log cannot be read.
pub async fn from_log(
    conversation: &ConversationId,
    records: mpsc::Receiver<Result<Batch, LogError>>,
    limit: usize,
) -> Result<HistoryView, LogError> {
    let mut turns: VecDeque<HistoryTurn> = VecDeque::new();
    let state = fold(conversation, None, records, |state, record, changed| {
        let (Readable::Event(event), Some(command), true) = (&record.body, &record.command, changed) else {
            return;
        };
        let ended: Option<(&str, Option<Arc<str>>)> = match event {
            Event::UserQueryReceived(body) => {
                turns.push_back(HistoryTurn {
                    turn: state.turns,
                    command_id: command.clone(),
                    message: body.message.clone(),
                    status: "pending".into(),
                    answer: None,
                    at: rfc3339(state.clock_ms),
                });
                if turns.len() > limit {
                    turns.pop_front();
                }
                None
            }
            Event::FinalAnswerSynthesized(body) => Some(("answered", Some(body.answer.clone()))),
            Event::PlanFailed(_) => Some(("failed", None)),
            Event::PlanCancelled(_) => Some(("cancelled", None)),
            _ => None,
        };
        // An over-long answer changes the state too, without ending the turn.
        let still_open = state.open.iter().any(|turn| turn.command == *command);
        if let (Some((status, answer)), false) = (ended, still_open)
            && let Some(turn) = turns.iter_mut().rev().find(|turn| turn.command_id == *command)
        {
            turn.status = status.into();
            turn.answer = answer;
        }
    })
    .await?;
    Ok(HistoryView { conversation_id: conversation.clone(), offset: state.next_offset, turns: turns.into() })
}
