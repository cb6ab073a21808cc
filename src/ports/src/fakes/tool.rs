//! Tools from closures: they count their calls and can be held at a gate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use callboard_domain::event::{ToolError, TurnLimits};
use callboard_domain::json::RawJson;
use callboard_domain::limits::DEFAULT_APPROVAL_TIMEOUT_MS;
use callboard_domain::plan::{Backoff, EffectClass, OnFailure, StepPolicy, ToolRefusal, Toolbox};
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::tool::{Call, Probe, Tool, ToolRegistry, ToolSpec};

/// Holds calls until it is opened; may be closed again.
#[derive(Debug, Clone)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    #[must_use]
    pub fn closed() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub fn close(&self) {
        self.0.send_replace(false);
    }

    pub async fn pass(&self) {
        let mut open = self.0.subscribe();
        // The sender lives in `self`, so this ends only by being opened.
        let _ = open.wait_for(|open| *open).await;
    }
}

type Script = Box<dyn Fn(Call) -> Result<RawJson, ToolError> + Send + Sync>;
type ProbeScript = Box<dyn Fn(Call) -> Probe + Send + Sync>;

/// A tool that answers as its script says.
pub struct ScriptedTool {
    spec: ToolSpec,
    script: Script,
    probe: Option<ProbeScript>,
    gate: Option<Gate>,
    calls: AtomicUsize,
    finished: AtomicUsize,
    probes: AtomicUsize,
}

impl ScriptedTool {
    /// A pure tool of the default pool that takes any object, with short timeouts and three attempts.
    #[must_use]
    pub fn spec_named(name: &str) -> ToolSpec {
        ToolSpec {
            name: Arc::from(name),
            description: Arc::from("a scripted tool"),
            schema: RawJson::from_value(&serde_json::json!({"type": "object"})),
            effect: EffectClass::Pure,
            pool: Arc::from(crate::headers::DEFAULT_POOL),
            timeout_ms: 5_000,
            deadline_ms: 60_000,
            max_attempts: 3,
            backoff: Backoff { initial_ms: 100, max_ms: 1_000 },
            on_failure: OnFailure::Fail,
            concurrency: 16,
            approval_timeout_ms: None,
        }
    }

    #[must_use]
    pub fn new(
        spec: ToolSpec,
        script: impl Fn(Call) -> Result<RawJson, ToolError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            spec,
            script: Box::new(script),
            probe: None,
            gate: None,
            calls: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
            probes: AtomicUsize::new(0),
        }
    }

    /// Gives its arguments back.
    #[must_use]
    pub fn echo(name: &str) -> Self {
        Self::new(Self::spec_named(name), |call| Ok(call.arguments))
    }

    /// Calls wait at `gate` before the script runs.
    #[must_use]
    pub fn held_at(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    /// Probes are answered by `probe`; without one they are answered with Unknown.
    #[must_use]
    pub fn probed_by(mut self, probe: impl Fn(Call) -> Probe + Send + Sync + 'static) -> Self {
        self.probe = Some(Box::new(probe));
        self
    }

    /// Probes that were asked.
    #[must_use]
    pub fn probes(&self) -> usize {
        self.probes.load(Ordering::SeqCst)
    }

    /// Calls that began.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Calls whose script ran.
    #[must_use]
    pub fn finished(&self) -> usize {
        self.finished.load(Ordering::SeqCst)
    }
}

impl Tool for ScriptedTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<RawJson, ToolError>> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            if let Some(gate) = &self.gate {
                gate.pass().await;
            }
            let outcome = (self.script)(call);
            self.finished.fetch_add(1, Ordering::SeqCst);
            outcome
        })
    }

    fn probe(&self, call: Call) -> BoxFuture<'_, Probe> {
        self.probes.fetch_add(1, Ordering::SeqCst);
        let answer = self.probe.as_ref().map(|probe| probe(call));
        let unknown = || Probe::Unknown("the script has no probe".into());
        Box::pin(std::future::ready(answer.unwrap_or_else(unknown)))
    }
}

/// A registry of tools. Arguments are right when they are a JSON object.
#[derive(Clone, Default)]
pub struct FakeTools {
    tools: BTreeMap<Arc<str>, Arc<dyn Tool>>,
    limits: TurnLimits,
    token_budget: Option<u64>,
}

impl FakeTools {
    #[must_use]
    pub fn new(tools: impl IntoIterator<Item = Arc<dyn Tool>>) -> Self {
        let tools = tools.into_iter().map(|tool| (tool.spec().name.clone(), tool)).collect();
        Self { tools, limits: TurnLimits::default(), token_budget: None }
    }

    #[must_use]
    pub fn with_limits(mut self, limits: TurnLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Conversations may use so many tokens.
    #[must_use]
    pub fn with_token_budget(mut self, tokens: u64) -> Self {
        self.token_budget = Some(tokens);
        self
    }
}

impl Toolbox for FakeTools {
    fn check(&self, tool: &str, arguments: &RawJson) -> Result<StepPolicy, ToolRefusal> {
        let Some(found) = self.tools.get(tool) else {
            let known = self.tools.keys().map(|name| &**name).collect::<Vec<_>>().join(", ");
            return Err(ToolRefusal::Unknown { name: tool.to_owned(), known });
        };
        if !arguments.to_value().is_object() {
            let problem = "arguments are a JSON object".to_owned();
            return Err(ToolRefusal::Arguments { tool: tool.to_owned(), problem });
        }
        Ok(found.spec().policy())
    }

    fn turn_limits(&self, _agent: &str) -> TurnLimits {
        self.limits
    }

    fn approval_timeout_ms(&self, tool: &str) -> u64 {
        let said = self.tools.get(tool).and_then(|tool| tool.spec().approval_timeout_ms);
        said.unwrap_or(DEFAULT_APPROVAL_TIMEOUT_MS)
    }

    fn token_budget(&self, _agent: &str) -> Option<u64> {
        self.token_budget
    }
}

impl ToolRegistry for FakeTools {
    fn specs(&self) -> Vec<ToolSpec> {
        self.tools.values().map(|tool| tool.spec().clone()).collect()
    }

    fn tool(&self, name: &str) -> Option<Arc<dyn Tool>> {
        self.tools.get(name).cloned()
    }

    fn check_resolved(&self, name: &str, arguments: &RawJson) -> Result<(), ToolError> {
        match self.check(name, arguments) {
            Ok(_) => Ok(()),
            Err(refusal @ ToolRefusal::Unknown { .. }) => {
                Err(ToolError::new("unknown_tool", refusal.to_string(), false))
            }
            Err(refusal @ ToolRefusal::Arguments { .. }) => {
                Err(ToolError::new("invalid_arguments", refusal.to_string(), false))
            }
        }
    }
}
