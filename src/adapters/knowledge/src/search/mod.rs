//! Searching: BM25 over titles and texts, fused with the nearest vectors where there are any.
//!
//! [`weigh`] says what the words of a query are worth, [`excerpt`] finds the sentences that answer it, [`fuse`] joins two
//! rankings. [`Searcher`] runs on the thread of `library`, never on an arbiter.

mod excerpt;
mod fuse;
mod weigh;

use std::collections::HashSet;

use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, BoostQuery, Occur, Query, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocAddress, IndexReader, TantivyDocument, Term};

use crate::bounds::CANDIDATES;
use crate::index::{Analyzer, Fields, IndexError, Stored, query_words};

pub(crate) use excerpt::Excerpt;
pub(crate) use weigh::Confidence;
use weigh::Weights;

/// A word in a heading says more about a passage than one in its text.
const TITLE_BOOST: f32 = 1.5;

/// A passage that was found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hit {
    pub stored: Stored,
    /// BM25's, or the fused one: higher is better, within one result.
    pub score: f64,
    pub excerpt: Excerpt,
}

/// What a search found, best first.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub hits: Vec<Hit>,
    /// Whether the best passage is about what was asked.
    pub confidence: Confidence,
}

/// Searches one index.
pub(crate) struct Searcher {
    analyzer: Analyzer,
}

impl Searcher {
    pub fn new() -> Self {
        Self { analyzer: Analyzer::new() }
    }

    /// The `top_k` passages nearest to `query`; `nearest` are keys of passages by their vectors, the nearest first.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn search(
        &mut self,
        reader: &IndexReader,
        fields: Fields,
        query: &str,
        top_k: usize,
        nearest: &[u64],
    ) -> Result<Found, IndexError> {
        let searcher = reader.searcher();
        let words = query_words(&mut self.analyzer, query);
        let by_words =
            searcher.search(&any_of(fields, &words), &TopDocs::with_limit(CANDIDATES).order_by_score())?;
        let mut scores: Vec<(f64, DocAddress)> =
            by_words.into_iter().map(|(score, at)| (f64::from(score), at)).collect();
        if !nearest.is_empty() {
            let mut by_vectors = Vec::new();
            for key in nearest {
                let term = TermQuery::new(Term::from_field_u64(fields.key, *key), IndexRecordOption::Basic);
                let found = searcher.search(&term, &TopDocs::with_limit(CANDIDATES).order_by_score())?;
                by_vectors.extend(found.into_iter().map(|(_, at)| at));
            }
            let by_words: Vec<DocAddress> = scores.iter().map(|(_, at)| *at).collect();
            scores = fuse::reciprocal_ranks(&[&by_words, &by_vectors]);
        }
        let weights = Weights::of(
            &words,
            |word| {
                let frequency = |field| searcher.doc_freq(&Term::from_field_text(field, word));
                Ok(frequency(fields.text)?.max(frequency(fields.title)?))
            },
            searcher.num_docs(),
        )?;
        let mut hits = Vec::new();
        let mut confidence = Confidence::None;
        let mut seen = HashSet::new();
        for (score, at) in scores {
            let document: TantivyDocument = searcher.doc(at)?;
            let Some(stored) = fields.read(&document) else { continue };
            // The same words in two files are one passage.
            if !seen.insert(stored.key) {
                continue;
            }
            let excerpt = excerpt::of(&stored.passage, &weights, query, &mut self.analyzer);
            if hits.is_empty() {
                let said = format!("{}\n{}", stored.passage.title, stored.passage.text);
                confidence = weights.confidence(&self.analyzer.stems(&said));
                if !nearest.is_empty() {
                    // Its words say little about a passage that was found by what it means.
                    confidence = confidence.max(Confidence::Weak);
                }
            }
            hits.push(Hit { stored, score, excerpt });
            if hits.len() == top_k {
                break;
            }
        }
        Ok(Found { hits, confidence })
    }
}

/// Passages with any of the words, in title or text.
fn any_of(fields: Fields, words: &[String]) -> BooleanQuery {
    let term = |field, word: &str| -> Box<dyn Query> {
        Box::new(TermQuery::new(Term::from_field_text(field, word), IndexRecordOption::WithFreqs))
    };
    let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
    for word in words {
        clauses.push((Occur::Should, term(fields.text, word)));
        clauses.push((Occur::Should, Box::new(BoostQuery::new(term(fields.title, word), TITLE_BOOST))));
    }
    BooleanQuery::new(clauses)
}
