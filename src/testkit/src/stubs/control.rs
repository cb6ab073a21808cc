//! The levers of a stub: how slow, how broken, and what it has been asked so far.
//!
//! Shared between the test's thread, through [`super::Stub`], and the stub's own, in [`super::server`].

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::request::Received;

/// Requests kept for the test to look at; the oldest go first, the count goes on.
const KEPT_REQUESTS: usize = 1_024;

#[derive(Debug)]
pub(super) struct Control {
    levers: Mutex<Levers>,
    /// Whether answers are held back.
    held: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Levers {
    delay: Duration,
    answer_delay: Duration,
    /// Whether reading is answered without those delays.
    quick_reads: bool,
    always: Option<u16>,
    next: VecDeque<Refusal>,
    resets: usize,
    echoes: bool,
    requests: VecDeque<Received>,
    hits: usize,
    in_flight: usize,
    peak_in_flight: usize,
}

/// What is to become of a request, fixed when it arrives.
pub(super) struct Orders {
    pub(super) delay: Duration,
    pub(super) answer_delay: Duration,
    pub(super) fail_with: Option<Refusal>,
}

/// A status and the headers that go with it.
pub(super) type Refusal = (u16, Vec<(String, String)>);

impl Control {
    pub(super) fn new() -> Self {
        Self { levers: Mutex::default(), held: watch::Sender::new(false) }
    }

    /// Notes a request and says what to do with it. Its [`InFlight`] ends with the reply or with the
    /// connection.
    pub(super) fn arrived(&self, request: Received) -> (Orders, InFlight<'_>) {
        let mut levers = self.levers();
        levers.hits += 1;
        levers.in_flight += 1;
        levers.peak_in_flight = levers.peak_in_flight.max(levers.in_flight);
        if levers.requests.len() == KEPT_REQUESTS {
            levers.requests.pop_front();
        }
        let quick = levers.quick_reads && request.route().0 == "GET";
        levers.requests.push_back(request);
        let fail_with = levers.next.pop_front().or(levers.always.map(|status| (status, Vec::new())));
        let (delay, answer_delay) =
            if quick { Default::default() } else { (levers.delay, levers.answer_delay) };
        (Orders { delay, answer_delay, fail_with }, InFlight(self))
    }

    /// Waits for as long as answers are held back.
    pub(super) async fn released(&self) {
        // The sender is in `self`, so it cannot be gone.
        let _ = self.held.subscribe().wait_for(|held| !held).await;
    }

    pub(super) fn set_held(&self, held: bool) {
        self.held.send_replace(held);
    }

    pub(super) fn set_delay(&self, delay: Duration) {
        self.levers().delay = delay;
    }

    pub(super) fn set_answer_delay(&self, delay: Duration) {
        self.levers().answer_delay = delay;
    }

    pub(super) fn set_quick_reads(&self) {
        self.levers().quick_reads = true;
    }

    pub(super) fn fail_next(&self, requests: usize, status: u16) {
        self.levers().next.extend(std::iter::repeat_n((status, Vec::new()), requests));
    }

    pub(super) fn refuse_next(&self, status: u16, headers: &[(&str, &str)]) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.levers().next.push_back((status, headers.collect()));
    }

    pub(super) fn reset_next(&self, connections: usize) {
        self.levers().resets += connections;
    }

    pub(super) fn set_echoes(&self) {
        self.levers().echoes = true;
    }

    /// What is said in errors beside their own words.
    pub(super) fn echo(&self, request: &Received) -> Option<String> {
        self.levers().echoes.then(|| request.header("authorization").unwrap_or_default().to_owned())
    }

    /// Whether the connection that has just come is to be reset.
    pub(super) fn resets(&self) -> bool {
        let mut levers = self.levers();
        let resets = levers.resets > 0;
        levers.resets = levers.resets.saturating_sub(1);
        resets
    }

    pub(super) fn fail_always(&self, status: u16) {
        self.levers().always = Some(status);
    }

    pub(super) fn heal(&self) {
        let mut levers = self.levers();
        levers.always = None;
        levers.next.clear();
        levers.delay = Duration::ZERO;
        levers.answer_delay = Duration::ZERO;
        drop(levers);
        self.set_held(false);
    }

    pub(super) fn forget(&self) {
        let mut levers = self.levers();
        levers.requests.clear();
        levers.hits = 0;
        levers.peak_in_flight = levers.in_flight;
    }

    pub(super) fn hits(&self) -> usize {
        self.levers().hits
    }

    pub(super) fn in_flight(&self) -> usize {
        self.levers().in_flight
    }

    pub(super) fn peak_in_flight(&self) -> usize {
        self.levers().peak_in_flight
    }

    pub(super) fn requests(&self) -> Vec<Received> {
        self.levers().requests.iter().cloned().collect()
    }

    fn levers(&self) -> MutexGuard<'_, Levers> {
        self.levers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that has not been answered; the client may also hang up.
pub(super) struct InFlight<'a>(&'a Control);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.levers().in_flight -= 1;
    }
}
