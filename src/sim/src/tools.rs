//! The tools of a run. What a call does depends on the seed, the effect and how often it was tried, not on who asks when.

use std::sync::Arc;

use callboard_domain::event::ToolError;
use callboard_domain::json::RawJson;
use callboard_domain::plan::{Backoff, EffectClass, OnFailure};
use callboard_ports::clock::Clock;
use callboard_ports::fakes::{FakeTools, ScriptedTool};
use callboard_ports::tool::{Call, Probe, Tool, ToolSpec};
use futures_util::future::BoxFuture;
use serde_json::json;

use crate::dice::drawn;
use crate::fault::Fault;
use crate::life::Life;
use crate::workload::{LAST_TOOL, TOOLS};
use crate::world::World;

/// The panic of a tool that was meant to panic.
pub const TOOL_PANIC: &str = "a simulated tool panics";

/// All tools, for one life of a process.
#[must_use]
pub fn all(world: &Arc<World>, life: &Arc<Life>) -> FakeTools {
    let tool = |name: &&str| {
        Arc::new(SimTool { world: world.clone(), life: life.clone(), spec: spec(world, name) })
            as Arc<dyn Tool>
    };
    FakeTools::new(TOOLS.iter().chain(&[LAST_TOOL]).map(tool)).with_limits(world.mix.turn_limits)
}

fn spec(world: &World, name: &str) -> ToolSpec {
    let number = |what: &str, low: u64, high: u64| low + drawn(world.seed, &[name, what], high - low + 1);
    let (effect, on_failure) = match name {
        "once" => (EffectClass::Unsafe, OnFailure::Fail),
        "asked" => (EffectClass::Unsafe, OnFailure::Skip),
        "probed" => (EffectClass::Reconcilable, OnFailure::Skip),
        "again" => (EffectClass::Idempotent, OnFailure::Replan),
        "skip" => (EffectClass::Pure, OnFailure::Skip),
        _ => (EffectClass::Pure, OnFailure::Fail),
    };
    ToolSpec {
        effect,
        on_failure,
        timeout_ms: number("timeout", if world.mix.calm { 2_500 } else { 800 }, 3_000),
        deadline_ms: number("deadline", 12_000, 25_000),
        max_attempts: number("attempts", 1, 4) as u32,
        backoff: Backoff { initial_ms: number("first", 20, 400), max_ms: number("last", 500, 3_000) },
        concurrency: if world.mix.calm { 32 } else { number("concurrency", 1, 4) as usize },
        // Where nothing goes wrong, somebody says a word in time.
        approval_timeout_ms: (name == "asked")
            .then(|| number("approval", if world.mix.calm { 60_000 } else { 3_000 }, 90_000)),
        ..ScriptedTool::spec_named(name)
    }
}

struct SimTool {
    world: Arc<World>,
    life: Arc<Life>,
    spec: ToolSpec,
}

/// How a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    Well,
    /// Nothing is done; trying again may help.
    FailsBefore,
    /// Nothing is done, and never will be.
    Refuses,
    HangsBefore,
    HangsAfter,
    PanicsBefore,
    PanicsAfter,
    /// It is done, and the answer is lost.
    LosesAnswer,
}

impl SimTool {
    fn course(&self, about: &[&str]) -> Course {
        let dice = |what: &str, n: u64| {
            let mut named = about.to_vec();
            named.push(what);
            drawn(self.world.seed, &named, n)
        };
        let strikes = |fault: Fault| {
            let struck =
                self.world.is_faulty() && dice(fault.name(), 1_000) < u64::from(self.world.mix.rate(fault));
            if struck {
                self.world.trace().fault(self.world.now_ms(), fault, format_args!("{}", about.join(" ")));
            }
            struck
        };
        let first = dice("first", 2) == 0;
        if strikes(Fault::ToolHung) {
            return if first { Course::HangsBefore } else { Course::HangsAfter };
        }
        if strikes(Fault::ToolPanicked) {
            return if first { Course::PanicsBefore } else { Course::PanicsAfter };
        }
        if strikes(Fault::ToolFailed) {
            return match dice("how", 4) {
                0 => Course::Refuses,
                1 => Course::LosesAnswer,
                _ => Course::FailsBefore,
            };
        }
        Course::Well
    }

    /// The effect itself: what is done, is done here.
    fn execute(&self, call: &Call, started_ms: i64) -> Result<RawJson, ToolError> {
        let Call { idempotency_key: key, attempt, .. } = call;
        let words = format_args!("{} does {key}#{attempt}", self.life.name);
        self.world.trace().note(self.world.now_ms(), words);
        match self.world.outside.execute(key, *attempt, self.spec.effect, started_ms) {
            // How often it was done is part of the result, so that it shows which one counted.
            Some(times) => Ok(RawJson::from_value(&json!({ "n": times, "of": key }))),
            None => Err(ToolError::new("refused", "it was said that this would never be done", false)),
        }
    }

    async fn run(&self, call: Call) -> Result<RawJson, ToolError> {
        let about = [&*call.idempotency_key, &call.attempt.to_string()];
        let latency_ms = |what: &str| {
            let most = if &*self.spec.name == "slow" { 900 } else { 60 };
            drawn(self.world.seed, &[about[0], about[1], what], most)
        };
        let started_ms = self.world.clock.now_ms();
        let course = self.course(&about);
        // What must not be done twice is done at once: a pause between the check and the send is the residual that the
        // ledger cannot exclude.
        if !matches!(self.spec.effect, EffectClass::Unsafe | EffectClass::Reconcilable) {
            self.world.pass(latency_ms("before")).await;
        }
        if !self.life.call() {
            return std::future::pending().await;
        }
        match course {
            Course::FailsBefore => return Err(ToolError::new("unavailable", "nobody answers", true)),
            Course::Refuses => return Err(ToolError::new("refused", "the service says no", false)),
            Course::PanicsBefore => panic!("{TOOL_PANIC}"),
            Course::HangsBefore => return std::future::pending().await,
            Course::Well | Course::HangsAfter | Course::PanicsAfter | Course::LosesAnswer => {}
        }
        let result = self.execute(&call, started_ms)?;
        self.world.pass(latency_ms("after")).await;
        match course {
            Course::HangsAfter => std::future::pending().await,
            Course::PanicsAfter => panic!("{TOOL_PANIC}"),
            Course::LosesAnswer => Err(match self.spec.effect {
                EffectClass::Unsafe | EffectClass::Reconcilable => ToolError::in_doubt("the answer was lost"),
                _ => ToolError::new("unavailable", "the answer was lost", true),
            }),
            _ => Ok(result),
        }
    }
}

impl Tool for SimTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<RawJson, ToolError>> {
        Box::pin(self.run(call))
    }

    fn probe(&self, call: Call) -> BoxFuture<'_, Probe> {
        Box::pin(async move {
            let about = [&*call.idempotency_key, "probe"];
            self.world.pass(drawn(self.world.seed, &about, 200)).await;
            let words = format_args!("{} probes {}#{}", self.life.name, call.idempotency_key, call.attempt);
            self.world.trace().note(self.world.now_ms(), words);
            if self.world.strikes(Fault::ToolFailed, format_args!("probe of {}", call.idempotency_key)) {
                return Probe::Unknown("the service does not say".into());
            }
            let times = self.world.outside.done(&call.idempotency_key);
            if times > 0 {
                return Probe::Done(RawJson::from_value(&json!({ "n": times, "of": call.idempotency_key })));
            }
            self.world.outside.forbid(&call.idempotency_key, call.attempt);
            Probe::NotDone
        })
    }
}
