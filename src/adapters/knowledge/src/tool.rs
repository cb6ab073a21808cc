//! The tool `knowledge`: asks [`crate::library`], and puts what was found into a result of bounded size.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use callboard_domain::event::ToolError;
use callboard_domain::json::RawJson;
use callboard_ports::model::Embedder;
use callboard_ports::tool::{Call, Tool, ToolSpec};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::bounds::{ANSWER_MARGIN, MAX_QUERY_CHARS, MAX_TOP_K, QUERY_VECTOR_MS, TOP_K};
use crate::library::{Answer, Library, Place, Query};
use crate::search::{Confidence, Hit};

/// What the tool works with.
#[derive(Clone)]
pub struct Options {
    /// The folder of the documents; without one the sample documents serve.
    pub path: Option<PathBuf>,
    /// Where index and samples are kept: a cache, which may be deleted at any time.
    pub data: PathBuf,
    /// On use, the folder is looked at again when the last look is this long ago.
    pub check_every: Duration,
    /// Makes vectors, which are fused with the words' ranking; without it the words decide.
    pub embedder: Option<Arc<dyn Embedder>>,
}

/// A setting that is wrong.
#[derive(Debug, thiserror::Error)]
#[error("tools.knowledge.path is {path:?}, {problem}; name a folder with Markdown, text or HTML files")]
pub struct WrongPath {
    path: PathBuf,
    problem: &'static str,
}

/// The tool.
pub struct Knowledge {
    spec: ToolSpec,
    place: Place,
    embedder: Option<Arc<dyn Embedder>>,
    /// Its threads, once it is prepared or asked: a process that runs no tools reads no folder.
    library: Mutex<Option<Arc<Library>>>,
}

#[derive(Deserialize)]
struct Arguments {
    query: String,
    top_k: Option<usize>,
}

#[derive(Serialize)]
struct Outcome<'a> {
    passages: Vec<Passage<'a>>,
    confidence: Confidence,
    ranking: &'static str,
    searched: Searched,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Serialize)]
struct Searched {
    documents: usize,
    passages: u64,
    samples: bool,
}

#[derive(Serialize)]
struct Passage<'a> {
    file: &'a str,
    lines: String,
    title: &'a str,
    text: &'a str,
    score: f64,
    excerpt: Excerpt<'a>,
}

#[derive(Serialize)]
struct Excerpt<'a> {
    lines: String,
    text: &'a str,
}

impl Knowledge {
    /// The tool with the properties of `spec` (see [`crate::spec`]) on the folder of `options`.
    ///
    /// # Errors
    /// [`WrongPath`] when there is no such folder.
    pub fn new(spec: ToolSpec, options: Options) -> Result<Self, WrongPath> {
        if let Some(path) = &options.path {
            let problem = match path.metadata() {
                Ok(metadata) if metadata.is_dir() => None,
                Ok(_) => Some("which is no folder"),
                Err(_) => Some("which does not exist or cannot be read"),
            };
            if let Some(problem) = problem {
                return Err(WrongPath { path: path.clone(), problem });
            }
        }
        let place = Place { folder: options.path, data: options.data, check_every: options.check_every };
        Ok(Self { spec, place, embedder: options.embedder, library: Mutex::default() })
    }

    fn library(&self) -> std::io::Result<Arc<Library>> {
        let mut library = self.library.lock().unwrap_or_else(PoisonError::into_inner);
        match &*library {
            Some(library) => Ok(library.clone()),
            None => {
                let started = Library::start(self.place.clone(), self.embedder.clone())?;
                Ok(library.insert(Arc::new(started)).clone())
            }
        }
    }

    async fn search(&self, call: Call) -> Result<RawJson, ToolError> {
        let arguments: Arguments =
            serde_json::from_str(call.arguments.as_str()).map_err(|e| invalid(&e.to_string()))?;
        let text = arguments.query.trim();
        if text.is_empty() || text.chars().count() > MAX_QUERY_CHARS {
            return Err(invalid(&format!("`query` has 1 to {MAX_QUERY_CHARS} characters")));
        }
        let top_k = arguments.top_k.unwrap_or(TOP_K);
        if !(1..=MAX_TOP_K).contains(&top_k) {
            return Err(invalid(&format!("`top_k` is {top_k}; allowed are 1 to {MAX_TOP_K}")));
        }
        let library = self.library().map_err(|e| {
            ToolError::new("unavailable", format!("knowledge: no thread could be started: {e}"), true)
        })?;
        let time = Duration::from_millis(call.timeout_ms);
        let until = Instant::now() + time.saturating_sub(ANSWER_MARGIN);
        let vector = library.vector(text, QUERY_VECTOR_MS.min(call.timeout_ms / 2)).await;
        let (vector, without) = vector.map_or_else(|why| (None, Some(why)), |vector| (vector, None));
        let mut answer = library.ask(Query { text: text.to_owned(), top_k, vector, until }).await?;
        answer.notes.extend(without);
        self.result(&answer)
    }

    fn result(&self, answer: &Answer) -> Result<RawJson, ToolError> {
        let note = (!answer.notes.is_empty()).then(|| answer.notes.join("; "));
        let outcome = Outcome {
            passages: answer.found.hits.iter().map(passage).collect(),
            confidence: answer.found.confidence,
            ranking: if answer.by_vectors { "bm25+embedding" } else { "bm25" },
            searched: Searched {
                documents: answer.documents,
                passages: answer.passages,
                samples: self.place.folder.is_none(),
            },
            note,
        };
        RawJson::of(&outcome).map_err(|e| ToolError::new("internal", format!("knowledge: {e}"), false))
    }
}

fn invalid(problem: &str) -> ToolError {
    ToolError::new("invalid_arguments", format!("knowledge: {problem}"), false)
}

fn passage(hit: &Hit) -> Passage<'_> {
    let (first, last) = hit.stored.passage.lines();
    Passage {
        file: &hit.stored.file,
        lines: lines(first, last),
        title: &hit.stored.passage.title,
        text: &hit.stored.passage.text,
        score: (hit.score * 10_000.0).round() / 10_000.0,
        excerpt: Excerpt { lines: lines(hit.excerpt.first, hit.excerpt.last), text: &hit.excerpt.text },
    }
}

/// `12-18`, or `12` when it is one.
fn lines(first: u32, last: u32) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

impl Tool for Knowledge {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    /// The samples are small enough to be read when they are asked for.
    fn prepare(&self) {
        if self.place.folder.is_none() {
            tracing::info!("knowledge: tools.knowledge.path is not set; it answers from sample documents");
        } else if let Err(error) = self.library() {
            tracing::warn!(%error, "the documents cannot be read yet");
        }
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<RawJson, ToolError>> {
        Box::pin(self.search(call))
    }
}
