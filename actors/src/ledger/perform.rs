//! One ledgered request from verdict to outcome, inside a worker; the future may be dropped at any time. What it comes to is
//! appended by the pool: first the entry, then the events.
//!
//! | verdict | what is done |
//! |---|---|
//! | reserve | Reserved is appended; the verdict on what is read back decides |
//! | run | unless refused meanwhile: the tool is called, what came of it is committed |
//! | missed | nothing was run: committed as `claim_missed`, and the next attempt may |
//! | answer | the committed outcome is the answer |
//! | wait | later, outside of the worker |
//! | abandoned | the probe decides (reconcilable), or it is in doubt |
//! | expired | reserved in order to be missed: nobody else may run this attempt any more, and a doubt about it is settled |
//! | stale | dropped |

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use callboard_domain::event::{Event, Outcome, ToolError};
use callboard_domain::json::RawJson;
use callboard_domain::ledger::Verdict;
use callboard_domain::limits::MAX_ATTEMPTS;
use callboard_domain::plan::EffectClass;
use callboard_domain::planted::{self, Defect};
use callboard_domain::time::{Millis, rfc3339};
use callboard_ports::tool::{Call, Probe, Tool};

use super::reserve::commitment;
use super::{Claim, Ledger};
use crate::crash_point::crash_point;
use crate::pool::{Answer, Came, Invocation, Job, checked, within_bounds};
use crate::shared::Shared;

/// A claim that is older than this has been judged by others long ago, and compaction may have hidden their word: nothing
/// is said about it any more. Far below the topic's `min.compaction.lag.ms`.
const CLAIM_TELLS: Duration = Duration::from_secs(600);

/// A request under the ledger.
struct Performance<'a> {
    job: &'a Job,
    invocation: &'a Invocation,
    ledger: &'a Ledger,
    claim: &'a Claim,
    shared: &'a Arc<Shared>,
    started_at: Arc<str>,
}

/// Does what may be done for `job`.
pub async fn perform(job: &Job, invocation: &Invocation, ledger: Rc<Ledger>, claim: &Claim) -> Came {
    let started_at = Arc::from(rfc3339(ledger.shared.now_ms()));
    let shared = &ledger.shared;
    Performance { job, invocation, ledger: &ledger, claim, shared, started_at }.run().await
}

impl Performance<'_> {
    fn judge(&self) -> Verdict {
        self.ledger.judge(self.invocation, self.job.not_after_ms, self.claim)
    }

    async fn run(&self) -> Came {
        let partition = self.ledger.partition_of(self.invocation);
        loop {
            self.ledger.ready(partition).await;
            match self.judge() {
                Verdict::Reserve if planted::is(Defect::RunUnreserved) => return self.call(None).await,
                Verdict::Reserve => {
                    let not_after_ms = self.job.not_after_ms;
                    self.ledger.reserve(self.job.about(), self.invocation, not_after_ms, self.claim).await;
                }
                Verdict::Run { until_ms } => return self.run_reserved(until_ms).await,
                Verdict::Missed => return self.missed(),
                Verdict::Answer { committed } => return self.answer_from(committed).await,
                Verdict::Wait { until_ms } => return Came::Later { at_ms: until_ms },
                Verdict::Stale => return Came::Nothing,
                Verdict::Abandoned => {
                    // Its owner's last word may just have been appended.
                    self.ledger.fresh(partition).await;
                    if self.judge() == Verdict::Abandoned {
                        return self.abandoned().await;
                    }
                }
                Verdict::Expired => {
                    self.ledger.fresh(partition).await;
                    if self.judge() == Verdict::Expired
                        && let Some(came) = self.expired().await
                    {
                        return came;
                    }
                }
            }
        }
    }

    /// Whether the claim is over: by the log's time, by this machine's, and by its monotonic clock since before the append.
    fn is_late(&self, until_ms: Millis) -> bool {
        if self.shared.is_over() {
            return true;
        }
        let Some(age_ms) = self.claim.age_ms(self.shared.ports.clock.monotonic_ms()) else { return true };
        let Some(reserved) = self.ledger.reservation(self.invocation) else { return true };
        let now_ms = self.shared.now_ms().max(reserved.at_ms.saturating_add_unsigned(age_ms));
        age_ms > reserved.claim_ms || now_ms > until_ms
    }

    /// One's own Reserved was read back as the first.
    async fn run_reserved(&self, until_ms: Millis) -> Came {
        crash_point!("reserved_read_back");
        let refusal = self.claim.refusal().cloned();
        let refusal = refusal.or_else(|| self.shared.breakers.admit(&self.invocation.tool).err());
        if let Some(error) = refusal {
            return self.conclude(Outcome::Error(error));
        }
        if self.invocation.class == EffectClass::Reconcilable && self.invocation.attempt > 1 {
            // The attempt before may have taken effect without anybody hearing of it.
            match self.probe().await {
                Probe::Done(result) => return self.conclude(Outcome::Ok(result)),
                Probe::NotDone => {}
                Probe::Unknown(why) => return self.unknown(&why),
            }
        }
        self.call(Some(until_ms)).await
    }

    async fn call(&self, until_ms: Option<Millis>) -> Came {
        let (tool, arguments) = match checked(self.shared, self.invocation) {
            Ok(found) => found,
            Err(error) => return self.conclude(Outcome::Error(error)),
        };
        let timeout = Duration::from_millis(self.invocation.timeout_ms);
        let interruptible = self.invocation.class == EffectClass::Reconcilable;
        let call = Call {
            idempotency_key: self.job.effect.to_string(),
            attempt: self.invocation.attempt,
            arguments,
            timeout_ms: self.invocation.timeout_ms,
        };
        // The last look: from here to the call nothing waits.
        if until_ms.is_some_and(|until_ms| self.is_late(until_ms)) {
            return self.missed();
        }
        if let Some(error) = self.claim.refusal() {
            return self.conclude(Outcome::Error(error.clone()));
        }
        self.claim.start();
        self.shared.metrics.invocations_run.fetch_add(1, Relaxed);
        crash_point!("tool_called");
        let outcome = tokio::select! {
            biased;
            () = self.claim.cancelled(), if interruptible => Err(ToolError::in_doubt("it was called off")),
            outcome = tool.call(call) => outcome,
            () = self.shared.ports.clock.sleep(timeout) => {
                Err(ToolError::in_doubt(format!("no result within {} ms", self.invocation.timeout_ms)))
            }
        };
        crash_point!("tool_returned");
        let outcome = outcome.and_then(within_bounds);
        let outcome = outcome.map_or_else(Outcome::Error, Outcome::Ok);
        if self.claim.refusal().is_none_or(|error| &*error.kind != "cancelled") {
            self.shared.breakers.ran(&self.invocation.tool, &outcome);
        }
        match outcome {
            Outcome::Error(error) if error.is_in_doubt() => self.doubtful(&error.message).await,
            outcome => self.conclude(outcome),
        }
    }

    /// The call ended without saying whether it took effect, or whoever made it is gone.
    async fn doubtful(&self, why: &str) -> Came {
        if self.invocation.class != EffectClass::Reconcilable {
            return self.in_doubt(why);
        }
        match self.probe().await {
            Probe::Done(result) => self.conclude(Outcome::Ok(result)),
            Probe::NotDone => {
                let words = format!("{why}; asked, the service says that it was not done");
                let error = self.claim.refusal().cloned();
                self.conclude(Outcome::Error(
                    error.unwrap_or_else(|| ToolError::new("not_done", words, true)),
                ))
            }
            Probe::Unknown(unknown) => self.unknown(&format!("{why}; {unknown}")),
        }
    }

    async fn abandoned(&self) -> Came {
        if planted::is(Defect::RunAgainBlindly) {
            return self.call(None).await;
        }
        if let Some(error) = self.claim.poisoned() {
            // Not even its probe is called again.
            return self.in_doubt(&error.message);
        }
        let owner = if self.claim.has_started() { "its worker" } else { "whoever reserved it" };
        self.doubtful(&format!("{owner} ended without a result")).await
    }

    /// Asks the tool what became of the effect.
    async fn probe(&self) -> Probe {
        let Some(tool) = self.shared.ports.tools.tool(&self.invocation.tool) else {
            return Probe::Unknown(Arc::from("this pool does not run the tool"));
        };
        let call = Call {
            idempotency_key: self.job.effect.to_string(),
            attempt: self.invocation.attempt,
            arguments: self.invocation.arguments.clone().unwrap_or_else(RawJson::null),
            timeout_ms: self.invocation.timeout_ms,
        };
        let timeout = Duration::from_millis(self.invocation.timeout_ms);
        tokio::select! {
            biased;
            probe = tool.probe(call) => match probe {
                Probe::Done(result) => match within_bounds(result) {
                    Ok(result) => Probe::Done(result),
                    Err(error) => Probe::Unknown(error.message),
                },
                other => other,
            },
            () = self.shared.ports.clock.sleep(timeout) => {
                Probe::Unknown(format!("its probe has not answered within {} ms", self.invocation.timeout_ms).into())
            }
        }
    }

    /// The probe cannot tell: another attempt asks it again; after the last one a person has to find out.
    fn unknown(&self, why: &str) -> Came {
        if self.claim.refusal().is_none() && self.invocation.attempt < self.attempts() {
            return self.conclude(Outcome::Error(ToolError::new("unavailable", why, true)));
        }
        self.in_doubt(why)
    }

    /// Attempts that the step has, as far as this pool knows.
    fn attempts(&self) -> u32 {
        let tool: Option<Arc<dyn Tool>> = self.shared.ports.tools.tool(&self.invocation.tool);
        tool.map_or(1, |tool| tool.spec().max_attempts.min(MAX_ATTEMPTS))
    }

    /// It is known what came of it: that is committed, and then told.
    fn conclude(&self, outcome: Outcome) -> Came {
        let entry = commitment(self.shared, self.invocation, self.claim, &outcome, &self.started_at);
        let events = self.told(outcome, self.started_at.clone());
        Came::Answer(Answer { entry: Some(entry), events })
    }

    /// The events of an outcome. Of an unsafe tool a retryable error proves that nothing was sent, which also settles a
    /// doubt that somebody declared meanwhile (otherwise the fold ignores it).
    fn told(&self, outcome: Outcome, started_at: Arc<str>) -> Vec<Event> {
        let nothing_sent = match &outcome {
            Outcome::Error(error) if error.retryable => Some(error.message.clone()),
            _ => None,
        };
        let mut events = vec![self.job.resulted(self.shared, self.invocation, outcome, started_at)];
        if self.invocation.class == EffectClass::Unsafe
            && let Some(why) = nothing_sent
        {
            events.push(self.job.not_done(self.shared, self.invocation, &why));
        }
        events
    }

    fn missed(&self) -> Came {
        let reserved = self.ledger.reservation(self.invocation);
        let old = reserved.is_none_or(|reserved| {
            let since_ms = self.shared.now_ms().saturating_sub(reserved.at_ms);
            since_ms > i64::try_from(CLAIM_TELLS.as_millis()).unwrap_or(i64::MAX)
        });
        let age_ms = self.claim.age_ms(self.shared.ports.clock.monotonic_ms());
        if old || age_ms.is_none_or(|age_ms| u128::from(age_ms) > CLAIM_TELLS.as_millis()) {
            return Came::Nothing;
        }
        let words = format!("its claim was over before it could be run: {} ms", age_ms.unwrap_or_default());
        let refusal = self.claim.refusal().cloned();
        self.conclude(Outcome::Error(refusal.unwrap_or_else(|| ToolError::new("claim_missed", words, true))))
    }

    async fn answer_from(&self, offset: u64) -> Came {
        match self.ledger.committed(self.invocation, offset).await {
            Some(body) => {
                self.shared.metrics.invocations_deduplicated.fetch_add(1, Relaxed);
                Came::Answer(Answer { entry: None, events: self.told(body.outcome, body.started_at) })
            }
            None => self.in_doubt("it was done, and its result cannot be read back from the ledger"),
        }
    }

    fn in_doubt(&self, why: &str) -> Came {
        Came::Answer(Answer { entry: None, events: vec![self.job.doubt(self.invocation, why)] })
    }

    /// Too late to start, and nobody has. That it was not done can be said only by whoever reserved it first: another request
    /// for this attempt may be on its way to somebody, with more time. `None`: to be judged again.
    async fn expired(&self) -> Option<Came> {
        let now_ms = self.shared.now_ms();
        if self.invocation.class != EffectClass::Unsafe {
            self.shared.metrics.requests_expired.fetch_add(1, Relaxed);
            return Some(Came::Nothing);
        }
        // Whoever still wants it asks again about now, and that request may be started.
        let at_ms = self.ledger.surely_after_ms(self.claim.over_since_ms(self.job.not_after_ms, now_ms));
        if now_ms <= at_ms {
            return Some(Came::Later { at_ms });
        }
        self.shared.metrics.requests_expired.fetch_add(1, Relaxed);
        let words = "its time was over before anybody had reserved it";
        self.claim.refuse(ToolError::new("claim_missed", words, true));
        let until_ms = now_ms.saturating_add_unsigned(self.shared.limits.claim.as_millis() as u64);
        self.ledger.reserve(self.job.about(), self.invocation, until_ms, self.claim).await;
        None
    }
}
