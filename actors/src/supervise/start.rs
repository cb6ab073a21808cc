//! Starting an actor as a task that is watched: on this arbiter, or on another through the placement port.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use actix::{Actor, Addr, AsyncContext, Context, Handler, Recipient};
use futures_util::future::{FutureExt, LocalBoxFuture};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle};

use super::heartbeat::{Stop, watched};
use super::{Beat, Drain, Ending, EndingCell, Escalated, Kill, Life, Ping};
use crate::observe::Show;
use crate::shared::Shared;

/// How a parent talks to a child of any type.
#[derive(Clone)]
pub struct Refs {
    pub show: Recipient<Show>,
    pub kill: Recipient<Kill>,
    pub ping: Recipient<Ping>,
    /// For those that are started by the guardian or are it.
    pub drain: Option<Recipient<Drain>>,
}

/// A running actor: dropping it aborts the task.
pub struct Started {
    /// Filled at once for a local child, soon for a remote one.
    pub refs: Arc<Mutex<Option<Refs>>>,
    pub ended: LocalBoxFuture<'static, Ending>,
    /// Resolves when a remote child runs. A local one does.
    pub up: LocalBoxFuture<'static, ()>,
    pub guard: Guard,
    /// What a local child's ending is to be called when its supervisor ends it.
    reason: Rc<Cell<Option<Ending>>>,
}

impl Started {
    /// The ending of a local child, which is asked for its pulse meanwhile. (A remote one is asked where it runs.)
    pub fn watched(&mut self, beat: Beat) -> LocalBoxFuture<'static, Ending> {
        let ended = std::mem::replace(&mut self.ended, Box::pin(std::future::pending()));
        let (Guard::Task(task), Some(refs)) = (&self.guard, self.refs()) else { return ended };
        let stop = Stop { task: task.clone(), reason: self.reason.clone() };
        watched(ended, refs.ping, stop, beat).boxed_local()
    }

    pub fn refs(&self) -> Option<Refs> {
        self.refs.lock().expect("no holder of this lock panics").clone()
    }
}

/// Aborts the actor's task when dropped.
pub enum Guard {
    Task(AbortHandle),
    /// Dropping the sender tells the other arbiter to abort it.
    Remote(Option<oneshot::Sender<()>>),
}

impl Guard {
    /// Aborts the task now; its monitor reports `killed`.
    pub fn abort(&mut self) {
        match self {
            Self::Task(task) => task.abort(),
            Self::Remote(cancel) => drop(cancel.take()),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.abort();
    }
}

/// What a parent has to be able to say to a child.
pub trait Child: Actor<Context = Context<Self>> + Handler<Show> + Handler<Kill> + Handler<Ping> {}

impl<A: Actor<Context = Context<A>> + Handler<Show> + Handler<Kill> + Handler<Ping>> Child for A {}

fn refs_of<A: Child>(addr: &Addr<A>) -> Refs {
    let (show, kill) = (addr.clone().recipient(), addr.clone().recipient());
    Refs { show, kill, ping: addr.clone().recipient(), drain: None }
}

/// A task of this arbiter.
struct Running<A: Actor> {
    addr: Addr<A>,
    task: JoinHandle<()>,
    cell: EndingCell,
}

fn run<A: Actor<Context = Context<A>>>(
    build: impl FnOnce(Addr<A>, EndingCell) -> A,
    mailbox: usize,
) -> Running<A> {
    let cell = EndingCell::default();
    let mut context = Context::new();
    context.set_mailbox_capacity(mailbox);
    let addr = context.address();
    let actor = build(addr.clone(), cell.clone());
    let task = actix::spawn(context.into_future(actor));
    Running { addr, task, cell }
}

async fn ending_of(task: JoinHandle<()>, cell: EndingCell, reason: Rc<Cell<Option<Ending>>>) -> Ending {
    match task.await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(()) => cell.get(),
        Err(Ok(panic)) if panic.is::<Escalated>() => Ending::Escalated,
        Err(Ok(_)) => Ending::Panicked,
        Err(Err(_)) => reason.get().unwrap_or(Ending::Killed),
    }
}

/// Starts an actor on the current arbiter. `mailbox` is its capacity in messages (each address adds one).
pub fn local<A: Child>(mailbox: usize, build: impl FnOnce(Addr<A>, EndingCell) -> A) -> (Addr<A>, Started) {
    let Running { addr, task, cell } = run(build, mailbox);
    let guard = Guard::Task(task.abort_handle());
    let refs = Arc::new(Mutex::new(Some(refs_of(&addr))));
    let reason = Rc::<Cell<Option<Ending>>>::default();
    let ended = ending_of(task, cell, reason.clone()).boxed_local();
    (addr, Started { refs, ended, up: std::future::ready(()).boxed_local(), guard, reason })
}

/// Starts an actor on arbiter `index`, as a part of `life`. Where that arbiter is gone the child counts as killed.
pub fn remote<A: Child + Handler<Drain>>(
    shared: &Shared,
    life: &Arc<Life>,
    index: usize,
    mailbox: usize,
    build: impl FnOnce(Addr<A>, EndingCell) -> A + Send + 'static,
) -> Started {
    let refs = Arc::new(Mutex::new(None));
    let (cancel, cancelled) = oneshot::channel::<()>();
    let (report, reported) = oneshot::channel();
    let (running, up) = oneshot::channel();
    let (slot, life) = (refs.clone(), life.clone());
    let (clock, every) = (shared.ports.clock.clone(), shared.limits.heartbeat_every);
    let job = Box::new(move || {
        async move {
            if life.is_over() {
                // It waited in the queue of an arbiter that stopped: its time has passed.
                return;
            }
            let Running { addr, task, cell } = run(build, mailbox);
            let refs = refs_of(&addr);
            let ping = refs.ping.clone();
            *slot.lock().expect("no holder of this lock panics") =
                Some(Refs { drain: Some(addr.recipient()), ..refs });
            // The parent may be gone: then nobody waits for any of these.
            let _ = running.send(());
            let stop = Stop { task: task.abort_handle(), reason: Rc::default() };
            let ended = ending_of(task, cell, stop.reason.clone()).boxed_local();
            let ended = watched(ended, ping, stop.clone(), Beat { clock, every, rung: None });
            tokio::pin!(ended);
            let ending = tokio::select! {
                biased;
                ending = &mut ended => ending,
                _ = cancelled => ended_as_told(&stop, ended).await,
                () = life.ended() => ended_as_told(&stop, ended).await,
            };
            let _ = report.send(ending);
        }
        .boxed_local()
    });
    shared.ports.placement.spawn_on(index, job);
    let ended = reported.map(|ending| ending.unwrap_or(Ending::Killed)).boxed_local();
    let up = up.then(|up| async move {
        if up.is_err() {
            std::future::pending::<()>().await;
        }
    });
    Started { refs, ended, up: up.boxed_local(), guard: Guard::Remote(Some(cancel)), reason: Rc::default() }
}

async fn ended_as_told(stop: &Stop, ended: impl Future<Output = Ending>) -> Ending {
    stop.end_as(Ending::Killed);
    ended.await
}
