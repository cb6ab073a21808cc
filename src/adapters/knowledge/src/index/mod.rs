//! The index: passages in tantivy, and beside them, in the same commit, what is known of the files they came from.
//!
//! A cache of the folder: it may be deleted at any time, and what does not open, verify or fit this build is made again.
//! [`update`] brings it up to date, [`schema`] says what a passage is in it, [`words`] what a word is. Reading is
//! [`crate::search`]'s business.

mod manifest;
mod schema;
mod tokens;
mod update;
mod words;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use tantivy::collector::TopDocs;
use tantivy::query::TermQuery;
use tantivy::schema::IndexRecordOption;
use tantivy::{IndexReader, IndexSettings, ReloadPolicy, TantivyDocument, TantivyError, Term};

pub(crate) use manifest::Manifest;
pub(crate) use schema::{Fields, Stored};
pub(crate) use update::{Change, update};
pub(crate) use words::{Analyzer, query_words};

/// Why the index cannot be used, in a sentence.
#[derive(Debug, thiserror::Error)]
#[error("the index: {0}")]
pub(crate) struct IndexError(String);

impl From<TantivyError> for IndexError {
    fn from(error: TantivyError) -> Self {
        Self(error.to_string())
    }
}

/// An open index.
pub(crate) struct Index {
    tantivy: tantivy::Index,
    fields: Fields,
    reader: IndexReader,
    manifest: Manifest,
}

impl Index {
    /// Opens what lies in `home`, for the documents of `root`; makes it again where it is of no use, and says why.
    ///
    /// # Errors
    /// When nothing can be kept there at all.
    pub fn open(home: &Path, root: &str) -> Result<(Self, Option<String>), IndexError> {
        let why = match Self::existing(home, root) {
            Ok(Some(index)) => return Ok((index, None)),
            Ok(None) => None,
            Err(why) => Some(why.0),
        };
        if home.exists() {
            std::fs::remove_dir_all(home).map_err(|e| IndexError(format!("{}: {e}", home.display())))?;
        }
        std::fs::create_dir_all(home).map_err(|e| IndexError(format!("{}: {e}", home.display())))?;
        let (schema, fields) = schema::build();
        let tantivy = tantivy::Index::builder().schema(schema).settings(settings()).create_in_dir(home)?;
        Ok((Self::of(tantivy, fields, Manifest::new(root))?, why))
    }

    /// An index that ends with its process.
    ///
    /// # Errors
    /// When tantivy refuses.
    pub fn in_memory(root: &str) -> Result<Self, IndexError> {
        let (schema, fields) = schema::build();
        let tantivy = tantivy::Index::builder().schema(schema).settings(settings()).create_in_ram()?;
        Self::of(tantivy, fields, Manifest::new(root))
    }

    /// What is there; `None` when there is nothing.
    fn existing(home: &Path, root: &str) -> Result<Option<Self>, IndexError> {
        if !home.join("meta.json").exists() {
            return Ok(None);
        }
        let tantivy = tantivy::Index::open_in_dir(home)?;
        let (schema, fields) = schema::build();
        if tantivy.schema() != schema {
            return Err(IndexError("it is of another build".to_owned()));
        }
        let broken: Vec<PathBuf> = tantivy.validate_checksum()?.into_iter().collect();
        if let Some(file) = broken.first() {
            return Err(IndexError(format!("{} is damaged", file.display())));
        }
        let payload = tantivy.load_metas()?.payload;
        let manifest = match payload {
            Some(payload) => Manifest::read(&payload).map_err(IndexError)?,
            // Nothing was ever committed.
            None => Manifest::new(root),
        };
        if manifest.root != root {
            return Err(IndexError(format!("it is of the folder {}", manifest.root)));
        }
        Ok(Some(Self::of(tantivy, fields, manifest)?))
    }

    fn of(tantivy: tantivy::Index, fields: Fields, manifest: Manifest) -> Result<Self, IndexError> {
        tantivy.tokenizers().register(schema::WORDS, words::analyzer());
        let reader = tantivy.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Self { tantivy, fields, reader, manifest })
    }

    pub fn reader(&self) -> &IndexReader {
        &self.reader
    }

    pub fn fields(&self) -> Fields {
        self.fields
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The keys of all passages.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn keys(&self) -> Result<HashSet<u64>, IndexError> {
        let mut keys = HashSet::new();
        for segment in self.reader.searcher().segment_readers() {
            let column = segment.fast_fields().u64(schema::KEY)?;
            keys.extend(segment.doc_ids_alive().filter_map(|passage| column.first(passage)));
        }
        Ok(keys)
    }

    /// What the passage with this key says, with its title.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn said(&self, key: u64) -> Result<Option<String>, IndexError> {
        let searcher = self.reader.searcher();
        let term = Term::from_field_u64(self.fields.key, key);
        let query = TermQuery::new(term, IndexRecordOption::Basic);
        let found = searcher.search(&query, &TopDocs::with_limit(1).order_by_score())?;
        let Some((_, at)) = found.first() else { return Ok(None) };
        let document: TantivyDocument = searcher.doc(*at)?;
        let stored = self.fields.read(&document);
        Ok(stored.map(|stored| format!("{}\n{}", stored.passage.title, stored.passage.text)))
    }
}

/// One writing thread is enough, and a second one for compression would be idle: nothing is compressed.
fn settings() -> IndexSettings {
    IndexSettings { docstore_compress_dedicated_thread: false, ..IndexSettings::default() }
}
