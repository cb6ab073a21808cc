//! The thread that reads the folder and keeps the index: once at the start, and whenever somebody wants it looked at.
//!
//! Neighbour of [`super::desk`], which says when. A round walks the folder (names, sizes, times), reads what differs, and
//! commits; one that finds nothing new writes nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use callboard_ports::model::Embedder;

use super::vectorizer::{Next, Vectorizer};
use super::{Place, Ready, Shared};
use crate::folder;
use crate::index::{Change, Index, update};
use crate::samples;

struct Keeper {
    place: Place,
    /// The documents, once they are there.
    folder: Option<PathBuf>,
    index: Option<Index>,
    /// What was said of the folder, so that it is said again only when it is something else.
    told: String,
    /// Where a model makes vectors.
    vectorizer: Option<Vectorizer>,
}

/// Keeps the index until the library closes.
pub(super) fn run(shared: &Shared, place: Place, embedder: Option<Arc<dyn Embedder>>) {
    let vectorizer = embedder.and_then(|embedder| Vectorizer::new(embedder, &place.data, shared));
    let mut keeper = Keeper { place, folder: None, index: None, told: String::new(), vectorizer };
    loop {
        let (wanted, broken) = {
            let mut state = shared.lock();
            (state.wanted, std::mem::take(&mut state.broken))
        };
        if broken {
            keeper.throw_away();
        }
        let round = catch_unwind(AssertUnwindSafe(|| keeper.round()));
        let round = round.unwrap_or_else(|_| {
            // Half of a change may be in it.
            keeper.index = None;
            Err("reading the documents panicked".to_owned())
        });
        let mut state = shared.lock();
        match round {
            Ok(ready) => (state.ready, state.problem) = (Some(ready), None),
            Err(problem) => {
                if state.problem.as_ref() != Some(&problem) {
                    tracing::warn!("knowledge: {problem}");
                }
                state.problem = Some(problem);
            }
        }
        state.served = wanted;
        state.last_round = Some(Instant::now());
        shared.changed.notify_all();
        drop(state);
        if !keeper.rest(shared) {
            return;
        }
    }
}

impl Keeper {
    /// Has vectors made until somebody wants the folder looked at; `false` when the library closes.
    fn rest(&mut self, shared: &Shared) -> bool {
        loop {
            let next = match (&mut self.vectorizer, &self.index) {
                (Some(vectorizer), Some(index)) => vectorizer.step(index, shared),
                _ => Next::Never,
            };
            let mut state = shared.lock();
            loop {
                if state.closing || state.wanted != state.served {
                    return !state.closing;
                }
                let now = Instant::now();
                state = match next {
                    Next::Now => break,
                    Next::At(at) if at <= now => break,
                    Next::At(at) => {
                        let waited = shared.changed.wait_timeout(state, at - now);
                        waited.unwrap_or_else(PoisonError::into_inner).0
                    }
                    Next::Never => shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                };
            }
        }
    }

    /// One look at the folder.
    fn round(&mut self) -> Result<Ready, String> {
        let folder = self.folder()?;
        let unreadable = |e| format!("the folder {} cannot be read: {e}", folder.display());
        let mut listing = folder::walk(&folder).map_err(unreadable)?;
        let root = folder.canonicalize().map_err(unreadable)?;
        let mut index = match self.index.take() {
            Some(index) => index,
            None => open(&self.place.data.join("index"), &root.to_string_lossy())?,
        };
        // An index that was not written to the end is opened anew, in the state of its last commit.
        let change = update(&mut index, &mut listing).map_err(|error| error.to_string())?;
        index.manifest().add_skipped(&mut listing.skipped);
        self.tell(&folder, &index, &change, &listing.skipped);
        if let Some(vectorizer) = &mut self.vectorizer
            && !change.is_none()
        {
            vectorizer.look_again();
        }
        let ready = Ready {
            reader: index.reader().clone(),
            fields: index.fields(),
            documents: index.manifest().documents(),
            passages: index.manifest().passages(),
        };
        self.index = Some(index);
        Ok(ready)
    }

    fn folder(&mut self) -> Result<PathBuf, String> {
        if let Some(folder) = &self.folder {
            return Ok(folder.clone());
        }
        let folder = match &self.place.folder {
            Some(folder) => folder.clone(),
            None => {
                let folder = self.place.data.join("samples");
                samples::write(&folder)
                    .map_err(|e| format!("the samples cannot be written to {}: {e}", folder.display()))?;
                folder
            }
        };
        Ok(self.folder.insert(folder).clone())
    }

    fn tell(&mut self, folder: &Path, index: &Index, change: &Change, skipped: &folder::Skipped) {
        let manifest = index.manifest();
        let left_out = match skipped.total() {
            0 => String::new(),
            all => format!("; {all} left out: {skipped}"),
        };
        let samples =
            if self.place.folder.is_none() { " (samples: tools.knowledge.path is not set)" } else { "" };
        let told = format!(
            "{} documents, {} passages in {}{samples}{left_out}",
            manifest.documents(),
            manifest.passages(),
            folder.display()
        );
        if !change.is_none() || told != self.told {
            tracing::info!(read = change.read, removed = change.removed, "knowledge: {told}");
            self.told = told;
        }
    }

    /// The next round makes the index anew.
    fn throw_away(&mut self) {
        self.index = None;
        let home = self.place.data.join("index");
        if let Err(error) = std::fs::remove_dir_all(&home)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "{} cannot be removed", home.display());
        }
    }
}

/// The index in `home`; in memory where nothing can be kept.
fn open(home: &Path, root: &str) -> Result<Index, String> {
    match Index::open(home, root) {
        Ok((index, None)) => Ok(index),
        Ok((index, Some(why))) => {
            tracing::warn!(why, "the index of the documents is made again");
            Ok(index)
        }
        Err(error) => {
            tracing::warn!(%error, "the index of the documents is kept in memory, and made again at every start");
            Index::in_memory(root).map_err(|error| error.to_string())
        }
    }
}
