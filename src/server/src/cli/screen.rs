//! What `--watch` draws on: the same lines again and again, without flicker; plain text where nobody looks at a terminal.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use super::{Failure, Outcome};

/// Quick enough to see a restart, slow enough to read.
pub const REDRAWN_EVERY: Duration = Duration::from_secs(1);

/// How a line stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    #[default]
    Plain,
    Bold,
    /// Something changed.
    Changed,
    /// Something is wrong.
    Wrong,
}

impl Tone {
    /// ANSI's "select graphic rendition".
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Changed => "\x1b[1;33m",
            Self::Wrong => "\x1b[31m",
        }
    }
}

/// A line of a picture.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line {
    pub text: String,
    pub tone: Tone,
}

impl Line {
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: Tone::Plain }
    }

    #[must_use]
    pub fn bold(text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: Tone::Bold }
    }
}

/// A terminal, or a file.
pub struct Screen {
    live: bool,
    drawn: bool,
}

impl Screen {
    /// On standard output; `again` when it will be drawn more than once.
    #[must_use]
    pub fn new(again: bool) -> Self {
        Self { live: again && std::io::stdout().is_terminal(), drawn: false }
    }

    /// Draws over what was drawn before.
    ///
    /// # Errors
    /// [`Failure::Said`] when nobody reads any more.
    pub fn draw(&mut self, lines: &[Line]) -> Outcome {
        let picture = if self.live {
            let (rows, columns) = size();
            live(lines, rows, columns, !self.drawn)
        } else {
            plain(lines, self.drawn)
        };
        self.drawn = true;
        // One write for one picture: a terminal never shows half of it.
        let mut out = std::io::stdout().lock();
        out.write_all(picture.as_bytes()).and_then(|()| out.flush()).map_err(|_| Failure::Said)
    }
}

fn plain(lines: &[Line], again: bool) -> String {
    let mut out = if again { String::from("\n") } else { String::new() };
    for line in lines {
        out.push_str(&line.text);
        out.push('\n');
    }
    out
}

/// Every line over the one that was there, the rest of it cleared; nothing is cleared before something is drawn.
fn live(lines: &[Line], rows: usize, columns: usize, first: bool) -> String {
    let mut out = String::from(if first { "\x1b[2J\x1b[H" } else { "\x1b[H" });
    // The last row stays free: writing into it scrolls.
    let room = rows.saturating_sub(1).max(1);
    let shown = if lines.len() > room { room - 1 } else { lines.len() };
    for line in &lines[..shown] {
        let text: String = line.text.chars().take(columns).collect();
        match line.tone.code() {
            "" => out.push_str(&text),
            code => out.extend([code, &text, "\x1b[0m"]),
        }
        out.push_str("\x1b[K\r\n");
    }
    if shown < lines.len() {
        out.push_str(&format!("… {} more lines; a taller window shows them\x1b[K\r\n", lines.len() - shown));
    }
    out.push_str("\x1b[J");
    out
}

/// Rows and columns; what most windows have where the terminal does not say.
fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (size.ws_row.into(), size.ws_col.into()),
        _ => (24, 80),
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, Tone, live, plain};

    fn lines(count: usize) -> Vec<Line> {
        (0..count).map(|i| Line::plain(format!("line {i}"))).collect()
    }

    #[test]
    fn a_picture_is_drawn_over_the_one_before_and_fits_the_window() {
        let first = live(&lines(3), 10, 40, true);
        assert!(first.starts_with("\x1b[2J") && first.ends_with("\x1b[J"));
        let again = live(&lines(100), 10, 4, false);
        assert!(
            again.starts_with("\x1b[H") && !again.contains("\x1b[2J"),
            "nothing is cleared first: {again:?}"
        );
        assert_eq!(again.matches("\r\n").count(), 9, "one row stays free");
        assert!(again.contains("line\x1b[K") && again.contains("… 92 more"), "{again:?}");
    }

    #[test]
    fn a_file_gets_no_escapes() {
        let marked = [Line { text: "x".into(), tone: Tone::Changed }, Line::bold("y")];
        assert_eq!(plain(&marked, true), "\nx\ny\n");
    }
}
