//! A passage as tantivy keeps it.

use sha2::{Digest, Sha256};
use tantivy::TantivyDocument;
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions, Value,
};

use crate::document::Passage;

/// The analyzer of titles and texts, as tantivy knows it by name.
pub(super) const WORDS: &str = "words";

/// The field that [`super::Index::keys`] reads as a column.
pub(super) const KEY: &str = "key";

/// The fields of a passage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields {
    pub file: Field,
    pub title: Field,
    pub text: Field,
    /// For each line of the text the first and last line of the file, as pairs of little-endian u32.
    spans: Field,
    /// Of title and text: what a vector is kept under, whatever file the passage is in.
    pub key: Field,
}

/// A passage that was read from the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub file: String,
    pub key: u64,
    pub passage: Passage,
}

pub(super) fn build() -> (Schema, Fields) {
    let indexing =
        TextFieldIndexing::default().set_tokenizer(WORDS).set_index_option(IndexRecordOption::WithFreqs);
    let words = TextOptions::default().set_indexing_options(indexing).set_stored();
    let mut schema = Schema::builder();
    let fields = Fields {
        file: schema.add_text_field("file", STRING | STORED),
        title: schema.add_text_field("title", words.clone()),
        text: schema.add_text_field("text", words),
        spans: schema.add_bytes_field("spans", STORED),
        key: schema.add_u64_field(KEY, INDEXED | STORED | FAST),
    };
    (schema.build(), fields)
}

impl Fields {
    pub(super) fn write(&self, file: &str, passage: &Passage) -> TantivyDocument {
        let numbers = passage.spans.iter().flat_map(|(first, last)| [*first, *last]);
        let spans: Vec<u8> = numbers.flat_map(u32::to_le_bytes).collect();
        let mut document = TantivyDocument::default();
        document.add_text(self.file, file);
        document.add_text(self.title, &passage.title);
        document.add_text(self.text, &passage.text);
        document.add_bytes(self.spans, &spans);
        document.add_u64(self.key, key(passage));
        document
    }

    /// Reads a passage back; `None` when a field is missing.
    pub fn read(&self, document: &TantivyDocument) -> Option<Stored> {
        let text = |field| Some(document.get_first(field)?.as_str()?.to_owned());
        let bytes = document.get_first(self.spans)?.as_bytes()?;
        let number = |bytes: &[u8]| Some(u32::from_le_bytes(bytes.try_into().ok()?));
        let spans: Option<Vec<(u32, u32)>> =
            bytes.chunks_exact(8).map(|pair| Some((number(&pair[..4])?, number(&pair[4..])?))).collect();
        let passage = Passage { title: text(self.title)?, text: text(self.text)?, spans: spans? };
        let key = document.get_first(self.key)?.as_u64()?;
        Some(Stored { file: text(self.file)?, key, passage })
    }
}

fn key(passage: &Passage) -> u64 {
    let mut hash = Sha256::new();
    hash.update(&passage.title);
    hash.update([0]);
    hash.update(&passage.text);
    let first: [u8; 8] = hash.finalize()[..8].try_into().expect("a SHA-256 has 32 bytes");
    u64::from_le_bytes(first)
}
