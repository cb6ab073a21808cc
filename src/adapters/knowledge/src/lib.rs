//! The tool `knowledge`: retrieval over a folder of Markdown, text and HTML, with citations that can be looked up.
//!
//! An adapter: it implements `callboard_ports::tool`. From the outside in: [`Knowledge`] is the tool, `library` its two
//! threads, `search` finds and `index` keeps passages, `document` makes passages of files, `folder` finds the files.
//! `samples` are the documents that serve where no folder is configured; `bounds` are all bounds.

mod bounds;
mod document;
mod folder;
mod index;
mod library;
mod samples;
mod search;
mod spec;
mod tool;
mod vectors;

pub use spec::{NAME, POOL, spec};
pub use tool::{Knowledge, Options, WrongPath};
