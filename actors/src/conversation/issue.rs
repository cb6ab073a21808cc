//! Effects become records: what `due` lists, less what is under way already. What is under way is volatile, leased and
//! bounded; forgetting it costs one duplicate request, which consumers drop.

use std::sync::atomic::Ordering::Relaxed;

use actix::{Handler, Message};
use callboard_domain::command::UserQuery;
use callboard_domain::effect::{self, Effect, EffectKey};
use callboard_domain::event::{Event, PlanFailed, PlanGenerated, TurnError};
use callboard_domain::id::{CommandId, StepId};
use callboard_domain::plan::PlanReason;
use callboard_domain::request::{
    ReplyTo, Request, SynthesizeFinalAnswerRequested, ToolInvocationCancelled, ToolInvocationRequested,
};
use callboard_domain::time::rfc3339;
use callboard_domain::wire::{self, Stamp};
use callboard_ports::headers::{self, Family, POOL};
use callboard_ports::log::AppendError;
use callboard_ports::model::{ModelError, PlanRequest};
use callboard_ports::partition::partition_of;
use callboard_ports::record::{Header, NewRecord, Topic};
use tokio::sync::oneshot;

use super::Conversation;
use super::shorten::shorten;
use crate::limits::FULL_RETRY;
use crate::planner_pool::AskPlan;
use crate::shared::About;

/// Effects under way, each until its lease (monotonic milliseconds) lapses.
#[derive(Default)]
pub struct Issued(Vec<(EffectKey, u64)>);

impl Issued {
    fn holds(&self, key: &EffectKey, now_ms: u64) -> bool {
        self.0.iter().any(|(held, until)| held == key && now_ms < *until)
    }

    fn put(&mut self, key: EffectKey, until_ms: u64) {
        self.release(&key);
        self.0.push((key, until_ms));
    }

    fn release(&mut self, key: &EffectKey) {
        self.0.retain(|(held, _)| held != key);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Milliseconds until the first lease lapses.
    pub fn first_lapse_in_ms(&self, now_ms: u64) -> Option<u64> {
        self.0.iter().map(|(_, until)| until.saturating_sub(now_ms)).min()
    }
}

/// What one step wants appended, as one batch.
#[derive(Default)]
pub struct Outgoing {
    pub records: Vec<NewRecord>,
    keys: Vec<EffectKey>,
    /// Whether the event of a command is among them.
    pub decides: bool,
}

/// An append was not acknowledged: its effects are not under way any more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AppendFailed {
    keys: Vec<EffectKey>,
    decides: bool,
}

/// The planner has answered.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Planned {
    command: CommandId,
    key: EffectKey,
    /// `None`: the planner pool went away with the question.
    answer: Option<Result<PlanGenerated, ModelError>>,
}

impl Conversation {
    /// Turns what is due and not under way into records and planner calls.
    pub(super) fn issue(&mut self, effects: &[Effect], out: &mut Outgoing) {
        let now_ms = self.host.shared.ports.clock.monotonic_ms();
        let keys: Vec<EffectKey> = effects.iter().map(Effect::key).collect();
        let orders = &self.orders;
        // The first plan may be asked for before its turn is read back; everything else follows `due`.
        self.issued.0.retain(|(held, _)| {
            keys.contains(held) || orders.deciding_plan().is_some_and(|ahead| ahead == *held)
        });
        for (effect, key) in effects.iter().zip(keys) {
            if !self.issued.holds(&key, now_ms) {
                self.start(effect, key, out);
            }
        }
    }

    fn start(&mut self, effect: &Effect, key: EffectKey, out: &mut Outgoing) {
        let (now_ms, log_ms) = (self.host.shared.ports.clock.monotonic_ms(), self.host.shared.now_ms());
        let margin = self.host.shared.limits.lease_margin.as_millis() as u64;
        let left = |until_ms: i64| u64::try_from(until_ms - log_ms).unwrap_or(0);
        let append_ms = self.host.shared.limits.append_timeout.as_millis() as u64;
        match effect {
            Effect::AskPlanner { command, version, reason, until_ms } => {
                let Some(turn) = self.state.running() else { return };
                let request = PlanRequest {
                    conversation: self.state.conversation.clone(),
                    command: command.clone(),
                    version: *version,
                    reason: *reason,
                    message: turn.message.clone(),
                    agent: turn.agent.clone(),
                    history: effect::history(&self.state),
                    results: effect::reports(&turn.versions),
                    down: Vec::new(),
                    timeout_ms: left(*until_ms),
                };
                self.ask_planner(request, key);
            }
            Effect::Invoke { command, version, step, until_ms, .. } => {
                let Some((record, timeout_ms)) = self.invocation(command, *version, step, *until_ms) else {
                    return;
                };
                self.host.shared.metrics.invocations_requested.fetch_add(1, Relaxed);
                self.issued.put(key.clone(), now_ms + timeout_ms + margin);
                out.records.push(record);
                out.keys.push(key);
            }
            Effect::CancelInvocation { command, version, step, until_ms, .. } => {
                let Some(record) = self.cancellation(command, *version, step, *until_ms) else { return };
                // Whoever missed it is told again, a few times before it stops to matter.
                self.issued.put(key.clone(), now_ms + (left(*until_ms) / 3).max(margin));
                out.records.push(record);
                out.keys.push(key);
            }
            Effect::Synthesize { command, version, until_ms } => {
                let Some(record) = self.synthesis(command, *version, *until_ms) else { return };
                // A lost request is asked again well before the phase ends.
                let lease = (left(*until_ms) / 3).max(margin);
                self.issued.put(key.clone(), now_ms + lease);
                out.records.push(record);
                out.keys.push(key);
            }
            Effect::Append { command, event } => {
                out.records.push(self.own_event(command, event));
                self.issued.put(key.clone(), now_ms + append_ms);
                out.keys.push(key);
            }
        }
    }

    fn own_event(&self, command: &CommandId, event: &Event) -> NewRecord {
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

    fn request_record(&self, command: &CommandId, topic: Topic, key: String, request: &Request) -> NewRecord {
        let (id, at) = (self.host.shared.ports.entropy.new_id(), rfc3339(self.host.shared.now_ms()));
        let conversation = &self.state.conversation;
        let stamp =
            Stamp { id: &id, conversation, command: Some(command), at: &at, causation_id: command.as_str() };
        let value =
            wire::write_request(stamp, request).expect("a request built by this crate can be written");
        let partitions = self.host.shared.ports.log.partitions();
        NewRecord {
            topic,
            partition: partition_of(key.as_bytes(), partitions),
            key: key.into(),
            headers: headers::cloud_event(
                Family::Request,
                request.name(),
                1,
                &id,
                conversation,
                &at,
                self.traces.get(command).map(|trace| &**trace),
            ),
            value: value.into(),
        }
    }

    fn invocation(
        &self,
        command: &CommandId,
        version: u32,
        step: &StepId,
        until_ms: i64,
    ) -> Option<(NewRecord, u64)> {
        let invocation = effect::invocation(&self.state, command, version, step)?;
        let lease_ms = invocation.timeout_ms + self.host.shared.limits.lease_margin.as_millis() as u64;
        let reply_to = self.reply_to();
        let key = invocation.effect_id.to_string();
        let request = Request::ToolInvocationRequested(ToolInvocationRequested {
            effect_id: invocation.effect_id,
            attempt: invocation.attempt,
            tool: invocation.tool,
            arguments: invocation.arguments,
            effect: invocation.effect,
            timeout_ms: invocation.timeout_ms,
            not_after_ms: until_ms.min(self.host.shared.now_ms().saturating_add_unsigned(lease_ms)),
            reply_to: reply_to.clone(),
        });
        let mut record = self.request_record(command, Topic::ToolInvocationRequests, key, &request);
        record.headers.push(Header::new(POOL, invocation.pool.to_string()));
        headers::push_reply_to(&mut record.headers, &reply_to);
        Some((record, invocation.timeout_ms))
    }

    fn cancellation(
        &self,
        command: &CommandId,
        version: u32,
        step: &StepId,
        until_ms: i64,
    ) -> Option<NewRecord> {
        let invocation = effect::cancelled(&self.state, command, version, step)?;
        let reply_to = self.reply_to();
        let key = invocation.effect_id.to_string();
        let request = Request::ToolInvocationCancelled(ToolInvocationCancelled {
            effect_id: invocation.effect_id,
            attempt: invocation.attempt,
            tool: invocation.tool,
            effect: invocation.effect,
            not_after_ms: until_ms,
            reply_to: reply_to.clone(),
        });
        let mut record = self.request_record(command, Topic::ToolInvocationRequests, key, &request);
        record.headers.push(Header::new(POOL, invocation.pool.to_string()));
        headers::push_reply_to(&mut record.headers, &reply_to);
        Some(record)
    }

    fn synthesis(&self, command: &CommandId, version: u32, until_ms: i64) -> Option<NewRecord> {
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
        };
        shorten(&mut body);
        let request = Request::SynthesizeFinalAnswerRequested(body);
        let key = self.state.conversation.as_str().to_owned();
        let mut record = self.request_record(command, Topic::SynthesisRequests, key, &request);
        headers::push_reply_to(&mut record.headers, &self.reply_to());
        Some(record)
    }

    /// Appends the batch. A full queue releases what was meant to be under way and comes back soon.
    pub(super) fn send(&mut self, out: Outgoing) {
        if out.records.is_empty() {
            return;
        }
        let (keys, decides) = (out.keys, out.decides);
        let addr = self.addr.clone();
        let metrics = self.host.shared.metrics.clone();
        let clock = self.host.shared.ports.clock.clone();
        let receipt = self.host.shared.ports.log.append(out.records);
        /// What the log refuses it refuses again, until the turn's deadline ends it: no hurry.
        const REFUSED_RETRY: std::time::Duration = std::time::Duration::from_secs(5);
        actix::spawn(async move {
            let failure = match receipt {
                Ok(receipt) => match receipt.await {
                    Ok(Ok(_)) => return,
                    Ok(Err(error)) => error,
                    Err(_) => AppendError::Closed("the log went away".into()),
                },
                Err(error) => error,
            };
            if failure == AppendError::Full {
                metrics.appends_refused_full.fetch_add(1, Relaxed);
            } else {
                metrics.appends_failed.fetch_add(1, Relaxed);
                tracing::warn!(%failure, "append failed; it is decided again");
            }
            let pause = if matches!(failure, AppendError::Refused(_)) { REFUSED_RETRY } else { FULL_RETRY };
            clock.sleep(pause).await;
            // An actor that is gone has no use for it: whoever replaces it derives the same work again.
            let _ = addr.send(AppendFailed { keys, decides }).await;
        });
    }

    /// Asks for the first plan of a turn that is on its way into the log.
    pub(super) fn ask_first_plan(&mut self, command: &CommandId, query: &UserQuery) {
        let limits = self.host.shared.ports.tools.turn_limits(&query.agent);
        let request = PlanRequest {
            conversation: self.state.conversation.clone(),
            command: command.clone(),
            version: 1,
            reason: PlanReason::First,
            message: query.message.clone(),
            agent: query.agent.clone(),
            history: effect::history(&self.state),
            results: Vec::new(),
            down: Vec::new(),
            timeout_ms: limits.planning_timeout_ms,
        };
        let key = EffectKey::first_plan(command);
        if !self.issued.holds(&key, self.host.shared.ports.clock.monotonic_ms()) {
            self.ask_planner(request, key);
        }
    }

    fn ask_planner(&mut self, request: PlanRequest, key: EffectKey) {
        let now_ms = self.host.shared.ports.clock.monotonic_ms();
        let margin = self.host.shared.limits.lease_margin.as_millis() as u64;
        let (reply, answer) = oneshot::channel();
        let (command, timeout_ms) = (request.command.clone(), request.timeout_ms);
        let asked =
            self.host.planner().is_some_and(|planner| planner.try_send(AskPlan { request, reply }).is_ok());
        if !asked {
            // A planner pool that is full or being restarted is asked again soon.
            self.issued.put(key, now_ms + FULL_RETRY.as_millis() as u64);
            return;
        }
        self.host.shared.metrics.plans_asked.fetch_add(1, Relaxed);
        self.issued.put(key.clone(), now_ms + timeout_ms + margin);
        let addr = self.addr.clone();
        actix::spawn(async move {
            let answer = answer.await.ok();
            let _ = addr.send(Planned { command, key, answer }).await;
        });
    }
}

impl super::orders::OrderQueue {
    /// The key of the plan that may be asked for ahead of its turn.
    fn deciding_plan(&self) -> Option<EffectKey> {
        self.deciding_command().map(EffectKey::first_plan)
    }
}

impl Handler<Planned> for Conversation {
    type Result = ();

    fn handle(&mut self, message: Planned, _: &mut Self::Context) {
        self.touch();
        let ahead = self.orders.is_deciding(&message.command);
        let current = self.state.running().is_some_and(|turn| turn.command == message.command);
        let held = self.issued.0.iter().any(|(held, _)| *held == message.key);
        if !held || !(ahead || current) {
            self.step();
            return;
        }
        let event = match message.answer {
            Some(Ok(plan)) => Event::PlanGenerated(plan),
            Some(Err(error)) => {
                Event::PlanFailed(PlanFailed { error: TurnError::new("no_plan", error.to_string()) })
            }
            None => {
                self.issued.release(&message.key);
                self.step();
                return;
            }
        };
        let append_ms = self.host.shared.limits.append_timeout.as_millis() as u64;
        self.issued.put(message.key.clone(), self.host.shared.ports.clock.monotonic_ms() + append_ms);
        let records = vec![self.own_event(&message.command, &event)];
        self.send(Outgoing { records, keys: vec![message.key], decides: false });
        self.step();
    }
}

impl Handler<AppendFailed> for Conversation {
    type Result = ();

    fn handle(&mut self, message: AppendFailed, _: &mut Self::Context) {
        for key in &message.keys {
            self.issued.release(key);
        }
        if message.decides {
            // A plan that was appended behind a question that did not come to be is ignored: plan again.
            if let Some(ahead) = self.orders.deciding_plan() {
                self.issued.release(&ahead);
            }
            self.orders.failed();
        }
        self.step();
    }
}
