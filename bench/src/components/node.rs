//! A node of the real actors with one role, in this process, on an embedded log that nothing else writes to.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use callboard_actors::{Arbiters, BlockingThreads, Limits, Node, Ports, Roles};
use callboard_models::builtin::{BuiltinPlanner, BuiltinSynthesizer};
use callboard_ports::clock::{Clock, Entropy};
use callboard_ports::tool::ToolRegistry;
use callboard_stores::{EmbeddedLog, EmbeddedOptions, Engine, Fsync, InHandJournal, open_snapshots};
use tempfile::TempDir;

use crate::result;
use crate::seed::Seed;

const STOP_WITHIN: Duration = Duration::from_secs(10);
/// A host by itself opens turns that nobody ends: with the usual bound it would rightly take no more questions.
const OPEN_TURNS: usize = 1 << 20;

/// A log, and what is needed to start a role on it.
pub struct Bed {
    pub log: Arc<EmbeddedLog>,
    tools: Arc<dyn ToolRegistry>,
    folder: TempDir,
}

impl Bed {
    pub fn make(tools: Arc<dyn ToolRegistry>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("callboard-components-").tempdir()?;
        // The service is the subject, not the disk.
        let options = EmbeddedOptions { fsync: Fsync::Never, ..EmbeddedOptions::default() };
        let log = EmbeddedLog::open(&folder.path().join("log"), options)?;
        Ok(Self { log, tools, folder })
    }

    pub fn history_file(&self) -> PathBuf {
        self.folder.path().join("history.json")
    }

    /// Starts a role, with as many arbiters as `serve` would have.
    pub fn start(&self, roles: Roles) -> Result<Running> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock(Instant::now()));
        let arbiters = Arbiters::start((result::cores() / 2).max(1), clock.clone());
        let ports = Ports {
            log: self.log.clone(),
            inbox: self.log.clone(),
            snapshots: open_snapshots(Engine::default(), self.folder.path())?,
            planner: Arc::new(BuiltinPlanner::new(self.tools.clone())),
            synthesizer: Arc::new(BuiltinSynthesizer),
            tools: self.tools.clone(),
            clock,
            entropy: Arc::new(Ids(Seed::new(1))),
            placement: arbiters.clone(),
            blocking: BlockingThreads::start(2),
            in_hand: Arc::new(InHandJournal::open(self.folder.path())),
        };
        let snapshots = ports.snapshots.clone();
        let limits = Limits { open_turns: OPEN_TURNS, ..Limits::default() };
        let node = callboard_actors::start(ports, roles, limits, "bench");
        Ok(Running { node, arbiters, snapshots })
    }
}

/// A started role.
pub struct Running {
    node: Node,
    arbiters: Arc<Arbiters>,
    snapshots: Arc<dyn callboard_ports::snapshot::SnapshotStore>,
}

impl Running {
    pub async fn stop(self) {
        self.node.stop(STOP_WITHIN).await;
        self.arbiters.stop();
        self.snapshots.close().await;
    }
}

struct SystemClock(Instant);

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn sleep(&self, duration: Duration) -> futures_util::future::BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// Ids of the length of UUIDs, unique in one run.
struct Ids(Seed);

impl Entropy for Ids {
    fn new_id(&self) -> String {
        format!("{:016x}-{:016x}", self.0.next(), self.0.next())
    }

    fn next_u64(&self) -> u64 {
        self.0.next()
    }
}
