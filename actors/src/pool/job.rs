//! A job: one request, how it is run, and the events that answer it. `request` reads it from its record; what may not be run
//! twice is run by `ledger`.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use callboard_domain::event::{
    Event, InvocationSettled, Outcome, PlanFailed, Settlement, ToolError, ToolInvocationInDoubt,
    ToolInvocationResulted, TurnError,
};
use callboard_domain::id::{CommandId, ConversationId, EffectId};
use callboard_domain::json::RawJson;
use callboard_domain::ledger::{EffectCommitted, Entry};
use callboard_domain::limits::MAX_RESULT_BYTES;
use callboard_domain::plan::EffectClass;
use callboard_domain::request::SynthesizeFinalAnswerRequested;
use callboard_domain::time::rfc3339;
use callboard_ports::partition::partition_of;
use callboard_ports::record::NewRecord;
use callboard_ports::tool::{Call, Tool};

use super::synthesis::answered;
use crate::crash_point::crash_point;
use crate::ledger::{Claim, Ledger, entry_record, perform};
use crate::shared::{About, Shared};

/// One attempt at one step.
#[derive(Debug)]
pub struct Invocation {
    pub effect_id: EffectId,
    pub attempt: u32,
    pub tool: Arc<str>,
    /// The stricter of what the plan says and what the tool says here.
    pub class: EffectClass,
    /// References resolved. `None`: all that is known of it is that it was called off.
    pub arguments: Option<RawJson>,
    pub timeout_ms: u64,
}

impl Invocation {
    /// Whether the ledger decides who runs it.
    pub fn is_ledgered(&self) -> bool {
        matches!(self.class, EffectClass::Reconcilable | EffectClass::Unsafe)
    }
}

/// What is asked for.
#[derive(Debug)]
pub(super) enum Work {
    Tool(Box<Invocation>),
    Synthesis(Box<SynthesizeFinalAnswerRequested>),
}

/// One request.
#[derive(Debug)]
pub struct Job {
    /// What duplicates and attempts share: the effect id, or conversation, command and plan version.
    pub effect: Arc<str>,
    /// From 1; of several the highest counts.
    pub attempt: u32,
    pub tool: Arc<str>,
    pub conversation: ConversationId,
    pub command: CommandId,
    pub(super) request_id: Box<str>,
    pub(super) traceparent: Option<Arc<str>>,
    /// Not to be started later (epoch milliseconds).
    pub not_after_ms: i64,
    pub(super) work: Work,
}

/// What is to be appended for a request before it is done.
#[derive(Debug)]
pub struct Answer {
    /// For the ledger, acknowledged before the events.
    pub entry: Option<EffectCommitted>,
    pub events: Vec<Event>,
}

impl Answer {
    pub fn of(event: Event) -> Self {
        Self { entry: None, events: vec![event] }
    }

    /// Whether the attempt is over with it. That a request came too late to be started settles a doubt, if there is one;
    /// where there is none, the attempt is asked for again.
    pub fn is_last_word(&self) -> bool {
        self.events.iter().any(|event| !matches!(event, Event::InvocationSettled(_)))
    }

    /// Whether it says that the effect was done.
    pub fn is_success(&self) -> bool {
        let done = |event: &Event| matches!(event, Event::ToolInvocationResulted(body) if matches!(body.outcome, Outcome::Ok(_)));
        self.events.iter().any(done)
    }
}

/// What a run came to.
#[derive(Debug)]
pub enum Came {
    Answer(Answer),
    /// Somebody else may be running it: to be looked at again, at this instant at the latest.
    Later {
        at_ms: i64,
    },
    /// There is nothing to be said about it.
    Nothing,
}

/// A job on its way to a worker, with its claim where the ledger decides.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub job: Arc<Job>,
    pub claim: Option<Arc<Claim>>,
}

impl Task {
    /// Runs it; the future may be dropped at any time.
    pub async fn run(self, shared: Arc<Shared>, ledger: Rc<Ledger>) -> Came {
        let started_at = Arc::from(rfc3339(shared.now_ms()));
        let event = match (&self.job.work, &self.claim) {
            (Work::Tool(invocation), Some(claim)) => {
                return perform(&self.job, invocation, ledger, claim).await;
            }
            (Work::Tool(invocation), None) => {
                let outcome = invoke(&shared, &self.job, invocation).await;
                self.job.resulted(&shared, invocation, outcome, started_at)
            }
            (Work::Synthesis(body), _) => {
                let left_ms = u64::try_from(self.job.not_after_ms - shared.now_ms()).unwrap_or(0);
                answered(&shared, &self.job, body, left_ms, started_at).await
            }
        };
        Came::Answer(Answer::of(event))
    }
}

impl Job {
    pub fn invocation(&self) -> Option<&Invocation> {
        match &self.work {
            Work::Tool(invocation) => Some(invocation),
            Work::Synthesis(_) => None,
        }
    }

    pub fn is_ledgered(&self) -> bool {
        self.invocation().is_some_and(Invocation::is_ledgered)
    }

    /// Whether it has been running for longer than anybody waits for it. Tool calls end by the pool's own timeout; a
    /// synthesizer is only told of its own, and one that does not keep it must not keep its worker.
    pub fn is_overdue(&self, shared: &Shared) -> bool {
        let margin_ms = i64::try_from(shared.limits.lease_margin.as_millis()).unwrap_or(i64::MAX);
        match self.work {
            Work::Tool(_) => false,
            Work::Synthesis(_) => shared.now_ms() > self.not_after_ms.saturating_add(margin_ms),
        }
    }

    /// The same, of which nothing is to be run.
    pub(super) fn called_off(mut self) -> Self {
        if let Work::Tool(invocation) = &mut self.work {
            invocation.arguments = None;
        }
        self
    }

    pub(super) fn is_called_off(&self) -> bool {
        self.invocation().is_some_and(|invocation| invocation.arguments.is_none())
    }

    pub fn about(&self) -> About<'_> {
        About {
            conversation: &self.conversation,
            command: Some(&self.command),
            causation_id: &self.request_id,
            traceparent: self.traceparent.as_deref(),
        }
    }

    /// The event that says that it cannot be done. Not for what the ledger decides.
    pub(super) fn failure(&self, shared: &Shared, error: ToolError) -> Event {
        match &self.work {
            Work::Tool(invocation) => {
                let now = Arc::from(rfc3339(shared.now_ms()));
                self.resulted(shared, invocation, Outcome::Error(error), now)
            }
            Work::Synthesis(_) => {
                let words = format!("{}: {}", error.kind, error.message);
                Event::PlanFailed(PlanFailed::of(TurnError::new("synthesis_failed", words)))
            }
        }
    }

    pub fn resulted(
        &self,
        shared: &Shared,
        invocation: &Invocation,
        outcome: Outcome,
        started_at: Arc<str>,
    ) -> Event {
        Event::ToolInvocationResulted(ToolInvocationResulted {
            version: invocation.effect_id.version,
            step: invocation.effect_id.step.clone(),
            attempt: invocation.attempt,
            outcome,
            worker: shared.worker_name.clone(),
            started_at,
            finished_at: Arc::from(rfc3339(shared.now_ms())),
        })
    }

    /// Nobody knows whether it took effect.
    pub fn doubt(&self, invocation: &Invocation, why: &str) -> Event {
        Event::ToolInvocationInDoubt(ToolInvocationInDoubt {
            version: invocation.effect_id.version,
            step: invocation.effect_id.step.clone(),
            attempt: invocation.attempt,
            // An error's words have the bound that a reason needs.
            reason: ToolError::in_doubt(why).message,
        })
    }

    /// Settles a doubt: it was not done.
    pub fn not_done(&self, shared: &Shared, invocation: &Invocation, why: &str) -> Event {
        Event::InvocationSettled(InvocationSettled {
            version: invocation.effect_id.version,
            step: invocation.effect_id.step.clone(),
            attempt: invocation.attempt,
            settlement: Settlement::NotDone,
            by: format!("worker {}", shared.worker_name).into(),
            why: Some(Arc::from(why)),
            settle_command: None,
        })
    }

    /// The records that answer it. The partition is computed, not believed.
    pub(super) fn records(&self, shared: &Shared, events: &[Event]) -> Vec<NewRecord> {
        let partition = partition_of(self.conversation.as_str().as_bytes(), shared.ports.log.partitions());
        events.iter().map(|event| shared.event_record(self.about(), partition, event)).collect()
    }

    pub(super) fn entry(&self, shared: &Shared, entry: EffectCommitted) -> NewRecord {
        let partition = partition_of(self.effect.as_bytes(), shared.ports.log.partitions());
        entry_record(shared, self.about(), partition, &Entry::EffectCommitted(entry))
    }
}

/// The tool, and arguments that it takes.
///
/// # Errors
/// Why it is not called, never retryable.
pub fn checked(shared: &Shared, invocation: &Invocation) -> Result<(Arc<dyn Tool>, RawJson), ToolError> {
    let tools = &shared.ports.tools;
    let Some(arguments) = &invocation.arguments else { return Err(called_off()) };
    let Some(tool) = tools.tool(&invocation.tool) else {
        let words = format!("this pool does not run a tool {:?}", invocation.tool);
        return Err(ToolError::new("unknown_tool", words, false));
    };
    tools.check_resolved(&invocation.tool, arguments)?;
    Ok((tool, arguments.clone()))
}

pub(super) fn called_off() -> ToolError {
    ToolError::new("cancelled", "it was called off, because its turn had ended", false)
}

/// A result that fits.
///
/// # Errors
/// `result_too_large`.
pub fn within_bounds(result: RawJson) -> Result<RawJson, ToolError> {
    let bytes = result.len_bytes();
    if bytes > MAX_RESULT_BYTES {
        let words = format!("the result has {bytes} bytes; at most {MAX_RESULT_BYTES} are allowed");
        return Err(ToolError::new("result_too_large", words, false));
    }
    Ok(result)
}

/// Calls a tool that may be called again.
async fn invoke(shared: &Shared, job: &Job, invocation: &Invocation) -> Outcome {
    let (tool, arguments) = match checked(shared, invocation) {
        Ok(found) => found,
        Err(error) => return Outcome::Error(error),
    };
    let call = Call {
        idempotency_key: job.effect.to_string(),
        attempt: invocation.attempt,
        arguments,
        timeout_ms: invocation.timeout_ms,
    };
    shared.metrics.invocations_run.fetch_add(1, Relaxed);
    crash_point!("tool_called");
    let result = tokio::select! {
        biased;
        result = tool.call(call) => result,
        () = shared.ports.clock.sleep(Duration::from_millis(invocation.timeout_ms)) => {
            Err(ToolError::new("timeout", format!("no result within {} ms", invocation.timeout_ms), true))
        }
    };
    crash_point!("tool_returned");
    let outcome = match result.and_then(within_bounds) {
        Ok(result) => Outcome::Ok(result),
        // Done twice it does no harm, so that there is nothing to doubt.
        Err(error) if error.is_in_doubt() => {
            Outcome::Error(ToolError::new("unavailable", &error.message, true))
        }
        Err(error) => Outcome::Error(error),
    };
    shared.breakers.ran(&invocation.tool, &outcome);
    outcome
}
