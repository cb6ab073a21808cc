//! Reading request records: what a pool is asked to do, or to leave. Neighbours: `job` (what becomes of it), `intake` (who
//! asks).

use std::sync::Arc;

use callboard_domain::id::CommandId;
use callboard_domain::plan::EffectClass;
use callboard_domain::request::{Request, ToolInvocationCancelled, ToolInvocationRequested};
use callboard_domain::wire;
use callboard_ports::headers::TRACEPARENT;
use callboard_ports::record::Record;
use callboard_ports::tool::ToolRegistry;

use super::Job;
use super::job::{Invocation, Work};

/// What a pool does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Runs the tools of the pool of this name.
    Tools(Arc<str>),
    Synthesis,
}

/// What a record asks for.
pub(super) enum Asked {
    Do(Job),
    /// The attempt that is called off, and with it all earlier ones.
    Leave(Job),
}

impl Kind {
    /// Its consumer group.
    pub(super) fn group(&self) -> String {
        match self {
            Self::Tools(name) => format!("callboard-pool-{name}"),
            Self::Synthesis => "callboard-synthesis".to_owned(),
        }
    }

    pub fn actor_kind(&self) -> &'static str {
        match self {
            Self::Tools(_) => "tool_pool",
            Self::Synthesis => "synthesis_pool",
        }
    }

    /// Invocations of `tool` at once in one of `lanes`; a tool that is not here is answered with an error, which needs no
    /// bound.
    pub fn concurrency(&self, tools: &dyn ToolRegistry, tool: &str, lanes: usize) -> usize {
        match self {
            Self::Tools(_) => {
                tools.tool(tool).map_or(usize::MAX, |tool| (tool.spec().concurrency / lanes.max(1)).max(1))
            }
            Self::Synthesis => usize::MAX,
        }
    }

    /// Reads a request record.
    pub(super) fn read(
        &self,
        record: &Record,
        tools: &dyn ToolRegistry,
    ) -> Result<Asked, (&'static str, String)> {
        let (meta, request) = wire::read_request(&record.value).map_err(|e| (e.code(), e.to_string()))?;
        let request_name = request.name();
        let wrong = || ("wrong_topic", format!("a {request_name} does not belong into {}", record.topic));
        let (effect, attempt, tool, not_after_ms, command, work) = match (request, self) {
            (Request::ToolInvocationRequested(body), Self::Tools(_)) => requested(body, tools),
            (Request::ToolInvocationCancelled(body), Self::Tools(_)) => cancelled(body, tools),
            (Request::SynthesizeFinalAnswerRequested(body), Self::Synthesis) => {
                let command =
                    meta.command.clone().ok_or(("bad_id", "the envelope has no command_id".to_owned()))?;
                let key = format!("{}:{command}:{}", meta.conversation, body.version);
                (key, 1, Arc::from("synthesis"), body.not_after_ms, command, Work::Synthesis(Box::new(body)))
            }
            _ => return Err(wrong()),
        };
        let job = Job {
            effect: Arc::from(effect),
            attempt,
            tool,
            conversation: meta.conversation,
            command,
            request_id: meta.id,
            traceparent: record.header(TRACEPARENT).map(Arc::from),
            not_after_ms,
            work,
        };
        Ok(if job.is_called_off() { Asked::Leave(job) } else { Asked::Do(job) })
    }
}

/// Effect, attempt, tool, not_after, command, work.
type Parts = (String, u32, Arc<str>, i64, CommandId, Work);

fn of_invocation(invocation: Invocation, not_after_ms: i64) -> Parts {
    let (effect, command) = (invocation.effect_id.to_string(), invocation.effect_id.command.clone());
    let (attempt, tool) = (invocation.attempt, invocation.tool.clone());
    (effect, attempt, tool, not_after_ms, command, Work::Tool(Box::new(invocation)))
}

fn requested(body: ToolInvocationRequested, tools: &dyn ToolRegistry) -> Parts {
    let class = stricter(body.effect, &body.tool, tools);
    let ToolInvocationRequested { effect_id, attempt, tool, arguments, timeout_ms, not_after_ms, .. } = body;
    let arguments = Some(arguments);
    of_invocation(Invocation { effect_id, attempt, tool, class, arguments, timeout_ms }, not_after_ms)
}

fn cancelled(body: ToolInvocationCancelled, tools: &dyn ToolRegistry) -> Parts {
    let class = stricter(body.effect, &body.tool, tools);
    let ToolInvocationCancelled { effect_id, attempt, tool, not_after_ms, .. } = body;
    // What is called off is not called, but its probe may be asked.
    let timeout_ms = tools.tool(&tool).map_or(0, |tool| tool.spec().timeout_ms);
    of_invocation(Invocation { effect_id, attempt, tool, class, arguments: None, timeout_ms }, not_after_ms)
}

/// Plans and tools may disagree after a change of the configuration: then the one that forbids more is right.
fn stricter(planned: EffectClass, tool: &str, tools: &dyn ToolRegistry) -> EffectClass {
    let rank = |class: EffectClass| match class {
        EffectClass::Pure => 0,
        EffectClass::Idempotent => 1,
        EffectClass::Reconcilable => 2,
        EffectClass::Unsafe => 3,
    };
    let here = tools.tool(tool).map_or(planned, |tool| tool.spec().effect);
    if rank(here) > rank(planned) { here } else { planned }
}
