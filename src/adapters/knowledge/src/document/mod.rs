//! A document as lines of text that know where they stand in their file, cut into passages.
//!
//! [`markdown`] and [`html`] read, [`passages`] cuts. Nothing here knows folders or
//! an index.

mod entities;
mod html;
mod markdown;
mod passages;

pub(crate) use passages::{Passage, cut};

/// A line of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Where it stands in the file, from 1. A row of an HTML table may stand on several.
    pub first: u32,
    pub last: u32,
    pub text: String,
    /// Its level, when it is a heading.
    pub heading: Option<u8>,
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    pub title: Option<String>,
    pub lines: Vec<Line>,
}

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Markdown and plain text, which is Markdown with fewer marks.
    Text,
    Html,
}

impl Kind {
    /// By the ending of the file's name; `None` for what is no document.
    pub fn of(name: &str) -> Option<Self> {
        let (_, ending) = name.rsplit_once('.')?;
        match ending.to_ascii_lowercase().as_str() {
            "md" | "markdown" | "txt" | "text" => Some(Self::Text),
            "html" | "htm" | "xhtml" => Some(Self::Html),
            _ => None,
        }
    }
}

/// Reads a file's text.
pub(crate) fn read(kind: Kind, text: &str) -> Document {
    match kind {
        Kind::Text => markdown::read(text),
        Kind::Html => html::read(text),
    }
}
