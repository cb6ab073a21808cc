//! A planner, a synthesizer and a completer from closures: they count what they are asked; the first two can be held at
//! a gate.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use callboard_domain::event::{Author, ModelCalls, PlanGenerated};
use callboard_domain::request::SynthesizeFinalAnswerRequested;
use futures_util::future::BoxFuture;

use super::tool::Gate;
use crate::model::{
    Answer, AnswerSink, Completer, Completion, CompletionRequest, ModelError, PlanRequest, Planner,
    Synthesizer,
};

type PlanScript = Box<dyn Fn(PlanRequest) -> Result<PlanGenerated, ModelError> + Send + Sync>;

/// A planner that answers as its script says.
pub struct ScriptedPlanner {
    script: PlanScript,
    gate: Option<Gate>,
    calls: AtomicUsize,
}

impl ScriptedPlanner {
    #[must_use]
    pub fn new(
        script: impl Fn(PlanRequest) -> Result<PlanGenerated, ModelError> + Send + Sync + 'static,
    ) -> Self {
        Self { script: Box::new(script), gate: None, calls: AtomicUsize::new(0) }
    }

    #[must_use]
    pub fn held_at(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    /// Plans that were asked for.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Planner for ScriptedPlanner {
    fn plan(&self, request: PlanRequest) -> BoxFuture<'_, Result<PlanGenerated, ModelError>> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            if let Some(gate) = &self.gate {
                gate.pass().await;
            }
            (self.script)(request)
        })
    }
}

type AnswerScript = Box<dyn Fn(SynthesizeFinalAnswerRequested) -> Result<Answer, ModelError> + Send + Sync>;

/// A synthesizer that answers as its script says.
pub struct ScriptedSynthesizer {
    script: AnswerScript,
    gate: Option<Gate>,
    /// Says its answers word by word, and waits there in the middle.
    middle: Option<Gate>,
    calls: AtomicUsize,
}

impl ScriptedSynthesizer {
    #[must_use]
    pub fn new(
        script: impl Fn(SynthesizeFinalAnswerRequested) -> Result<Answer, ModelError> + Send + Sync + 'static,
    ) -> Self {
        Self { script: Box::new(script), gate: None, middle: None, calls: AtomicUsize::new(0) }
    }

    /// Always the same answer, by provider `scripted`.
    #[must_use]
    pub fn saying(text: &str) -> Self {
        let text: Arc<str> = Arc::from(text);
        Self::new(move |_| Ok(Answer::new(text.clone(), scripted())))
    }

    #[must_use]
    pub fn held_at(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    /// Says its answers word by word, and waits at `middle` when half of the words are said.
    #[must_use]
    pub fn aloud(mut self, middle: &Gate) -> Self {
        self.middle = Some(middle.clone());
        self
    }

    /// Answers that were asked for.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

fn scripted() -> Author {
    Author { provider: Arc::from("scripted"), model: None, input_tokens: None, output_tokens: None }
}

impl Synthesizer for ScriptedSynthesizer {
    fn write(
        &self,
        request: SynthesizeFinalAnswerRequested,
        _timeout_ms: u64,
        sink: Arc<dyn AnswerSink>,
    ) -> BoxFuture<'_, Result<Answer, ModelError>> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            if let Some(gate) = &self.gate {
                gate.pass().await;
            }
            let answer = (self.script)(request)?;
            if let Some(middle) = &self.middle {
                let words: Vec<&str> = answer.text.split_inclusive(' ').collect();
                let (first, rest) = words.split_at(words.len() / 2);
                first.iter().for_each(|word| sink.piece(word));
                middle.pass().await;
                rest.iter().for_each(|word| sink.piece(word));
            }
            Ok(answer)
        })
    }
}

type CompletionScript = Box<dyn Fn(&CompletionRequest) -> Result<String, ModelError> + Send + Sync>;

/// A completer that says what its script says.
pub struct ScriptedCompleter {
    script: CompletionScript,
    calls: AtomicUsize,
}

impl ScriptedCompleter {
    #[must_use]
    pub fn new(
        script: impl Fn(&CompletionRequest) -> Result<String, ModelError> + Send + Sync + 'static,
    ) -> Self {
        Self { script: Box::new(script), calls: AtomicUsize::new(0) }
    }

    /// Questions that were asked.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Completer for ScriptedCompleter {
    fn complete(&self, request: CompletionRequest) -> BoxFuture<'_, Result<Completion, ModelError>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let said = (self.script)(&request).map(|text| Completion {
            text: text.into(),
            author: scripted(),
            models: ModelCalls { calls: 1, ..ModelCalls::default() },
        });
        Box::pin(std::future::ready(said))
    }
}
