//! A folder of documents that can be asked: the state that two threads share, and the way to them.
//!
//! [`keeper`] reads the folder, writes the index, and has vectors made ([`vectorizer`]); [`desk`] searches. Neither is an arbiter: both block. The tool waits
//! for an answer without blocking. All ends when the [`Library`] is dropped.

mod desk;
mod keeper;
mod vectorizer;

use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use callboard_domain::event::ToolError;
use callboard_ports::model::Embedder;
use tantivy::IndexReader;
use tokio::sync::oneshot;

use crate::bounds::WAITING_SEARCHES;
use crate::index::Fields;
use crate::search::Found;
use crate::vectors::Vectors;

/// Where the documents and their index are.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The documents; `None`: the samples, which are written below `data`.
    pub folder: Option<PathBuf>,
    /// Where this tool may keep things.
    pub data: PathBuf,
    /// A folder that was looked at this short ago is not looked at again.
    pub check_every: Duration,
}

/// A folder that can be asked.
pub(crate) struct Library {
    shared: Arc<Shared>,
    embedder: Option<Arc<dyn Embedder>>,
    searches: SyncSender<desk::Job>,
}

/// A question.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub text: String,
    pub top_k: usize,
    /// Its vector, where there are others to compare it with.
    pub vector: Option<Vec<f32>>,
    /// When nobody waits for the answer any more.
    pub until: Instant,
}

/// An answer, and of what.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub found: Found,
    pub documents: usize,
    pub passages: u64,
    /// Vectors had their part in it.
    pub by_vectors: bool,
    /// What the answer lacks: of the folder as it is now, of vectors.
    pub notes: Vec<String>,
}

/// How far the vectors are.
#[derive(Clone, Default)]
enum Embedding {
    /// No model makes any.
    #[default]
    Off,
    Working {
        ready: usize,
        of: usize,
    },
    Failed(String),
    Ready(Arc<Vectors>),
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    ready: Option<Ready>,
    /// Why the last round did not get to its end.
    problem: Option<String>,
    /// How often somebody wanted the folder to be looked at.
    wanted: u64,
    /// Those that a round which began later has served, well or not.
    served: u64,
    last_round: Option<Instant>,
    /// The index could not be read: it is to be opened anew.
    broken: bool,
    closing: bool,
    embedding: Embedding,
}

/// What can be searched.
#[derive(Clone)]
struct Ready {
    reader: IndexReader,
    fields: Fields,
    documents: usize,
    passages: u64,
}

impl Shared {
    /// The lock; whoever panicked with it left a state that is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `done`, but not beyond `until`; whether it is.
    fn wait(&self, until: Instant, done: impl Fn(&State) -> bool) -> bool {
        let mut state = self.lock();
        while !done(&state) {
            let Some(left) = until.checked_duration_since(Instant::now()) else { return false };
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Library {
    /// Starts the two threads; the folder is read at once.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn start(place: Place, embedder: Option<Arc<dyn Embedder>>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        if embedder.is_some() {
            shared.lock().embedding = Embedding::Working { ready: 0, of: 0 };
        }
        let (searches, jobs) = sync_channel(WAITING_SEARCHES);
        let check_every = place.check_every;
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
        };
        let desk = shared.clone();
        spawn("knowledge-find", Box::new(move || desk::run(&desk, &jobs, check_every)))?;
        let library = Self { shared: shared.clone(), embedder: embedder.clone(), searches };
        spawn("knowledge-read", Box::new(move || keeper::run(&shared, place, embedder)))?;
        Ok(library)
    }

    /// The vector of a query, where the passages have theirs; else why there is none, unless nobody wants any.
    pub async fn vector(&self, query: &str, timeout_ms: u64) -> Result<Option<Vec<f32>>, String> {
        let embedding = self.shared.lock().embedding.clone();
        match (embedding, &self.embedder) {
            (Embedding::Off, _) | (_, None) => Ok(None),
            (Embedding::Working { ready, of }, _) => {
                Err(format!("embeddings are being made: {ready} of {of} passages have theirs"))
            }
            (Embedding::Failed(why), _) => Err(why),
            (Embedding::Ready(_), Some(embedder)) => {
                let made = embedder.embed(vec![Arc::from(query)], timeout_ms).await;
                let mut made = made.map_err(|error| format!("no embedding of the query: {error}"))?;
                made.pop()
                    .map(Some)
                    .ok_or_else(|| "no embedding of the query: there was none in the answer".to_owned())
            }
        }
    }

    /// Asks.
    ///
    /// # Errors
    /// Retryable ones: too many ask, the folder is still being read or cannot be read, the index is made again.
    pub async fn ask(&self, query: Query) -> Result<Answer, ToolError> {
        let (reply, answer) = oneshot::channel();
        self.searches.try_send(desk::Job { query, reply }).map_err(|refused| match refused {
            TrySendError::Full(_) => {
                let words = format!("{WAITING_SEARCHES} searches wait already; come again");
                ToolError::new("busy", words, true)
            }
            TrySendError::Disconnected(_) => ToolError::new("unavailable", "the search has ended", true),
        })?;
        answer.await.unwrap_or_else(|_| {
            Err(ToolError::new("unavailable", "the search ended without an answer", true))
        })
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.changed.notify_all();
    }
}
