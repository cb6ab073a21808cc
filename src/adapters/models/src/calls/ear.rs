//! Hears a reply, piece by piece: without the thinking before it and the white space around it, within a bound, and
//! passed on to whoever watches. The pieces passed on make up exactly the text that is kept.
//!
//! Providers feed it; [`crate::router`] takes the text out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use callboard_ports::model::AnswerSink;

/// The mark of a text that goes on where it ends.
pub(crate) const CUT: &str = "\n… (cut: the answer is too long)";
/// Some models think aloud first, between these.
const THINKING: (&str, &str) = ("<think>", "</think>");
/// Of thinking: a model that has not come to its answer by then never will.
const MAX_THINKING_BYTES: usize = 512 * 1024;

/// A sink that knows whether it has been spoken to.
pub(crate) struct Watched {
    sink: Arc<dyn AnswerSink>,
    spoken: AtomicBool,
}

impl Watched {
    pub fn new(sink: Arc<dyn AnswerSink>) -> Self {
        Self { sink, spoken: AtomicBool::new(false) }
    }

    pub fn piece(&self, text: &str) {
        self.spoken.store(true, Ordering::SeqCst);
        self.sink.piece(text);
    }

    /// Takes back what was said, when anything was.
    pub fn restart(&self) {
        if self.spoken.swap(false, Ordering::SeqCst) {
            self.sink.restart();
        }
    }
}

#[derive(Debug, PartialEq)]
enum Phase {
    /// It may still turn out to be thinking.
    Beginning,
    Thinking,
    Speaking,
}

/// One reply in the making.
pub(crate) struct Ear {
    phase: Phase,
    /// What has not been decided about: the beginning, or the end of a thought.
    undecided: String,
    thought_bytes: usize,
    text: String,
    /// White space that belongs to the text only if something follows.
    held: String,
    max_bytes: usize,
    cut: bool,
    watched: Option<Arc<Watched>>,
}

impl Ear {
    pub fn new(max_bytes: usize, watched: Option<Arc<Watched>>) -> Self {
        Self {
            phase: Phase::Beginning,
            undecided: String::new(),
            thought_bytes: 0,
            text: String::new(),
            held: String::new(),
            max_bytes,
            cut: false,
            watched,
        }
    }

    /// Takes a piece; false when it has heard enough.
    #[must_use]
    pub fn hear(&mut self, piece: &str) -> bool {
        if self.phase == Phase::Speaking {
            self.speak(piece);
            return !self.cut;
        }
        self.undecided.push_str(piece);
        if self.phase == Phase::Beginning {
            self.begin();
        }
        if self.phase == Phase::Thinking {
            self.think();
        }
        !self.cut
    }

    /// A text that its writer could not finish says so; where there is none, there is nothing to say.
    pub fn unfinished(&mut self) {
        if !self.cut && !self.text.is_empty() {
            self.cut = true;
            self.say(CUT);
        }
    }

    /// The text, when all has been heard, and whether it was cut.
    pub fn finish(mut self) -> (String, bool) {
        if self.phase == Phase::Beginning {
            let rest = std::mem::take(&mut self.undecided);
            self.speak(&rest);
        }
        (self.text, self.cut)
    }

    fn begin(&mut self) {
        let begun = self.undecided.trim_start();
        if begun.starts_with(THINKING.0) {
            self.phase = Phase::Thinking;
        } else if !THINKING.0.starts_with(begun) {
            self.phase = Phase::Speaking;
            let rest = std::mem::take(&mut self.undecided);
            self.speak(&rest);
        }
    }

    fn think(&mut self) {
        if let Some(end) = self.undecided.find(THINKING.1) {
            let rest = self.undecided.split_off(end + THINKING.1.len());
            self.undecided.clear();
            self.phase = Phase::Speaking;
            self.speak(&rest);
            return;
        }
        // The end mark may be cut in two.
        let keep = self.undecided.floor_char_boundary(self.undecided.len().saturating_sub(THINKING.1.len()));
        self.thought_bytes += keep;
        self.undecided.drain(..keep);
        self.cut = self.thought_bytes > MAX_THINKING_BYTES;
    }

    fn speak(&mut self, piece: &str) {
        if self.cut {
            return;
        }
        let piece = if self.text.is_empty() { piece.trim_start() } else { piece };
        let body = piece.trim_end();
        if body.is_empty() {
            self.held.push_str(piece);
            // White space without end is no answer either.
            self.cut = self.held.len() > self.max_bytes;
            return;
        }
        let mut said = std::mem::take(&mut self.held);
        said.push_str(body);
        self.held.push_str(&piece[body.len()..]);
        let room = self.max_bytes.saturating_sub(CUT.len() + self.text.len());
        if said.len() > room {
            said.truncate(said.floor_char_boundary(room));
            self.cut = true;
            self.say(&said);
            self.say(CUT);
        } else {
            self.say(&said);
        }
    }

    fn say(&mut self, said: &str) {
        if said.is_empty() {
            return;
        }
        self.text.push_str(said);
        if let Some(watched) = &self.watched {
            watched.piece(said);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use callboard_ports::model::AnswerSink;

    use super::{CUT, Ear, Watched};

    #[derive(Default)]
    struct Kept(Mutex<String>);

    impl AnswerSink for Kept {
        fn piece(&self, text: &str) {
            self.0.lock().unwrap().push_str(text);
        }
        fn restart(&self) {
            self.0.lock().unwrap().clear();
        }
    }

    fn heard(whole: &str, size: usize, max_bytes: usize) -> (String, bool) {
        let kept = Arc::new(Kept::default());
        let mut ear = Ear::new(max_bytes, Some(Arc::new(Watched::new(kept.clone()))));
        let characters: Vec<char> = whole.chars().collect();
        for piece in characters.chunks(size) {
            if !ear.hear(&piece.iter().collect::<String>()) {
                break;
            }
        }
        let (text, cut) = ear.finish();
        assert_eq!(*kept.0.lock().unwrap(), text, "who watches sees what is kept");
        (text, cut)
    }

    #[test]
    fn white_space_around_and_thoughts_before_are_not_part_of_the_answer() {
        for (said, kept) in [
            ("  It is 4.\n\nReally. \n", "It is 4.\n\nReally."),
            ("<think>2+2… {\"steps\":[]} </thin</think>\n\nFour.", "Four."),
            (" <thinking is fun", "<thinking is fun"),
            ("<thi", "<thi"),
            ("<think>never an end", ""),
            ("", ""),
        ] {
            for size in 1..=said.chars().count().max(1) {
                assert_eq!(heard(said, size, 1_000), (kept.to_owned(), false), "{said:?} by {size}");
            }
        }
    }

    #[test]
    fn what_never_ends_is_cut_with_a_mark() {
        let endless = "ü".repeat(2_000);
        for size in [1, 7, 2_000] {
            let (text, cut) = heard(&endless, size, 1_000);
            assert!(cut && text.ends_with(CUT) && text.len() <= 1_000 && text.len() > 990, "{}", text.len());
        }
        assert_eq!(heard(&format!("a{}", " ".repeat(3_000)), 100, 1_000), ("a".to_owned(), true));
        for (said, kept) in [("It is", "It is\n… (cut: the answer is too long)"), ("<think>hm", "")] {
            let mut ear = Ear::new(1_000, None);
            assert!(ear.hear(said));
            ear.unfinished();
            assert_eq!(ear.finish().0, kept);
        }
        let mut ear = Ear::new(100, None);
        let thought = "hm ".repeat(1_000);
        assert!(ear.hear("<think>") && (0..1_000).any(|_| !ear.hear(&thought)));
        assert_eq!(ear.finish(), (String::new(), true));
    }
}
