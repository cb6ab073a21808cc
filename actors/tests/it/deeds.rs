//! A tool that must not be run twice: it counts what it did outside of the actors, and each of its calls can be stopped before
//! and after the deed, refused, or made to panic.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use callboard_domain::event::ToolError;
use callboard_domain::json::RawJson;
use callboard_domain::plan::EffectClass;
use callboard_ports::fakes::{Gate, ScriptedTool};
use callboard_ports::tool::{Call, Probe, Tool, ToolSpec};
use futures_util::future::BoxFuture;

/// How one call goes on. Calls without a script do the deed and say so.
#[derive(Debug, Clone)]
pub enum Play {
    /// Nothing is done.
    Fail(ToolError),
    PanicBefore,
    PanicAfter,
    /// Done, and the answer is lost.
    Lose(ToolError),
}

pub struct Deed {
    spec: ToolSpec,
    /// Closed: calls stop before the deed…
    pub before: Gate,
    /// …or after it, before they say so.
    pub after: Gate,
    pub script: Mutex<VecDeque<Play>>,
    /// What the probe cannot tell.
    pub blind: Mutex<Option<&'static str>>,
    begun: AtomicUsize,
    probed: AtomicUsize,
    done: Mutex<BTreeMap<String, usize>>,
}

impl Deed {
    pub fn new(name: &str, effect: EffectClass) -> Arc<Self> {
        Self::with(ToolSpec { effect, timeout_ms: 20_000, ..ScriptedTool::spec_named(name) })
    }

    pub fn with(spec: ToolSpec) -> Arc<Self> {
        let (before, after) = (Gate::closed(), Gate::closed());
        before.open();
        after.open();
        Arc::new(Self {
            spec,
            before,
            after,
            script: Mutex::default(),
            blind: Mutex::default(),
            begun: AtomicUsize::new(0),
            probed: AtomicUsize::new(0),
            done: Mutex::default(),
        })
    }

    pub fn plays(&self, plays: impl IntoIterator<Item = Play>) {
        self.script.lock().unwrap().extend(plays);
    }

    /// Calls that began.
    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    pub fn probed(&self) -> usize {
        self.probed.load(Ordering::SeqCst)
    }

    /// Deeds done, all together.
    pub fn done(&self) -> usize {
        self.done.lock().unwrap().values().sum()
    }

    /// How often the most repeated effect was done.
    pub fn most(&self) -> usize {
        self.done.lock().unwrap().values().copied().max().unwrap_or(0)
    }

    fn act(&self, key: &str) {
        *self.done.lock().unwrap().entry(key.to_owned()).or_default() += 1;
    }
}

impl Tool for Deed {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<RawJson, ToolError>> {
        Box::pin(async move {
            self.begun.fetch_add(1, Ordering::SeqCst);
            self.before.pass().await;
            let play = self.script.lock().unwrap().pop_front();
            match &play {
                Some(Play::Fail(error)) => return Err(error.clone()),
                Some(Play::PanicBefore) => panic!("before the deed"),
                _ => self.act(&call.idempotency_key),
            }
            self.after.pass().await;
            match play {
                Some(Play::PanicAfter) => panic!("after the deed"),
                Some(Play::Lose(error)) => Err(error),
                _ => Ok(call.arguments),
            }
        })
    }

    fn probe(&self, call: Call) -> BoxFuture<'_, Probe> {
        Box::pin(async move {
            self.probed.fetch_add(1, Ordering::SeqCst);
            let blind = *self.blind.lock().unwrap();
            assert_ne!(blind, Some("panic"), "the probe panics");
            if let Some(why) = blind {
                return Probe::Unknown(why.into());
            }
            if self.done.lock().unwrap().contains_key(&call.idempotency_key) {
                return Probe::Done(RawJson::from_value(&serde_json::json!({ "probed": true })));
            }
            Probe::NotDone
        })
    }
}
