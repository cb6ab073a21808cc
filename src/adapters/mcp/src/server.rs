//! One server: what everybody who deals with it shares, and the task that keeps it alive.
//!
//! [`supervise`] runs one life after another ([`crate::life`]), each with a generation number, paced by [`crate::pace`].
//! Calls take the session of the moment; an answer comes through the session that asked, so that one generation's is never
//! taken for another's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rmcp::RoleClient;
use rmcp::service::Peer;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::catalog::Catalog;
use crate::life::{self, Ended};
use crate::pace::Pace;
use crate::settings::Settings;
use crate::status::{Phase, Status};

/// A line to the server in one of its lives.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub generation: u64,
    pub peer: Peer<RoleClient>,
}

/// What is so at the moment.
#[derive(Debug, Clone)]
struct State {
    phase: Phase,
    generation: u64,
    pid: Option<u32>,
    session: Option<Session>,
    /// What it offers: of this life, or of the last one that had a list. Before the first one nobody knows.
    catalog: Option<Arc<Catalog>>,
    problem: Option<Arc<str>>,
}

/// A server.
pub(crate) struct Server {
    pub settings: Settings,
    /// Where its task, its calls and its connections live.
    pub runtime: Handle,
    state: watch::Sender<State>,
    /// Raised whenever any server offers something else.
    changes: watch::Sender<u64>,
    slots: Semaphore,
    /// Somebody doubts that it is alive.
    suspicion: Notify,
    /// The last generation that somebody wants to see die.
    doom: watch::Sender<u64>,
    /// Answers to calls so far.
    answers: AtomicU64,
}

impl Server {
    pub fn new(settings: Settings, runtime: Handle, changes: watch::Sender<u64>) -> Self {
        let slots = Semaphore::new(settings.concurrency);
        let state = State {
            phase: Phase::Starting,
            generation: 0,
            pid: None,
            session: None,
            catalog: None,
            problem: None,
        };
        Self {
            settings,
            runtime,
            state: watch::channel(state).0,
            changes,
            slots,
            suspicion: Notify::new(),
            doom: watch::channel(0).0,
            answers: AtomicU64::new(0),
        }
    }

    /// What it offers; nothing before its first list.
    pub fn catalog(&self) -> Option<Arc<Catalog>> {
        self.state.borrow().catalog.clone()
    }

    /// Waits until it has listed its tools, or has failed to for the first time.
    pub async fn settled(&self) {
        let settled = |state: &State| {
            state.catalog.is_some() || state.problem.is_some() || state.phase == Phase::Stopped
        };
        // The sender is this server's own: it does not close.
        let _ = self.state.subscribe().wait_for(settled).await;
    }

    /// A slot for a call and the session to send it through, within a time.
    ///
    /// # Errors
    /// Why there is none, in a sentence.
    pub async fn admit(
        &self,
        within: Duration,
    ) -> Result<(tokio::sync::SemaphorePermit<'_>, Session), String> {
        let both = async {
            let slot = self.slots.acquire().await.expect("the slots are never closed");
            let mut state = self.state.subscribe();
            let ready = |state: &State| state.session.is_some() || state.phase == Phase::Stopped;
            let session = state.wait_for(ready).await.ok().and_then(|state| state.session.clone());
            session.map(|session| (slot, session))
        };
        match tokio::time::timeout(within, both).await {
            Ok(Some(admitted)) => Ok(admitted),
            Ok(None) => Err("it has been stopped".to_owned()),
            Err(_) => Err(self.why_not(within)),
        }
    }

    fn why_not(&self, within: Duration) -> String {
        let state = self.state.borrow();
        let ms = within.as_millis();
        match (&state.session, &state.problem) {
            (Some(_), _) => {
                let calls = self.settings.concurrency;
                format!("it is busy: none of its {calls} slots (concurrency) became free within {ms} ms")
            }
            (None, Some(problem)) => format!("it is down: {problem}"),
            (None, None) => format!("it was not ready within {ms} ms"),
        }
    }

    /// A call through the session of `generation` found no answer: its life may be over.
    pub fn suspect(&self, generation: u64) {
        if self.state.borrow().session.as_ref().is_some_and(|session| session.generation == generation) {
            self.suspicion.notify_one();
        }
    }

    /// The session of `generation` takes nothing any more: nobody is to be sent to it.
    pub fn hung_up(&self, generation: u64) {
        self.state.send_if_modified(|state| {
            let ended = state.session.as_ref().is_some_and(|session| session.generation == generation);
            if ended {
                state.session = None;
            }
            ended
        });
    }

    /// It has answered a call, whatever it said.
    pub fn hear(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// Answers to calls so far.
    pub fn heard(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Waits until somebody suspects something.
    pub async fn suspected(&self) {
        self.suspicion.notified().await;
    }

    /// Kills it in this life, on purpose; `false` where there is nothing to kill.
    pub fn kill(&self) -> bool {
        let up = self.state.borrow().session.as_ref().map(|session| session.generation);
        // Kept until that life sees it, whatever it is busy with; the next one has another number.
        up.inspect(|generation| _ = self.doom.send_replace(*generation)).is_some()
    }

    /// Waits until `generation` is to be killed.
    pub async fn doomed(&self, generation: u64) {
        // The sender is this server's own: it does not close.
        let _ = self.doom.subscribe().wait_for(|doomed| *doomed >= generation).await;
    }

    fn starting(&self, generation: u64) {
        self.state.send_modify(|state| {
            state.phase = Phase::Starting;
            state.generation = generation;
        });
    }

    /// It can be called, and offers this.
    pub fn up(&self, session: Session, pid: Option<u32>, catalog: Catalog) {
        let (name, generation) = (&self.settings.name, session.generation);
        tracing::info!(
            "MCP server {name} is up with {} tools ({}, generation {generation})",
            catalog.offers.len(),
            self.settings.transport()
        );
        self.state.send_modify(|state| {
            state.phase = Phase::Up;
            state.pid = pid;
            state.session = Some(session);
            state.problem = None;
        });
        self.offer(catalog);
    }

    /// It offers this from now on.
    pub fn offer(&self, catalog: Catalog) {
        let catalog = Arc::new(catalog);
        if self.state.borrow().catalog.as_deref() == Some(&*catalog) {
            return;
        }
        for line in &catalog.left_out {
            tracing::warn!("MCP server {}: {line}", self.settings.name);
        }
        self.state.send_modify(|state| state.catalog = Some(catalog));
        self.changes.send_modify(|change| *change += 1);
    }

    /// Nobody is to call it any more.
    pub fn leaving(&self) {
        self.state.send_modify(|state| {
            state.session = None;
            state.pid = None;
        });
    }

    fn down(&self, why: &str, phase: Phase, pause: Duration) {
        let name = &self.settings.name;
        let seconds = pause.as_secs_f32();
        match phase {
            Phase::GivenUp => tracing::error!(
                "MCP server {name} is down, and its restart budget is used up: {why}; the next try is in {seconds:.0} s"
            ),
            _ => tracing::warn!("MCP server {name} is down: {why}; the next try is in {seconds:.1} s"),
        }
        self.state.send_modify(|state| {
            state.phase = phase;
            state.problem = Some(Arc::from(why));
        });
    }

    pub fn status(&self) -> Status {
        let state = self.state.borrow();
        let catalog = state.catalog.as_deref();
        let offers = catalog.map(|catalog| catalog.offers.as_slice()).unwrap_or_default();
        Status {
            name: self.settings.name.clone(),
            transport: self.settings.transport(),
            phase: state.phase,
            generation: state.generation,
            pid: state.pid,
            tools: offers.iter().map(|offer| offer.spec.name.clone()).collect(),
            left_out: catalog.map(|catalog| catalog.left_out.clone()).unwrap_or_default(),
            problem: state.problem.as_deref().map(str::to_owned),
            calls: self.settings.concurrency - self.slots.available_permits(),
            concurrency: self.settings.concurrency,
        }
    }
}

/// Keeps the server alive until told to stop.
pub(crate) async fn supervise(server: Arc<Server>, stop: CancellationToken) {
    let mut pace = Pace::default();
    for generation in 1.. {
        server.starting(generation);
        // A task of its own: what panics in it is the end of that life and of nothing else.
        let life = AbortOnDropHandle::new(tokio::spawn(life::live(server.clone(), generation, stop.clone())));
        let ended = life
            .await
            .unwrap_or_else(|error| Some(Ended { why: format!("its supervision ended: {error}"), up: None }));
        server.leaving();
        let Some(Ended { why, up }) = ended else { break };
        let pause = pace.pause_after(up);
        let phase = if pace.is_spent() { Phase::GivenUp } else { Phase::Down };
        server.down(&server.settings.masks.hide(&why), phase, pause);
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    server.state.send_modify(|state| state.phase = Phase::Stopped);
}
