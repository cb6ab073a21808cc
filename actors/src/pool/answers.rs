//! From a worker's outcome to an acknowledged answer: only then are the requests done.

use std::sync::Arc;

use actix::{Handler, Message};
use callboard_domain::event::Event;

use super::Pool;
use crate::host::append_until_acknowledged;

/// A worker has an outcome: the event that answers the request.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Finished {
    pub key: Arc<str>,
    pub worker: usize,
    pub event: Box<Event>,
}

/// The log does not take the answer, and never will.
#[derive(Message)]
#[rtype(result = "()")]
struct Refused(Arc<str>);

/// The answer is in the log.
#[derive(Message)]
#[rtype(result = "()")]
struct Answered(Arc<str>);

impl Pool {
    /// Appends the answer until it is acknowledged, then lets the requests go.
    pub(super) fn answer(&mut self, key: Arc<str>, event: &Event) {
        let Some(flight) = self.flights.get(&key) else { return };
        let record = flight.job.answer(&self.shared, event);
        let (shared, addr) = (self.shared.clone(), self.addr.clone());
        actix::spawn(async move {
            // Without an acknowledgement there is no committed offset: the request comes again.
            if append_until_acknowledged(&*shared.ports.log, &*shared.ports.clock, vec![record], || false)
                .await
            {
                let _ = addr.send(Answered(key)).await;
            } else {
                let _ = addr.send(Refused(key)).await;
            }
        });
    }

    /// The requests of a flight are done.
    pub(super) fn settle(&mut self, key: &Arc<str>) {
        let Some(flight) = self.flights.remove(key) else { return };
        for (partition, offset) in flight.requests {
            if let Some(window) = self.windows.get(&partition) {
                window.done(offset);
            }
        }
        if self.flights.is_empty()
            && let Some(drained) = self.drained.take()
        {
            let _ = drained.send(());
        }
    }
}

impl Handler<Finished> for Pool {
    type Result = ();

    fn handle(&mut self, message: Finished, _: &mut Self::Context) {
        if self.workers[message.worker].job.as_ref() == Some(&message.key) {
            self.free(message.worker);
        }
        self.answer(message.key, &message.event);
        self.dispatch();
    }
}

impl Handler<Answered> for Pool {
    type Result = ();

    fn handle(&mut self, message: Answered, _: &mut Self::Context) {
        self.answered.insert(message.0.clone(), ());
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
        let event = flight.job.failure(&self.shared, "result_too_large", "the answer does not fit a record");
        self.answer(message.0, &event);
    }
}
