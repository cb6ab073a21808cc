//! The root's own supervisor: runs the guardian, again when it dies, and elsewhere when its arbiter has stopped. Not an
//! actor: a task on the first arbiter, and a word from the placement's watchdog, which no arbiter can hold up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use callboard_ports::inbox::InboxControl;
use callboard_ports::partition::partition_of;
use futures_util::future::FutureExt;
use tokio::sync::watch;

use super::Fatal;
use crate::directory::RUNNING;
use crate::guardian::{ArbiterReplaced, Guardian};
use crate::limits::{ARBITERS_WEDGED, BATCH_MAILBOX};
use crate::shared::{Roles, Shared};
use crate::supervise::{Budget, Ending, Life, Restart, remote};

/// What is known of the root over its restarts.
pub struct Root {
    /// While there is one.
    pub guardian: Option<Addr<Guardian>>,
    /// Everything that it has started.
    pub life: Arc<Life>,
    pub restarts: u32,
    pub endings: BTreeMap<String, u32>,
    /// Arbiters that stopped.
    pub wedged: u32,
    /// Who keeps the guardian: one that wakes up late on an arbiter that had stopped finds another number here.
    keeper: u32,
}

impl Default for Root {
    fn default() -> Self {
        let (endings, life) = (BTreeMap::new(), Life::begin());
        Self { guardian: None, life, restarts: 0, endings, wedged: 0, keeper: 0 }
    }
}

impl Root {
    fn ended(&mut self, ending: Ending) {
        (self.guardian, self.restarts) = (None, self.restarts + 1);
        *self.endings.entry(ending.as_str().to_owned()).or_default() += 1;
        self.life.end();
    }
}

/// What an ending took away, until it is back.
pub struct Lost {
    /// Monotonic.
    pub since_ms: u64,
    /// Partitions whose hosts ran.
    pub hosts: BTreeSet<u32>,
}

/// Runs the guardian on the first arbiter until the node is stopped. False when that arbiter takes no work.
pub(super) fn begin(shared: &Arc<Shared>, roles: &Roles, stopped: watch::Receiver<bool>) -> bool {
    let keeper = shared.root().keeper;
    crate::gauges::keep(shared, stopped.clone());
    let (of, roles) = (shared.clone(), roles.clone());
    let job = Box::new(move || keep(of, roles, stopped, keeper).boxed_local());
    shared.ports.placement.spawn_on(0, job)
}

async fn keep(shared: Arc<Shared>, roles: Roles, mut stopped: watch::Receiver<bool>, keeper: u32) {
    let mut budget = Budget::default();
    let mut lost: Option<Lost> = None;
    while !*stopped.borrow_and_update() {
        let life = {
            let mut root = shared.root();
            if root.keeper != keeper {
                return;
            }
            root.life = Life::begin();
            root.life.clone()
        };
        let (of, with, in_life) = (shared.clone(), roles.clone(), life.clone());
        let guardian = remote(&shared, &life, 0, BATCH_MAILBOX, move |addr, ending| {
            let mut root = of.root();
            if root.keeper == keeper {
                root.guardian = Some(Addr::clone(&addr));
            }
            drop(root);
            Guardian::new(of.clone(), with, in_life, addr, ending)
        });
        let back = async {
            guardian.up.await;
            if let Some(lost) = lost.take() {
                lost.recovered(&shared, "guardian").await;
            }
            std::future::pending::<()>().await;
        };
        let ending = tokio::select! {
            biased;
            _ = stopped.changed() => return,
            ending = guardian.ended => ending,
            () = back => return,
        };
        {
            let mut root = shared.root();
            if root.keeper != keeper {
                return;
            }
            root.ended(ending);
        }
        let since_ms = shared.ports.clock.monotonic_ms();
        shared.metrics.ending("guardian", ending);
        tracing::error!(ending = ending.as_str(), "the guardian ended; it starts again");
        lost = Some(Lost { since_ms, hosts: shared.directory.take_assigned() });
        match budget.spend_for(ending, since_ms, shared.ports.entropy.next_u64()) {
            Restart::After(pause) => shared.ports.clock.sleep(pause).await,
            Restart::Exhausted => {
                let words = format!("the guardian itself: {}", ending.as_str());
                shared.fail(Fatal::BudgetExhausted(words));
                return;
            }
        }
    }
}

/// From now on the node hears of arbiters that stopped.
pub(super) fn watch_arbiters(shared: &Arc<Shared>, roles: &Roles, stopped: watch::Receiver<bool>) {
    let (weak, roles) = (Arc::downgrade(shared), roles.clone());
    let told = Box::new(move |index| {
        if let Some(shared) = weak.upgrade() {
            replaced(&shared, &roles, &stopped, index);
        }
    });
    shared.ports.placement.on_replaced(told);
}

/// Arbiter `index` stopped and has a successor. Whatever was on it is ended from here, since nobody there can do it; the
/// groups that had a lane on it start again.
fn replaced(shared: &Arc<Shared>, roles: &Roles, stopped: &watch::Receiver<bool>, index: usize) {
    let placement = &shared.ports.placement;
    shared.metrics.arbiter_wedged();
    let (life, guardian, wedged) = {
        let mut root = shared.root();
        root.wedged += 1;
        let guardian = root.guardian.clone();
        if index == 0 {
            root.keeper += 1;
            root.ended(Ending::Wedged);
        }
        (root.life.clone(), guardian, root.wedged)
    };
    tracing::error!(
        arbiter = index,
        wedged,
        "an arbiter stopped and was abandoned; what was on it starts again"
    );
    if wedged >= ARBITERS_WEDGED {
        let words =
            format!("arbiter {index} stopped, the {wedged}th since the start; see what its actors did last");
        shared.fail(Fatal::Wedged(words));
    }
    let tenures: Vec<_> = life.tenures().into_iter().filter(|tenure| tenure.speaks_on(index)).collect();
    tenures.iter().for_each(|tenure| tenure.end());
    let (arbiters, partitions) = (placement.arbiters(), shared.ports.log.partitions());
    let on_it = |partition: u32| index == 0 || partition as usize % arbiters == index;
    shared.directory.forget(on_it, |id| partition_of(id.as_str().as_bytes(), partitions));
    // Without this a member that is not static would keep its partitions: its lane is never closed.
    let leave = async move {
        let leaving = tenures.iter().map(|tenure| tenure.leave());
        futures_util::future::join_all(leaving).await;
    };
    placement.spawn_on(0, Box::new(move || leave.boxed_local()));
    if *stopped.borrow() {
        return;
    }
    if index == 0 {
        shared.metrics.ending("guardian", Ending::Wedged);
        begin(shared, roles, stopped.clone());
    } else if let Some(guardian) = guardian {
        let tell = async move {
            // A guardian that has just ended takes everything with it.
            let _ = guardian.send(ArbiterReplaced(index)).await;
        };
        placement.spawn_on(0, Box::new(move || tell.boxed_local()));
    }
}

/// How long a node that has some of the partitions waits for the rest, before it believes that others have them.
pub(super) const ALONE: Duration = Duration::from_secs(10);

/// Measures how long a node needs from its start until every partition of its own is caught up.
pub(super) fn measure_start(shared: &Arc<Shared>, started_ms: u64) {
    let of = shared.clone();
    let measure = async move {
        let all = of.ports.log.partitions() as usize;
        let running = |states: &BTreeMap<u32, &'static str>, least: usize| {
            states.len() >= least && states.values().all(|state| *state == RUNNING)
        };
        tokio::select! {
            biased;
            () = of.directory.until(|states| running(states, all)) => {}
            () = async {
                of.ports.clock.sleep(ALONE).await;
                of.directory.until(|states| running(states, 1)).await;
            } => {}
        }
        let took_ms = of.ports.clock.monotonic_ms().saturating_sub(started_ms);
        of.metrics.recovered("node", took_ms as f64 / 1_000.0);
    };
    shared.ports.placement.spawn_on(0, Box::new(move || measure.boxed_local()));
}
