//! A synthesis request that fits its record, whatever a turn has gathered. Used by `issue`.

use callboard_domain::json::RawJson;
use callboard_domain::request::{Exchange, SynthesizeFinalAnswerRequested};

/// Makes a synthesis request fit its record: results always go along (they are bounded for it), what was asked of the tools,
/// the history and at last the question's tail only while there is room.
pub(super) fn shorten(body: &mut SynthesizeFinalAnswerRequested) {
    /// Results (384 kB) and the envelope beside it stay below the record's bound.
    const BUDGET_BYTES: usize = 450_000;
    let mut left = BUDGET_BYTES;
    let written = |text: &str| {
        text.len() + text.bytes().filter(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\').count() * 5
    };
    if written(&body.message) > left {
        let mut end = body.message.len().min(left / 6);
        end = body.message.floor_char_boundary(end);
        body.message = body.message[..end].into();
    }
    left = left.saturating_sub(written(&body.message));
    for step in &mut body.steps {
        match left.checked_sub(step.arguments.len_bytes()) {
            Some(rest) => left = rest,
            None => step.arguments = RawJson::null(),
        }
    }
    let keeps = |exchange: &Exchange| {
        let bytes = written(&exchange.message) + exchange.answer.as_deref().map_or(0, written);
        let fits = bytes <= left;
        left = left.saturating_sub(bytes);
        fits
    };
    let kept: Vec<bool> = body.history.iter().rev().map(keeps).collect();
    let mut newest_first = kept.into_iter().rev();
    body.history.retain(|_| newest_first.next().unwrap_or(false));
}

#[cfg(test)]
mod tests {
    use callboard_domain::event::Outcome;
    use callboard_domain::json::RawJson;
    use callboard_domain::limits::{MAX_RECORD_BYTES, MAX_TURN_RESULTS_BYTES};
    use callboard_domain::request::{Exchange, ReplyTo, StepReport, SynthesizeFinalAnswerRequested};

    use super::shorten;

    #[test]
    fn the_largest_turn_fits_and_keeps_its_results() {
        let big = |bytes: usize| RawJson::parse(&format!("\"{}\"", "x".repeat(bytes - 2))).unwrap();
        let step = |version| StepReport {
            version,
            id: "a".parse().unwrap(),
            tool: "echo".into(),
            arguments: big(250_000),
            outcome: Some(Outcome::Ok(big(MAX_TURN_RESULTS_BYTES / 4))),
        };
        let exchange =
            || Exchange { message: "y".repeat(10_000).into(), answer: Some("\n".repeat(10_000).into()) };
        let mut body = SynthesizeFinalAnswerRequested {
            version: 4,
            message: "\u{1}".repeat(128_000).into(),
            agent: "default".into(),
            guidance: None,
            steps: (1..=4).map(step).collect(),
            history: (0..3).map(|_| exchange()).collect(),
            not_after_ms: 0,
            reply_to: ReplyTo { topic: "conversation-events".into(), partition: 0, key: "c".into() },
            tokens_left: None,
        };
        shorten(&mut body);
        let written = serde_json::to_vec(&body).unwrap().len();
        assert!(written + 2_000 < MAX_RECORD_BYTES, "{written} bytes");
        assert!(body.steps.iter().all(|step| step.result().is_some()));
        assert!(!body.message.is_empty());
    }
}
