//! One life of a server: connected, its tools listed, watched, and ended.
//!
//! [`crate::server`] runs one life after another; [`crate::stdio`] and [`crate::http`] are the two ways to connect.
//! A life ends when the process ends, the connection closes, a list cannot be read, or nobody answers a ping.

use std::sync::Arc;
use std::time::Duration;

use rmcp::RoleClient;
use rmcp::model::{ClientRequest, PaginatedRequestParams, PingRequest, Tool as Listed};
use rmcp::service::{ClientInitializeError, Peer, RunningService, ServiceError, serve_client_with_ct};
use rmcp::transport::async_rw::AsyncRwTransport;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::catalog::Catalog;
use crate::http::{self, Fate};
use crate::listener::Listener;
use crate::server::{Server, Session};
use crate::settings::Reach;
use crate::stdio::ServerProcess;
use crate::stdout::MAX_MESSAGE_BYTES;

/// A server over HTTP says nothing when it goes: it is asked this often. A process is seen to end.
const PING_EVERY: Duration = Duration::from_secs(30);
/// A server that announces changes without end is listed no faster than this.
const LIST_EVERY: Duration = Duration::from_millis(100);
/// Pages of one list; with the bound on tools this only ends a cursor that goes in circles.
const MAX_PAGES: usize = 64;
/// Tools of one list: what settings choose from, a few megabytes at most.
const MAX_LISTED: usize = 1_024;
/// Of what a server says in its handshake.
const MAX_SAID_BYTES: usize = 500;
/// Closing a connection, its session over HTTP included.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
/// A process that closed its connection is usually ending.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(500);

/// How a life ended, unless it was told to.
#[derive(Debug)]
pub(crate) struct Ended {
    pub why: String,
    /// How long it could be called.
    pub up: Option<Duration>,
}

/// Lives until the end; `None` when told to stop.
pub(crate) async fn live(server: Arc<Server>, generation: u64, stop: CancellationToken) -> Option<Ended> {
    let mut life = Life { server, process: None, connection: None };
    let limit = life.server.settings.start_timeout;
    let started = tokio::select! {
        biased;
        () = stop.cancelled() => Ok(None),
        started = timeout(limit, life.start()) => match started {
            Ok(started) => started.map(Some).map_err(|why| (why, LAST_WORDS_WITHIN)),
            // A process that ends from here on ends because it is not wanted any more.
            Err(_) => {
                let why = format!("it was not ready within {} ms (start_timeout_ms)", limit.as_millis());
                Err((why, Duration::ZERO))
            }
        },
    };
    let (why, up) = match started {
        Ok(None) => (None, None),
        Err((why, patience)) => (Some(life.explained(why, patience).await), None),
        Ok(Some((peer, catalog))) => {
            let pid = life.process.as_ref().and_then(ServerProcess::id);
            life.server.up(Session { generation, peer: peer.clone() }, pid, catalog);
            let (began, server) = (Instant::now(), life.server.clone());
            let why = tokio::select! {
                biased;
                () = stop.cancelled() => None,
                () = server.doomed(generation) => Some(life.cut().await),
                why = life.watch(&peer) => Some(why),
            };
            life.server.leaving();
            let why = match why {
                Some(why) => Some(life.explained(why, LAST_WORDS_WITHIN).await),
                None => None,
            };
            (why, Some(began.elapsed()))
        }
    };
    life.end().await;
    why.map(|why| Ended { why, up })
}

struct Connection {
    service: AbortOnDropHandle<()>,
    close: CancellationToken,
    changed: Arc<Notify>,
}

struct Life {
    server: Arc<Server>,
    process: Option<ServerProcess>,
    connection: Option<Connection>,
}

impl Life {
    /// From nothing to a list of tools.
    async fn start(&mut self) -> Result<(Peer<RoleClient>, Catalog), String> {
        let settings = &self.server.settings;
        let (close, changed) = (CancellationToken::new(), Arc::new(Notify::new()));
        let listener = Listener::new(changed.clone());
        let running = match &settings.reach {
            Reach::Stdio { .. } => {
                let (process, (stdout, stdin)) = ServerProcess::start(settings)?;
                self.process = Some(process);
                let transport =
                    AsyncRwTransport::new(stdout, stdin).with_max_line_length(MAX_MESSAGE_BYTES + 1);
                serve_client_with_ct(listener, transport, close.clone()).await
            }
            Reach::Http { .. } => {
                serve_client_with_ct(listener, http::transport(settings)?, close.clone()).await
            }
        };
        let running: RunningService<RoleClient, Listener> = running.map_err(|error| greeting(&error))?;
        let peer = running.peer().clone();
        let service = tokio::spawn(async move {
            // How it quit says less than what the process and the calls say.
            let _ = running.waiting().await;
        });
        self.connection = Some(Connection { service: AbortOnDropHandle::new(service), close, changed });
        let listed = list(&peer).await?;
        Ok((peer, Catalog::of(&self.server.settings, &listed)))
    }

    /// Watches until it ends, and says why.
    async fn watch(&mut self, peer: &Peer<RoleClient>) -> String {
        let (server, process) = (&self.server, &mut self.process);
        let connection = self.connection.as_mut().expect("what has started has a connection");
        let is_ours = process.is_some();
        let mut rounds = interval(PING_EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        rounds.reset();
        loop {
            tokio::select! {
                biased;
                why = ended(process) => return why,
                _ = &mut connection.service => return "it closed the connection".to_owned(),
                () = connection.changed.notified() => {
                    match timeout(server.settings.start_timeout, list(peer)).await {
                        Ok(Ok(listed)) => server.offer(Catalog::of(&server.settings, &listed)),
                        Ok(Err(why)) => return why,
                        Err(_) => return "its list of tools has changed, and it does not give the new one".to_owned(),
                    }
                    tokio::time::sleep(LIST_EVERY).await;
                }
                () = server.suspected() => if let Some(why) = ping(peer, server).await { return why },
                _ = rounds.tick(), if !is_ours => if let Some(why) = ping(peer, server).await { return why },
            }
        }
    }

    /// Dies as asked, and says how.
    async fn cut(&mut self) -> String {
        match &mut self.process {
            Some(process) => {
                process.kill();
                process.ended().await
            }
            None => "its connection was cut as asked".to_owned(),
        }
    }

    /// Why it ended, with what its process has to say about it.
    async fn explained(&mut self, why: String, patience: Duration) -> String {
        let Some(process) = &mut self.process else { return why };
        if process.notes.too_long() {
            return format!("it sent a message of more than {MAX_MESSAGE_BYTES} bytes");
        }
        let why = match timeout(patience, process.ended()).await {
            Ok(ending) => ending,
            Err(_) => why,
        };
        match process.notes.stray() {
            Some(line) => format!(
                "{why} (it wrote {line:?} to its standard output, which is for MCP messages only; logs belong to standard \
                 error)"
            ),
            None => why,
        }
    }

    /// Closes the connection and ends the process.
    async fn end(mut self) {
        if let Some(connection) = &mut self.connection {
            connection.close.cancel();
            if !connection.service.is_finished() {
                let _ = timeout(CLOSE_WITHIN, &mut connection.service).await;
            }
        }
        // Whatever still holds the process's input lets go of it here.
        self.connection = None;
        if let Some(process) = self.process.take() {
            process.end().await;
        }
    }
}

/// The end of the process; never, where there is none of ours.
async fn ended(process: &mut Option<ServerProcess>) -> String {
    match process {
        Some(process) => process.ended().await,
        None => std::future::pending().await,
    }
}

/// Asks whether it is there; gives why it seems not to be. Whatever it answers counts, also to somebody else meanwhile:
/// a server may be at work on a call and take one message at a time.
async fn ping(peer: &Peer<RoleClient>, server: &Server) -> Option<String> {
    let (heard, limit) = (server.heard(), server.settings.start_timeout);
    let asked = peer.send_request(ClientRequest::PingRequest(PingRequest::default()));
    match timeout(limit, asked).await {
        Ok(Ok(_) | Err(ServiceError::McpError(_))) => None,
        Ok(Err(error)) => Some(words(&error)),
        Err(_) if server.heard() != heard => None,
        Err(_) => Some(format!("it hangs: a ping was not answered within {} ms", limit.as_millis())),
    }
}

/// All pages of its list of tools.
async fn list(peer: &Peer<RoleClient>) -> Result<Vec<Listed>, String> {
    if peer.peer_info().is_some_and(|info| info.capabilities.tools.is_none()) {
        return Ok(Vec::new());
    }
    let mut listed = Vec::new();
    let mut cursor = None;
    for _ in 0..MAX_PAGES {
        let page = PaginatedRequestParams::default().with_cursor(cursor);
        let page = peer
            .list_tools(Some(page))
            .await
            .map_err(|error| format!("its list of tools: {}", words(&error)))?;
        listed.extend(page.tools);
        cursor = page.next_cursor;
        if cursor.is_none() || listed.len() > MAX_LISTED {
            return Ok(listed);
        }
    }
    Err(format!("its list of tools has more than {MAX_PAGES} pages"))
}

/// Why there was no handshake.
fn greeting(error: &ClientInitializeError) -> String {
    match error {
        ClientInitializeError::TransportError { error, .. } => fate_words(http::fate(&*error.error)),
        ClientInitializeError::ConnectionClosed(_) => {
            "it closed the connection before the handshake was done".to_owned()
        }
        ClientInitializeError::JsonRpcError(error) => {
            format!("it refuses the handshake: {} ({})", error.message, error.code.0)
        }
        other => {
            let mut words = format!("the handshake failed: {other}");
            words.truncate(words.floor_char_boundary(MAX_SAID_BYTES));
            words
        }
    }
}

/// Why a request of ours has no result.
fn words(error: &ServiceError) -> String {
    match error {
        ServiceError::TransportSend(error) => fate_words(http::fate(&*error.error)),
        ServiceError::TransportClosed => "it closed the connection".to_owned(),
        ServiceError::McpError(error) => {
            format!("it answered with error {}: {}", error.code.0, error.message)
        }
        ServiceError::UnexpectedResponse => "it answered with something that cannot be read".to_owned(),
        other => other.to_string(),
    }
}

fn fate_words(fate: Fate) -> String {
    let (Fate::NotTaken(words) | Fate::Refused(words) | Fate::Unknown(words)) = fate;
    words
}
