//! Starting an actor as a task that is watched: on this arbiter, or on another through the placement port.

use std::sync::{Arc, Mutex};

use actix::{Actor, Addr, AsyncContext, Context, Handler, Recipient};
use callboard_ports::placement::Placement;
use futures_util::future::{FutureExt, LocalBoxFuture};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle};

use super::{Drain, Ending, EndingCell, Kill};
use crate::observe::Show;

/// How a parent talks to a child of any type.
#[derive(Clone)]
pub struct Refs {
    pub show: Recipient<Show>,
    pub kill: Recipient<Kill>,
    /// For those that are started by the guardian or are it.
    pub drain: Option<Recipient<Drain>>,
}

/// A running actor: dropping it aborts the task.
pub struct Started {
    /// Filled at once for a local child, soon for a remote one.
    pub refs: Arc<Mutex<Option<Refs>>>,
    pub ended: LocalBoxFuture<'static, Ending>,
    pub guard: Guard,
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

fn refs_of<A>(addr: &Addr<A>) -> Refs
where
    A: Actor<Context = Context<A>> + Handler<Show> + Handler<Kill>,
{
    Refs { show: addr.clone().recipient(), kill: addr.clone().recipient(), drain: None }
}

fn run<A: Actor<Context = Context<A>>>(
    build: impl FnOnce(Addr<A>, EndingCell) -> A,
    mailbox: usize,
) -> (Addr<A>, JoinHandle<()>, EndingCell) {
    let ending = EndingCell::default();
    let mut context = Context::new();
    context.set_mailbox_capacity(mailbox);
    let addr = context.address();
    let actor = build(addr.clone(), ending.clone());
    let task = actix::spawn(context.into_future(actor));
    (addr, task, ending)
}

async fn ending_of(task: JoinHandle<()>, cell: EndingCell) -> Ending {
    match task.await {
        Ok(()) => cell.get(),
        Err(error) if error.is_panic() => Ending::Panicked,
        Err(_) => Ending::Killed,
    }
}

/// Starts an actor on the current arbiter. `mailbox` is its capacity in messages (each address adds one).
pub fn local<A>(mailbox: usize, build: impl FnOnce(Addr<A>, EndingCell) -> A) -> (Addr<A>, Started)
where
    A: Actor<Context = Context<A>> + Handler<Show> + Handler<Kill>,
{
    let (addr, task, cell) = run(build, mailbox);
    let guard = Guard::Task(task.abort_handle());
    let refs = Arc::new(Mutex::new(Some(refs_of(&addr))));
    (addr, Started { refs, ended: ending_of(task, cell).boxed_local(), guard })
}

/// Starts an actor on arbiter `index`. Where that arbiter is gone the child counts as killed.
pub fn remote<A>(
    placement: &dyn Placement,
    index: usize,
    mailbox: usize,
    build: impl FnOnce(Addr<A>, EndingCell) -> A + Send + 'static,
) -> Started
where
    A: Actor<Context = Context<A>> + Handler<Show> + Handler<Kill> + Handler<Drain>,
{
    let refs = Arc::new(Mutex::new(None));
    let (cancel, cancelled) = oneshot::channel::<()>();
    let (report, reported) = oneshot::channel();
    let slot = refs.clone();
    let job = Box::new(move || {
        async move {
            let (addr, task, cell) = run(build, mailbox);
            *slot.lock().expect("no holder of this lock panics") =
                Some(Refs { drain: Some(addr.clone().recipient()), ..refs_of(&addr) });
            drop(addr);
            let abort = task.abort_handle();
            let ended = ending_of(task, cell);
            tokio::pin!(ended);
            let ending = tokio::select! {
                biased;
                ending = &mut ended => ending,
                _ = cancelled => {
                    abort.abort();
                    ended.await
                }
            };
            // The parent may be gone: then nobody waits for the report.
            let _ = report.send(ending);
        }
        .boxed_local()
    });
    placement.spawn_on(index, job);
    let ended = reported.map(|ending| ending.unwrap_or(Ending::Killed)).boxed_local();
    Started { refs, ended, guard: Guard::Remote(Some(cancel)) }
}
