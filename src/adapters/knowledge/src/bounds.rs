//! Every bound of this crate, each with its reason.

use std::time::Duration;

/// Documents of one folder; a manual has hundreds, a wiki thousands.
pub(crate) const MAX_FILES: usize = 10_000;
/// Names looked at while the folder is walked: a folder of build results must not hold up the documents.
pub(crate) const MAX_ENTRIES: usize = 200_000;
/// Folders below one another; deeper is a mistake, or a loop that nobody meant.
pub(crate) const MAX_DEPTH: usize = 32;
/// Of one document. A file is in memory while it is read; what is larger is a dump and no document.
pub(crate) const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Of all documents: a few minutes of indexing, and an index of about the same size on disk.
pub(crate) const MAX_TOTAL_BYTES: u64 = 256 * 1024 * 1024;

/// Of a passage: some 300 tokens. Four of them fit what a model is shown of one result.
pub(crate) const MAX_PASSAGE_BYTES: usize = 1_200;
/// What a passage repeats of the one before it, so that a sentence at the border is whole in one of them.
pub(crate) const OVERLAP_BYTES: usize = 200;
/// Of a passage's title: the headings above it, joined.
pub(crate) const MAX_TITLE_BYTES: usize = 300;
/// Of an excerpt: a few sentences.
pub(crate) const MAX_EXCERPT_BYTES: usize = 400;

/// Of a query, in characters; a question of a person has a hundred.
pub(crate) const MAX_QUERY_CHARS: usize = 1_000;
/// Different words of a query that are looked up.
pub(crate) const MAX_QUERY_WORDS: usize = 64;
/// Passages given when nothing is said…
pub(crate) const TOP_K: usize = 4;
/// …and at most: with [`MAX_PASSAGE_BYTES`] a result stays below 32 kB.
pub(crate) const MAX_TOP_K: usize = 10;
/// Ranked by each method before the two are fused.
pub(crate) const CANDIDATES: usize = 50;

/// What tantivy may collect before it writes a segment: the least that it takes. It has one thread, and exists only
/// while something changes.
pub(crate) const WRITER_BYTES: usize = 15_000_000;
/// Searches that wait for the one thread that makes them; each takes milliseconds. More are told to come again.
pub(crate) const WAITING_SEARCHES: usize = 64;
/// What a search waits for a folder that is being looked at again, before it takes what was known.
pub(crate) const REFRESH_PATIENCE: Duration = Duration::from_secs(2);
/// What is left of a call's time for its answer to arrive.
pub(crate) const ANSWER_MARGIN: Duration = Duration::from_millis(500);

/// Of all vectors in memory: 21,000 passages at 768 figures. All of them are compared with each query, in some 10 ms.
pub(crate) const MAX_VECTORS_BYTES: usize = 64 * 1024 * 1024;
/// Passages that a model is given at once: a small one on this machine answers within [`EMBED_BATCH_MS`].
pub(crate) const EMBED_BATCH: usize = 32;
pub(crate) const EMBED_BATCH_MS: u64 = 60_000;
/// Vectors that are made again at most when the process ends in the middle.
pub(crate) const EMBED_UNSAVED: usize = 1_024;
/// Between attempts at a model that fails: at first, and at most.
pub(crate) const EMBED_PAUSE: Duration = Duration::from_secs(30);
pub(crate) const MAX_EMBED_PAUSE: Duration = Duration::from_secs(600);
/// A query's vector is waited for this long, and then the words alone decide.
pub(crate) const QUERY_VECTOR_MS: u64 = 3_000;
