//! A document cut into passages: a section each where it is short enough, else paragraphs with some overlap.
//!
//! A passage's text is lines of its document, unchanged, and each of them knows the lines of the file that it stands on:
//! a citation can be looked up.

use super::Document;
use super::markdown::{heading_text, is_underline};
use crate::bounds::{MAX_PASSAGE_BYTES, MAX_TITLE_BYTES, OVERLAP_BYTES};

/// A longer line is cut. With the overlap before it a piece fits a passage, so that each passage brings something new.
const MAX_PIECE_BYTES: usize = MAX_PASSAGE_BYTES - OVERLAP_BYTES - 100;

/// What is found, ranked and cited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Passage {
    /// The headings above it: `Warranty › How to claim`.
    pub title: String,
    pub text: String,
    /// The first and last line of the file, for each line of `text`.
    pub spans: Vec<(u32, u32)>,
}

impl Passage {
    /// The first and last line of the file that it stands on.
    pub fn lines(&self) -> (u32, u32) {
        let first = self.spans.iter().map(|(first, _)| *first).min();
        let last = self.spans.iter().map(|(_, last)| *last).max();
        (first.unwrap_or_default(), last.unwrap_or_default())
    }
}

/// A line of a section, or a piece of a long one.
struct Piece<'a> {
    span: (u32, u32),
    text: &'a str,
    is_words: bool,
}

/// Cuts the document in the file `name`.
pub(crate) fn cut(document: &Document, name: &str) -> Vec<Passage> {
    let file = name.rsplit('/').next().unwrap_or(name);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let whole = document.title.as_deref().unwrap_or(stem);
    let mut passages = Vec::new();
    let mut headings: Vec<(u8, &str)> = Vec::new();
    let mut section: Vec<Piece<'_>> = Vec::new();
    let mut after_heading = false;
    for line in &document.lines {
        if let Some(level) = line.heading {
            cut_section(&title(whole, &headings), &section, &mut passages);
            section.clear();
            headings.retain(|(above, _)| *above < level);
            headings.push((level, heading_text(&line.text)));
        }
        let is_mark = line.heading.is_some() || (after_heading && is_underline(&line.text));
        after_heading = line.heading.is_some();
        let mut rest = line.text.as_str();
        loop {
            let (text, more) = rest.split_at(end_of_piece(rest));
            let is_words = !is_mark && !text.trim().is_empty();
            section.push(Piece { span: (line.first, line.last), text, is_words });
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
    }
    cut_section(&title(whole, &headings), &section, &mut passages);
    passages
}

/// The headings above a section, beginning with the document's own title.
fn title(whole: &str, headings: &[(u8, &str)]) -> String {
    let mut names: Vec<&str> = headings.iter().map(|(_, text)| *text).collect();
    if headings.first().is_none_or(|(level, _)| *level != 1) && names.first() != Some(&whole) {
        names.insert(0, whole);
    }
    let mut title = names.join(" › ");
    title.truncate(title.floor_char_boundary(MAX_TITLE_BYTES));
    title
}

/// Where a line is cut that is longer than a piece: behind a sentence, a word, or in the middle of one.
fn end_of_piece(text: &str) -> usize {
    if text.len() <= MAX_PIECE_BYTES {
        return text.len();
    }
    let head = &text[..text.floor_char_boundary(MAX_PIECE_BYTES)];
    let late = |at: &usize| *at > head.len() / 2;
    let sentence = head.rfind(". ").map(|at| at + 2).filter(late);
    sentence.or_else(|| head.rfind(' ').map(|at| at + 1).filter(late)).unwrap_or(head.len())
}

fn cut_section(title: &str, pieces: &[Piece<'_>], into: &mut Vec<Passage>) {
    let mut start = 0;
    // The first piece that no passage has yet.
    let mut fresh = 0;
    while pieces[fresh..].iter().any(|piece| piece.is_words) {
        let end = end_of_passage(pieces, start);
        push(title, &pieces[start..end], into);
        fresh = end;
        start = overlap(pieces, start, end);
    }
}

/// As many pieces as fit; where not all do, they end with a paragraph if that leaves half a passage.
fn end_of_passage(pieces: &[Piece<'_>], start: usize) -> usize {
    let mut bytes = 0;
    let mut paragraph = None;
    for (at, piece) in pieces.iter().enumerate().skip(start) {
        bytes += piece.text.len() + 1;
        if bytes > MAX_PASSAGE_BYTES {
            return paragraph.unwrap_or(at).max(start + 1);
        }
        if piece.text.trim().is_empty() && bytes > MAX_PASSAGE_BYTES / 2 {
            paragraph = Some(at + 1);
        }
    }
    pieces.len()
}

/// Where the passage after one that ends at `end` begins.
fn overlap(pieces: &[Piece<'_>], start: usize, end: usize) -> usize {
    let (mut from, mut bytes) = (end, 0);
    while from > start + 1 {
        let before = &pieces[from - 1];
        bytes += before.text.len() + 1;
        if bytes > OVERLAP_BYTES {
            break;
        }
        from -= 1;
    }
    from
}

fn push(title: &str, pieces: &[Piece<'_>], into: &mut Vec<Passage>) {
    let blank = |piece: &Piece<'_>| piece.text.trim().is_empty();
    let Some(first) = pieces.iter().position(|piece| !blank(piece)) else { return };
    let last = pieces.iter().rposition(|piece| !blank(piece)).unwrap_or(first);
    let pieces = &pieces[first..=last];
    if !pieces.iter().any(|piece| piece.is_words) {
        return;
    }
    let text = pieces.iter().map(|piece| piece.text).collect::<Vec<_>>().join("\n");
    let spans = pieces.iter().map(|piece| piece.span).collect();
    into.push(Passage { title: title.to_owned(), text, spans });
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, read};
    use super::{MAX_PASSAGE_BYTES, Passage, cut};

    fn passages(text: &str) -> Vec<Passage> {
        cut(&read(Kind::Text, text), "folder/notes.txt")
    }

    #[test]
    fn a_section_is_a_passage_with_its_headings_and_lines() {
        let found = passages("# Top\n\n## A\n\none\n\n### B\ntwo\n\n## C\n## D\nthree\n");
        let told: Vec<(&str, &str, (u32, u32))> =
            found.iter().map(|p| (p.title.as_str(), p.text.as_str(), p.spans[0])).collect();
        assert_eq!(
            told,
            [
                ("Top › A", "## A\n\none", (3, 3)),
                ("Top › A › B", "### B\ntwo", (7, 7)),
                ("Top › D", "## D\nthree", (11, 11)),
            ]
        );
        assert_eq!(passages("words\n")[0].title, "notes");
        assert_eq!(passages("\n\n# only a heading\n\n"), []);
    }

    #[test]
    fn every_line_of_a_long_document_is_in_a_passage_at_its_place() {
        let mut text = String::new();
        for n in 1..=400 {
            text.push_str(&format!("Line {n} says something of its own, {}.\n", "word ".repeat(n % 23)));
            if n % 7 == 0 {
                text.push('\n');
            }
        }
        let lines: Vec<&str> = text.lines().collect();
        let mut seen = vec![0; lines.len()];
        let found = passages(&text);
        for passage in &found {
            assert!(passage.text.len() <= MAX_PASSAGE_BYTES);
            for (line, (first, last)) in passage.text.split('\n').zip(&passage.spans) {
                assert_eq!((line, first), (lines[*first as usize - 1], last));
                seen[*first as usize - 1] += 1;
            }
        }
        for (line, times) in lines.iter().zip(&seen) {
            assert!(line.is_empty() || *times > 0, "{line}");
        }
        let twice = seen.iter().filter(|times| **times > 1).count();
        assert!(twice >= found.len() / 2, "{twice} lines in the overlap of {} passages", found.len());
        assert!(seen.iter().all(|times| *times <= 2));
    }

    #[test]
    fn a_line_without_end_is_cut_and_still_one_line() {
        let text = format!("{}\n{}\n", "A sentence ends. ".repeat(500), "x".repeat(10_000));
        let found = passages(&text);
        assert!(found.len() >= 15);
        let words: usize = found.iter().map(|p| p.text.matches("A sentence ends.").count()).sum();
        assert_eq!(words, 500);
        assert!(found.iter().all(|p| p.text.len() <= MAX_PASSAGE_BYTES));
        assert!(found.iter().flat_map(|p| &p.spans).all(|span| *span == (1, 1) || *span == (2, 2)));
    }
}
