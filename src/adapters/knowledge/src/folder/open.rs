//! One file: its text, or why it has none.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::Why;
use crate::bounds::MAX_FILE_BYTES;

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// Tells one content from another.
    pub hash: String,
    pub text: Result<String, Why>,
}

/// Where a text would have no such byte; a picture or a program has one near its beginning.
const LOOKED_AT_FOR_BINARY: usize = 8 * 1024;

/// Reads a file whole; never more than the bound, whatever it was when it was listed.
///
/// # Errors
/// When it cannot be read, or has grown beyond the bound: then there is nothing to remember about it.
pub(crate) fn open(path: &Path) -> Result<Content, Why> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|_| Why::Unreadable)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|_| Why::Unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Why::TooLarge);
    }
    let hash = Sha256::digest(&bytes)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let text = if bytes[..bytes.len().min(LOOKED_AT_FOR_BINARY)].contains(&0) {
        Err(Why::Binary)
    } else {
        String::from_utf8(bytes).map_err(|_| Why::NotUtf8)
    };
    // The mark of byte order is no letter of the first word.
    let text = text.map(|text| text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text));
    Ok(Content { hash, text })
}
