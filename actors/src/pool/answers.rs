//! From what a run came to, to an acknowledged answer: only then are the requests done.

use std::sync::Arc;

use actix::{Handler, Message};
use callboard_domain::event::ToolError;
use callboard_ports::dead_letter::{Reason, dead_letter};
use callboard_ports::record::{NewRecord, Record, Topic};

use super::flights::{Place, Stage};
use super::job::{Answer, Came};
use super::{Kind, Pool};
use crate::crash_point::crash_point;
use crate::host::append_until_acknowledged;
use crate::shared::Shared;

/// A worker is through with a job.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Finished {
    pub key: Arc<str>,
    pub worker: usize,
    pub came: Came,
}

/// The log does not take the answer, and never will.
#[derive(Message)]
#[rtype(result = "()")]
struct Refused(Arc<str>);

/// The answer is in the log.
#[derive(Message)]
#[rtype(result = "()")]
struct Answered(Arc<str>);

/// What is appended for a flight, each of it acknowledged before the next.
struct Outgoing {
    entry: Option<NewRecord>,
    events: Vec<NewRecord>,
    is_synthesis: bool,
    /// The request that goes to the dead letters, and why.
    poison: Option<(Topic, Place, String)>,
}

impl Outgoing {
    async fn send(self, shared: &Shared) -> bool {
        let (log, clock) = (&*shared.ports.log, &*shared.ports.clock);
        // Without an acknowledgement there is no committed offset: the request comes again.
        if let Some(entry) = self.entry {
            if !append_until_acknowledged(log, clock, vec![entry], || false).await {
                return false;
            }
            crash_point!("committed_appended");
        }
        if !append_until_acknowledged(log, clock, self.events, || false).await {
            return false;
        }
        if self.is_synthesis {
            crash_point!("answer_appended");
        } else {
            crash_point!("result_appended");
        }
        if let Some((topic, place, why)) = self.poison
            && let Some(request) = read_back(shared, topic, place).await
        {
            shared.metrics.dead_letter("poison");
            let reason = Reason { code: "poison", detail: &why, attempt: 1 };
            let letter = dead_letter(&request, &reason, place.0 % log.partitions());
            return append_until_acknowledged(log, clock, vec![letter], || false).await;
        }
        true
    }
}

/// The record of a request: requests under way are kept without theirs, and almost none is poison.
async fn read_back(shared: &Shared, topic: Topic, (partition, offset): Place) -> Option<Record> {
    let mut found = shared.ports.log.replay(topic, partition, vec![offset..offset + 1], None);
    let batch = found.recv().await?.inspect_err(|error| {
        tracing::error!(%topic, partition, offset, %error, "a poisonous request cannot be dead-lettered");
    });
    batch.ok()?.records.first().cloned()
}

impl Pool {
    /// Appends the answer until it is acknowledged, then lets the requests go.
    pub(super) fn answer(&mut self, key: Arc<str>, answer: Answer) {
        let Some(flight) = self.flights.get_mut(&key) else { return };
        flight.stage = Stage::Answering;
        flight.succeeded |= answer.is_success();
        flight.concluded = answer.is_last_word();
        let (job, shared) = (flight.job().clone(), self.shared.clone());
        let poison = match (&flight.poison, flight.requests.first()) {
            (Some(why), Some(place)) => Some((self.topic, *place, why.clone())),
            _ => None,
        };
        let out = Outgoing {
            entry: answer.entry.map(|entry| job.entry(&shared, entry)),
            events: job.records(&shared, &answer.events),
            is_synthesis: self.kind == Kind::Synthesis,
            poison,
        };
        let addr = self.addr.clone();
        actix::spawn(async move {
            if out.send(&shared).await {
                let _ = addr.send(Answered(key)).await;
            } else {
                let _ = addr.send(Refused(key)).await;
            }
        });
    }

    /// The requests of a flight are done; what was behind it is next.
    pub(super) fn settle(&mut self, key: &Arc<str>) {
        let Some(flight) = self.flights.remove(key) else { return };
        if flight.noted {
            self.shared.ports.in_hand.end(key);
        }
        self.done(&flight.requests);
        if let Some((next, places)) = flight.next {
            if flight.succeeded {
                self.done(&places);
            } else {
                self.accept(*next, places);
            }
        }
        if self.flights.is_empty()
            && let Some(drained) = self.drained.take()
        {
            let _ = drained.send(());
        }
    }

    pub(super) fn done(&self, places: &[Place]) {
        for (partition, offset) in places {
            if let Some(window) = self.windows.get(partition) {
                window.done(*offset);
            }
        }
    }
}

impl Handler<Finished> for Pool {
    type Result = ();

    fn handle(&mut self, message: Finished, _: &mut Self::Context) {
        let Finished { key, worker, came } = message;
        let in_hand = self.workers[worker].job.as_ref().is_some_and(|(job, _)| *job == key);
        if in_hand {
            self.free(worker);
            match came {
                Came::Answer(answer) => self.answer(key, answer),
                Came::Later { at_ms } => self.clear(&key, at_ms),
                Came::Nothing => self.settle(&key),
            }
        }
        self.dispatch();
    }
}

impl Handler<Answered> for Pool {
    type Result = ();

    fn handle(&mut self, message: Answered, _: &mut Self::Context) {
        crash_point!("result_acknowledged");
        if let Some(flight) = self.flights.get(&message.0).filter(|flight| flight.concluded) {
            let (now_ms, ttl) = (self.shared.now_ms(), self.shared.limits.dedup_ttl);
            let until_ms = now_ms.saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX));
            self.answered.remember(&message.0, flight.attempt(), until_ms, now_ms);
        }
        self.settle(&message.0);
        self.dispatch();
    }
}

impl Handler<Refused> for Pool {
    type Result = ();

    fn handle(&mut self, message: Refused, _: &mut Self::Context) {
        let Some(flight) = self.flights.get_mut(&message.0) else { return };
        if std::mem::replace(&mut flight.refused, true) {
            // Not even the error can be appended: the log is closed, and the request stays uncommitted.
            return;
        }
        let error = ToolError::new("result_too_large", "the answer does not fit a record", false);
        let event = flight.job().failure(&self.shared, error);
        self.answer(message.0, Answer::of(event));
    }
}
