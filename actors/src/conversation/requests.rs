//! Effects as records: events and requests, built from the state when they are issued. Neighbour: `issue`, which decides
//! when.

use callboard_domain::effect;
use callboard_domain::event::Event;
use callboard_domain::id::{CommandId, StepId};
use callboard_domain::request::{
    ReplyTo, Request, SynthesizeFinalAnswerRequested, ToolInvocationCancelled, ToolInvocationRequested,
};
use callboard_domain::time::rfc3339;
use callboard_domain::wire::{self, Stamp};
use callboard_ports::headers::{self, Family, POOL};
use callboard_ports::partition::partition_of;
use callboard_ports::record::{HeaderList, NewRecord, Topic};

use super::Conversation;
use super::shorten::shorten;
use crate::shared::About;

impl Conversation {
    pub(super) fn own_event(&self, command: &CommandId, event: &Event) -> NewRecord {
        let about = About {
            conversation: &self.state.conversation,
            command: Some(command),
            causation_id: command.as_str(),
            traceparent: self.traces.get(command).map(|trace| &**trace),
        };
        self.host.shared.event_record(about, self.host.partition, event)
    }

    fn reply_to(&self) -> ReplyTo {
        ReplyTo {
            topic: Topic::ConversationEvents.name().into(),
            partition: self.host.partition,
            key: self.state.conversation.as_str().into(),
        }
    }

    /// A request that is answered to this partition; `own` adds the headers that only its topic has.
    fn request_record(
        &self,
        command: &CommandId,
        topic: Topic,
        key: String,
        request: &Request,
        own: impl FnOnce(&mut HeaderList),
    ) -> NewRecord {
        let (id, at) = (self.host.shared.ports.entropy.new_id(), rfc3339(self.host.shared.now_ms()));
        let conversation = &self.state.conversation;
        let stamp =
            Stamp { id: &id, conversation, command: Some(command), at: &at, causation_id: command.as_str() };
        let value =
            wire::write_request(stamp, request).expect("a request built by this crate can be written");
        let partitions = self.host.shared.ports.log.partitions();
        let trace = self.traces.get(command).map(|trace| &**trace);
        let mut headers =
            headers::cloud_event(Family::Request, request.name(), 1, &id, conversation, &at, trace);
        own(&mut headers);
        headers::push_reply_to(&mut headers, &self.reply_to());
        NewRecord {
            topic,
            partition: partition_of(key.as_bytes(), partitions),
            key: key.into(),
            headers: headers.into(),
            value: value.into(),
        }
    }

    fn to_pool(&self, command: &CommandId, pool: &str, key: String, request: &Request) -> NewRecord {
        self.request_record(command, Topic::ToolInvocationRequests, key, request, |own| own.push(POOL, pool))
    }

    /// The request of one attempt, and how long the tool may take.
    pub(super) fn invocation(
        &self,
        command: &CommandId,
        version: u32,
        step: &StepId,
        until_ms: i64,
    ) -> Option<(NewRecord, u64)> {
        let invocation = effect::invocation(&self.state, command, version, step)?;
        let lease_ms = invocation.timeout_ms + self.host.shared.limits.lease_margin.as_millis() as u64;
        let key = invocation.effect_id.to_string();
        let request = Request::ToolInvocationRequested(ToolInvocationRequested {
            effect_id: invocation.effect_id,
            attempt: invocation.attempt,
            tool: invocation.tool,
            arguments: invocation.arguments,
            effect: invocation.effect,
            timeout_ms: invocation.timeout_ms,
            not_after_ms: until_ms.min(self.host.shared.now_ms().saturating_add_unsigned(lease_ms)),
            reply_to: self.reply_to(),
        });
        Some((self.to_pool(command, &invocation.pool, key, &request), invocation.timeout_ms))
    }

    pub(super) fn cancellation(
        &self,
        command: &CommandId,
        version: u32,
        step: &StepId,
        until_ms: i64,
    ) -> Option<NewRecord> {
        let invocation = effect::cancelled(&self.state, command, version, step)?;
        let key = invocation.effect_id.to_string();
        let request = Request::ToolInvocationCancelled(ToolInvocationCancelled {
            effect_id: invocation.effect_id,
            attempt: invocation.attempt,
            tool: invocation.tool,
            effect: invocation.effect,
            not_after_ms: until_ms,
            reply_to: self.reply_to(),
        });
        Some(self.to_pool(command, &invocation.pool, key, &request))
    }

    pub(super) fn synthesis(&self, command: &CommandId, version: u32, until_ms: i64) -> Option<NewRecord> {
        let turn = self.state.running().filter(|turn| turn.command == *command)?;
        let mut body = SynthesizeFinalAnswerRequested {
            version,
            message: turn.message.clone(),
            agent: turn.agent.clone(),
            guidance: turn.plan().and_then(|plan| plan.guidance.clone()),
            steps: effect::reports(&turn.versions),
            history: effect::history(&self.state),
            not_after_ms: until_ms,
            reply_to: self.reply_to(),
            tokens_left: self.state.tokens_left(),
        };
        shorten(&mut body);
        let request = Request::SynthesizeFinalAnswerRequested(body);
        let key = self.state.conversation.as_str().to_owned();
        Some(self.request_record(command, Topic::SynthesisRequests, key, &request, |_| ()))
    }
}
