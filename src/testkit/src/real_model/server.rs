//! One running model server: a process on a port of its own, that can be killed and started again there.
//!
//! Its files are those of [`super::wheels`]; it speaks OpenAI's API at [`RealModel::base_url`].

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitStatus;
use std::time::Duration;

use super::MODEL_NAME;
use super::wheels::{self, Files, WheelsError};
use crate::ports::free_port;
use crate::process::{Launch, Process, ProcessError};
use crate::wait;

/// A second on an idle machine; this long beside builds and brokers.
const START_WAIT: Duration = Duration::from_secs(120);
/// A server that is busy with a prompt still answers a look.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// Prompts whose beginnings stay computed: one for plans, one for answers.
const SLOTS: u32 = 2;

/// Why no model server runs.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its files are not here.
    #[error(transparent)]
    Wheels(#[from] WheelsError),
    /// It does not start, or does not get ready.
    #[error("the real model's server: {0}")]
    Process(#[from] ProcessError),
}

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Tokens of prompt and answer together.
    pub context_tokens: u32,
    /// The most that one answer takes when the request does not say: a small model seldom ends by itself.
    pub max_answer_tokens: u32,
    /// Threads that compute.
    pub threads: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { context_tokens: 4_096, max_answer_tokens: 512, threads: 2 }
    }
}

/// A running model server. Dropping it kills it, by process id.
#[derive(Debug)]
pub struct RealModel {
    launch: Launch,
    port: u16,
    process: Process,
}

impl RealModel {
    /// Starts one on a free port and waits until it serves; fetches its files when they are missing.
    ///
    /// # Errors
    /// What is missing, or what the server said last.
    pub fn start(options: &Options) -> Result<Self, StartError> {
        let port = free_port();
        let launch = launch(&wheels::ensure()?, port, options);
        let process = launch.clone().start()?;
        let model = Self { launch, port, process };
        model.wait_ready()?;
        Ok(model)
    }

    /// Scheme, host and port, without a path.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What `models.openai.base_url` takes.
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.url())
    }

    /// Its process, for signals and for what it said.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Kills it as a power cut would and returns when it is gone; its connections break off.
    ///
    /// # Errors
    /// When it had ended before, or does not end.
    pub fn kill(&self) -> Result<ExitStatus, ProcessError> {
        self.process.sigkill()
    }

    /// Starts it again on the same port after its end, and waits until it serves.
    ///
    /// # Errors
    /// What it said last.
    pub fn restart(&mut self) -> Result<(), StartError> {
        self.process = self.launch.clone().start()?;
        self.wait_ready()?;
        Ok(())
    }

    /// Whether it computes an answer at the moment; `false` too when it does not run.
    pub fn is_busy(&self) -> bool {
        let slots = self.get("/slots").unwrap_or_default();
        slots.contains("\"is_processing\":true")
    }

    fn wait_ready(&self) -> Result<(), ProcessError> {
        let ready = || match self.get("/health") {
            Some(answer) => answer.starts_with("HTTP/1.1 200").then_some(true),
            None => (!self.process.is_running()).then_some(false),
        };
        match wait::until_some(START_WAIT, "the model to be loaded", ready) {
            Ok(true) => Ok(()),
            Ok(false) => Err(ProcessError::Ended {
                program: "llama-server".to_owned(),
                what: "the model to be loaded".to_owned(),
                tail: self.process.tail(),
            }),
            Err(late) => Err(self.process.timed_out(&late.what, late.after)),
        }
    }

    /// A whole HTTP answer, head and body; nothing where nobody answers.
    fn get(&self, path: &str) -> Option<String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut stream = TcpStream::connect_timeout(&address, LOOK_TIMEOUT).ok()?;
        stream.set_read_timeout(Some(LOOK_TIMEOUT)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

/// The most probable word each time, so that a run can be repeated.
fn launch(files: &Files, port: u16, options: &Options) -> Launch {
    Launch::new(files.server())
        .folder(files.libraries())
        .env("LD_LIBRARY_PATH", files.libraries())
        // Threads that spin while they wait for each other are ten times slower beside a build.
        .env("OMP_WAIT_POLICY", "passive")
        .arg("--model")
        .arg(files.model())
        .args(["--alias", MODEL_NAME, "--host", "127.0.0.1"])
        .args(["--port".to_owned(), port.to_string()])
        .args(["--ctx-size".to_owned(), (SLOTS * options.context_tokens).to_string()])
        .args(["--parallel".to_owned(), SLOTS.to_string()])
        .args(["--predict".to_owned(), options.max_answer_tokens.to_string()])
        .args(["--threads".to_owned(), options.threads.to_string()])
        .args(["--jinja", "--temp", "0", "--seed", "7", "--no-webui"])
}
