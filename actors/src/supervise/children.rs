//! What a supervising actor knows of its children, and what it does when one ends (one-for-one). Every child is asked for
//! its pulse (`heartbeat`).

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{Message, Recipient};
use callboard_ports::clock::{Clock, Entropy};

use super::budget::LONGEST_PAUSE;
use super::{Beat, Budget, Ending, Kill, Refs, Restart, Started, kind_of};
use crate::limits::{SHOW_TIMEOUT, SHOWN_CHILDREN};
use crate::observe::{ActorView, KillHow, Metrics, Show};
use crate::shared::Shared;

/// A child's task is over. Stale generations are ignored.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Ended {
    pub name: String,
    pub generation: u64,
    pub ending: Ending,
}

/// The pause before a restart is over.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct RestartChild {
    pub name: String,
    pub generation: u64,
}

/// How to start (again) a child.
pub type Factory = Box<dyn FnMut() -> Started>;

/// One child.
pub struct Child {
    factory: Factory,
    generation: u64,
    running: Option<Started>,
    restarts: u32,
    endings: BTreeMap<Ending, u32>,
    budget: Budget,
}

/// The children of one supervisor.
pub struct Children {
    parent: String,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    metrics: Arc<Metrics>,
    beat: Beat,
    ended: Recipient<Ended>,
    restart: Recipient<RestartChild>,
    children: BTreeMap<String, Child>,
    /// One count for all of them, so that the ending of a removed child is never taken for that of its successor.
    generation: u64,
}

impl Children {
    pub fn new(
        parent: &str,
        shared: &Shared,
        ended: Recipient<Ended>,
        restart: Recipient<RestartChild>,
    ) -> Self {
        let (clock, entropy) = (shared.ports.clock.clone(), shared.ports.entropy.clone());
        let beat = Beat { clock: clock.clone(), every: shared.limits.heartbeat_every, rung: None };
        let (parent, metrics) = (parent.to_owned(), shared.metrics.clone());
        Self {
            parent,
            clock,
            entropy,
            metrics,
            beat,
            ended,
            restart,
            children: BTreeMap::new(),
            generation: 0,
        }
    }

    /// Starts a child and keeps it running until [`Self::remove`].
    pub fn start(&mut self, name: &str, factory: Factory) {
        let child = Child {
            factory,
            generation: 0,
            running: None,
            restarts: 0,
            endings: BTreeMap::new(),
            budget: Budget::default(),
        };
        self.children.insert(name.to_owned(), child);
        self.launch(name);
    }

    fn launch(&mut self, name: &str) {
        let Some(child) = self.children.get_mut(name) else { return };
        self.generation += 1;
        child.generation = self.generation;
        let mut started = (child.factory)();
        let watch = started.watched(self.beat.clone());
        child.running = Some(started);
        let (name, generation, parent) = (name.to_owned(), child.generation, self.ended.clone());
        actix::spawn(async move {
            let ending = watch.await;
            // A parent that is gone has taken its children with it.
            let _ = parent.send(Ended { name, generation, ending }).await;
        });
    }

    /// Takes note of an ending. `Some` names the child whose budget is exhausted: escalate.
    #[must_use]
    pub fn ended(&mut self, message: &Ended) -> Option<String> {
        let child = self.children.get_mut(&message.name)?;
        if child.generation != message.generation {
            return None;
        }
        child.running = None;
        *child.endings.entry(message.ending).or_default() += 1;
        self.metrics.ending(kind_of(&message.name), message.ending);
        tracing::warn!(
            actor = format!("{}/{}", self.parent, message.name),
            ending = message.ending.as_str(),
            "actor ended"
        );
        let (now_ms, random) = (self.clock.monotonic_ms(), self.entropy.next_u64());
        let pause = match child.budget.spend_for(message.ending, now_ms, random) {
            Restart::After(pause) => self.clock.sleep(pause),
            // It says itself that something it depends on has failed, which a new parent does not mend: it rests.
            Restart::Exhausted if message.ending == Ending::Failed => self.clock.sleep(LONGEST_PAUSE),
            Restart::Exhausted => return Some(message.name.clone()),
        };
        let (name, generation, parent) = (message.name.clone(), message.generation, self.restart.clone());
        actix::spawn(async move {
            pause.await;
            let _ = parent.send(RestartChild { name, generation }).await;
        });
        None
    }

    /// The pause is over.
    pub fn restart(&mut self, message: &RestartChild) {
        match self.children.get_mut(&message.name) {
            Some(child) if child.generation == message.generation && child.running.is_none() => {
                child.restarts += 1;
            }
            _ => return,
        }
        self.launch(&message.name);
    }

    /// Drops a child and aborts its task.
    pub fn remove(&mut self, name: &str) {
        self.children.remove(name);
    }

    pub fn clear(&mut self) {
        self.children.clear();
    }

    fn refs(&self, name: &str) -> Option<Refs> {
        self.children.get(name)?.running.as_ref()?.refs()
    }

    /// Passes a kill on, or carries out an abort of a direct child. The future says whether there was one.
    pub fn kill(&mut self, message: Kill) -> futures_util::future::LocalBoxFuture<'static, bool> {
        let mut path = message.path;
        if path.is_empty() {
            return Box::pin(async { false });
        }
        let name = path.remove(0);
        if path.is_empty() && message.how == KillHow::Abort {
            let running = self.children.get_mut(&name).and_then(|child| child.running.as_mut());
            let found = running.map(|running| running.guard.abort());
            return Box::pin(async move { found.is_some() });
        }
        let Some(refs) = self.refs(&name) else { return Box::pin(async { false }) };
        // A child that panics as told answers with a closed mailbox: that is success.
        Box::pin(async move { refs.kill.send(Kill { path, how: message.how }).await.unwrap_or(true) })
    }

    /// Asks every child to show itself; one that does not answer in time is shown as silent.
    pub fn show(&self) -> futures_util::future::LocalBoxFuture<'static, Vec<ActorView>> {
        let ask = |(name, child): (&String, &Child)| {
            let (path, timeout) = (format!("{}/{name}", self.parent), self.clock.sleep(SHOW_TIMEOUT));
            show_child(path, self.refs(name), child.restarts, endings(&child.endings), timeout)
        };
        let asked: Vec<_> = self.children.iter().take(SHOWN_CHILDREN).map(ask).collect();
        Box::pin(futures_util::future::join_all(asked))
    }
}

/// Asks one child to show itself until `timeout`, and adds what only its parent knows.
pub async fn show_child(
    path: String,
    refs: Option<Refs>,
    restarts: u32,
    endings: BTreeMap<String, u32>,
    timeout: impl Future<Output = ()>,
) -> ActorView {
    let shown = match refs {
        Some(refs) => tokio::select! {
            biased;
            shown = refs.show.send(Show) => shown.ok(),
            () = timeout => None,
        },
        None => Some(ActorView::restarting(&path)),
    };
    let mut view = shown.unwrap_or_else(|| ActorView::silent(&path));
    view.restarts = restarts;
    view.endings = endings;
    view
}

fn endings(endings: &BTreeMap<Ending, u32>) -> BTreeMap<String, u32> {
    endings.iter().map(|(ending, times)| (ending.as_str().to_owned(), *times)).collect()
}
