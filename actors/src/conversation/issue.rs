//! Effects become records: what `due` lists, less what is under way already. What is under way is volatile, leased and
//! bounded; forgetting it costs one duplicate request, which consumers drop. Neighbour: `requests`, which builds the records.

use std::sync::atomic::Ordering::Relaxed;

use actix::{Handler, Message};
use callboard_domain::command::UserQuery;
use callboard_domain::effect::{self, Effect, EffectKey};
use callboard_domain::event::{Event, PlanGenerated};
use callboard_domain::id::CommandId;
use callboard_domain::plan::PlanReason;
use callboard_domain::planted::{self, Defect};
use callboard_ports::log::AppendError;
use callboard_ports::model::{ModelError, PlanRequest};
use callboard_ports::record::{NewRecord, Topic};
use tokio::sync::oneshot;

use super::Conversation;
use crate::crash_point::crash_point;
use crate::limits::{FULL_RETRY, RESTART_RETRY};
use crate::planner_pool::AskPlan;

/// Effects under way, each until its lease (monotonic milliseconds) lapses.
#[derive(Default)]
pub struct Issued(Vec<(EffectKey, u64)>);

impl Issued {
    fn holds(&self, key: &EffectKey, now_ms: u64) -> bool {
        !planted::is(Defect::DropLease) && self.0.iter().any(|(held, until)| held == key && now_ms < *until)
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
                    down: self.host.shared.breakers.down(),
                    timeout_ms: left(*until_ms),
                    tokens_left: self.state.tokens_left(),
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

    /// Appends the batch. A full queue releases what was meant to be under way and comes back soon.
    pub(super) fn send(&mut self, out: Outgoing) {
        if out.records.is_empty() {
            return;
        }
        let (keys, decides, topic) = (out.keys, out.decides, out.records[0].topic);
        let addr = self.addr.clone();
        let metrics = self.host.shared.metrics.clone();
        let clock = self.host.shared.ports.clock.clone();
        let receipt = self.host.shared.ports.log.append(out.records);
        /// What the log refuses it refuses again, until the turn's deadline ends it: no hurry.
        const REFUSED_RETRY: std::time::Duration = std::time::Duration::from_secs(5);
        actix::spawn(async move {
            let failure = match receipt {
                Ok(receipt) => match receipt.await {
                    Ok(Ok(_)) => return acknowledged(topic, decides),
                    Ok(Err(error)) => error,
                    Err(_) => AppendError::Closed("the log went away".into()),
                },
                Err(error) => error,
            };
            if failure == AppendError::Full {
                metrics.appends_refused_full.fetch_add(1, Relaxed);
                metrics.refused("append_queue");
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
        let budget = self.host.shared.ports.tools.token_budget(&query.agent);
        let tokens_left = budget.map(|budget| budget.saturating_sub(self.state.tokens_used));
        if tokens_left == Some(0) {
            return;
        }
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
            down: self.host.shared.breakers.down(),
            timeout_ms: limits.planning_timeout_ms,
            tokens_left,
        };
        let key = EffectKey::first_plan(command);
        if !self.issued.holds(&key, self.host.shared.ports.clock.monotonic_ms()) {
            self.ask_planner(request, key);
        }
    }

    /// The planner pool is full, was restarted, or its call died of this question: asked again soon, and ever later, so that
    /// a question that no call survives is not asked in a loop. At last the turn's deadline ends it.
    fn ask_planner_again(&mut self, key: EffectKey) {
        /// The pause doubles so many times at most: to about five seconds.
        const DOUBLINGS: u32 = 9;
        let pause_ms = (RESTART_RETRY.as_millis() as u64) << self.planner_misses.min(DOUBLINGS);
        self.planner_misses = self.planner_misses.saturating_add(1);
        self.issued.put(key, self.host.shared.ports.clock.monotonic_ms() + pause_ms);
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
            self.host.shared.metrics.refused("planner_mailbox");
            self.ask_planner_again(key);
            return;
        }
        crash_point!("plan_asked");
        self.host.shared.metrics.plans_asked.fetch_add(1, Relaxed);
        self.issued.put(key.clone(), now_ms + timeout_ms + margin);
        let addr = self.addr.clone();
        actix::spawn(async move {
            let answer = answer.await.ok();
            let _ = addr.send(Planned { command, key, answer }).await;
        });
    }
}

/// A batch is in the log: the event of a command, one of the host's own, or requests.
fn acknowledged(topic: Topic, decides: bool) {
    if decides {
        crash_point!("event_appended");
    } else if topic == Topic::ConversationEvents {
        crash_point!("plan_appended");
    } else {
        crash_point!("requests_appended");
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
        if self.host.orders.is_revoked() && !planted::is(Defect::IssueAfterRevocation) {
            // The partition is somebody else's: its owner asks for a plan of its own.
            return;
        }
        let ahead = self.orders.is_deciding(&message.command);
        let current = self.state.running().is_some_and(|turn| turn.command == message.command);
        let held = self.issued.0.iter().any(|(held, _)| *held == message.key);
        if !held || !(ahead || current) {
            self.step();
            return;
        }
        if message.answer.is_some() {
            self.planner_misses = 0;
        }
        let event = match message.answer {
            Some(Ok(plan)) => Event::PlanGenerated(plan),
            Some(Err(error)) => {
                let running = self.state.running().filter(|_| current);
                effect::planless(running, message.key.plan_version().unwrap_or(1), &error.to_string())
            }
            None => {
                self.ask_planner_again(message.key);
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
