//! The outside world, as far as effects go: it counts how often each idempotency key was really executed.
//!
//! One of the services of [`super`]. `POST` to any path is what the tool `webhook` calls, `/deposits/KEY` is
//! what the tool `deposit` writes and probes. It never makes two calls one, as a kind service would: a key
//! that was executed twice shows as 2, which is what duplicate effects are judged by. [`Stub::delay`] waits
//! before the effect and [`Stub::delay_answer`] after it, so that a caller can be killed on either side.
//! [`Counter::listen`] serves it from a process that outlives the callers.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::request::{Received, Reply};
use super::server::Stub;

/// What keys and documents may hold together: some 500,000 effects. Beyond it calls are refused, since a
/// counter that forgets proves nothing.
const MAX_HELD_BYTES: usize = 128 << 20;
/// What one entry costs beside its key and document.
const ENTRY_BYTES: usize = 128;
/// An effect id is four short parts; a longer key is a caller's mistake.
const MAX_KEY_BYTES: usize = 1_024;
const DEPOSITS: &str = "/deposits/";

/// Executions per idempotency key.
pub type Executions = BTreeMap<String, u64>;

/// A running counter.
#[derive(Debug)]
pub struct Counter {
    stub: Stub,
    book: Arc<Mutex<Book>>,
}

impl Counter {
    /// Starts it on a random port.
    pub fn start() -> io::Result<Self> {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Starts it on this address.
    pub fn listen(address: SocketAddr) -> io::Result<Self> {
        let book = Arc::new(Mutex::new(Book::default()));
        let seen = book.clone();
        let answer = move |request: &Received| lock(&seen).answer(request);
        Ok(Self { stub: Stub::listen(address, "counter", Box::new(answer), refusal)?, book })
    }

    /// Executions per key, calls and deposits together.
    pub fn counts(&self) -> Executions {
        let book = lock(&self.book);
        let mut all = book.calls.clone();
        for (key, deposit) in &book.deposits {
            *all.entry(key.clone()).or_default() += deposit.executions;
        }
        all
    }

    /// How often this key was executed.
    pub fn executions(&self, key: &str) -> u64 {
        let book = lock(&self.book);
        let called = book.calls.get(key).copied().unwrap_or_default();
        called + book.deposits.get(key).map(|deposit| deposit.executions).unwrap_or_default()
    }
}

impl Deref for Counter {
    type Target = Stub;
    fn deref(&self) -> &Stub {
        &self.stub
    }
}

#[derive(Debug, Default)]
struct Book {
    calls: Executions,
    deposits: BTreeMap<String, Deposit>,
    held_bytes: usize,
}

#[derive(Debug)]
struct Deposit {
    document: Value,
    executions: u64,
}

impl Book {
    fn answer(&mut self, request: &Received) -> Reply {
        match request.route() {
            ("GET", "/counts") => self.report(),
            ("POST", _) => self.called(request),
            (method, path) => match (method, path.strip_prefix(DEPOSITS).map(decoded)) {
                ("PUT", Some(key)) => self.deposited(key, request),
                ("GET", Some(key)) => self.probed(&key),
                _ => Reply::new(404, json!({"error": format!("{method} {path} is nothing here")})),
            },
        }
    }

    fn called(&mut self, request: &Received) -> Reply {
        let Some(key) = request.header("idempotency-key") else {
            return Reply::new(400, json!({"error": "an effect needs an Idempotency-Key header"}));
        };
        if let Err(refused) = self.make_room(key, 0, self.calls.contains_key(key)) {
            return *refused;
        }
        let executions = self.calls.entry(key.to_owned()).or_default();
        *executions += 1;
        Reply::ok(json!({"n": *executions}))
    }

    fn deposited(&mut self, key: String, request: &Received) -> Reply {
        if let Err(refused) = self.make_room(&key, request.body.len(), self.deposits.contains_key(&key)) {
            return *refused;
        }
        let entry = self.deposits.entry(key).or_insert(Deposit { document: request.json(), executions: 0 });
        entry.executions += 1;
        Reply::ok(json!({"n": entry.executions, "document": entry.document}))
    }

    fn probed(&self, key: &str) -> Reply {
        match self.deposits.get(key) {
            Some(deposit) => Reply::ok(json!({"n": deposit.executions, "document": deposit.document})),
            None => Reply::new(404, json!({"error": "not deposited"})),
        }
    }

    fn report(&self) -> Reply {
        let deposits: Executions =
            self.deposits.iter().map(|(key, deposit)| (key.clone(), deposit.executions)).collect();
        Reply::ok(json!({"calls": self.calls, "deposits": deposits}))
    }

    /// A known key takes no room: its document is the first one's.
    fn make_room(&mut self, key: &str, document_bytes: usize, known: bool) -> Result<(), Box<Reply>> {
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            let error = format!("an idempotency key has 1 to {MAX_KEY_BYTES} bytes, not {}", key.len());
            return Err(Box::new(Reply::new(400, json!({"error": error}))));
        }
        if known {
            return Ok(());
        }
        let held_bytes = self.held_bytes + key.len() + document_bytes + ENTRY_BYTES;
        if held_bytes > MAX_HELD_BYTES {
            let error = format!("the counter holds {MAX_HELD_BYTES} bytes at most and never forgets");
            return Err(Box::new(Reply::new(507, json!({"error": error}))));
        }
        self.held_bytes = held_bytes;
        Ok(())
    }
}

/// A path segment without its percent escapes; what is no escape stays as it is.
fn decoded(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escape = (first == b'%').then(|| tail.get(..2)).flatten();
        let value = escape.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(value.unwrap_or(first));
        rest = if value.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn refusal(status: u16) -> Value {
    json!({"error": format!("the stub was told to answer {status}")})
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}
