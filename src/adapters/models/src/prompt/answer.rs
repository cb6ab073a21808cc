//! Asks for the answer to a turn, from its results.

use std::fmt::Write;

use callboard_domain::request::SynthesizeFinalAnswerRequested;

use super::files::SYNTHESIZE;
use super::{MAX_MESSAGE_BYTES, Message, Prompt, Role, clipped, history, results, system};
use crate::agents::Agent;

pub(crate) fn write(request: &SynthesizeFinalAnswerRequested, agent: &Agent, history_bytes: usize) -> Prompt {
    let mut messages = vec![Message::new(Role::System, system(&agent.instructions, SYNTHESIZE))];
    messages.extend(history::messages(&request.history, history_bytes));
    let mut asked = clipped(&request.message, MAX_MESSAGE_BYTES);
    results(&mut asked, &request.steps);
    if let Some(guidance) = &request.guidance {
        let _ = write!(asked, "\n\nThe planner's advice to you: {guidance}");
    }
    messages.push(Message::new(Role::User, asked));
    Prompt { messages, plan: None, max_tokens: None }
}
