//! Moving a folder aside that cannot be trusted: kept for whoever wants to look, but only the newest few.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Bad folders kept: enough to see a pattern, few enough not to fill a disk.
const KEPT: usize = 3;

/// Renames `dir` to `DIR.bad-N` and gives that name; the oldest beyond three are deleted.
pub(super) fn move_aside(dir: &Path) -> io::Result<PathBuf> {
    let mut bad = numbered(dir)?;
    let next = bad.last().map_or(1, |(n, _)| n + 1);
    let target = name(dir, next);
    fs::rename(dir, &target)?;
    bad.push((next, target.clone()));
    let surplus = bad.len().saturating_sub(KEPT);
    for (_, old) in bad.into_iter().take(surplus) {
        if let Err(error) = fs::remove_dir_all(&old) {
            tracing::warn!(path = %old.display(), %error, "an old bad snapshot folder cannot be deleted");
        }
    }
    Ok(target)
}

fn name(dir: &Path, number: u32) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(format!(".bad-{number}"));
    dir.with_file_name(name)
}

fn numbered(dir: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let prefix = format!("{}.bad-", dir.file_name().unwrap_or_default().to_string_lossy());
    let mut found = Vec::new();
    for entry in fs::read_dir(dir.parent().unwrap_or(Path::new(".")))? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_prefix(&prefix)?.parse().ok());
        if let Some(number) = number {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::move_aside;

    #[test]
    fn three_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("snapshots-sled");
        for round in 1..=5 {
            std::fs::create_dir(&dir).unwrap();
            assert!(move_aside(&dir).unwrap().ends_with(format!("snapshots-sled.bad-{round}")));
        }
        let mut left: Vec<_> =
            std::fs::read_dir(root.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["snapshots-sled.bad-3", "snapshots-sled.bad-4", "snapshots-sled.bad-5"]);
    }
}
