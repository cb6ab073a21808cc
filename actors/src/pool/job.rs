//! A job: one request, how it is run, and the event that answers it.

use std::sync::Arc;
use std::time::Duration;

use callboard_domain::event::{
    Event, FinalAnswerSynthesized, Outcome, PlanFailed, ToolError, ToolInvocationResulted, TurnError,
};
use callboard_domain::id::{CommandId, ConversationId};
use callboard_domain::json::RawJson;
use callboard_domain::limits::{MAX_ANSWER_BYTES, MAX_RESULT_BYTES};
use callboard_domain::request::{Request, SynthesizeFinalAnswerRequested, ToolInvocationRequested};
use callboard_domain::time::rfc3339;
use callboard_domain::wire;
use callboard_ports::headers::TRACEPARENT;
use callboard_ports::partition::partition_of;
use callboard_ports::record::{NewRecord, Record};
use callboard_ports::tool::{Call, ToolRegistry};

use crate::shared::{About, Shared};

/// What a pool does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Runs the tools of the pool of this name.
    Tools(Arc<str>),
    Synthesis,
}

impl Kind {
    pub fn actor_kind(&self) -> &'static str {
        match self {
            Self::Tools(_) => "tool_pool",
            Self::Synthesis => "synthesis_pool",
        }
    }

    /// Invocations of `tool` at once; a tool that is not here is answered with an error, which needs no bound.
    pub fn concurrency(&self, tools: &dyn ToolRegistry, tool: &str) -> usize {
        match self {
            Self::Tools(_) => tools.tool(tool).map_or(usize::MAX, |tool| tool.spec().concurrency.max(1)),
            Self::Synthesis => usize::MAX,
        }
    }

    /// Reads a request record.
    pub fn read(&self, record: &Record) -> Result<Job, (&'static str, String)> {
        let (meta, request) = wire::read_request(&record.value).map_err(|e| (e.code(), e.to_string()))?;
        let wrong = |kind: &str| ("wrong_topic", format!("a {kind} does not belong into {}", record.topic));
        let (key, tool, not_after_ms, command, work) = match (request, self) {
            (Request::ToolInvocationRequested(body), Self::Tools(_)) => {
                let key = body.effect_id.invocation(body.attempt);
                let (tool, command) = (body.tool.clone(), body.effect_id.command.clone());
                (key, tool, body.not_after_ms, command, Work::Tool(Box::new(body)))
            }
            (Request::SynthesizeFinalAnswerRequested(body), Self::Synthesis) => {
                let command =
                    meta.command.clone().ok_or(("bad_id", "the envelope has no command_id".to_owned()))?;
                let key = format!("{}:{command}:{}", meta.conversation, body.version);
                (key, Arc::from("synthesis"), body.not_after_ms, command, Work::Synthesis(Box::new(body)))
            }
            (request, _) => return Err(wrong(request.name())),
        };
        Ok(Job {
            key: Arc::from(key),
            tool,
            conversation: meta.conversation,
            command,
            request_id: meta.id,
            traceparent: record.header(TRACEPARENT).map(Arc::from),
            not_after_ms,
            work,
        })
    }
}

/// One request.
#[derive(Debug)]
pub struct Job {
    /// What duplicates share: the invocation id, or conversation, command and plan version.
    pub key: Arc<str>,
    pub tool: Arc<str>,
    conversation: ConversationId,
    command: CommandId,
    request_id: Box<str>,
    traceparent: Option<Arc<str>>,
    /// Not to be started later (epoch milliseconds).
    pub not_after_ms: i64,
    work: Work,
}

/// What is asked for.
#[derive(Debug)]
enum Work {
    Tool(Box<ToolInvocationRequested>),
    Synthesis(Box<SynthesizeFinalAnswerRequested>),
}

impl Job {
    /// Runs it; the answer is an event, whatever happens. The future may be dropped at any time.
    pub async fn run(self: Arc<Self>, shared: Arc<Shared>) -> Event {
        let started_at = Arc::from(rfc3339(shared.now_ms()));
        match &self.work {
            Work::Tool(body) => {
                let outcome = match invoke(&shared, body).await {
                    Ok(result) => Outcome::Ok(result),
                    Err(error) => Outcome::Error(error),
                };
                resulted(&shared, body, outcome, started_at)
            }
            Work::Synthesis(body) => {
                let left_ms = u64::try_from(body.not_after_ms - shared.now_ms()).unwrap_or(0);
                answered(&shared, body, left_ms, started_at).await
            }
        }
    }

    /// The event that says that it cannot be done.
    pub fn failure(&self, shared: &Shared, kind: &str, words: &str) -> Event {
        match &self.work {
            Work::Tool(body) => {
                let now = Arc::from(rfc3339(shared.now_ms()));
                resulted(shared, body, Outcome::Error(ToolError::new(kind, words, false)), now)
            }
            Work::Synthesis(_) => {
                Event::PlanFailed(PlanFailed { error: TurnError::new("synthesis_failed", words) })
            }
        }
    }

    /// The record that answers it. The partition is computed, not believed.
    pub fn answer(&self, shared: &Shared, event: &Event) -> NewRecord {
        let about = About {
            conversation: &self.conversation,
            command: Some(&self.command),
            causation_id: &self.request_id,
            traceparent: self.traceparent.as_deref(),
        };
        let partition = partition_of(self.conversation.as_str().as_bytes(), shared.ports.log.partitions());
        shared.event_record(about, partition, event)
    }
}

fn resulted(
    shared: &Shared,
    body: &ToolInvocationRequested,
    outcome: Outcome,
    started_at: Arc<str>,
) -> Event {
    Event::ToolInvocationResulted(ToolInvocationResulted {
        version: body.effect_id.version,
        step: body.effect_id.step.clone(),
        attempt: body.attempt,
        outcome,
        worker: shared.worker_name.clone(),
        started_at,
        finished_at: Arc::from(rfc3339(shared.now_ms())),
    })
}

async fn invoke(shared: &Shared, body: &ToolInvocationRequested) -> Result<RawJson, ToolError> {
    let tools = &shared.ports.tools;
    let Some(tool) = tools.tool(&body.tool) else {
        let words = format!("this pool does not run a tool {:?}", body.tool);
        return Err(ToolError::new("unknown_tool", words, false));
    };
    tools.check_resolved(&body.tool, &body.arguments)?;
    let call = Call {
        idempotency_key: body.effect_id.to_string(),
        attempt: body.attempt,
        arguments: body.arguments.clone(),
        timeout_ms: body.timeout_ms,
    };
    let result = tokio::select! {
        biased;
        result = tool.call(call) => result?,
        () = shared.ports.clock.sleep(Duration::from_millis(body.timeout_ms)) => {
            let words = format!("no result within {} ms", body.timeout_ms);
            return Err(ToolError::new("timeout", words, true));
        }
    };
    if result.len_bytes() > MAX_RESULT_BYTES {
        let words =
            format!("the result has {} bytes; at most {MAX_RESULT_BYTES} are allowed", result.len_bytes());
        return Err(ToolError::new("result_too_large", words, false));
    }
    Ok(result)
}

async fn answered(
    shared: &Shared,
    body: &SynthesizeFinalAnswerRequested,
    left_ms: u64,
    started_at: Arc<str>,
) -> Event {
    match shared.ports.synthesizer.synthesize(body.clone(), left_ms).await {
        Ok(answer) => {
            let text = &answer.text[..answer.text.floor_char_boundary(MAX_ANSWER_BYTES)];
            Event::FinalAnswerSynthesized(FinalAnswerSynthesized {
                version: body.version,
                answer: Arc::from(text),
                synthesizer: answer.author,
                worker: shared.worker_name.clone(),
                started_at,
                finished_at: Arc::from(rfc3339(shared.now_ms())),
            })
        }
        Err(error) => {
            Event::PlanFailed(PlanFailed { error: TurnError::new("synthesis_failed", error.to_string()) })
        }
    }
}
