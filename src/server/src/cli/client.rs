//! Talking to a running server: JSON in and out, problems as one line.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use super::{Failure, Global};

/// A server answers a replay of a long conversation within this; chats say how long they wait themselves.
const TIMEOUT: Duration = Duration::from_secs(330);
/// A server on this machine or in this network accepts at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of one server.
pub struct Client {
    http: reqwest::Client,
    server: String,
    api_key: Option<String>,
}

/// Why a request came to nothing, by what may be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    /// Nobody listens there.
    NoServer(Failure),
    /// The server went away, or cannot take it now: the same request may succeed soon.
    Passing(Failure),
    /// The same request would fail again.
    Final(Failure),
}

impl Miss {
    #[must_use]
    pub fn into_failure(self) -> Failure {
        match self {
            Self::NoServer(failure) | Self::Passing(failure) | Self::Final(failure) => failure,
        }
    }
}

/// Whether requests can go there. `localhost:8080` parses too: as the scheme `localhost`.
fn is_server_url(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// A request that is being put together.
pub struct Request<'a> {
    pub method: Method,
    pub path: &'a str,
    pub accept: Option<&'a str>,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<Value>,
}

impl<'a> Request<'a> {
    #[must_use]
    pub fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, accept: None, headers: Vec::new(), body: None }
    }

    #[must_use]
    pub fn post(path: &'a str, body: Value) -> Self {
        Self { method: Method::POST, path, accept: None, headers: Vec::new(), body: Some(body) }
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    #[must_use]
    pub fn accept(mut self, media: &'a str) -> Self {
        self.accept = Some(media);
        self
    }
}

impl Client {
    /// # Errors
    /// When the server's URL is none, or no HTTP client can be made.
    pub fn new(global: &Global) -> Result<Self, Failure> {
        let server = global.server.clone().unwrap_or_else(|| usual_server(global));
        let server = server.trim_end_matches('/').to_owned();
        if !is_server_url(&server) {
            let words = format!("--server {server:?} is no URL of a server; write http://HOST:PORT");
            return Err(Failure::usage(words));
        }
        let http =
            reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).build().map_err(Failure::job)?;
        Ok(Self { http, server, api_key: global.api_key.clone() })
    }

    /// Sends, and gives the answer whatever its status.
    async fn send(&self, request: Request<'_>, timeout: Option<Duration>) -> Result<Response, Miss> {
        let mut builder = self.http.request(request.method, format!("{}{}", self.server, request.path));
        if let Some(timeout) = timeout {
            builder = builder.timeout(timeout);
        }
        builder = builder.header(ACCEPT, request.accept.unwrap_or("application/json"));
        for (name, value) in request.headers {
            builder = builder.header(name, value);
        }
        if let Some(key) = &self.api_key {
            builder = builder.bearer_auth(key);
        }
        if let Some(body) = request.body {
            builder = builder.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        builder.send().await.map_err(|error| {
            if error.is_connect() {
                Miss::NoServer(Failure::job(format!(
                    "no server at {}; start one with `callboard`, or name it with --server",
                    self.server
                )))
            } else if error.is_timeout() {
                Miss::Passing(Failure::job(format!("{} did not answer in time", self.server)))
            } else {
                Miss::Passing(Failure::job(format!("{}: {}", self.server, error.without_url())))
            }
        })
    }

    /// Sends, and wants success.
    ///
    /// # Errors
    /// Whether another try may help, and what to say if there is none.
    pub async fn tried(&self, request: Request<'_>, timeout: Option<Duration>) -> Result<Response, Miss> {
        let response = self.send(request, timeout).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let problem: Value = response.json().await.unwrap_or_default();
        let said = problem["detail"].as_str().or(problem["title"].as_str());
        // Of a server that is not ready.
        let words = said.or(problem["waiting_for"][0].as_str()).unwrap_or("no reason was given");
        let words = format!("{words} ({})", status.as_u16());
        Err(match status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                Miss::Passing(Failure::Job(words))
            }
            _ if problem["code"] == "unknown_conversation" => Miss::Final(Failure::Unknown(words)),
            _ => Miss::Final(Failure::Job(words)),
        })
    }

    /// Sends once, and gives the answer's JSON.
    ///
    /// # Errors
    /// Whether another try may help, and what to say if there is none.
    pub async fn attempt(&self, request: Request<'_>) -> Result<Value, Miss> {
        let response = self.tried(request, Some(TIMEOUT)).await?;
        let text = response.text().await.map_err(|error| {
            Miss::Passing(Failure::job(format!("{}: {}", self.server, error.without_url())))
        })?;
        serde_json::from_str(&text)
            .map_err(|error| Miss::Final(Failure::job(format!("the answer is no JSON: {error}"))))
    }

    /// Sends, and wants success.
    ///
    /// # Errors
    /// A problem is its detail; no server says so.
    pub async fn wanted(&self, request: Request<'_>, timeout: Option<Duration>) -> Result<Response, Failure> {
        self.tried(request, timeout).await.map_err(Miss::into_failure)
    }

    /// Sends, and gives the answer's JSON.
    ///
    /// # Errors
    /// As [`Client::wanted`]; also when the answer is no JSON.
    pub async fn json(&self, request: Request<'_>) -> Result<Value, Failure> {
        self.attempt(request).await.map_err(Miss::into_failure)
    }
}

/// Tries of one request that a server could not take at the moment, a second apart: a restart takes no longer.
const TRIES: u32 = 15;
const BETWEEN_TRIES: Duration = Duration::from_secs(1);

impl Client {
    /// Sends, again while the server goes away or cannot take it now. Only for what may be said twice.
    ///
    /// # Errors
    /// As [`Client::json`]; the last one.
    pub async fn insisting<'a>(&self, request: impl Fn() -> Request<'a>) -> Result<Value, Failure> {
        for _ in 1..TRIES {
            match self.attempt(request()).await {
                Err(Miss::Passing(_)) => tokio::time::sleep(BETWEEN_TRIES).await,
                other => return other.map_err(Miss::into_failure),
            }
        }
        self.json(request()).await
    }

    /// The items of a list, page by page, at most `limit`; `path` has a query already. `look` sees every page.
    ///
    /// # Errors
    /// As [`Client::json`].
    pub async fn pages(
        &self,
        path: &str,
        items: &str,
        limit: usize,
        mut look: impl FnMut(&Value),
    ) -> Result<Vec<Value>, Failure> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.json(Request::get(&format!("{path}&cursor={}", segment(&cursor)))).await?;
            look(&page);
            let room = limit - all.len();
            all.extend(page[items].as_array().into_iter().flatten().take(room).cloned());
            match page["next_cursor"].as_str() {
                Some(next) if all.len() < limit => next.clone_into(&mut cursor),
                _ => return Ok(all),
            }
        }
    }

    /// As [`Client::pages`]; says where the server does not see everything.
    ///
    /// # Errors
    /// As [`Client::json`].
    pub async fn all(&self, path: &str, items: &str, limit: usize) -> Result<Vec<Value>, Failure> {
        let mut missing = Value::Null;
        let found = self
            .pages(path, items, limit, |page| page["missing_partitions"].clone_into(&mut missing))
            .await?;
        let missing: Vec<String> = missing.as_array().into_iter().flatten().map(Value::to_string).collect();
        if !missing.is_empty() {
            eprintln!("(not served there, or not yet: partitions {})\r", missing.join(", "));
        }
        Ok(found)
    }
}

/// The server that holds the data folder, or else the usual address.
fn usual_server(global: &Global) -> String {
    let config = crate::settings(global, &[]).ok().map(|loaded| loaded.config);
    let holder = config.as_ref().and_then(|config| crate::wiring::holder_address(&config.data_dir));
    let address = holder.and_then(|address| address.parse::<SocketAddr>().ok());
    match address {
        // A server on all addresses is on this one too.
        Some(address) if address.ip().is_unspecified() => format!("http://127.0.0.1:{}", address.port()),
        Some(address) => format!("http://{address}"),
        None => "http://127.0.0.1:8080".to_owned(),
    }
}

/// Runs a command's future; a command needs no more than one thread.
///
/// # Errors
/// The command's own; also when the system gives no runtime.
pub fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::job)?;
    runtime.block_on(future)
}

/// Prints a line to standard output; a closed pipe (`| head`) ends the program quietly.
///
/// # Errors
/// [`Failure::Said`] when nobody reads any more.
pub fn say(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|_| Failure::Said)
}

/// Prints JSON: indented for a person, one line for a program.
///
/// # Errors
/// As [`say`].
pub fn say_json(value: &Value) -> Result<(), Failure> {
    let pretty = std::io::stdout().is_terminal();
    let text = if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    say(&text.unwrap_or_default())
}

/// A path segment made safe: ids need no escaping, anything else is escaped so that the server can refuse it.
#[must_use]
pub fn segment(id: &str) -> String {
    id.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => char::from(b).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::is_server_url;

    #[test]
    fn a_server_is_named_with_scheme_and_host() {
        for right in ["http://localhost:8080", "https://board.example", "http://[::1]:80/below"] {
            assert!(is_server_url(right), "{right}");
        }
        for wrong in ["localhost:8080", "127.0.0.1:8080", "ftp://board.example", "http://", "http:", ""] {
            assert!(!is_server_url(wrong), "{wrong}");
        }
    }
}
