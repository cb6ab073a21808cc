//! What every story needs: the real tools, a request, a plan as a line per step.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use callboard_domain::event::{Outcome, PlanGenerated, ToolError, TurnLimits};
use callboard_domain::id::{CommandId, ConversationId, StepId};
use callboard_domain::json::RawJson;
use callboard_domain::plan::{PlanReason, PlannedStep};
use callboard_domain::request::{ReplyTo, StepReport, SynthesizeFinalAnswerRequested};
use callboard_ports::model::{AnswerSink, PlanRequest};
use callboard_ports::tool::ToolRegistry;
use callboard_tools::{Registry, ToolsConfig};
use serde_json::{Value, json};

pub fn registry() -> Arc<dyn ToolRegistry> {
    let handle = tokio::runtime::Handle::current();
    Arc::new(Registry::build(&ToolsConfig::default(), TurnLimits::default(), handle).unwrap())
}

pub fn request(message: &str) -> PlanRequest {
    PlanRequest {
        conversation: ConversationId::new("c-1").unwrap(),
        command: CommandId::new("m-1").unwrap(),
        version: 1,
        reason: PlanReason::First,
        message: Arc::from(message),
        agent: Arc::from("default"),
        history: Vec::new(),
        results: Vec::new(),
        down: Vec::new(),
        timeout_ms: 20_000,
        tokens_left: None,
    }
}

/// `math 17% of 2340`, `exchange 120 USD EUR`, `weather Berlin`, `echo hello`, `echo hello @3000`.
pub fn told(step: &PlannedStep) -> String {
    let arguments = step.arguments.to_value();
    let text = |field: &str| match &arguments[field] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match &*step.tool {
        "math" => format!("math {}", text("expression")),
        "exchange" => format!("exchange {} {} {}", text("amount"), text("from"), text("to")),
        "weather" => format!("weather {}", text("place")),
        "echo" if arguments.get("delay_ms").is_some() => {
            format!("echo {} @{}", text("text"), text("delay_ms"))
        }
        "echo" => format!("echo {}", text("text")),
        other => format!("{other} {arguments}"),
    }
}

pub fn steps(plan: &PlanGenerated) -> Vec<String> {
    plan.steps.iter().map(told).collect()
}

pub fn report(
    id: &str,
    tool: &str,
    arguments: &Value,
    outcome: Option<Result<Value, ToolError>>,
) -> StepReport {
    StepReport {
        version: 1,
        id: StepId::new(id).unwrap(),
        tool: Arc::from(tool),
        arguments: RawJson::from_value(arguments),
        outcome: outcome.map(|outcome| match outcome {
            Ok(result) => Outcome::Ok(RawJson::from_value(&result)),
            Err(error) => Outcome::Error(error),
        }),
    }
}

pub fn synthesis(
    message: &str,
    guidance: Option<&str>,
    steps: Vec<StepReport>,
) -> SynthesizeFinalAnswerRequested {
    SynthesizeFinalAnswerRequested {
        version: 1,
        message: Arc::from(message),
        agent: Arc::from("default"),
        guidance: guidance.map(Arc::from),
        steps,
        history: Vec::new(),
        not_after_ms: i64::MAX,
        reply_to: ReplyTo { topic: Arc::from("conversation-events"), partition: 0, key: Arc::from("c-1") },
        tokens_left: None,
    }
}

/// A provider's address and whatever else a test sets.
pub fn at(address: String, more: Value) -> Value {
    let mut config = json!({"base_url": address});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

/// Keeps what an answer's reader would have seen.
#[derive(Debug, Default)]
pub struct Reader {
    pub seen: Mutex<String>,
    pub restarts: AtomicUsize,
    pub pieces: AtomicUsize,
}

impl Reader {
    pub fn text(&self) -> String {
        self.seen.lock().unwrap().clone()
    }
}

impl AnswerSink for Reader {
    fn piece(&self, text: &str) {
        self.pieces.fetch_add(1, Ordering::SeqCst);
        self.seen.lock().unwrap().push_str(text);
    }

    fn restart(&self) {
        self.restarts.fetch_add(1, Ordering::SeqCst);
        self.seen.lock().unwrap().clear();
    }
}
