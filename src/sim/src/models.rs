//! The models of a run: a planner that finds its plan in the question, a synthesizer that counts; both may fail, hang,
//! panic or answer nonsense.

use std::sync::Arc;

use callboard_domain::event::{Author, PlanGenerated};
use callboard_domain::plan::{Proposal, Toolbox, validate};
use callboard_domain::request::SynthesizeFinalAnswerRequested;
use callboard_ports::fakes::FakeTools;
use callboard_ports::model::{Answer, AnswerSink, ModelError, PlanRequest, Planner, Synthesizer};
use futures_util::future::BoxFuture;

use crate::fault::Fault;
use crate::life::Life;
use crate::world::World;

/// The panic of a model that was meant to panic.
pub const MODEL_PANIC: &str = "a simulated model panics";

/// Planner and synthesizer of one life of a process.
pub struct SimModel {
    pub world: Arc<World>,
    pub life: Arc<Life>,
    pub tools: Arc<FakeTools>,
}

fn author() -> Author {
    Author { provider: "simulated".into(), model: None, input_tokens: None, output_tokens: None }
}

fn failed(kind: &'static str) -> ModelError {
    ModelError { provider: "simulated".into(), kind, message: "it was meant to".into(), retryable: false }
}

impl SimModel {
    /// What every call goes through.
    async fn think(&self, about: &str, timeout_ms: u64) -> Result<(), ModelError> {
        let world = &self.world;
        let ms = world.between(0, 150);
        world.pass(ms).await;
        if !self.life.call() {
            return std::future::pending().await;
        }
        if world.strikes(Fault::ModelHung, format_args!("{about}")) {
            // Whether it keeps the time that it was given, or none.
            if world.between(0, 1) == 0 {
                return std::future::pending().await;
            }
            world.pass(timeout_ms).await;
            return Err(failed("timeout"));
        }
        if world.strikes(Fault::ModelPanicked, format_args!("{about}")) {
            panic!("{MODEL_PANIC}");
        }
        if world.strikes(Fault::ModelFailed, format_args!("{about}")) {
            return Err(failed("unavailable"));
        }
        Ok(())
    }

    fn planned(&self, request: &PlanRequest) -> Result<PlanGenerated, ModelError> {
        let rounds: Vec<Proposal> =
            serde_json::from_str(&request.message).map_err(|_| failed("bad_response"))?;
        let at = (request.version as usize).saturating_sub(1);
        let proposal = rounds.get(at).cloned().unwrap_or_default();
        validate(&proposal, &*self.tools as &dyn Toolbox, author(), request.version, request.reason)
            .map_err(|_| failed("plan_refused"))
    }

    /// Writes an answer, some of them piece by piece, and a few of those twice, as when another model takes over.
    async fn say(&self, conversation: &str, sink: &dyn AnswerSink) -> String {
        let world = &self.world;
        loop {
            // Never the same twice, so that it shows which one counted.
            let number = world.between(0, 1 << 40);
            let pieces = world.between(0, 10);
            let words: String = (0..pieces).map(|i| format!(" {i} für {number}")).collect();
            let text = format!("answer {number}{words}");
            world.audience.writes(conversation, &text);
            let breaks_off = pieces > 1 && world.is_faulty() && world.between(0, 5) == 0;
            let said = pieces - u64::from(breaks_off);
            let mut rest = &*text;
            for left in (1..=pieces).rev().take(said as usize) {
                let (piece, after) = rest.split_at(rest.ceil_char_boundary(rest.len() / left as usize));
                rest = after;
                sink.piece(piece);
                let ms = world.between(0, 60);
                world.pass(ms).await;
            }
            if !breaks_off {
                return text;
            }
            sink.restart();
        }
    }

    /// A plan that should never have passed: the fold has to see it.
    fn nonsense(&self, mut plan: PlanGenerated) -> PlanGenerated {
        match self.world.between(0, 2) {
            0 => plan.version += 1,
            1 => plan.steps.extend(plan.steps.clone()),
            _ => plan.version = plan.version.saturating_sub(1),
        }
        plan
    }
}

impl Planner for SimModel {
    fn plan(&self, request: PlanRequest) -> BoxFuture<'_, Result<PlanGenerated, ModelError>> {
        Box::pin(async move {
            let about = format!("plan {} of {}", request.version, request.command);
            self.think(&about, request.timeout_ms).await?;
            let plan = self.planned(&request)?;
            if self.world.strikes(Fault::ModelNonsense, format_args!("{about}")) {
                return Ok(self.nonsense(plan));
            }
            Ok(plan)
        })
    }
}

impl Synthesizer for SimModel {
    fn write(
        &self,
        request: SynthesizeFinalAnswerRequested,
        timeout_ms: u64,
        sink: Arc<dyn AnswerSink>,
    ) -> BoxFuture<'_, Result<Answer, ModelError>> {
        Box::pin(async move {
            let about = format!("answer in {}", request.reply_to.key);
            self.think(&about, timeout_ms).await?;
            let text = self.say(&request.reply_to.key, &*sink).await;
            Ok(Answer::new(text, author()))
        })
    }
}
