//! Which letters may be redriven: those that the ordinary path would take. All others stay, each with its reason.

use callboard_domain::id::ConversationId;
use callboard_domain::plan::EffectClass;
use callboard_domain::request::Request;
use callboard_domain::time::rfc3339;
use callboard_domain::wire::{self, Unreadable};
use callboard_ports::Topic;

use super::Letter;

/// Why a letter stays where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stays {
    /// Stable.
    pub code: &'static str,
    /// One sentence that says what to do instead, where there is something.
    pub detail: String,
}

impl Stays {
    pub(super) fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// What a letter holds that may be redriven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    /// The conversation of a command, which may be held at a record of a newer build.
    pub command_of: Option<ConversationId>,
}

/// Whether a letter may be redriven at `now_ms`.
///
/// # Errors
/// [`Stays`].
pub fn judge(letter: &Letter, now_ms: i64) -> Result<Fit, Stays> {
    if let Some(mark) = &letter.mark {
        let words = format!("it was redriven by {} at {}", mark.by, rfc3339(mark.at_ms));
        return Err(Stays::new("already_redriven", words));
    }
    let record = &letter.record;
    match letter.id.topic {
        Topic::UserCommands => {
            let (meta, _) = wire::read_command(&record.key, &record.value).map_err(|e| unreadable(&e))?;
            Ok(Fit { command_of: Some(meta.conversation) })
        }
        Topic::ToolInvocationRequests | Topic::SynthesisRequests => {
            let (_, request) = wire::read_request(&record.value).map_err(|e| unreadable(&e))?;
            may_run(&request, letter.id.topic, now_ms)?;
            Ok(Fit { command_of: None })
        }
        Topic::ConversationEvents => {
            let words = "events are what happened; one that cannot be read never did, for every reader alike";
            Err(Stays::new("from_conversation_events", words))
        }
        Topic::DeadLetterQueue => {
            Err(Stays::new("foreign", "it is no dead letter of Callboard's: somebody else wrote it here"))
        }
        Topic::ToolEffects => {
            Err(Stays::new("from_tool_effects", "the ledger is only written by whoever runs the effect"))
        }
        Topic::AnswerChunks => Err(Stays::new(
            "from_answer_chunks",
            "a piece of an answer is of no use once the answer is written",
        )),
    }
}

fn may_run(request: &Request, topic: Topic, now_ms: i64) -> Result<(), Stays> {
    let wrong = || Stays::new("undecodable", format!("a {} does not belong in {topic}", request.name()));
    let not_after_ms = match (request, topic) {
        (Request::ToolInvocationRequested(body), Topic::ToolInvocationRequests) => {
            if body.effect == EffectClass::Unsafe {
                let words = format!(
                    "{} is unsafe: it is settled, never run again (`callboard effects settle {}`)",
                    body.tool, body.effect_id
                );
                return Err(Stays::new("unsafe_tool", words));
            }
            body.not_after_ms
        }
        (Request::ToolInvocationCancelled(body), Topic::ToolInvocationRequests) => body.not_after_ms,
        (Request::SynthesizeFinalAnswerRequested(body), Topic::SynthesisRequests) => body.not_after_ms,
        _ => return Err(wrong()),
    };
    if not_after_ms <= now_ms {
        let words = format!(
            "it was not to be started after {}, so no worker would; the conversation asks again by itself while it needs it",
            rfc3339(not_after_ms)
        );
        return Err(Stays::new("expired", words));
    }
    Ok(())
}

fn unreadable(why: &Unreadable) -> Stays {
    match why {
        Unreadable::UnknownType { .. } => Stays::new(
            "unknown_type",
            format!("{why}, so it would come back at once; redrive it after the upgrade"),
        ),
        _ => Stays::new("undecodable", format!("it would come back at once: {why}")),
    }
}
