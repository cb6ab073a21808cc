//! A conversation host reduced to its thinking: reads the log back (perhaps late), decides one command at a
//! time, and lists what is due, each effect under a lease. No resume code: a new host starts from any state.

use std::collections::BTreeMap;

use callboard_domain::command::Asked;
use callboard_domain::decide::{Decision, decide};
use callboard_domain::due::due;
use callboard_domain::effect::{Effect, EffectKey};
use callboard_domain::event::Event;
use callboard_domain::time::Millis;
use callboard_domain::{CommandId, Recorded, State, apply};

use super::essence::bytes;
use super::tools::Tools;
use crate::due_laws::assert_sane;

/// An append that was not read back is tried again after this.
const READ_BACK_MS: Millis = 5_000;

pub struct Host {
    pub state: State,
    /// Records that arrived before `now - lag_ms` are read.
    pub lag_ms: Millis,
    /// Snapshot bytes after each record read, by next offset.
    pub live: Vec<(u64, Vec<u8>)>,
    read: usize,
    commands_done: usize,
    awaited_until_ms: Option<Millis>,
    leases: BTreeMap<EffectKey, Millis>,
}

impl Host {
    /// A host that takes over with `state` as its snapshot.
    pub fn from(state: State, lag_ms: Millis) -> Self {
        Self {
            read: usize::try_from(state.next_offset).unwrap(),
            state,
            lag_ms,
            live: Vec::new(),
            commands_done: 0,
            awaited_until_ms: None,
            leases: BTreeMap::new(),
        }
    }

    pub fn read(&mut self, log: &[Recorded], now: Millis) {
        while let Some(record) = log.get(self.read).filter(|r| r.timestamp_ms + self.lag_ms <= now) {
            apply(&mut self.state, record);
            self.read += 1;
            self.live.push((self.state.next_offset, bytes(&self.state)));
        }
    }

    /// The event of the next command, unless one is still on its way through the log.
    pub fn decide(&mut self, commands: &[Asked], now: Millis, tools: &Tools) -> Option<(CommandId, Event)> {
        loop {
            let asked = commands.get(self.commands_done)?;
            match decide(&self.state, asked, tools, now) {
                Decision::Known => {
                    self.commands_done += 1;
                    self.awaited_until_ms = None;
                }
                Decision::Append { .. } if self.awaited_until_ms.is_some_and(|until| now < until) => {
                    return None;
                }
                Decision::Append { command, event } => {
                    self.awaited_until_ms = Some(now + self.lag_ms + READ_BACK_MS);
                    return Some((command, event));
                }
            }
        }
    }

    /// The effects that are due and not under way.
    pub fn issue(&mut self, now: Millis) -> Vec<Effect> {
        let due = due(&self.state, now);
        assert_sane(&self.state, &due, now);
        self.leases.retain(|_, until| now < *until);
        let fresh: Vec<_> = due.effects.into_iter().filter(|e| !self.leases.contains_key(&e.key())).collect();
        for effect in &fresh {
            let until = match effect {
                Effect::AskPlanner { until_ms, .. }
                | Effect::Invoke { until_ms, .. }
                | Effect::CancelInvocation { until_ms, .. }
                | Effect::Synthesize { until_ms, .. } => until_ms + 1_000,
                Effect::Append { .. } => now + self.lag_ms + READ_BACK_MS,
            };
            self.leases.insert(effect.key(), until);
        }
        fresh
    }

    /// When there may be something to do, if nothing comes from outside.
    pub fn wake_at(&self, log: &[Recorded], commands: usize, now: Millis) -> Option<Millis> {
        let due = due(&self.state, now);
        let leased = due.effects.iter().filter_map(|effect| self.leases.get(&effect.key()).copied()).min();
        let unread = log.get(self.read).map(|record| record.timestamp_ms + self.lag_ms);
        let awaited = self.awaited_until_ms.filter(|_| self.commands_done < commands);
        [due.wake_at_ms, leased, unread, awaited].into_iter().flatten().filter(|at| *at > now).min()
    }
}
