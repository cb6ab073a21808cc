//! Brings the index up to date with its folder: what is new or changed is read, what is gone is taken out, in one commit.
//!
//! A process that ends in the middle leaves the commit before. tantivy's writer exists only while something changes.

use std::time::{SystemTime, UNIX_EPOCH};

use tantivy::{IndexWriter, TantivyDocument, Term};

use super::manifest::{Entry, Manifest};
use super::{Index, IndexError};
use crate::bounds::WRITER_BYTES;
use crate::document;
use crate::folder::{self, Found, Listing, Why};

/// What an update did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Documents that are new, or whose content is another.
    pub read: usize,
    pub removed: usize,
}

impl Change {
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Reads what differs between `listing` and the index. What could not be read is added to the listing's count.
///
/// # Errors
/// When the index cannot be written; it is then what it was.
pub(crate) fn update(index: &mut Index, listing: &mut Listing) -> Result<Change, IndexError> {
    let mut update =
        Update { next: Manifest::new(&index.manifest.root), writer: None, change: Change::default() };
    for found in std::mem::take(&mut listing.files) {
        update.file(index, listing, &found)?;
    }
    let gone: Vec<&String> =
        index.manifest.files.keys().filter(|name| !update.next.files.contains_key(*name)).collect();
    for name in gone {
        let term = Term::from_field_text(index.fields.file, name);
        update.writer(index)?.delete_term(term);
        update.change.removed += 1;
    }
    if update.next == index.manifest {
        return Ok(update.change);
    }
    let payload = serde_json::to_string(&update.next).map_err(|e| IndexError(e.to_string()))?;
    let mut writer = match update.writer.take() {
        Some(writer) => writer,
        None => writer(index)?,
    };
    let mut commit = writer.prepare_commit()?;
    commit.set_payload(&payload);
    commit.commit()?;
    writer.wait_merging_threads()?;
    index.reader.reload()?;
    index.manifest = update.next;
    Ok(update.change)
}

fn writer(index: &Index) -> Result<IndexWriter, IndexError> {
    Ok(index.tantivy.writer_with_num_threads(1, WRITER_BYTES)?)
}

struct Update {
    next: Manifest,
    writer: Option<IndexWriter>,
    change: Change,
}

impl Update {
    fn writer(&mut self, index: &Index) -> Result<&mut IndexWriter, IndexError> {
        if self.writer.is_none() {
            self.writer = Some(writer(index)?);
        }
        Ok(self.writer.as_mut().expect("made above"))
    }

    fn file(&mut self, index: &Index, listing: &mut Listing, found: &Found) -> Result<(), IndexError> {
        let known = index.manifest.files.get(&found.name);
        if let Some(known) = known.filter(|known| known.is_fresh(found)) {
            self.next.files.insert(found.name.clone(), known.clone());
            return Ok(());
        }
        let read_at_ns = now_ns();
        let content = match folder::open(&found.path) {
            Ok(content) => content,
            // It is looked at again next time; until then it has no passages.
            Err(why) => {
                listing.skipped.count(why);
                return Ok(());
            }
        };
        let mut entry = Entry {
            size: found.size,
            modified_ns: found.modified_ns,
            read_at_ns,
            hash: content.hash,
            passages: 0,
            skipped: None,
        };
        if let Some(known) = known.filter(|known| known.hash == entry.hash) {
            (entry.passages, entry.skipped) = (known.passages, known.skipped);
            if !entry.is_fresh(found) {
                // Its time says nothing yet, or never will: that alone is not worth a commit.
                entry = known.clone();
            }
        } else {
            self.passages(index, found, content.text, &mut entry)?;
        }
        self.next.files.insert(found.name.clone(), entry);
        Ok(())
    }

    fn passages(
        &mut self,
        index: &Index,
        found: &Found,
        text: Result<String, Why>,
        entry: &mut Entry,
    ) -> Result<(), IndexError> {
        let writer = self.writer(index)?;
        writer.delete_term(Term::from_field_text(index.fields.file, &found.name));
        match text {
            Err(why) => entry.skipped = Some(why),
            Ok(text) => {
                let document = document::read(found.kind, &text);
                for passage in document::cut(&document, &found.name) {
                    let written: TantivyDocument = index.fields.write(&found.name, &passage);
                    writer.add_document(written)?;
                    entry.passages += 1;
                }
            }
        }
        self.change.read += 1;
        Ok(())
    }
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
