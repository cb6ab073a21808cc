//! Lines out of a byte stream: chunks come as the network cut them, in the middle of a character or of a line. Used by
//! the streams of both providers; [`data`] reads a line of server-sent events.

/// The longest line that a model server sends: a whole answer in one piece, with escapes.
const MAX_LINE_BYTES: usize = 2 * 1024 * 1024;

/// A buffer that gives whole lines only.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    buffer: Vec<u8>,
    /// Up to here there is no line break.
    searched: usize,
}

impl Lines {
    /// Takes a chunk; false when a line is longer than any should be.
    #[must_use]
    pub fn push(&mut self, chunk: &[u8]) -> bool {
        self.buffer.extend_from_slice(chunk);
        self.buffer.len() <= MAX_LINE_BYTES || self.buffer[self.searched..].contains(&b'\n')
    }

    /// The next whole line, without its break. Bytes that are no UTF-8 are replaced.
    pub fn next(&mut self) -> Option<String> {
        let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let line: Vec<u8> = self.buffer.drain(..=self.searched + at).collect();
        self.searched = 0;
        Some(text(&line))
    }

    /// What is left when the stream has ended: a last line without a break.
    pub fn rest(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.buffer);
        self.searched = 0;
        Some(text(&line)).filter(|line| !line.is_empty())
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end_matches(['\r', '\n']).to_owned()
}

/// The payload of a `data:` line of server-sent events. Model servers send every event in one such line; comments, names
/// and ids say nothing here.
pub(crate) fn data(line: &str) -> Option<&str> {
    line.strip_prefix("data:").map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::{Lines, MAX_LINE_BYTES, data};

    #[test]
    fn lines_survive_any_cut() {
        let whole = "data: {\"a\":\"größer 🦀\"}\r\n\r\n: ping\n\ndata: [DONE]\n".as_bytes();
        for size in 1..whole.len() {
            let mut lines = Lines::default();
            let mut told = Vec::new();
            for chunk in whole.chunks(size) {
                assert!(lines.push(chunk));
                while let Some(line) = lines.next() {
                    told.extend(data(&line).map(str::to_owned));
                }
            }
            assert_eq!(told, ["{\"a\":\"größer 🦀\"}", "[DONE]"], "{size}");
            assert_eq!(lines.rest(), None);
        }
    }

    #[test]
    fn a_last_line_needs_no_break_and_an_endless_one_is_noticed() {
        let mut lines = Lines::default();
        assert!(lines.push(b"one\ntwo"));
        assert_eq!(lines.next().as_deref(), Some("one"));
        assert_eq!(lines.next(), None);
        assert_eq!(lines.rest().as_deref(), Some("two"));
        assert!(lines.push(&vec![b'x'; MAX_LINE_BYTES]) && !lines.push(b"x"));
    }
}
