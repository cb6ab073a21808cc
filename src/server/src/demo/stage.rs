//! What a demo needs around the server: a temporary folder, a service outside that executes and counts, and Kafka
//! where it is wanted. All of it ends with the [`Stage`].

use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use callboard_testkit::kafka::{Cluster, ClusterOptions};
use callboard_testkit::ports::free_port;
use callboard_testkit::process::{FolderGuard, Launch};
use callboard_testkit::stubs::Counter;
use callboard_testkit::unique_name;
use tempfile::TempDir;

use super::child::Child;
use super::narrator::Narrator;
use super::worker::Worker;
use crate::cli::Failure;

/// Steps of a demo's plan: enough to kill in the middle of more than one.
pub const STEPS: usize = 5;
/// The pool that looks up.
const RAG: &str = "rag";
/// Twice what a deposit takes. A call that was cut off is looked into this long after the last moment at which it
/// could have been started, so that a short time here is a short pause after a kill.
const TOOL_TIMEOUT_MS: u64 = 3_000;
/// A call starts within this of its reservation in the ledger, or never; here that takes milliseconds. It is waited for
/// too before a call that was cut off is looked into.
const CLAIM_MS: u64 = 2_000;
/// What a person's own settings are called; a demo wants none of them.
const SETTINGS: [&str; 7] = [
    "KAFKA_BROKERS",
    "KAFKA_BOOTSTRAP_SERVERS",
    "OLLAMA_HOST",
    "OPENAI_API_KEY",
    "WEATHER_API_KEY",
    "CALLBOARD_SERVER",
    "CALLBOARD_API_KEY",
];

/// What carries the topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogChoice {
    Embedded,
    /// A broker of the demo's own.
    OwnKafka,
    /// Somebody's brokers; the demo's topics have a prefix of their own and stay there.
    Brokers(String),
}

/// What is to be set up.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub log: LogChoice,
    /// Where the server listens; a free port where nothing is said.
    pub listen: Option<SocketAddr>,
    /// How long the service takes before it executes a deposit, and again before it answers.
    pub slow: Duration,
    /// Whether the page shows the demo.
    pub with_page: bool,
    pub cast: Cast,
}

/// What the plan is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cast {
    /// Deposits, run by the server itself.
    Deposits,
    /// Look-ups between deposits; the tools run in two worker processes.
    LookUps,
}

/// Everything that a demo runs on.
pub struct Stage {
    pub child: Child,
    pub cast: Cast,
    /// The worker processes: of pool `default`, and of pool `rag`, which looks up.
    pub workers: Vec<Worker>,
    pub counter: Counter,
    pub cluster: Option<Arc<Cluster>>,
    /// Where Kafka is, when it carries the topics.
    #[cfg_attr(not(feature = "kafka"), allow(dead_code, reason = "for a foreign client"))]
    pub brokers: Option<String>,
    /// Before every topic, on Kafka.
    #[cfg_attr(not(feature = "kafka"), allow(dead_code, reason = "for a foreign client"))]
    pub prefix: String,
    /// After the others: they write to it until they are gone.
    folder: TempDir,
    /// Removes the folder when this process is ended by SIGKILL.
    _guard: FolderGuard,
}

impl Stage {
    /// Sets it all up and starts the server.
    ///
    /// # Errors
    /// What cannot be started, and why.
    pub fn set(wanted: &Wanted, narrator: &mut Narrator) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("callboard-demo-").tempdir().map_err(Failure::job)?;
        let guard = FolderGuard::over(folder.path()).map_err(Failure::job)?;
        let counter = Counter::start().map_err(Failure::job)?;
        counter.quick_reads();
        counter.delay(wanted.slow);
        counter.delay_answer(wanted.slow);
        narrator.tell(
            "start",
            &format!("a service outside at {} takes deposits, slowly, and counts them", counter.url()),
        );
        let cluster = (wanted.log == LogChoice::OwnKafka).then(|| {
            narrator.tell("start", "Apache Kafka, one broker …");
            Cluster::start(ClusterOptions::default()).map_err(Failure::job)
        });
        let cluster = cluster.transpose()?.map(Arc::new);
        let prefix = unique_name("demo") + ".";
        let brokers = match (&wanted.log, &cluster) {
            (LogChoice::Brokers(list), _) => Some(list.clone()),
            (_, Some(cluster)) => Some(cluster.bootstrap()),
            _ => None,
        };
        let address = wanted.listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
        let config =
            config(&counter, brokers.as_deref().map(|list| (list, prefix.as_str())), wanted.with_page);
        let launch = launch(&folder, &config)?;
        let mut serve = launch.clone().args(["serve", "--allow-chaos", "--listen", &address.to_string()]);
        if wanted.cast == Cast::LookUps {
            serve = serve.args(["--without", "tools"]);
        }
        let child = Child::start(of_folder(serve, &folder, "data"), address)?;
        let log = match &brokers {
            Some(list) => format!("topics {prefix}* on Kafka at {list}"),
            None => format!("embedded log in {}", folder.path().join("data").display()),
        };
        let (pid, url) = (child.pid(), child.url().to_owned());
        narrator.tell("start", &format!("`callboard serve` is process {pid} at {url}, {log}"));
        let mut workers = Vec::new();
        if wanted.cast == Cast::LookUps {
            for pool in ["default", RAG] {
                let worker = launch.clone().args(["worker", "--pool", pool]);
                let worker = Worker::start(of_folder(worker, &folder, &format!("data-{pool}")))?;
                let pid = worker.pid();
                narrator.tell("start", &format!("`callboard worker --pool {pool}` is process {pid}"));
                workers.push(worker);
            }
        }
        let cast = wanted.cast;
        Ok(Self { child, cast, workers, counter, cluster, brokers, prefix, folder, _guard: guard })
    }

    /// The worker process that looks up.
    ///
    /// # Errors
    /// When this demo has none.
    pub fn librarian(&mut self) -> Result<&mut Worker, Failure> {
        self.workers.last_mut().ok_or_else(|| Failure::job("this demo has no worker processes"))
    }

    /// The documents that are looked up, as the worker has them.
    #[must_use]
    pub fn documents(&self) -> PathBuf {
        self.folder.path().join(format!("data-{RAG}/knowledge/samples"))
    }

    /// Ends the server in order, then everything else.
    pub async fn strike(self) {
        for worker in &self.workers {
            worker.stop();
        }
        self.child.stop().await;
        drop(self);
    }
}

/// The question: its plan is [`STEPS`] steps, one after the other.
#[must_use]
pub fn question(cast: Cast) -> String {
    match cast {
        Cast::Deposits => {
            let steps: Vec<String> = (1..=STEPS).map(|n| format!("deposit coin {n}")).collect();
            steps.join(" then ")
        }
        Cast::LookUps => {
            "look up how long the warranty lasts then deposit coin 1 then look up what error E07 means \
                          then deposit coin 2 then look up how to clean the air grille"
                .to_owned()
        }
    }
}

/// An address that is free now: `preferred`, or any.
#[must_use]
pub fn address_near(preferred: u16) -> SocketAddr {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, preferred));
    match TcpListener::bind(address) {
        Ok(_) => address,
        Err(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())),
    }
}

/// The server's `callboard.toml`.
fn config(counter: &Counter, kafka: Option<(&str, &str)>, with_page: bool) -> String {
    let url = counter.url();
    let mut text = format!(
        "planner.order = [\"builtin\"]\nlimits.claim_ms = {CLAIM_MS}\n\n\
         [tools.deposit]\nbase_url = {url:?}\ntimeout_ms = {TOOL_TIMEOUT_MS}\n"
    );
    if let Some((brokers, prefix)) = kafka {
        // Everything is written before it can be lost, and a demo is one broker or somebody's own.
        let _ = write!(
            text,
            "\n[kafka]\nbrokers = {brokers:?}\ntopic_prefix = {prefix:?}\ncreate_topics = true\n"
        );
    }
    if with_page {
        let _ = write!(text, "\n[demo]\ncounter_url = {url:?}\nquestion = {:?}\n", question(Cast::Deposits));
    }
    text
}

/// This program with the demo's configuration, and with nothing of the shell that it is run from.
fn launch(folder: &TempDir, config: &str) -> Result<Launch, Failure> {
    let file = folder.path().join("callboard.toml");
    std::fs::write(&file, config).map_err(Failure::job)?;
    let program = std::env::current_exe().map_err(Failure::job)?;
    let mut launch = Launch::new(program).folder(folder.path());
    for name in surrounding_settings() {
        launch = launch.env_remove(name);
    }
    Ok(launch)
}

fn of_folder(launch: Launch, folder: &TempDir, data: &str) -> Launch {
    let config = folder.path().join("callboard.toml");
    launch.arg("--config").arg(config).arg("--data-dir").arg(folder.path().join(data))
}

/// The variables that would configure a server: those of a person's shell, and those known by name.
pub fn surrounding_settings() -> impl Iterator<Item = OsString> {
    let of_this_shell = std::env::vars_os().map(|(name, _)| name);
    let foreign = of_this_shell.filter(|name| name.to_string_lossy().starts_with("CALLBOARD__"));
    SETTINGS.iter().map(OsString::from).chain(foreign)
}
