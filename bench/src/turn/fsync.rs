//! What the disk under the embedded log takes to make 4 kB durable.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

const COUNT: usize = 200;
const BYTES: usize = 4_096;

/// Median of a write and an `fdatasync`, milliseconds, in `folder`.
pub fn median_ms(folder: &Path) -> Result<f64> {
    let path = folder.join("fsync-probe");
    let mut file = File::create(&path).with_context(|| format!("{} cannot be made", path.display()))?;
    let block = [b'x'; BYTES];
    let mut took = Vec::with_capacity(COUNT);
    for _ in 0..COUNT {
        let began = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        took.push(began.elapsed());
    }
    std::fs::remove_file(&path)?;
    took.sort_unstable();
    Ok(took[COUNT / 2].as_secs_f64() * 1e3)
}
