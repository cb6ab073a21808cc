//! The effect ledger: who may run an effect that must not be done twice, and what came of it. Its records live
//! in `tool-effects`; a [`Book`] is the fold of one partition of it, [`Book::judge`] says what a worker may do.
//!
//! The protocol is a lease in a log: append Reserved, run only after reading one's own Reserved back as the
//! first of that effect and attempt, and only within `claim_ms` of its append; then append Committed. Whoever
//! finds another's Reserved without Committed waits until `claim_ms` + `timeout_ms` after it are over, and then
//! asks the tool's probe or says that it is in doubt. The first record of a kind wins, as everywhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::Outcome;
use crate::id::EffectId;
use crate::limits::MAX_LEDGER_EFFECTS;
use crate::plan::EffectClass;
use crate::time::Millis;

/// Somebody means to run an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EffectReserved {
    pub effect_id: EffectId,
    pub attempt: u32,
    pub tool: Arc<str>,
    pub effect: EffectClass,
    /// One start of one pool; never used again after it ended.
    pub owner: Arc<str>,
    /// The owner starts within this of the append, or never.
    pub claim_ms: u64,
    /// And has ended this long after it started.
    pub timeout_ms: u64,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EffectCommitted {
    pub effect_id: EffectId,
    pub attempt: u32,
    pub owner: Arc<str>,
    pub outcome: Outcome,
    /// The worker's clock, RFC 3339, for display.
    pub started_at: Arc<str>,
    pub finished_at: Arc<str>,
}

/// A record of `tool-effects`.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    EffectReserved(EffectReserved),
    EffectCommitted(EffectCommitted),
}

impl Entry {
    /// The bare name that `type` carries.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::EffectReserved(_) => "EffectReserved",
            Self::EffectCommitted(_) => "EffectCommitted",
        }
    }

    #[must_use]
    pub fn effect_id(&self) -> &EffectId {
        match self {
            Self::EffectReserved(body) => &body.effect_id,
            Self::EffectCommitted(body) => &body.effect_id,
        }
    }

    /// The record's key. Kinds have keys of their own, so that compaction never lets a late Reserved hide a
    /// Committed.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::EffectReserved(body) => format!("{}:reserved", body.effect_id),
            Self::EffectCommitted(body) => format!("{}:committed", body.effect_id),
        }
    }
}

/// The first Reserved of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    pub owner: Arc<str>,
    /// The log's append time.
    pub at_ms: Millis,
    pub claim_ms: u64,
    pub timeout_ms: u64,
}

impl Reservation {
    /// From here on its owner can no longer be running it.
    #[must_use]
    pub fn over_ms(&self) -> Millis {
        self.at_ms.saturating_add_unsigned(self.claim_ms).saturating_add_unsigned(self.timeout_ms)
    }
}

/// What the ledger knows of an effect: its highest attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub attempt: u32,
    pub reserved: Option<Reservation>,
    /// Offset of the first Committed: its result is read from there.
    pub committed: Option<u64>,
    /// Of the newest record that counted.
    offset: u64,
}

/// What a worker may do with a request for an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody has reserved it: append Reserved and read it back.
    Reserve,
    /// The reservation is one's own: run it, now and never after this instant of the log's clock.
    Run { until_ms: Millis },
    /// One's own reservation, which was not used in time: answer that nothing was run.
    Missed,
    /// It is done: the answer lies at this offset of the ledger.
    Answer { committed: u64 },
    /// Somebody else may be running it: judge again then.
    Wait { until_ms: Millis },
    /// Whoever reserved it is gone and left no result: probe it, or it is in doubt.
    Abandoned,
    /// A later attempt is known: drop the request.
    Stale,
    /// Too late to start it, and nobody ever did.
    Expired,
}

/// A request as the ledger judges it.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    pub effect: &'a EffectId,
    pub attempt: u32,
    /// Who asks.
    pub owner: &'a str,
    /// Whether the asker has begun to run this attempt before (and its worker was lost).
    pub started: bool,
    pub not_after_ms: Millis,
}

/// The fold of one partition of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Book {
    effects: BTreeMap<EffectId, Standing>,
    /// Effects by the offset of their newest record: the oldest are forgotten first.
    by_offset: BTreeMap<u64, EffectId>,
    next_offset: u64,
}

impl Book {
    /// Records below this offset have been folded.
    #[must_use]
    pub fn next_offset(&self) -> u64 {
        self.next_offset
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.effects.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }

    #[must_use]
    pub fn standing(&self, effect: &EffectId) -> Option<&Standing> {
        self.effects.get(effect)
    }

    /// Moves past records that are no entries.
    pub fn skip(&mut self, offset: u64) {
        self.next_offset = self.next_offset.max(offset + 1);
    }

    /// Folds one record; whether it counted (the first of its kind and attempt does).
    pub fn apply(&mut self, offset: u64, timestamp_ms: Millis, entry: &Entry) -> bool {
        if offset < self.next_offset {
            return false;
        }
        self.next_offset = offset + 1;
        let (effect, attempt) = match entry {
            Entry::EffectReserved(body) => (&body.effect_id, body.attempt),
            Entry::EffectCommitted(body) => (&body.effect_id, body.attempt),
        };
        let mut standing = match self.effects.remove(effect) {
            Some(known) if known.attempt > attempt => {
                self.effects.insert(effect.clone(), known);
                return false;
            }
            Some(known) if known.attempt == attempt => known,
            other => {
                if let Some(older) = other {
                    self.by_offset.remove(&older.offset);
                }
                Standing { attempt, reserved: None, committed: None, offset }
            }
        };
        let counted = match entry {
            Entry::EffectReserved(body) if standing.reserved.is_none() => {
                standing.reserved = Some(Reservation {
                    owner: body.owner.clone(),
                    at_ms: timestamp_ms,
                    claim_ms: body.claim_ms,
                    timeout_ms: body.timeout_ms,
                });
                true
            }
            Entry::EffectCommitted(_) if standing.committed.is_none() => {
                standing.committed = Some(offset);
                true
            }
            _ => false,
        };
        self.by_offset.remove(&standing.offset);
        standing.offset = offset;
        self.by_offset.insert(offset, effect.clone());
        self.effects.insert(effect.clone(), standing);
        while self.effects.len() > MAX_LEDGER_EFFECTS
            && let Some((_, oldest)) = self.by_offset.pop_first()
        {
            self.effects.remove(&oldest);
        }
        counted
    }

    /// What the asker of `claim` may do at `now_ms` of the log's clock.
    #[must_use]
    pub fn judge(&self, claim: Claim<'_>, now_ms: Millis) -> Verdict {
        let fresh = || if now_ms > claim.not_after_ms { Verdict::Expired } else { Verdict::Reserve };
        let Some(standing) = self.effects.get(claim.effect) else { return fresh() };
        if standing.attempt > claim.attempt {
            return Verdict::Stale;
        }
        if standing.attempt < claim.attempt {
            return fresh();
        }
        if let Some(committed) = standing.committed {
            return Verdict::Answer { committed };
        }
        let Some(reserved) = &standing.reserved else { return fresh() };
        if *reserved.owner == *claim.owner {
            let until_ms = reserved.at_ms.saturating_add_unsigned(reserved.claim_ms).min(claim.not_after_ms);
            return match (claim.started, now_ms <= until_ms) {
                (true, _) => Verdict::Abandoned,
                (false, true) => Verdict::Run { until_ms },
                (false, false) => Verdict::Missed,
            };
        }
        let until_ms = reserved.over_ms();
        if now_ms <= until_ms { Verdict::Wait { until_ms } } else { Verdict::Abandoned }
    }
}
