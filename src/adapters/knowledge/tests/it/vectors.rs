//! Where a model makes vectors, what means the same is found too; where it fails, the words decide, and that is said.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use callboard_knowledge::{Knowledge, Options, spec};
use callboard_ports::model::{Embedder, ModelError};
use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::world::{World, ask, files};

/// A model that knows three things by several names each.
struct Stub {
    name: &'static str,
    fails: AtomicBool,
    figures: AtomicUsize,
    passages: Mutex<Vec<String>>,
}

impl Stub {
    fn new(name: &'static str) -> Arc<Self> {
        let (fails, figures) = (AtomicBool::new(false), AtomicUsize::new(4));
        Arc::new(Self { name, fails, figures, passages: Mutex::default() })
    }

    /// Passages that it made vectors of; queries have no title.
    fn made(&self) -> usize {
        self.passages.lock().unwrap().len()
    }

    fn vector(&self, text: &str) -> Vec<f32> {
        let text = text.to_lowercase();
        let says = |names: &[&str]| if names.iter().any(|name| text.contains(name)) { 1.0 } else { 0.0 };
        let mut vector = vec![
            says(&["warranty", "guarantee"]),
            says(&["battery", "accumulator"]),
            says(&["fan", "ventilator"]),
            0.05,
        ];
        vector.resize(self.figures.load(Ordering::Relaxed), 0.0);
        vector
    }
}

impl Embedder for Stub {
    fn name(&self) -> &str {
        self.name
    }

    fn embed(&self, texts: Vec<Arc<str>>, _: u64) -> BoxFuture<'_, Result<Vec<Vec<f32>>, ModelError>> {
        Box::pin(async move {
            if self.fails.load(Ordering::Relaxed) {
                let message = "nobody answers".to_owned();
                return Err(ModelError {
                    provider: "stub".to_owned(),
                    kind: "unavailable",
                    message,
                    retryable: true,
                });
            }
            let passages = texts.iter().filter(|text| text.contains('\n')).map(|text| text.to_string());
            self.passages.lock().unwrap().extend(passages);
            Ok(texts.iter().map(|text| self.vector(text)).collect())
        })
    }
}

fn world() -> World {
    let world = World::new();
    world.write("a.md", "# Terms\n\nThe warranty lasts ten years.");
    world.write("b.md", "# Care\n\nThe ventilator is cleaned twice a year.");
    world.write("c.md", "# Store\n\nThe accumulator holds five units.");
    world
}

fn tool(world: &World, stub: &Arc<Stub>) -> Knowledge {
    let options = Options {
        path: Some(world.documents()),
        data: world.data(),
        check_every: Duration::ZERO,
        embedder: Some(stub.clone()),
    };
    Knowledge::new(spec(None, false), options).unwrap()
}

/// Asks until the answer is ranked with vectors.
async fn ask_with_vectors(tool: &Knowledge, query: &str) -> Value {
    let began = Instant::now();
    loop {
        let found = ask(tool, query).await;
        if found["ranking"] == "bm25+embedding" {
            return found;
        }
        assert!(found["note"].as_str().is_some_and(|note| note.contains("embeddings")), "{found}");
        assert!(began.elapsed() < Duration::from_secs(30), "no vectors: {found}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_means_the_same_is_found_in_other_words() {
    let world = world();
    assert_eq!(files(&ask(&world.tool(), "guarantee").await), [""; 0]);
    let tool = tool(&world, &Stub::new("stub/one"));
    let found = ask_with_vectors(&tool, "guarantee").await;
    assert_eq!(files(&found)[0], "a.md");
    assert_eq!((&found["confidence"], found["note"].is_null()), (&"weak".into(), true));
    // Both rankings have their say.
    let found = ask_with_vectors(&tool, "is the fan cleaned twice a year").await;
    assert_eq!((files(&found)[0], &found["confidence"]), ("b.md", &"good".into()));
}

#[tokio::test]
async fn vectors_are_made_once_and_kept_by_what_they_are_of() {
    let world = world();
    let first = Stub::new("stub/one");
    ask_with_vectors(&tool(&world, &first), "guarantee").await;
    assert_eq!(first.made(), 3);

    std::fs::rename(world.documents().join("a.md"), world.documents().join("renamed.md")).unwrap();
    world.write("c.md", "# Store\n\nThe accumulator holds six units.");
    let second = Stub::new("stub/one");
    assert_eq!(files(&ask_with_vectors(&tool(&world, &second), "guarantee").await)[0], "renamed.md");
    assert_eq!(second.made(), 1, "what is new in c.md");

    let third = Stub::new("stub/two");
    ask_with_vectors(&tool(&world, &third), "guarantee").await;
    assert_eq!(third.made(), 3, "another model's vectors say nothing to it");

    let path = world.data().join("vectors");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let fourth = Stub::new("stub/two");
    ask_with_vectors(&tool(&world, &fourth), "guarantee").await;
    assert_eq!(fourth.made(), 3, "a damaged file is made again");
}

#[tokio::test]
async fn a_document_that_changes_while_it_is_used_gets_its_vector() {
    let world = world();
    let stub = Stub::new("stub/one");
    let tool = tool(&world, &stub);
    ask_with_vectors(&tool, "guarantee").await;
    world.remove("a.md");
    world.write("d.md", "# More\n\nA guarantee is a promise.");
    let began = Instant::now();
    while files(&ask_with_vectors(&tool, "warranty").await)[0] != "d.md" {
        assert!(began.elapsed() < Duration::from_secs(30));
    }
    assert_eq!(stub.made(), 4);
}

#[tokio::test]
async fn a_model_that_fails_leaves_the_words_and_is_named() {
    let world = world();
    let stub = Stub::new("stub/one");
    stub.fails.store(true, Ordering::Relaxed);
    let failing = tool(&world, &stub);
    let began = Instant::now();
    loop {
        let found = ask(&failing, "warranty").await;
        assert_eq!((files(&found), &found["ranking"]), (vec!["a.md"], &"bm25".into()));
        let note = found["note"].as_str().unwrap();
        if note == "embeddings are not made: stub: nobody answers" {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{note}");
    }

    stub.fails.store(false, Ordering::Relaxed);
    let works = tool(&world, &stub);
    ask_with_vectors(&works, "guarantee").await;
    stub.fails.store(true, Ordering::Relaxed);
    let found = ask(&works, "warranty").await;
    assert_eq!((files(&found), &found["ranking"]), (vec!["a.md"], &"bm25".into()));
    assert_eq!(found["note"], "no embedding of the query: stub: nobody answers");

    stub.fails.store(false, Ordering::Relaxed);
    stub.figures.store(7, Ordering::Relaxed);
    let found = ask(&works, "warranty").await;
    assert_eq!(found["ranking"], "bm25");
    assert_eq!(found["note"], "the query's embedding: a vector has 7 figures where the others have 4");
}
