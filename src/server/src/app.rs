//! Callboard with tools of one's own that are written in Rust: `App::new().tool(MyTool).run()` is the whole program, command
//! line, workers and all.
//!
//! [`Tool`] is the one trait. `wiring::toolbox` gives a tool its settings, `[tools.NAME]`, as it does for the others.

use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;

use callboard_domain::json::RawJson;
use callboard_ports::tool::{Call, Probe, Tool as Port, ToolSpec};
use callboard_tools::config::PlainConfig;
use callboard_tools::{BuildError, judged};
use clap::Parser;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use callboard_domain::event::ToolError;
pub use callboard_domain::plan::EffectClass;

use crate::cli::{self, Cli};
use crate::wiring::Written;

/// A tool.
pub trait Tool: Send + Sync + 'static {
    /// What a plan gives it; the JSON Schema comes from the type, its doc comments are for planners too.
    type Arguments: DeserializeOwned + JsonSchema + Send;
    /// What comes of it: any JSON, at most 256 KiB.
    type Output: Serialize + Send;

    /// As plans call it: letters, digits, `_` and `-`.
    const NAME: &'static str;
    /// For planners: what it does and when to use it.
    const DESCRIPTION: &'static str;
    /// What repeating a call does. An `Unsafe` tool is never run twice.
    const EFFECT: EffectClass;

    /// Runs one attempt. The future is dropped at `call.timeout_ms`.
    ///
    /// # Errors
    /// [`ToolError`], `retryable` where another attempt may help. For an `Unsafe` tool that also says that nothing was
    /// done; [`ToolError::in_doubt`] says that nobody knows.
    fn run(
        &self,
        arguments: Self::Arguments,
        call: Attempt,
    ) -> impl Future<Output = Result<Self::Output, ToolError>> + Send;

    /// Whether an earlier attempt took effect, and with which result. Only asked of `Reconcilable` tools.
    fn probe(
        &self,
        arguments: Self::Arguments,
        call: Attempt,
    ) -> impl Future<Output = Found<Self::Output>> + Send {
        let _ = (arguments, call);
        std::future::ready(Found::Unknown("the tool has no probe".to_owned()))
    }
}

/// One attempt at a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The effect's id: the same for every attempt. Hand it on to services.
    pub idempotency_key: String,
    /// From 1.
    pub number: u32,
    pub timeout_ms: u64,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<T> {
    /// It took effect, with this result.
    Done(T),
    /// It did not and never will.
    NotDone,
    /// It cannot be told now: why.
    Unknown(String),
}

/// Callboard, and what was added to it.
#[derive(Default, Clone)]
pub struct App {
    pub(crate) tools: Vec<Arc<dyn Written>>,
}

impl App {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tool.
    #[must_use]
    pub fn tool<T: Tool>(mut self, tool: T) -> Self {
        self.tools.push(Arc::new(Mine(tool)));
        self
    }

    /// The whole program, with this process's arguments.
    #[must_use]
    pub fn run(self) -> ExitCode {
        self.run_with(std::env::args_os().collect())
    }

    /// As [`Self::run`], with other arguments (the program's name first).
    #[must_use]
    pub fn run_with(self, arguments: Vec<OsString>) -> ExitCode {
        match Cli::try_parse_from(cli::with_default_command(arguments)) {
            Ok(cli) => cli::finish(cli::run(&cli, &self)),
            Err(error) => {
                // Help and version are answers; anything else is wrong usage.
                let _ = error.print();
                if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS }
            }
        }
    }
}

struct Mine<T>(T);

impl<T: Tool> Written for Mine<T> {
    fn name(&self) -> &str {
        T::NAME
    }

    fn build(self: Arc<Self>, set: &PlainConfig) -> Result<Arc<dyn Port>, BuildError> {
        let mut schema = schemars::schema_for!(T::Arguments).to_value();
        // Of no use to a planner, and both cost tokens in every prompt.
        if let Some(fields) = schema.as_object_mut() {
            fields.remove("$schema");
            fields.remove("title");
        }
        let spec = judged(T::NAME, T::DESCRIPTION, schema, T::EFFECT, set)?;
        Ok(Arc::new(Ready { spec, mine: self }))
    }
}

struct Ready<T> {
    spec: ToolSpec,
    mine: Arc<Mine<T>>,
}

impl<T: Tool> Ready<T> {
    fn read(&self, call: &Call) -> Result<(T::Arguments, Attempt), ToolError> {
        let arguments = serde_json::from_str(call.arguments.as_str())
            .map_err(|error| ToolError::new("invalid_arguments", format!("{}: {error}", T::NAME), false))?;
        let (idempotency_key, number, timeout_ms) =
            (call.idempotency_key.clone(), call.attempt, call.timeout_ms);
        Ok((arguments, Attempt { idempotency_key, number, timeout_ms }))
    }
}

impl<T: Tool> Port for Ready<T> {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<RawJson, ToolError>> {
        Box::pin(async move {
            let (arguments, attempt) = self.read(&call)?;
            let output = self.mine.0.run(arguments, attempt).await?;
            // What was done must not be called undone for its result's sake.
            RawJson::of(&output).map_err(|error| match T::EFFECT {
                EffectClass::Unsafe | EffectClass::Reconcilable => {
                    ToolError::in_doubt(format!("{}: {error}", T::NAME))
                }
                _ => ToolError::new("internal", format!("{}: {error}", T::NAME), false),
            })
        })
    }

    fn probe(&self, call: Call) -> BoxFuture<'_, Probe> {
        Box::pin(async move {
            let (arguments, attempt) = match self.read(&call) {
                Ok(read) => read,
                Err(error) => return Probe::Unknown(error.message),
            };
            match self.mine.0.probe(arguments, attempt).await {
                Found::Done(output) => RawJson::of(&output)
                    .map_or_else(|error| Probe::Unknown(error.to_string().into()), Probe::Done),
                Found::NotDone => Probe::NotDone,
                Found::Unknown(why) => Probe::Unknown(why.into()),
            }
        })
    }
}
