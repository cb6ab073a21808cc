//! What a process printed: the last lines of both streams in memory, all of them in a file when there is one.
//!
//! [`super::Process`] asks; one thread per stream fills, and ends with the stream.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A longer line is cut into several, so that one line cannot fill the memory.
const MAX_LINE_BYTES: u64 = 1 << 20;
/// Enough of the end to see a stack trace.
const TAIL_LINES: usize = 60;

/// Which of its two streams a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One printed line, without its line end; what is not UTF-8 is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it was printed.
    pub stream: Stream,
    /// What it said.
    pub text: String,
}

/// How waiting for a line ended.
pub(super) enum Waited {
    Found(String),
    TimedOut,
    Closed,
}

#[derive(Debug, Clone)]
pub(super) struct Output(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    kept: Mutex<Kept>,
    changed: Condvar,
}

#[derive(Debug)]
struct Kept {
    lines: VecDeque<Line>,
    limit: usize,
    /// How many lines have been printed: the number of the next one.
    printed: usize,
    open_streams: usize,
    log: Option<File>,
}

impl Output {
    pub(super) fn new(limit: usize, log: Option<File>) -> Self {
        let kept = Kept { lines: VecDeque::new(), limit, printed: 0, open_streams: 0, log };
        Self(Arc::new(Shared { kept: Mutex::new(kept), changed: Condvar::new() }))
    }

    /// Reads `stream` to its end in a thread of its own.
    pub(super) fn read(&self, stream: Stream, source: impl Read + Send + 'static) {
        self.lock().open_streams += 1;
        let output = self.clone();
        std::thread::spawn(move || {
            let mut source = BufReader::new(source);
            while let Some(text) = next_line(&mut source) {
                output.push(Line { stream, text });
            }
            output.lock().open_streams -= 1;
            output.0.changed.notify_all();
        });
    }

    /// The first line that matches; lines that have already been dropped are not seen.
    pub(super) fn wait_line(&self, timeout: Duration, mut matches: impl FnMut(&Line) -> bool) -> Waited {
        let deadline = Instant::now() + timeout;
        let mut seen = 0;
        let mut kept = self.lock();
        loop {
            let dropped = kept.printed - kept.lines.len();
            let mut fresh = kept.lines.iter().skip(seen.max(dropped) - dropped);
            if let Some(line) = fresh.find(|line| matches(line)) {
                return Waited::Found(line.text.clone());
            }
            seen = kept.printed;
            if kept.open_streams == 0 {
                return Waited::Closed;
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return Waited::TimedOut };
            kept = self.wait_change(kept, left);
        }
    }

    /// Waits until both streams have ended; not for ever, since a grandchild may hold them open.
    pub(super) fn wait_closed(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let mut kept = self.lock();
        while kept.open_streams > 0 {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return };
            kept = self.wait_change(kept, left);
        }
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        self.lock().lines.iter().cloned().collect()
    }

    pub(super) fn text_of(&self, stream: Stream) -> String {
        let kept = self.lock();
        kept.lines
            .iter()
            .filter(|line| line.stream == stream)
            .map(|line| format!("{}\n", line.text))
            .collect()
    }

    pub(super) fn tail(&self) -> String {
        let kept = self.lock();
        let start = kept.lines.len().saturating_sub(TAIL_LINES);
        kept.lines.iter().skip(start).map(|line| format!("{}\n", line.text)).collect()
    }

    fn push(&self, line: Line) {
        let mut kept = self.lock();
        if let Some(log) = &mut kept.log {
            // The file is for reading afterwards; a full disk must not stop the process that prints.
            let _ = writeln!(log, "{}", line.text);
        }
        if kept.lines.len() == kept.limit {
            kept.lines.pop_front();
        }
        kept.lines.push_back(line);
        kept.printed += 1;
        drop(kept);
        self.0.changed.notify_all();
    }

    fn wait_change<'a>(&self, kept: MutexGuard<'a, Kept>, left: Duration) -> MutexGuard<'a, Kept> {
        self.0.changed.wait_timeout(kept, left).unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next line, or nothing at the end of the stream. A stream that cannot be read has ended.
fn next_line(source: &mut impl BufRead) -> Option<String> {
    let mut bytes = Vec::new();
    let read = source.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes).ok()?;
    if read == 0 {
        return None;
    }
    while matches!(bytes.last(), Some(b'\n' | b'\r')) {
        bytes.pop();
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
