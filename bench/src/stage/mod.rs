//! What is measured: the binary `callboard` in the processes of one installation, a log, and an outside counter.
//!
//! `engine` is the log, `member` one process. The installation is one `serve` on the embedded log; on Kafka a `serve`
//! without tools and synthesis, two tool workers, a synthesis worker, and a second `serve` that comes when it is called.

mod engine;
mod member;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use callboard_testkit::ports::free_port;
use callboard_testkit::process::Launch;
use serde_json::json;

pub use engine::Engine;
pub use member::{Member, Role};

use crate::arguments::LogKind;
use crate::counter::CounterProcess;

/// A debug build on a busy machine, behind three brokers that start.
const READY_WAIT: Duration = Duration::from_secs(90);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Variables of the person who runs this that would change what runs.
const NOT_OURS: [&str; 6] = [
    "KAFKA_BROKERS",
    "KAFKA_BOOTSTRAP_SERVERS",
    "OLLAMA_HOST",
    "OPENAI_API_KEY",
    "WEATHER_API_KEY",
    "CALLBOARD_CRASH_AT",
];

/// A folder that goes away at the end, unless somebody wants to keep it.
enum Folder {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

/// Which processes an installation on Kafka has; on the embedded log there is but one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One `serve` that does everything.
    Alone,
    /// Roles as processes of their own.
    Apart,
}

/// An installation.
pub struct Stage {
    pub engine: Engine,
    pub counter: CounterProcess,
    pub members: Vec<Arc<Member>>,
    /// Another `serve`, that runs only while the first is frozen.
    pub second: Option<Arc<Member>>,
    binary: PathBuf,
    environment: Vec<(String, String)>,
    /// After the processes, which write to it.
    folder: Folder,
}

impl Stage {
    /// Starts the log and the counter, and prepares the processes of the installation.
    pub fn prepare(kind: LogKind, binary: Option<&Path>, keep: Option<&Path>) -> Result<Self> {
        let binary = match binary {
            Some(path) => path.to_owned(),
            None => std::env::current_exe()?.with_file_name("callboard"),
        };
        if !binary.is_file() {
            bail!("{} is not there; build it, or name it with --binary", binary.display());
        }
        let folder = match keep {
            Some(path) => {
                std::fs::create_dir_all(path)?;
                Folder::Kept(path.canonicalize()?)
            }
            None => Folder::Temporary(tempfile::Builder::new().prefix("callboard-bench-").tempdir()?),
        };
        let engine = Engine::start(kind)?;
        let counter = CounterProcess::start()?;
        Ok(Self {
            engine,
            counter,
            members: Vec::new(),
            second: None,
            binary,
            environment: Vec::new(),
            folder,
        })
    }

    /// Lets the tools with an effect call the counter.
    pub fn allow_effects(&mut self, timeout_ms: u64) {
        for tool in ["WEBHOOK", "DEPOSIT"] {
            let key = |name: &str| format!("CALLBOARD__TOOLS__{tool}__{name}");
            self.environment.push((key("ALLOW"), json!([self.counter.url]).to_string()));
            self.environment.push((key("TIMEOUT_MS"), timeout_ms.to_string()));
        }
    }

    /// One more variable for every process.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.environment.push((name.to_owned(), value.into()));
    }

    /// Decides which processes there are; from then on their environment is fixed.
    pub fn install(&mut self, shape: Shape) {
        if self.engine.kafka().is_none() || shape == Shape::Alone {
            self.members = vec![self.member("serve", Role::Serve, &["serve"])];
            return;
        }
        let apart = ["serve", "--without", "tools,synthesis"];
        let tools = ["worker", "--pool", "default"];
        self.members = vec![
            self.member("serve", Role::Serve, &apart),
            self.member("tools-1", Role::Tools, &tools),
            self.member("tools-2", Role::Tools, &tools),
            self.member("synthesis", Role::Synthesis, &["worker", "--synthesis"]),
        ];
        self.second = Some(self.member("serve-2", Role::Serve, &apart));
    }

    fn member(&self, name: &str, role: Role, arguments: &[&str]) -> Arc<Member> {
        let address = format!("127.0.0.1:{}", free_port());
        let data = self.folder.path().join(name);
        let mut launch = Launch::new(&self.binary)
            .folder(self.folder.path())
            .args(arguments.iter().copied())
            .args(["--allow-chaos", "--listen", &address])
            .arg("--data-dir")
            .arg(&data)
            .log_to(self.folder.path().join(format!("{name}.log")))
            .env("CALLBOARD__PLANNER__ORDER", r#"["builtin"]"#);
        for name in NOT_OURS {
            launch = launch.env_remove(name);
        }
        for (name, value) in &self.environment {
            launch = launch.env(name, value);
        }
        let launch = self.engine.configure(launch);
        Arc::new(Member::new(name, role, format!("http://{address}"), data, launch))
    }

    /// Starts every process and waits until questions would be answered.
    pub async fn start(&self, http: &reqwest::Client) -> Result<()> {
        for member in &self.members {
            member.start()?;
        }
        self.wait_ready(http).await
    }

    /// Waits until every process that should run does, and is ready.
    pub async fn wait_ready(&self, http: &reqwest::Client) -> Result<()> {
        for member in &self.members {
            let until = Instant::now() + READY_WAIT;
            while !ready(http, member).await {
                member.revive()?;
                if Instant::now() > until {
                    bail!(
                        "{} is not ready after {READY_WAIT:?}; it said last:\n{}",
                        member.name,
                        member.tail()
                    );
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
        Ok(())
    }

    /// The process that answers questions.
    pub fn serve(&self) -> &Arc<Member> {
        &self.members[0]
    }

    /// The members that run at the moment.
    pub fn on(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.members.iter().chain(&self.second).filter(|member| member.is_on())
    }

    /// Ends all processes in order.
    pub fn stop(&self) -> Result<()> {
        for member in self.on() {
            member.stop(Duration::from_secs(30)).with_context(|| format!("{} does not stop", member.name))?;
        }
        Ok(())
    }
}

async fn ready(http: &reqwest::Client, member: &Member) -> bool {
    let path = format!("{}/readyz", member.url);
    http.get(path).send().await.is_ok_and(|answer| answer.status().is_success())
}
