//! Requests coming into a pool: filtered by pool, read, deduplicated, or given up.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use actix::{ActorContext, Handler, Message, ResponseFuture};
use callboard_ports::dead_letter::{Reason, dead_letter};
use callboard_ports::headers::{DEFAULT_POOL, POOL};
use callboard_ports::inbox::InboxEvent;
use callboard_ports::record::Record;

use super::{Flight, Job, Kind, Pool};
use crate::host::append_until_acknowledged;
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
        match self.kind.read(record) {
            Ok(job) => self.accept(job, record.partition, record.offset),
            Err((code, detail)) => self.give_up(record, window, code, &detail),
        }
    }

    fn accept(&mut self, job: Job, partition: u32, offset: u64) {
        let key = job.key.clone();
        if self.answered.contains_key(&key) {
            self.shared.metrics.invocations_deduplicated.fetch_add(1, Relaxed);
            if let Some(window) = self.windows.get(&partition) {
                window.done(offset);
            }
            return;
        }
        if let Some(flight) = self.flights.get_mut(&key) {
            self.shared.metrics.invocations_deduplicated.fetch_add(1, Relaxed);
            flight.requests.push((partition, offset));
            if flight.worker.is_none() && job.not_after_ms > flight.job.not_after_ms {
                // Asked again because it waits so long: the newer request may still be started.
                flight.job = Arc::new(job);
            }
            return;
        }
        let tool = job.tool.clone();
        let flight = Flight {
            job: Arc::new(job),
            requests: vec![(partition, offset)],
            crashes: 0,
            worker: None,
            refused: false,
        };
        self.flights.insert(key.clone(), flight);
        self.waiting.entry(tool).or_default().push_back(key);
    }

    /// Gives a request up; it is done when the dead letter is acknowledged.
    fn give_up(&self, record: &Record, window: Arc<Window<()>>, code: &'static str, detail: &str) {
        tracing::warn!(topic = %record.topic, partition = record.partition, offset = record.offset, code, detail, "request dead-lettered");
        self.shared.metrics.dead_letter(code);
        let partition = record.partition % self.shared.ports.log.partitions();
        let letter = dead_letter(record, &Reason { code, detail, attempt: 1 }, partition);
        let (shared, offset) = (self.shared.clone(), record.offset);
        actix::spawn(async move {
            let give_up = || window.is_revoked();
            if append_until_acknowledged(&*shared.ports.log, &*shared.ports.clock, vec![letter], give_up)
                .await
            {
                window.done(offset);
            }
        });
    }

    /// The partition is somebody else's: what only waits is dropped, what runs may finish and is ignored as a duplicate.
    fn disown(&mut self, partition: u32) {
        if let Some(window) = self.windows.remove(&partition) {
            window.revoke();
        }
        let mut dropped = Vec::new();
        for (key, flight) in &mut self.flights {
            flight.requests.retain(|(of, _)| *of != partition);
            if flight.requests.is_empty() && flight.worker.is_none() {
                dropped.push(key.clone());
            }
        }
        for key in dropped {
            if let Some(flight) = self.flights.remove(&key)
                && let Some(waiting) = self.waiting.get_mut(&flight.job.tool)
            {
                waiting.retain(|waiting| *waiting != key);
            }
        }
    }
}

impl Handler<FromInbox> for Pool {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, message: FromInbox, context: &mut Self::Context) -> Self::Result {
        match message.0 {
            InboxEvent::Assigned { partition, committed } => {
                let from = committed.map_or(0, |position| position.next_offset);
                // Requests are small beside their results; their number is the bound that matters.
                let bounds = WindowBounds { entries: self.shared.limits.requests_in_flight, bytes: 64 << 20 };
                let window = Window::new(self.topic, partition, from, bounds, self.inbox.clone());
                self.windows.insert(partition, Arc::new(window));
            }
            InboxEvent::Batch(batch) => {
                for record in batch.records.iter() {
                    self.take(record);
                }
                self.dispatch();
            }
            InboxEvent::Revoked { partition, ack } => {
                self.disown(partition);
                let _ = ack.send(());
            }
            InboxEvent::Lost { partition } => self.disown(partition),
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
