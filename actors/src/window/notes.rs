//! Which offsets behind the committed one are done, as the commit's metadata says it: `done=1+34,1+1` means one that is not,
//! 34 that are, one that is not, one that is. Whatever cannot be read says nothing: then these are done again.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Bytes that a commit's metadata may have (`ports::inbox`).
const MAX_BYTES: usize = 2_048;
const PREFIX: &str = "done=";

/// Ranges of offsets, by their start, with what lies behind their end; none touches another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Done(BTreeMap<u64, u64>);

impl Done {
    /// What `metadata` says of a position.
    pub fn parse(metadata: &str, next_offset: u64) -> Self {
        Self::read(metadata, next_offset).unwrap_or_default()
    }

    fn read(metadata: &str, next_offset: u64) -> Option<Self> {
        let mut done = BTreeMap::new();
        let mut at = next_offset;
        for part in metadata.strip_prefix(PREFIX)?.split(',') {
            let (open, many) = part.split_once('+')?;
            let (open, many): (u64, u64) = (open.parse().ok()?, many.parse().ok()?);
            if many == 0 {
                return None;
            }
            let start = at.checked_add(open)?;
            at = start.checked_add(many)?;
            done.insert(start, at);
        }
        Some(Self(done))
    }

    /// The metadata of a commit of `next_offset`; of what does not fit, the last is not named.
    pub fn written(&self, next_offset: u64) -> String {
        /// Two numbers of 20 digits, a plus and a comma.
        const LONGEST_PART: usize = 42;
        let mut text = String::new();
        let mut at = next_offset;
        for (start, end) in self.0.range(next_offset..) {
            if text.len() + LONGEST_PART > MAX_BYTES {
                break;
            }
            text.push_str(if text.is_empty() { PREFIX } else { "," });
            let _ = write!(text, "{}+{}", start - at, end - start);
            at = *end;
        }
        text
    }

    pub fn holds(&self, offset: u64) -> bool {
        self.0.range(..=offset).next_back().is_some_and(|(_, end)| offset < *end)
    }

    pub fn add(&mut self, offset: u64) {
        if self.holds(offset) {
            return;
        }
        let end = self.0.remove(&(offset + 1)).unwrap_or(offset + 1);
        match self.0.range_mut(..offset).next_back() {
            Some((_, before)) if *before == offset => *before = end,
            _ => {
                self.0.insert(offset, end);
            }
        }
    }

    /// What lies below the committed position needs no note.
    pub fn forget_below(&mut self, offset: u64) {
        while let Some(first) = self.0.first_entry()
            && *first.key() < offset
        {
            let end = first.remove();
            if end > offset {
                self.0.insert(offset, end);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Done, MAX_BYTES};

    fn of(offsets: impl IntoIterator<Item = u64>) -> Done {
        let mut done = Done::default();
        offsets.into_iter().for_each(|offset| done.add(offset));
        done
    }

    #[test]
    fn what_is_written_is_read_again() {
        for offsets in [vec![], vec![8], vec![8, 9, 10, 14, 12, 13], (7..3_000).step_by(3).collect()] {
            let done = of(offsets.clone());
            let text = done.written(6);
            assert!(text.len() <= MAX_BYTES, "{}", text.len());
            let read = Done::parse(&text, 6);
            let named = offsets.iter().filter(|offset| read.holds(**offset)).count();
            assert!(named == offsets.len() || (named > 400 && named < offsets.len()), "{named}");
            assert!((6..4_000).all(|offset| !read.holds(offset) || offsets.contains(&offset)));
        }
        assert_eq!(of([8, 9, 10, 14, 12, 13]).written(6), "done=2+3,1+3");
        assert_eq!(of([]).written(6), "");
    }

    #[test]
    fn garbage_says_nothing() {
        let most = u64::MAX.to_string();
        let beyond = format!("done=1+{most}");
        for metadata in [
            "",
            "done",
            "done=",
            "done=1",
            "done=+",
            "done=1+",
            "done=1+0",
            "done=1+1,",
            "done=-1+1",
            "done=1+1;2+2",
            "someone else's note",
            "done=1+1,x+1",
            "\u{0}",
            "done=1.5+1",
            &beyond,
        ] {
            assert_eq!(Done::parse(metadata, 7), Done::default(), "{metadata}");
        }
        assert!(Done::parse("done=1+1", 7).holds(8));
    }

    #[test]
    fn what_was_committed_needs_no_note() {
        let mut done = of([3, 4, 5, 9]);
        done.forget_below(5);
        assert_eq!(done.written(4), "done=1+1,3+1");
        done.forget_below(20);
        assert_eq!(done, Done::default());
    }
}
