//! A steady load of clients that do not give up: the same key again after every 503, 429, timeout and lost connection.
//!
//! `question` says what is asked, `book` keeps what the clients were told.

mod book;
mod question;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

pub use book::{Asked, Book};
pub use question::{Palette, Question};

use crate::seed::Seed;

/// Questions under way at once; beyond it the load waits, as clients with a pool of connections do.
const MAX_OPEN: usize = 256;
/// Conversations that are talked to at a time; turns of one queue behind each other.
const CONVERSATIONS: usize = 96;
/// One in so many questions opens a conversation of its own.
const NEW_EVERY: usize = 8;
/// What a client asks the server to wait; its own patience is somewhat longer.
const WAIT_S: u64 = 10;
const PATIENCE: Duration = Duration::from_secs(WAIT_S + 5);
const CONNECT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(250);

/// A client for everything that this binary asks.
pub fn http() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().connect_timeout(CONNECT).timeout(PATIENCE).build()?)
}

/// The servers that answer questions at the moment.
#[derive(Debug, Clone, Default)]
pub struct Targets(Arc<Mutex<Vec<String>>>);

impl Targets {
    pub fn set(&self, urls: Vec<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = urls;
    }

    pub fn of(url: &str) -> Self {
        Self(Arc::new(Mutex::new(vec![url.to_owned()])))
    }

    /// The `turn`th of them, round and round.
    pub fn at(&self, turn: usize) -> String {
        let urls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        urls.get(turn % urls.len().max(1)).cloned().unwrap_or_default()
    }
}

/// Clients that ask.
pub struct Load {
    pub book: Arc<Book>,
    pub targets: Targets,
    http: reqwest::Client,
    seed: Seed,
    palette: Palette,
    next: AtomicUsize,
    room: Arc<Semaphore>,
}

impl Load {
    pub fn new(http: reqwest::Client, targets: Targets, palette: Palette, seed: u64) -> Self {
        Self {
            book: Arc::default(),
            targets,
            http,
            seed: Seed::new(seed),
            palette,
            next: AtomicUsize::new(0),
            room: Arc::new(Semaphore::new(MAX_OPEN)),
        }
    }

    /// Asks `rate` questions a second until `stop` is true, then waits until each has ended or `give_up` is true.
    pub async fn run(
        self: Arc<Self>,
        rate: f64,
        mut stop: watch::Receiver<bool>,
        mut give_up: watch::Receiver<bool>,
    ) {
        let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / rate.max(0.01)));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                _ = tick.tick() => {}
                Some(_) = open.join_next() => continue,
            }
            let Ok(room) = self.room.clone().try_acquire_owned() else {
                self.book.tally("held back by the client");
                continue;
            };
            let load = self.clone();
            open.spawn(async move {
                load.ask_next().await;
                drop(room);
            });
        }
        let rest = async { while open.join_next().await.is_some() {} };
        tokio::select! {
            () = rest => {}
            _ = give_up.wait_for(|give_up| *give_up) => {}
        }
    }

    async fn ask_next(&self) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let question = self.palette.question(&self.seed, number);
        let conversation = match self.seed.below(NEW_EVERY) {
            0 => format!("single-{number}"),
            _ => format!("talk-{}", self.seed.below(CONVERSATIONS)),
        };
        let waits = self.seed.below(2) == 0;
        self.ask(&conversation, &question, waits).await;
    }

    /// Asks until it is accepted and has ended. `waits`: on the connection that asks, otherwise by looking later.
    pub async fn ask(&self, conversation: &str, question: &Question, waits: bool) -> usize {
        let number = self.book.ask(conversation, &question.tag);
        let prefer = if waits { format!("wait={WAIT_S}") } else { "respond-async".to_owned() };
        let body = json!({ "message": question.message, "conversation_id": conversation }).to_string();
        for attempt in number.. {
            let request = self
                .http
                .post(format!("{}/v1/chat", self.targets.at(attempt)))
                .header("content-type", "application/json")
                .header("idempotency-key", &question.tag)
                .header("prefer", &prefer)
                .body(body.clone());
            let Some((status, answer)) = self.send(request).await else { continue };
            if status.is_success() {
                if self.heard(number, question, &answer) {
                    return number;
                }
                break;
            }
            if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
                self.book.refused(number, format!("{status}: {answer}"));
                return number;
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.look_until_ended(number, conversation, question).await;
        number
    }

    /// Notes what a 2xx says; whether the turn has ended.
    fn heard(&self, number: usize, question: &Question, answer: &Value) -> bool {
        if let Some(command) = answer["command_id"].as_str() {
            self.book.accepted(number, command);
        }
        let status = answer["status"].as_str().unwrap_or_default();
        if status.is_empty() || status == "pending" {
            return false;
        }
        let right = answer["answer"].as_str().is_some_and(|text| text.contains(&question.tag));
        self.book.ended(number, status, right);
        true
    }

    async fn look_until_ended(&self, number: usize, conversation: &str, question: &Question) {
        let Some(command) = self.book.command_of(number) else { return };
        for attempt in number.. {
            let url = self.targets.at(attempt);
            let request = self
                .http
                .get(format!("{url}/v1/conversations/{conversation}/turns/{command}"))
                .header("prefer", format!("wait={WAIT_S}"));
            if let Some((status, answer)) = self.send(request).await
                && status == StatusCode::OK
                && self.heard(number, question, &answer)
            {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Status and body; nothing, after a pause, when the connection did not hold.
    async fn send(&self, request: reqwest::RequestBuilder) -> Option<(StatusCode, Value)> {
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(_) => return self.broken().await,
        };
        let status = answer.status();
        self.book.tally(&format!("answer {}", status.as_u16()));
        if status == StatusCode::REQUEST_TIMEOUT {
            // Said of the connection, which was idle for too long, and crossing a request that may be repeated (RFC 9110,
            // 15.5.9): no answer to it.
            return self.broken().await;
        }
        match answer.text().await {
            Ok(text) => Some((status, serde_json::from_str(&text).unwrap_or(Value::String(text)))),
            Err(_) => self.broken().await,
        }
    }

    async fn broken(&self) -> Option<(StatusCode, Value)> {
        self.book.tally("connection lost or refused");
        tokio::time::sleep(PAUSE).await;
        None
    }
}
