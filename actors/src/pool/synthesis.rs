//! Writing an answer: the pieces go to whoever watches, the whole into the event. One kind of `job`.

use std::sync::Arc;

use callboard_domain::event::{Event, FinalAnswerSynthesized, PlanFailed, TurnError};
use callboard_domain::limits::MAX_ANSWER_BYTES;
use callboard_domain::request::SynthesizeFinalAnswerRequested;
use callboard_domain::time::rfc3339;

use super::Job;
use crate::shared::Shared;
use crate::streams::Sink;

/// The event that a synthesis request comes to.
pub(super) async fn answered(
    shared: &Arc<Shared>,
    job: &Arc<Job>,
    body: &SynthesizeFinalAnswerRequested,
    left_ms: u64,
    started_at: Arc<str>,
) -> Event {
    let sink = Arc::new(Sink::new(shared.clone(), job.clone(), body.version));
    let written = tokio::select! {
        biased;
        written = shared.ports.synthesizer.write(body.clone(), left_ms, sink.clone()) => written,
        never = sink.pump() => match never {},
    };
    sink.end();
    match written {
        Ok(answer) => {
            let text = &answer.text[..answer.text.floor_char_boundary(MAX_ANSWER_BYTES)];
            Event::FinalAnswerSynthesized(FinalAnswerSynthesized {
                version: body.version,
                answer: Arc::from(text),
                synthesizer: answer.author,
                worker: shared.worker_name.clone(),
                started_at,
                finished_at: Arc::from(rfc3339(shared.now_ms())),
                models: answer.models,
            })
        }
        Err(error) => {
            Event::PlanFailed(PlanFailed::of(TurnError::new("synthesis_failed", error.to_string())))
        }
    }
}
