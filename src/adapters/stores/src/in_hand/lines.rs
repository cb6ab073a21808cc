//! A note as a line: `+2 KEY` begun with two crashes behind it, `=2 KEY` not in hand, `- KEY` ended. [`super`] appends and
//! reads them.
//!
//! In a key, a backslash, a line feed and a carriage return are escaped, so that no key looks like two lines.

/// One note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Begun { crashes: u32, key: &'a str },
    Crashed { crashes: u32, key: &'a str },
    Ended { key: &'a str },
}

impl Line<'_> {
    pub fn append_to(self, out: &mut Vec<u8>) {
        let key = match self {
            Self::Begun { crashes, key } => {
                out.push(b'+');
                out.extend_from_slice(crashes.to_string().as_bytes());
                key
            }
            Self::Crashed { crashes, key } => {
                out.push(b'=');
                out.extend_from_slice(crashes.to_string().as_bytes());
                key
            }
            Self::Ended { key } => {
                out.push(b'-');
                key
            }
        };
        out.push(b' ');
        for byte in key.bytes() {
            match byte {
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                other => out.push(other),
            }
        }
        out.push(b'\n');
    }

    /// The note of a line without its end, and its key apart, since that is written otherwise; `None` when it is none.
    pub fn read(line: &[u8]) -> Option<(String, Line<'static>)> {
        let line = std::str::from_utf8(line).ok()?;
        let (head, key) = line.split_once(' ')?;
        let key = unescaped(key)?;
        let kind = head.chars().next()?;
        let count = &head[kind.len_utf8()..];
        let note = match kind {
            '+' => Line::Begun { crashes: count.parse().ok()?, key: "" },
            '=' => Line::Crashed { crashes: count.parse().ok()?, key: "" },
            '-' if count.is_empty() => Line::Ended { key: "" },
            _ => return None,
        };
        Some((key, note))
    }
}

/// The lines that have their end; what a kill or a full disk cut short is left out.
pub(super) fn whole(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"))
}

fn unescaped(key: &str) -> Option<String> {
    let mut out = String::with_capacity(key.len());
    let mut rest = key.chars();
    while let Some(c) = rest.next() {
        out.push(match c {
            '\\' => match rest.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            c => c,
        });
    }
    Some(out)
}
