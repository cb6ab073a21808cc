//! Asks one question for a tool.

use callboard_ports::model::CompletionRequest;

use super::{MAX_MESSAGE_BYTES, Message, Prompt, Role, clipped};

pub(crate) fn write(request: &CompletionRequest) -> Prompt {
    let system = request.instructions.as_ref().map(|words| Message::new(Role::System, &**words));
    let asked = Message::new(Role::User, clipped(&request.prompt, MAX_MESSAGE_BYTES));
    Prompt {
        messages: system.into_iter().chain([asked]).collect(),
        plan: None,
        max_tokens: request.max_tokens,
    }
}
