//! HTML to lines of text that know their lines in the source: headings become `## …`, list items `- …`, rows `| … | … |`.
//!
//! A neighbour of [`super::markdown`], so that what comes after sees one kind of text. [`scan`] finds the tags,
//! [`super::entities`] reads the character references. Nothing is rejected: what is no markup is text.

mod scan;

use super::entities;
use super::markdown::heading_text;
use super::{Document, Line};
use scan::{Markup, Scanner, Tag};

/// Reads `source`.
pub(super) fn read(source: &str) -> Document {
    let mut page = Page { line: 1, ..Page::default() };
    let mut scanner = Scanner::new(source);
    while let Some(markup) = scanner.next() {
        match markup {
            Markup::Text(text) => page.text(text),
            Markup::Reference(text) => match entities::reference(&text[1..]) {
                Some((stands_for, _)) => page.words(&stands_for),
                None => page.text(text),
            },
            Markup::Tag(tag, raw) => {
                page.tag(&tag);
                page.skipped(raw);
            }
            Markup::Nothing(raw) => page.skipped(raw),
        }
    }
    page.end_row();
    page.flush();
    while page.lines.last().is_some_and(|line| line.text.is_empty()) {
        page.lines.pop();
    }
    let first_heading = page.lines.iter().find(|line| line.heading.is_some());
    let title = match page.title.trim() {
        "" => first_heading.map(|line| heading_text(&line.text).to_owned()),
        title => Some(title.to_owned()),
    };
    Document { title, lines: page.lines }
}

#[derive(Default)]
struct Page {
    lines: Vec<Line>,
    title: String,
    in_title: bool,
    /// The line of the source that is being read.
    line: u32,
    /// The line of text that is being put together, and the source's lines that its words stand on.
    words: String,
    first: u32,
    last: u32,
    /// Goes before the next words.
    prefix: &'static str,
    heading: Option<u8>,
    in_row: bool,
    preformatted: bool,
}

impl Page {
    /// Words and line ends, as they are written.
    fn text(&mut self, text: &str) {
        let mut parts = text.split('\n');
        self.words(parts.next().unwrap_or_default());
        for part in parts {
            self.end_of_line();
            self.words(part);
        }
    }

    /// What stands in the source and is not shown.
    fn skipped(&mut self, raw: &str) {
        self.line += u32::try_from(raw.matches('\n').count()).unwrap_or(u32::MAX);
    }

    fn end_of_line(&mut self) {
        if self.is_one_line() {
            self.space()
        } else {
            self.flush()
        }
        self.line += 1;
    }

    /// Whether line ends of the source mean nothing here.
    fn is_one_line(&self) -> bool {
        self.heading.is_some() || self.in_row || self.in_title
    }

    fn words(&mut self, text: &str) {
        if self.in_title {
            self.title.push_str(text);
            return;
        }
        for c in text.chars() {
            if c.is_whitespace() && (!self.preformatted || self.words.is_empty()) {
                self.space();
                continue;
            }
            if self.words.is_empty() {
                self.words.push_str(std::mem::take(&mut self.prefix));
                self.first = self.line;
            }
            self.words.push(if c.is_whitespace() { ' ' } else { c });
            self.last = self.line;
        }
    }

    fn space(&mut self) {
        if self.in_title {
            self.title.push(' ');
        } else if !self.words.is_empty() && !self.words.ends_with(' ') {
            self.words.push(' ');
        }
    }

    /// Ends the line of text.
    fn flush(&mut self) {
        let text = self.words.trim_end();
        if !text.is_empty() {
            let line =
                Line { first: self.first, last: self.last, text: text.to_owned(), heading: self.heading };
            self.lines.push(line);
        }
        self.words.clear();
    }

    /// Ends the block: a line of its own says so.
    fn block(&mut self) {
        self.flush();
        self.heading = None;
        if self.lines.last().is_some_and(|line| !line.text.is_empty()) {
            let blank = Line { first: self.line, last: self.line, text: String::new(), heading: None };
            self.lines.push(blank);
        }
    }

    fn cell(&mut self) {
        if self.words.is_empty() {
            "| ".clone_into(&mut self.words);
            (self.first, self.last) = (self.line, self.line);
        } else {
            self.words.truncate(self.words.trim_end().len());
            self.words.push_str(" | ");
        }
    }

    fn end_row(&mut self) {
        if std::mem::take(&mut self.in_row) {
            if !self.words.is_empty() {
                self.words.truncate(self.words.trim_end().len());
                self.words.push_str(" |");
            }
            self.flush();
        }
    }

    fn tag(&mut self, tag: &Tag<'_>) {
        let opens = !tag.closes;
        let name = tag.name.to_ascii_lowercase();
        match name.as_str() {
            "title" => self.in_title = opens && self.title.is_empty(),
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" if opens && !self.in_row => {
                self.block();
                let level = name.as_bytes()[1] - b'0';
                self.heading = Some(level);
                self.prefix = &"###### "[6 - usize::from(level)..];
            }
            "tr" => {
                self.end_row();
                self.flush();
                self.in_row = opens;
            }
            "td" | "th" if opens && self.in_row => self.cell(),
            "table" => {
                self.end_row();
                self.block();
            }
            "br" if !self.is_one_line() => self.flush(),
            "li" if !self.in_row => {
                self.flush();
                self.prefix = if opens { "- " } else { "" };
            }
            _ if is_block(&name) && self.in_row => self.space(),
            _ if is_block(&name) => {
                self.block();
                if name == "pre" {
                    self.preformatted = opens;
                }
            }
            "br" | "td" | "th" | "li" => self.space(),
            _ => {}
        }
    }
}

/// What begins on a line of its own when it is shown.
fn is_block(name: &str) -> bool {
    const BLOCKS: &str = "\
        address article aside blockquote body caption dd details div dl dt fieldset figcaption \
        figure footer form h1 h2 h3 h4 h5 h6 head header hr html main nav ol p pre section summary \
        tbody tfoot thead ul";
    BLOCKS.split(' ').any(|block| block == name)
}

#[cfg(test)]
mod tests {
    use super::super::Line;
    use super::read;

    fn lines(source: &str) -> Vec<(u32, u32, String)> {
        let told = |line: Line| (line.first, line.last, line.text);
        read(source).lines.into_iter().map(told).filter(|(.., text)| !text.is_empty()).collect()
    }

    #[test]
    fn words_stand_where_the_source_has_them() {
        let source = "<!DOCTYPE html>\n<html><head><title>A &amp;\nB</title>\n<style>p { x }</style></head>\n<body>\n\
                      <h1>Big\nwords</h1>\n<p>One <b\n class=\"a>b\">two</b>\nthree.</p><p>Four</p>\n\
                      <!-- no\ntext --><ul><li>five<li>six</ul></body></html>\n";
        let expected = [
            (6, 7, "# Big words"),
            (8, 9, "One two"),
            (10, 10, "three."),
            (10, 10, "Four"),
            (12, 12, "- five"),
            (12, 12, "- six"),
        ];
        assert_eq!(lines(source), expected.map(|(first, last, text)| (first, last, text.to_owned())));
        let document = read(source);
        assert_eq!(document.title.as_deref(), Some("A & B"));
        assert_eq!(document.lines[0].heading, Some(1));
    }

    #[test]
    fn a_row_is_one_line_however_it_is_written() {
        let source = "<table>\n<tr>\n <th>value</th>\n <td><p>5.2\n kWh</p></td>\n</tr>\n<tr><td>a<td>b\n<tr><td>c</table>d";
        let expected = [(3, 5, "| value | 5.2 kWh |"), (7, 7, "| a | b |"), (8, 8, "| c |"), (8, 8, "d")];
        assert_eq!(lines(source), expected.map(|(first, last, text)| (first, last, text.to_owned())));
    }

    #[test]
    fn what_is_no_markup_is_text() {
        for (source, expected) in [
            ("a < b & c > d", "a < b & c > d"),
            ("1<2", "1<2"),
            ("x <unclosed and on", "x <unclosed and on"),
            ("&bogus; &amp", "&bogus; &amp"),
            ("a<script>if (a < b) { '</div>' }</SCRIPT >b", "ab"),
            ("a<script>never closed", "a"),
            ("a<!-- never closed", "a"),
            ("<p title='it>s'>x</p>", "x"),
        ] {
            let told: Vec<String> = lines(source).into_iter().map(|(.., text)| text).collect();
            assert_eq!(told.join("|"), expected, "{source}");
        }
    }

    #[test]
    fn a_preformatted_text_keeps_its_columns() {
        let told = lines("<pre>a   b\n  c</pre>");
        assert_eq!(told, [(1, 1, "a   b".to_owned()), (2, 2, "c".to_owned())]);
    }

    #[test]
    fn a_hostile_page_ends() {
        for piece in ["<a ", "<a '>", "<a \">", "<!--", "<script>", "&#", "<tr><td>", "<h1>", "</"] {
            let source = piece.repeat(100_000);
            let _ = read(&source);
        }
    }
}
