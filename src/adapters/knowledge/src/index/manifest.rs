//! What the index knows of the files that its passages came from. Written with tantivy's own commit, so that the two
//! are of one moment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::folder::{Found, Skipped, Why};

/// Raised when passages are cut, or words read, in another way: then everything is read again.
const FORMAT: u32 = 1;
/// Clocks of file systems are coarse: a file that was written this short before it was read may have been written again
/// in the same tick.
const TICK_NS: u64 = 2_000_000_000;

/// All files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    format: u32,
    /// The folder, without links.
    pub root: String,
    pub files: BTreeMap<String, Entry>,
}

/// A file as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub size: u64,
    pub modified_ns: u64,
    pub read_at_ns: u64,
    pub hash: String,
    pub passages: u64,
    /// Why it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<Why>,
}

impl Manifest {
    pub fn new(root: &str) -> Self {
        Self { format: FORMAT, root: root.to_owned(), files: BTreeMap::new() }
    }

    /// Reads what was committed.
    ///
    /// # Errors
    /// In words, when it is of another format.
    pub fn read(payload: &str) -> Result<Self, String> {
        let manifest: Self = serde_json::from_str(payload).map_err(|e| format!("its list of files: {e}"))?;
        if manifest.format == FORMAT {
            Ok(manifest)
        } else {
            Err(format!("it is of format {}, and this build writes {FORMAT}", manifest.format))
        }
    }

    /// Files that have passages.
    pub fn documents(&self) -> usize {
        self.files.values().filter(|entry| entry.skipped.is_none()).count()
    }

    pub fn passages(&self) -> u64 {
        self.files.values().map(|entry| entry.passages).sum()
    }

    /// Adds those that were found to be no documents only when they were read.
    pub fn add_skipped(&self, skipped: &mut Skipped) {
        self.files.values().filter_map(|entry| entry.skipped).for_each(|why| skipped.count(why));
    }
}

impl Entry {
    /// Whether the file is, as far as can be told without reading it, what it was.
    pub fn is_fresh(&self, found: &Found) -> bool {
        let settled = self.modified_ns != 0 && self.modified_ns.saturating_add(TICK_NS) < self.read_at_ns;
        settled && self.size == found.size && self.modified_ns == found.modified_ns
    }
}
