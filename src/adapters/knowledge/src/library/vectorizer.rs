//! Has a model make vectors of the passages that have none, a few at a time, so that nobody waits behind them.
//!
//! [`super::keeper`] calls it between two looks at the folder. Until all passages have theirs the words alone decide, and
//! so they do while the model fails: that is said in the results, and tried again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use callboard_ports::model::Embedder;
use tokio::runtime::Runtime;

use super::{Embedding, Shared};
use crate::bounds::{EMBED_BATCH, EMBED_BATCH_MS, EMBED_PAUSE, EMBED_UNSAVED, MAX_EMBED_PAUSE};
use crate::index::Index;
use crate::vectors::Vectors;

/// When the next step is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Now,
    At(Instant),
    /// When the documents change.
    Never,
}

pub(super) struct Vectorizer {
    embedder: Arc<dyn Embedder>,
    /// For this thread, which may block: a model is asked in `async` code.
    runtime: Runtime,
    path: PathBuf,
    /// Shared with the searches once they are complete.
    vectors: Arc<Vectors>,
    /// Keys of passages without a vector; `None` when the documents have to be looked through for them.
    missing: Option<Vec<u64>>,
    unsaved: usize,
    pause: Duration,
    /// The model failed: before this it is not asked again, whoever wants the folder looked at.
    not_before: Option<Instant>,
}

impl Vectorizer {
    /// `None`, and said, when the system has no room for it.
    pub fn new(embedder: Arc<dyn Embedder>, data: &Path, shared: &Shared) -> Option<Self> {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::warn!(%error, "no vectors are made");
                shared.lock().embedding = Embedding::Failed(format!("embeddings are not made: {error}"));
                return None;
            }
        };
        let path = data.join("vectors");
        let vectors = match Vectors::read(&path, embedder.name()) {
            Ok(vectors) => vectors.unwrap_or_else(|| Vectors::new(embedder.name())),
            Err(why) => {
                tracing::warn!(why, "the vectors of the documents are made again");
                Vectors::new(embedder.name())
            }
        };
        let vectors = Arc::new(vectors);
        Some(Self {
            embedder,
            runtime,
            path,
            vectors,
            missing: None,
            unsaved: 0,
            pause: EMBED_PAUSE,
            not_before: None,
        })
    }

    /// The documents have changed.
    pub fn look_again(&mut self) {
        self.missing = None;
    }

    /// Makes the next few vectors, and publishes how far they are.
    pub fn step(&mut self, index: &Index, shared: &Shared) -> Next {
        if self.missing.as_ref().is_some_and(Vec::is_empty) {
            return Next::Never;
        }
        if let Some(at) = self.not_before.filter(|at| Instant::now() < *at) {
            return Next::At(at);
        }
        let made = self.make(index, shared);
        let (embedding, next) = match made {
            Ok(0) => {
                tracing::info!(
                    model = self.embedder.name(),
                    vectors = self.vectors.len(),
                    "knowledge: all passages have vectors"
                );
                (Embedding::Ready(self.vectors.clone()), Next::Never)
            }
            Ok(left) => {
                let ready = self.vectors.len();
                (Embedding::Working { ready, of: ready + left }, Next::Now)
            }
            Err(Trouble::ForGood(why)) => {
                tracing::warn!("knowledge: {why}");
                self.missing = Some(Vec::new());
                (Embedding::Failed(why), Next::Never)
            }
            Err(Trouble::ForNow(why)) => {
                tracing::warn!(pause_s = self.pause.as_secs(), "knowledge: {why}");
                let at = Instant::now() + self.pause;
                self.not_before = Some(at);
                let next = Next::At(at);
                self.pause = (self.pause * 2).min(MAX_EMBED_PAUSE);
                (Embedding::Failed(why), next)
            }
        };
        shared.lock().embedding = embedding;
        next
    }

    /// Makes some; how many are left.
    fn make(&mut self, index: &Index, shared: &Shared) -> Result<usize, Trouble> {
        let for_now =
            |error: &dyn std::fmt::Display| Trouble::ForNow(format!("embeddings are not made: {error}"));
        let for_good =
            |error: &dyn std::fmt::Display| Trouble::ForGood(format!("embeddings are not used: {error}"));
        if self.missing.is_none() {
            let keys = index.keys().map_err(|error| for_now(&error))?;
            // Whoever searches lets go of them first: they are changed in place.
            shared.lock().embedding = Embedding::Working { ready: 0, of: keys.len() };
            self.vectors.fits(keys.len()).map_err(|error| for_good(&error))?;
            let mut missing: Vec<u64> = Arc::make_mut(&mut self.vectors).keep(&keys).into_iter().collect();
            missing.sort_unstable();
            self.missing = Some(missing);
        }
        let missing = self.missing.get_or_insert_default();
        let batch = missing.split_off(missing.len().saturating_sub(EMBED_BATCH));
        let left = missing.len();
        if let Err(trouble) = self.batch(index, &batch) {
            // Unless all are to be looked for again.
            if let Some(missing) = &mut self.missing {
                missing.extend(batch);
            }
            return Err(trouble);
        }
        self.pause = EMBED_PAUSE;
        self.vectors.fits(self.vectors.len() + left).map_err(|error| for_good(&error))?;
        if self.unsaved >= EMBED_UNSAVED || (left == 0 && self.unsaved > 0) {
            self.unsaved = 0;
            if let Err(error) = self.vectors.write(&self.path) {
                tracing::warn!(%error, "the vectors cannot be kept; they are made again at the next start");
            }
        }
        Ok(left)
    }

    fn batch(&mut self, index: &Index, keys: &[u64]) -> Result<(), Trouble> {
        let for_now =
            |error: &dyn std::fmt::Display| Trouble::ForNow(format!("embeddings are not made: {error}"));
        let (mut known, mut texts) = (Vec::new(), Vec::new());
        for key in keys {
            if let Some(said) = index.said(*key).map_err(|error| for_now(&error))? {
                known.push(*key);
                texts.push(Arc::<str>::from(said));
            }
        }
        if texts.is_empty() {
            return Ok(());
        }
        let made = self
            .runtime
            .block_on(self.embedder.embed(texts, EMBED_BATCH_MS))
            .map_err(|error| for_now(&error))?;
        if made.len() != known.len() {
            return Err(for_now(&format!("{} vectors came for {} passages", made.len(), known.len())));
        }
        let vectors = Arc::make_mut(&mut self.vectors);
        for (key, figures) in known.iter().zip(&made) {
            if let Err(unfit) = vectors.add(*key, figures) {
                // Those of before may be of another model under the same name.
                *vectors = Vectors::new(self.embedder.name());
                self.missing = None;
                return Err(for_now(&unfit));
            }
        }
        self.unsaved += known.len();
        Ok(())
    }
}

enum Trouble {
    ForNow(String),
    ForGood(String),
}
