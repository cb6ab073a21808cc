//! Requests coming into a pool: filtered by pool, read, deduplicated, or given up.

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use actix::{ActorContext, Handler, Message, ResponseFuture};
use callboard_domain::event::ToolError;
use callboard_domain::planted::{self, Defect};
use callboard_ports::dead_letter::{Reason, dead_letter};
use callboard_ports::headers::{DEFAULT_POOL, POOL};
use callboard_ports::inbox::InboxEvent;
use callboard_ports::record::Record;

use super::Pool;
use super::flights::{Flight, Place, Stage};
use super::job::{self, Job, Task};
use super::request::{Asked, Kind};
use crate::crash_point::crash_point;
use crate::host::append_until_acknowledged;
use crate::ledger::Claim;
use crate::node::Fatal;
use crate::supervise::Ending;
use crate::window::{Window, WindowBounds};

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct FromInbox(InboxEvent);

/// The lane has closed: the adapter has given up.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct LaneClosed;

impl Pool {
    pub(super) fn start_intake(&mut self) {
        let Some(mut feed) = self.feed.take() else { return };
        let addr = self.addr.clone();
        let pump = actix::spawn(async move {
            while let Some(event) = feed.records.recv().await {
                if addr.send(FromInbox(event)).await.is_err() {
                    return;
                }
            }
            let _ = addr.send(LaneClosed).await;
        });
        self.pumps.push(pump.abort_handle());
    }

    fn take(&mut self, record: &Record) {
        let Some(window) = self.windows.get(&record.partition).cloned() else { return };
        if !window.take(record.offset, (), record.size_bytes()) {
            return;
        }
        if let Kind::Tools(mine) = &self.kind {
            // Records of other pools are skipped undecoded; one without a pool belongs to the default pool.
            let pool = record.header(POOL).unwrap_or(DEFAULT_POOL);
            if pool != &**mine {
                window.done(record.offset);
                return;
            }
        }
        let place = (record.partition, record.offset);
        match self.kind.read(record, &*self.shared.ports.tools) {
            Ok(Asked::Do(job)) => self.accept(job, vec![place]),
            Ok(Asked::Leave(job)) => self.leave(job, place),
            Err((code, detail)) => self.give_up(record, window, code, &detail),
        }
    }

    /// Takes a request in hand, or lets it join whoever has.
    pub(super) fn accept(&mut self, job: Job, places: Vec<Place>) {
        let (key, now_ms) = (job.effect.clone(), self.shared.now_ms());
        let is_called_off = self.called_off.holds(&key, job.attempt, now_ms);
        let job = if is_called_off { job.called_off() } else { job };
        if self.answered.holds(&key, job.attempt, now_ms) {
            self.shared.metrics.invocations_deduplicated.fetch_add(1, Relaxed);
            self.done(&places);
            return;
        }
        if self.flights.contains_key(&key) {
            self.join(job, places);
            return;
        }
        if self.kind == Kind::Synthesis {
            crash_point!("synthesis_taken");
        } else {
            crash_point!("request_taken");
        }
        let called_off = job.is_called_off();
        let flight = Flight::new(self.task(job), places);
        let ledgered = flight.task.claim.is_some();
        self.flights.insert(key.clone(), flight);
        if called_off && !ledgered {
            self.refuse(&key, job::called_off());
        } else {
            self.queue(&key);
        }
    }

    /// A job and its claim: a new one for each flight, so that what another flight reserved is somebody else's.
    fn task(&mut self, job: Job) -> Task {
        let claim = job.is_ledgered().then(|| {
            self.claims += 1;
            let claim = Claim::new(format!("{}-{}", self.incarnation, self.claims).into());
            if job.is_called_off() {
                claim.refuse(job::called_off());
            }
            Arc::new(claim)
        });
        Task { job: Arc::new(job), claim }
    }

    /// Somebody has this effect in hand.
    fn join(&mut self, job: Job, mut places: Vec<Place>) {
        let key = job.effect.clone();
        let Some(flight) = self.flights.get_mut(&key) else { return };
        self.shared.metrics.invocations_deduplicated.fetch_add(1, Relaxed);
        match job.attempt.cmp(&flight.attempt()) {
            // Nobody waits for an earlier attempt any more.
            Ordering::Less => self.done(&places),
            Ordering::Equal => {
                flight.requests.append(&mut places);
                // Asked again because it waits so long: the newer request may still be started.
                let newer = job.not_after_ms > flight.job().not_after_ms && !job.is_called_off();
                if newer && matches!(flight.stage, Stage::Waiting | Stage::Clearing { .. }) {
                    flight.task.job = Arc::new(job);
                }
            }
            Ordering::Greater if matches!(flight.stage, Stage::Waiting | Stage::Clearing { .. }) => {
                flight.requests.append(&mut places);
                self.supersede(&key, job);
            }
            Ordering::Greater => flight.follow(job, places),
        }
    }

    /// A later attempt takes the place of one that waits. That one may have run before its worker died, with a later attempt
    /// behind it already: of the later ones the last counts, and who asked for any of them waits with it.
    fn supersede(&mut self, key: &Arc<str>, job: Job) {
        self.unqueue(key);
        let Some(mut flight) = self.flights.remove(key) else { return };
        if flight.noted {
            self.shared.ports.in_hand.end(key);
        }
        let requests = std::mem::take(&mut flight.requests);
        flight.follow(job, requests);
        if let Some((job, requests)) = flight.next {
            self.accept(*job, requests);
        }
    }

    /// Gives a request up; it is done when the dead letter is acknowledged.
    fn give_up(&self, record: &Record, window: Arc<Window<()>>, code: &'static str, detail: &str) {
        tracing::warn!(topic = %record.topic, partition = record.partition, offset = record.offset, code, detail, "request dead-lettered");
        self.shared.metrics.dead_letter(code);
        let partition = record.partition % self.shared.ports.log.partitions();
        let letter = dead_letter(record, &Reason { code, detail, attempt: 1 }, partition);
        let (shared, offset) = (self.shared.clone(), record.offset);
        if planted::is(Defect::ForgetDeadLetter) {
            window.done(offset);
            drop(shared.ports.log.append(vec![letter]));
            return;
        }
        actix::spawn(async move {
            let give_up = || window.is_revoked();
            if append_until_acknowledged(&*shared.ports.log, &*shared.ports.clock, vec![letter], give_up)
                .await
            {
                crash_point!("dead_letter_written");
                window.done(offset);
            }
        });
    }

    /// The partition is somebody else's: what only waits is dropped, what runs may finish and is ignored as a duplicate.
    /// `handed_over`: what is done may still be said.
    fn disown(&mut self, partition: u32, handed_over: bool) {
        if let Some(window) = self.windows.remove(&partition) {
            if handed_over {
                window.hand_over();
            } else {
                window.revoke();
            }
        }
        let keys: Vec<Arc<str>> = self.flights.keys().cloned().collect();
        for key in keys {
            let Some(flight) = self.flights.get_mut(&key) else { continue };
            flight.requests.retain(|(of, _)| *of != partition);
            if let Some((_, places)) = &mut flight.next {
                places.retain(|(of, _)| *of != partition);
            }
            flight.next.take_if(|(_, places)| places.is_empty());
            if !flight.requests.is_empty() {
                continue;
            }
            match (&flight.stage, &flight.task.claim) {
                (Stage::Waiting | Stage::Clearing { .. }, _) => {
                    self.unqueue(&key);
                    self.settle(&key);
                }
                (Stage::Running(_), Some(claim)) => {
                    let words = "the partition was taken away before it could be run";
                    claim.refuse(ToolError::new("claim_missed", words, true));
                }
                _ => {}
            }
        }
        self.forget_ledgers();
    }

    /// Ledgers are read of the partitions that are ours, and of what is under way.
    fn forget_ledgers(&self) {
        let in_hand: Vec<u32> = self
            .flights
            .values()
            .filter(|flight| flight.task.claim.is_some())
            .filter_map(|flight| flight.job().invocation())
            .map(|invocation| self.ledger.partition_of(invocation))
            .collect();
        self.ledger.retain(|of| self.windows.contains_key(&of) || in_hand.contains(&of));
    }
}

impl Handler<FromInbox> for Pool {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, message: FromInbox, context: &mut Self::Context) -> Self::Result {
        match message.0 {
            InboxEvent::Assigned { partition, committed } => {
                let from = committed.as_ref().map_or(0, |position| position.next_offset);
                // Requests are small beside their results; their number is the bound that matters.
                let bounds = WindowBounds { entries: self.shared.limits.requests_in_flight, bytes: 64 << 20 };
                let window = Window::new(self.topic, partition, from, bounds, self.inbox.clone())
                    .noting(committed.as_ref())
                    .counted(self.shared.metrics.clone(), "requests_paused");
                let window = Arc::new(window);
                if let Some(tenure) = &self.shared.tenure {
                    tenure.covers(&window);
                }
                self.shared.gauges.watch(&self.kind.group(), (self.topic, partition), &window);
                self.windows.insert(partition, window);
            }
            InboxEvent::Batch(batch) => {
                for record in batch.records.iter() {
                    self.take(record);
                }
                self.dispatch();
            }
            InboxEvent::Revoked { partition, ack } => {
                self.disown(partition, true);
                let _ = ack.send(());
            }
            InboxEvent::Lost { partition } => self.disown(partition, false),
            InboxEvent::Gap { partition, from, to } => {
                tracing::error!(topic = %self.topic, partition, lost = format!("{from}..{to}"), "requests were deleted before they were read");
            }
            InboxEvent::Fenced { reason } => {
                self.shared.fail(Fatal::Fenced(reason));
                self.ending.set(Ending::Fenced);
                context.stop();
            }
        }
        Box::pin(async {})
    }
}

impl Handler<LaneClosed> for Pool {
    type Result = ();

    fn handle(&mut self, _: LaneClosed, context: &mut Self::Context) {
        self.ending.set(Ending::Failed);
        context.stop();
    }
}
