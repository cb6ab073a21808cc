//! A server process with a data folder of its own, and a client for it.

use std::time::Duration;

use callboard_testkit::process::{Launch, Process};
use callboard_testkit::wait;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Generous: the machine may be busy with several brokers and servers.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How to start a process of the binary.
#[derive(Clone, Default)]
pub struct Options {
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
}

impl Options {
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// On this Kafka, with topics and groups of its own.
    pub fn kafka(self, bootstrap: &str, prefix: &str) -> Self {
        self.arg("--kafka-brokers").arg(bootstrap).env("CALLBOARD__KAFKA__TOPIC_PREFIX", prefix)
    }
}

/// Starts the binary with nothing of the surrounding configuration.
pub fn launch(data: &TempDir, args: &[&str], options: &Options) -> Process {
    let mut launch = Launch::new(env!("CARGO_BIN_EXE_callboard"))
        .folder(data.path())
        .args(args.iter().copied())
        .arg("--data-dir")
        .arg(data.path().join("data"))
        .args(options.args.iter().cloned())
        .env("CALLBOARD__PLANNER__ORDER", r#"["builtin"]"#);
    for name in
        ["KAFKA_BROKERS", "KAFKA_BOOTSTRAP_SERVERS", "OLLAMA_HOST", "OPENAI_API_KEY", "WEATHER_API_KEY"]
    {
        launch = launch.env_remove(name);
    }
    for (name, value) in &options.env {
        launch = launch.env(name, value);
    }
    launch.start().unwrap()
}

/// A server.
pub struct Server {
    pub process: Process,
    pub url: String,
    pub data: TempDir,
    pub options: Options,
    client: reqwest::blocking::Client,
}

impl Server {
    pub fn start(options: Options) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), options)
    }

    pub fn start_in(data: TempDir, options: Options) -> Self {
        let server = Self::start_unready(data, options);
        server.wait_ready();
        server
    }

    pub fn start_unready(data: TempDir, options: Options) -> Self {
        let address = format!("127.0.0.1:{}", callboard_testkit::ports::free_port());
        Self::start_at(&address, data, options)
    }

    fn start_at(address: &str, data: TempDir, options: Options) -> Self {
        let process = launch(&data, &["serve", "--listen", address], &options);
        let client = reqwest::blocking::Client::builder().timeout(PATIENCE * 2).build().unwrap();
        Self { process, url: format!("http://{address}"), data, options, client }
    }

    pub fn wait_ready(&self) {
        let ready = || self.try_get("/readyz").is_some_and(|(status, _)| status == 200);
        if wait::until(PATIENCE, "the server is ready", ready).is_err() {
            panic!("the server did not become ready:\n{}", self.process.tail());
        }
    }

    /// SIGKILL, then the same again in the same folder.
    pub fn kill_and_restart(self) -> Self {
        self.process.sigkill().unwrap();
        Self::start_in(self.data, self.options)
    }

    /// SIGKILL, then the same again at the same address.
    pub fn kill_and_restart_there(self) -> Self {
        self.process.sigkill().unwrap();
        let address = self.url.trim_start_matches("http://").to_owned();
        let server = Self::start_at(&address, self.data, self.options);
        server.wait_ready();
        server
    }

    /// SIGTERM, then the same again in the same folder. Gives the exit code too.
    pub fn stop(&self) -> Option<i32> {
        self.process.sigterm().unwrap();
        self.process.wait_exit(Duration::from_secs(12)).unwrap().code()
    }

    pub fn try_get(&self, path: &str) -> Option<(u16, String)> {
        let answer = self.client.get(format!("{}{path}", self.url)).send().ok()?;
        Some((answer.status().as_u16(), answer.text().ok()?))
    }

    pub fn get(&self, path: &str) -> Value {
        let (status, body) = self.try_get(path).unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Status, headers and body of a POST.
    pub fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> (u16, Value, reqwest::header::HeaderMap) {
        let mut request = self.client.post(format!("{}{path}", self.url)).body(body.into());
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().unwrap_or_else(|e| panic!("{path}: {e}\n{}", self.process.tail()));
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)), headers)
    }

    /// As [`Self::post`]; nothing where nobody answers.
    pub fn try_post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Option<(u16, Value, reqwest::header::HeaderMap)> {
        let url = format!("{}{path}", self.url);
        let mut request = self.client.post(url).header("content-type", "application/json").body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().ok()?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().ok()?;
        Some((status, serde_json::from_str(&text).unwrap_or(Value::String(text)), headers))
    }

    /// Asks and waits for the answer.
    pub fn ask(&self, message: &str) -> Value {
        let (status, body, _) =
            self.post("/v1/chat", &[("Prefer", "wait=60")], json!({ "message": message }).to_string());
        assert_eq!(status, 200, "{body}\n{}", self.process.tail());
        body
    }

    /// Sends a question without waiting; gives conversation and command id.
    pub fn send(&self, message: &str) -> (String, String) {
        let body = json!({ "message": message }).to_string();
        let (status, body, _) = self.post("/v1/chat", &[("Prefer", "respond-async")], body);
        assert_eq!(status, 202, "{body}");
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        (text("conversation_id"), text("command_id"))
    }

    /// The turn once it has ended.
    pub fn ended(&self, conversation: &str, command: &str) -> Value {
        let path = format!("/v1/conversations/{conversation}/turns/{command}");
        let look = || {
            let (status, body) = self.try_get(&path)?;
            let turn: Value = serde_json::from_str(&body).ok()?;
            (status == 200 && turn["status"] != "pending").then_some(turn)
        };
        match wait::until_some(PATIENCE, "the turn has ended", look) {
            Ok(turn) => turn,
            Err(error) => panic!("{error}\n{}", self.process.tail()),
        }
    }

    pub fn plan(&self, conversation: &str) -> Value {
        self.get(&format!("/v1/conversations/{conversation}/plan"))
    }

    /// All records of a conversation, as JSON lines.
    pub fn events(&self, conversation: &str) -> Vec<Value> {
        let output = self.cli(&["events", conversation, "--json"]);
        output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Types of a conversation's records.
    pub fn kinds(&self, conversation: &str) -> Vec<String> {
        let kind = |event: &Value| {
            let inner = event.get("event").or_else(|| event.get("record")).unwrap_or(event);
            inner["type"].as_str().unwrap_or_default().to_owned()
        };
        self.events(conversation).iter().map(kind).collect()
    }

    /// As [`Self::kinds`]; empty while the conversation is not known yet.
    pub fn try_kinds(&self, conversation: &str) -> Vec<String> {
        let known = self
            .try_get(&format!("/v1/conversations/{conversation}"))
            .is_some_and(|(status, _)| status == 200);
        if known { self.kinds(conversation) } else { Vec::new() }
    }

    /// Runs a command against this server; it must succeed.
    pub fn cli(&self, args: &[&str]) -> String {
        let (code, stdout, stderr) = self.cli_raw(args);
        assert_eq!(code, 0, "callboard {args:?}: {stdout}{stderr}");
        stdout
    }

    pub fn cli_raw(&self, args: &[&str]) -> (i32, String, String) {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_callboard"))
            .args(args)
            .args(["--server", &self.url])
            .current_dir(self.data.path())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }

    /// A number of `/metrics`, all its labels added up.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.try_get("/metrics").unwrap();
        let of = |line: &&str| line.starts_with(name) && line[name.len()..].starts_with([' ', '{', '_']);
        text.lines().filter(of).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}
