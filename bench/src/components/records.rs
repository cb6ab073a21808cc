//! What each service is given to do: the records that its neighbours would have written.

use std::sync::Arc;

use anyhow::Result;
use callboard_domain::command::{Command, UserQuery};
use callboard_domain::event::Outcome;
use callboard_domain::id::{CommandId, ConversationId, EffectId, StepId};
use callboard_domain::json::RawJson;
use callboard_domain::plan::EffectClass;
use callboard_domain::request::{
    ReplyTo, Request, StepReport, SynthesizeFinalAnswerRequested, ToolInvocationRequested,
};
use callboard_domain::time::rfc3339;
use callboard_domain::wire::{self, Stamp};
use callboard_ports::headers::{self, DEFAULT_POOL, Family, POOL};
use callboard_ports::partition::partition_of;
use callboard_ports::{HeaderList, NewRecord, Topic};

use crate::seed::now_ms;

/// Nothing of a measurement takes longer.
const HOUR_MS: i64 = 3_600_000;
/// Of the embedded log when nothing is said.
const PARTITIONS: u32 = 8;

fn conversation(number: usize) -> ConversationId {
    ConversationId::new(&format!("part-{number}")).expect("letters, a hyphen and digits")
}

fn command_id(number: usize) -> CommandId {
    CommandId::new(&format!("019c0000-{number:016x}")).expect("hexadecimal digits and a hyphen")
}

/// The message that the built-in planner makes three parallel steps of.
pub fn message(number: usize) -> String {
    format!("echo a{number}; echo b{number}; echo c{number}")
}

/// A question in a conversation of its own.
pub fn command(number: usize) -> Result<NewRecord> {
    let command = Command::UserQueryReceived(UserQuery {
        message: Arc::from(message(number)),
        agent: Arc::from("default"),
        principal: None,
        metadata: None,
        history: None,
    });
    let write = |stamp: Stamp<'_>| wire::write_command(stamp, &command);
    let key = conversation(number).to_string();
    record(Topic::UserCommands, Family::Command, command.name(), number, key, write, |_| ())
}

/// One call of a tool.
pub fn invocation(number: usize, tool: &str, arguments: &RawJson) -> Result<NewRecord> {
    let effect_id = EffectId {
        conversation: conversation(number),
        command: command_id(number),
        version: 1,
        step: StepId::new("s1").expect("a letter and a digit"),
    };
    let key = effect_id.to_string();
    let reply_to = reply_to(number);
    let request = Request::ToolInvocationRequested(ToolInvocationRequested {
        effect_id,
        attempt: 1,
        tool: Arc::from(tool),
        arguments: arguments.clone(),
        effect: EffectClass::Pure,
        timeout_ms: 30_000,
        not_after_ms: now_ms() + HOUR_MS,
        reply_to: reply_to.clone(),
    });
    let write = |stamp: Stamp<'_>| wire::write_request(stamp, &request);
    let own = |headers: &mut HeaderList| {
        headers.push(POOL, DEFAULT_POOL);
        headers::push_reply_to(headers, &reply_to);
    };
    record(Topic::ToolInvocationRequests, Family::Request, request.name(), number, key, write, own)
}

/// The answer of three echo steps.
pub fn synthesis(number: usize) -> Result<NewRecord> {
    let step = |nth: usize| {
        let text = RawJson::parse(&format!(r#"{{"text":"a{number}-{nth}"}}"#)).expect("JSON");
        StepReport {
            version: 1,
            id: StepId::new(&format!("s{nth}")).expect("a letter and a digit"),
            tool: Arc::from("echo"),
            arguments: text.clone(),
            outcome: Some(Outcome::Ok(text)),
        }
    };
    let request = Request::SynthesizeFinalAnswerRequested(SynthesizeFinalAnswerRequested {
        version: 1,
        message: Arc::from(message(number)),
        agent: Arc::from("default"),
        guidance: None,
        steps: (1..=3).map(step).collect(),
        history: Vec::new(),
        not_after_ms: now_ms() + HOUR_MS,
        reply_to: reply_to(number),
        tokens_left: None,
    });
    let write = |stamp: Stamp<'_>| wire::write_request(stamp, &request);
    let key = conversation(number).to_string();
    record(Topic::SynthesisRequests, Family::Request, request.name(), number, key, write, |_| ())
}

fn reply_to(number: usize) -> ReplyTo {
    let key = conversation(number);
    ReplyTo {
        topic: Arc::from(Topic::ConversationEvents.name()),
        partition: partition_of(key.as_str().as_bytes(), PARTITIONS),
        key: Arc::from(key.as_str()),
    }
}

fn record(
    topic: Topic,
    family: Family,
    name: &str,
    number: usize,
    key: String,
    write: impl FnOnce(Stamp<'_>) -> Result<Vec<u8>, serde_json::Error>,
    own: impl FnOnce(&mut HeaderList),
) -> Result<NewRecord> {
    let (conversation, command, at) = (conversation(number), command_id(number), rfc3339(now_ms()));
    let id = format!("{command}-{name}");
    let stamp = Stamp {
        id: &id,
        conversation: &conversation,
        command: Some(&command),
        at: &at,
        causation_id: command.as_str(),
    };
    let mut headers = headers::cloud_event(family, name, 1, &id, &conversation, &at, None);
    own(&mut headers);
    Ok(NewRecord {
        topic,
        partition: partition_of(key.as_bytes(), PARTITIONS),
        value: write(stamp)?.into(),
        headers: headers.into(),
        key: key.into(),
    })
}
