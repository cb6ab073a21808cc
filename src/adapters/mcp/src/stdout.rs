//! A server's standard output on its way to the protocol: every message bounded, and the first line that is none kept,
//! for the sentence that says why a server did not start.
//!
//! [`crate::stdio`] puts it between the process and rmcp, which alone would skip what is too long and leave its caller
//! waiting.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// One message: far above any result that is kept, far below what a machine notices.
pub(crate) const MAX_MESSAGE_BYTES: usize = 16 * 1_024 * 1_024;
/// Of a line that is no message: enough to recognise it.
const MAX_NOTED_BYTES: usize = 200;

/// What was seen of a process's output.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    /// Beginning of the first line that is no message.
    stray: Vec<u8>,
    stray_ended: bool,
    too_long: bool,
}

impl Notes {
    fn with<T>(&self, look: impl FnOnce(&mut Noted) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The first line that is no message, if there was one.
    pub fn stray(&self) -> Option<String> {
        self.with(|noted| {
            let line = String::from_utf8_lossy(&noted.stray).trim().to_owned();
            (!line.is_empty()).then_some(line)
        })
    }

    /// Whether a message was longer than allowed.
    pub fn too_long(&self) -> bool {
        self.with(|noted| noted.too_long)
    }
}

/// The reader.
#[derive(Debug)]
pub(crate) struct Watched<R> {
    inner: R,
    notes: Notes,
    /// Bytes of the line that is being read.
    line_bytes: usize,
    is_stray: bool,
}

impl<R> Watched<R> {
    pub fn new(inner: R, notes: Notes) -> Self {
        Self { inner, notes, line_bytes: 0, is_stray: false }
    }

    fn look_at(&mut self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            if self.line_bytes == 0 {
                // A message is an object; an empty line is nothing.
                self.is_stray = !matches!(part.first(), Some(b'{' | b'\n' | b'\r'));
            }
            self.line_bytes += part.len();
            if self.line_bytes > MAX_MESSAGE_BYTES {
                self.notes.with(|noted| noted.too_long = true);
                return Err(io::Error::other("a message is too long"));
            }
            let ends = part.ends_with(b"\n");
            if self.is_stray {
                self.notes.with(|noted| noted.keep(part, ends));
            }
            if ends {
                self.line_bytes = 0;
            }
        }
        Ok(())
    }
}

impl Noted {
    fn keep(&mut self, part: &[u8], ends: bool) {
        if self.stray_ended {
            return;
        }
        let room = MAX_NOTED_BYTES.saturating_sub(self.stray.len());
        self.stray.extend_from_slice(&part[..part.len().min(room)]);
        self.stray_ended = ends || self.stray.len() >= MAX_NOTED_BYTES;
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Watched<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = &polled
            && let Err(error) = self.look_at(&buffer.filled()[before..])
        {
            // A reader that fails has read nothing.
            buffer.set_filled(before);
            return Poll::Ready(Err(error));
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::{MAX_MESSAGE_BYTES, Notes, Watched};

    async fn read(bytes: &[u8]) -> (Notes, bool) {
        let notes = Notes::default();
        let mut out = Vec::new();
        let read = Watched::new(bytes, notes.clone()).read_to_end(&mut out).await;
        (notes, read.is_ok())
    }

    #[tokio::test]
    async fn the_first_line_that_is_no_message_is_kept() {
        let (notes, whole) = read(b"{\"a\":1}\n\nListening on 3000\nand more\n").await;
        assert!(whole && !notes.too_long());
        assert_eq!(notes.stray().as_deref(), Some("Listening on 3000"));
        let (notes, _) = read(&[b"x".repeat(1_000), b"\n".to_vec()].concat()).await;
        assert_eq!(notes.stray().unwrap().len(), 200);
        assert_eq!(read(b"{}\r\n\r\n{}\n").await.0.stray(), None);
    }

    #[tokio::test]
    async fn a_message_without_end_ends_the_reading() {
        let endless = [b"{".to_vec(), b"x".repeat(MAX_MESSAGE_BYTES)].concat();
        let (notes, whole) = read(&endless).await;
        assert!(notes.too_long() && !whole);
        let long = [b"{".to_vec(), b"x".repeat(MAX_MESSAGE_BYTES - 2), b"\n{}\n".to_vec()].concat();
        let (notes, whole) = read(&long).await;
        assert!(!notes.too_long() && whole);
    }
}
