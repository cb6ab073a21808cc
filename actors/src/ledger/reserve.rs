//! Writing to the ledger: Reserved, until somebody's is read back; and the record of what was committed, read and written.

use std::sync::Arc;
use std::time::Duration;

use callboard_domain::ledger::{EffectCommitted, EffectReserved, Entry};
use callboard_domain::time::rfc3339;
use callboard_domain::wire::{self, Stamp};
use callboard_ports::headers::{self, Family};
use callboard_ports::record::{NewRecord, Topic};

use super::{Claim, Ledger};
use crate::crash_point::crash_point;
use crate::limits::FULL_RETRY;
use crate::pool::Invocation;
use crate::shared::{About, Shared};

/// An entry as a record of `tool-effects`.
pub fn entry_record(shared: &Shared, about: About<'_>, partition: u32, entry: &Entry) -> NewRecord {
    let (id, at) = (shared.ports.entropy.new_id(), rfc3339(shared.now_ms()));
    let About { conversation, command, causation_id, traceparent } = about;
    let stamp = Stamp { id: &id, conversation, command, at: &at, causation_id };
    let value = wire::write_ledger(stamp, entry).expect("an entry built by this crate can be written");
    NewRecord {
        topic: Topic::ToolEffects,
        partition,
        key: entry.key().into(),
        headers: headers::cloud_event(Family::Effect, entry.name(), 1, &id, conversation, &at, traceparent)
            .into(),
        value: value.into(),
    }
}

impl Ledger {
    /// Appends Reserved and waits until the ledger shows who was first, or it is too late to start anything.
    pub(super) async fn reserve(
        &self,
        about: About<'_>,
        invocation: &Invocation,
        not_after_ms: i64,
        claim: &Claim,
    ) {
        let (shared, partition) = (&self.shared, self.partition_of(invocation));
        let claim_ms = shared.limits.claim.as_millis() as u64;
        let entry = Entry::EffectReserved(EffectReserved {
            effect_id: invocation.effect_id.clone(),
            attempt: invocation.attempt,
            tool: invocation.tool.clone(),
            effect: invocation.class,
            owner: claim.owner.clone(),
            claim_ms,
            timeout_ms: invocation.timeout_ms,
        });
        let record = entry_record(shared, about, partition, &entry);
        let known = self.until(partition, |book| {
            book.standing(&invocation.effect_id).is_some_and(|standing| {
                standing.attempt > invocation.attempt
                    || (standing.attempt == invocation.attempt
                        && (standing.reserved.is_some() || standing.committed.is_some()))
            })
        });
        let mut known = std::pin::pin!(known);
        while shared.now_ms() <= not_after_ms {
            claim.appending(shared.ports.clock.monotonic_ms());
            let acknowledged = match shared.ports.log.append(vec![record.clone()]) {
                Ok(receipt) => {
                    crash_point!("reserved_appended");
                    tokio::select! {
                        biased;
                        () = &mut known => return,
                        fate = receipt => matches!(fate, Ok(Ok(_))),
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, effect = %invocation.effect_id, "it cannot be reserved now");
                    false
                }
            };
            // Acknowledged, it will be read. It is written again only so that this ends when it was not.
            let pause = if acknowledged { Duration::from_millis(claim_ms) } else { FULL_RETRY };
            tokio::select! {
                biased;
                () = &mut known => return,
                () = shared.ports.clock.sleep(pause) => {}
            }
        }
    }

    /// What was committed for this attempt at `offset` or, should compaction have taken that, in its next copy.
    pub(super) async fn committed(&self, invocation: &Invocation, offset: u64) -> Option<EffectCommitted> {
        /// A log that cannot be read now is asked a few times, for as long as a broker takes to be replaced.
        const TRIES: u32 = 6;
        let (log, partition) = (&self.shared.ports.log, self.partition_of(invocation));
        let key = format!("{}:committed", invocation.effect_id);
        for attempt in 0..TRIES {
            let read = offset..self.next_offset(partition);
            let mut found = log.replay(Topic::ToolEffects, partition, vec![read], Some(key.clone()));
            while let Some(batch) = found.recv().await {
                let Ok(batch) = batch else { break };
                for record in batch.records.iter() {
                    if let Ok((_, Entry::EffectCommitted(body))) = wire::read_ledger(&record.value)
                        && body.effect_id == invocation.effect_id
                        && body.attempt == invocation.attempt
                    {
                        return Some(body);
                    }
                }
            }
            self.shared.ports.clock.sleep(FULL_RETRY * 2_u32.pow(attempt)).await;
        }
        None
    }
}

/// What a flight wants committed.
pub fn commitment(
    shared: &Shared,
    invocation: &Invocation,
    claim: &Claim,
    outcome: &callboard_domain::event::Outcome,
    started_at: &Arc<str>,
) -> EffectCommitted {
    EffectCommitted {
        effect_id: invocation.effect_id.clone(),
        attempt: invocation.attempt,
        owner: claim.owner.clone(),
        outcome: outcome.clone(),
        started_at: started_at.clone(),
        finished_at: Arc::from(rfc3339(shared.now_ms())),
    }
}
