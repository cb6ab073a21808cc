//! Vectors in a file beside the index: a cache that says of which model it is, and is believed only as it was written.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Vectors;
use crate::bounds::MAX_VECTORS_BYTES;

const MAGIC: &[u8; 8] = b"CBVECT01";
const HASH_BYTES: usize = 32;
/// Names, counts and keys come on top of the figures.
const MAX_FILE_BYTES: usize = 2 * MAX_VECTORS_BYTES;

#[derive(Serialize, Deserialize)]
struct Header {
    name: String,
    dimensions: usize,
    count: usize,
}

impl Vectors {
    /// Writes them, beside what was there until all of it is written.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let header = Header { name: self.name.clone(), dimensions: self.dimensions, count: self.keys.len() };
        let header = serde_json::to_vec(&header)?;
        let mut bytes = Vec::with_capacity(self.figures.len() * 4 + self.keys.len() * 8 + header.len() + 64);
        bytes.extend(MAGIC);
        bytes.extend(u32::try_from(header.len()).map_err(io::Error::other)?.to_le_bytes());
        bytes.extend(header);
        bytes.extend(self.keys.iter().flat_map(|key| key.to_le_bytes()));
        bytes.extend(self.figures.iter().flat_map(|figure| figure.to_le_bytes()));
        let hash = Sha256::digest(&bytes);
        bytes.extend(hash);
        let beside = path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(beside, path)
    }

    /// Reads those of the model `name`; `None` when there are none of it.
    ///
    /// # Errors
    /// In words, when the file is not what was written.
    pub fn read(path: &Path, name: &str) -> Result<Option<Self>, String> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX);
        match File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        }
        let damaged = || "it is damaged".to_owned();
        let (body, hash) = bytes.split_last_chunk::<HASH_BYTES>().ok_or_else(damaged)?;
        if Sha256::digest(body)[..] != hash[..] {
            return Err(damaged());
        }
        let rest = body.strip_prefix(MAGIC).ok_or_else(damaged)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| damaged())?;
        let (header, rest) = rest.split_at_checked(length).ok_or_else(damaged)?;
        let header: Header = serde_json::from_slice(header).map_err(|_| damaged())?;
        if header.name != name {
            return Ok(None);
        }
        let (keys, figures) = rest.split_at_checked(header.count.saturating_mul(8)).ok_or_else(damaged)?;
        if figures.len() != header.count.saturating_mul(header.dimensions).saturating_mul(4) {
            return Err(damaged());
        }
        let keys = keys.as_chunks::<8>().0.iter().map(|key| u64::from_le_bytes(*key)).collect();
        let figures = figures.as_chunks::<4>().0.iter().map(|figure| f32::from_le_bytes(*figure)).collect();
        Ok(Some(Self { name: header.name, dimensions: header.dimensions, keys, figures }))
    }
}
