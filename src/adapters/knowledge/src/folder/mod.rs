//! The folder of documents: which files there are, within the bounds, and what was left out and why.
//!
//! [`walk`] lists, [`open`] reads one file. A link is followed only to what lies in the folder too.

mod open;
mod skipped;

use std::collections::BTreeSet;
use std::fs::{DirEntry, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

pub(crate) use open::open;
pub(crate) use skipped::{Skipped, Why};

use crate::bounds::{MAX_DEPTH, MAX_ENTRIES, MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES};
use crate::document::Kind;

/// A file that looks like a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Below the folder, with `/`: what citations name.
    pub name: String,
    pub path: PathBuf,
    pub kind: Kind,
    pub size: u64,
    /// Since 1970; 0 where the file system does not say.
    pub modified_ns: u64,
}

/// What a walk found, in the order of the names.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub files: Vec<Found>,
    pub skipped: Skipped,
}

struct Walk<'r> {
    /// Without links, so that what a link names can be compared with it.
    root: &'r Path,
    listing: Listing,
    entries: usize,
    total_bytes: u64,
    /// Folders that a link led to: each is walked once.
    linked: BTreeSet<PathBuf>,
}

/// Lists the documents below `root`.
///
/// # Errors
/// When `root` itself cannot be read. What cannot be read below it is counted.
pub(crate) fn walk(root: &Path) -> io::Result<Listing> {
    let root = root.canonicalize()?;
    let mut walk = Walk {
        root: &root,
        listing: Listing::default(),
        entries: 0,
        total_bytes: 0,
        linked: BTreeSet::new(),
    };
    let entries = entries(&root)?;
    walk.folder(entries, "", 1);
    Ok(walk.listing)
}

/// The entries of a folder by name: bounds must cut the same way every time.
fn entries(folder: &Path) -> io::Result<Vec<DirEntry>> {
    // One more than is looked at shows that there are too many.
    let read: io::Result<Vec<DirEntry>> = std::fs::read_dir(folder)?.take(MAX_ENTRIES + 1).collect();
    let mut read = read?;
    read.sort_by_key(DirEntry::file_name);
    Ok(read)
}

impl Walk<'_> {
    fn skip(&mut self, why: Why) {
        self.listing.skipped.count(why);
    }

    fn folder(&mut self, entries: Vec<DirEntry>, above: &str, depth: usize) {
        for entry in entries {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                self.skip(Why::TooManyEntries);
                return;
            }
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                self.skip(Why::NameNotUtf8);
                continue;
            };
            if name.starts_with('.') {
                self.skip(Why::Hidden);
                continue;
            }
            self.entry(&entry.path(), &format!("{above}{name}"), depth);
        }
    }

    fn entry(&mut self, path: &Path, name: &str, depth: usize) {
        let Ok(itself) = path.symlink_metadata() else { return self.skip(Why::Unreadable) };
        let metadata = if itself.is_symlink() {
            match self.behind_link(path) {
                Ok(metadata) => metadata,
                Err(why) => return self.skip(why),
            }
        } else {
            itself
        };
        if metadata.is_dir() {
            if depth == MAX_DEPTH {
                return self.skip(Why::TooDeep);
            }
            match entries(path) {
                Ok(entries) => self.folder(entries, &format!("{name}/"), depth + 1),
                Err(_) => self.skip(Why::Unreadable),
            }
        } else if metadata.is_file() {
            self.file(path, name, &metadata);
        } else {
            self.skip(Why::NoFile);
        }
    }

    fn behind_link(&mut self, path: &Path) -> Result<Metadata, Why> {
        let target = path.canonicalize().map_err(|_| Why::BrokenLink)?;
        if !target.starts_with(self.root) {
            return Err(Why::LinkOutside);
        }
        let metadata = target.metadata().map_err(|_| Why::Unreadable)?;
        // A link to a folder above itself would go round and round.
        if metadata.is_dir() && (path.starts_with(&target) || !self.linked.insert(target)) {
            return Err(Why::LinkAgain);
        }
        Ok(metadata)
    }

    fn file(&mut self, path: &Path, name: &str, metadata: &Metadata) {
        let Some(kind) = Kind::of(name) else { return self.skip(Why::OtherType) };
        let size = metadata.len();
        if size > MAX_FILE_BYTES {
            return self.skip(Why::TooLarge);
        }
        if self.listing.files.len() == MAX_FILES {
            return self.skip(Why::TooManyFiles);
        }
        if self.total_bytes + size > MAX_TOTAL_BYTES {
            return self.skip(Why::TotalTooLarge);
        }
        self.total_bytes += size;
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified_ns = modified.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0));
        self.listing.files.push(Found {
            name: name.to_owned(),
            path: path.to_owned(),
            kind,
            size,
            modified_ns,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{MAX_FILE_BYTES, Why, open, walk};

    #[test]
    fn what_is_no_document_is_counted_by_its_reason() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path();
        fs::create_dir_all(root.join("sub/.git")).unwrap();
        for (name, bytes) in [
            ("b.md", &b"b"[..]),
            ("a.TXT", b"a"),
            ("sub/c.html", b"c"),
            ("sub/.git/d.md", b"d"),
            (".hidden.md", b"h"),
            ("picture.png", b"p"),
            ("noending", b"n"),
        ] {
            fs::write(root.join(name), bytes).unwrap();
        }
        fs::File::create(root.join("huge.md")).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
        let listing = walk(root).unwrap();
        let names: Vec<&str> = listing.files.iter().map(|found| found.name.as_str()).collect();
        assert_eq!(names, ["a.TXT", "b.md", "sub/c.html"]);
        let counted = |why| listing.skipped.of(why);
        assert_eq!((counted(Why::OtherType), counted(Why::Hidden), counted(Why::TooLarge)), (2, 2, 1));
        assert_eq!(
            listing.skipped.to_string(),
            "2 neither Markdown, text nor HTML by their names, 2 hidden, 1 larger than 4 MiB"
        );
        assert!(walk(&root.join("nowhere")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_inside_the_folder_only() {
        use std::os::unix::fs::symlink;
        let temporary = tempfile::tempdir().unwrap();
        let (root, outside) = (temporary.path().join("root"), temporary.path().join("outside"));
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("secret.md"), "secret").unwrap();
        fs::write(root.join("sub/a.md"), "a").unwrap();
        for (target, link) in [
            ("sub/a.md", "inside.md"),
            ("../outside/secret.md", "outside.md"),
            ("../outside", "folder"),
            ("nowhere.md", "broken.md"),
            ("..", "sub/up"),
            (".", "sub/self"),
            ("sub", "twin"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let listing = walk(&root).unwrap();
        let names: Vec<&str> = listing.files.iter().map(|found| found.name.as_str()).collect();
        assert_eq!(names, ["inside.md", "sub/a.md", "twin/a.md"]);
        let counted = |why| listing.skipped.of(why);
        assert_eq!((counted(Why::LinkOutside), counted(Why::BrokenLink)), (2, 1));
        assert_eq!(counted(Why::LinkAgain), 4, "up and self, each seen in sub and in twin");
    }

    #[test]
    fn what_is_no_text_is_told_by_its_bytes() {
        let temporary = tempfile::tempdir().unwrap();
        let read = |bytes: &[u8]| {
            let path = temporary.path().join("x.md");
            fs::write(&path, bytes).unwrap();
            open(&path).unwrap().text
        };
        assert_eq!(read(b"\xef\xbb\xbf# One"), Ok("# One".to_owned()));
        assert_eq!(read(b"PNG\0\0"), Err(Why::Binary));
        assert_eq!(read(b"caf\xe9"), Err(Why::NotUtf8));
        assert_eq!(open(&temporary.path().join("nowhere")), Err(Why::Unreadable));
        let grown = temporary.path().join("grown.md");
        fs::File::create(&grown).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
        assert_eq!(open(&grown), Err(Why::TooLarge));
    }
}
