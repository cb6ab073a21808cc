//! Markdown and plain text: every line as it is, headings found.
//!
//! A neighbour of [`super::html`]. Only the structure that tells passages apart is read: `#` headings, underlined
//! headings, and code fences, in which a `#` is none.

use super::{Document, Line};

/// Reads `text`; its lines are the file's, one for one.
pub(super) fn read(text: &str) -> Document {
    let mut lines: Vec<Line> = Vec::new();
    let mut fence: Option<char> = None;
    for (number, line) in (1u32..).zip(text.lines()) {
        let mut heading = None;
        match (fence, fence_mark(line)) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (Some(_), _) => {}
            (None, None) => {
                heading = level(line);
                if let Some(level) = underline(line)
                    && let Some(above) = lines.last_mut()
                    && above.heading.is_none()
                    && is_words(&above.text)
                {
                    above.heading = Some(level);
                }
            }
        }
        lines.push(Line { first: number, last: number, text: line.to_owned(), heading });
    }
    let title =
        lines.iter().find(|line| line.heading.is_some()).map(|line| heading_text(&line.text).to_owned());
    Document { title, lines }
}

/// The words of a heading.
pub(super) fn heading_text(line: &str) -> &str {
    line.trim().trim_start_matches('#').trim_end_matches('#').trim()
}

/// Whether `line` only underlines the one above it.
pub(super) fn is_underline(line: &str) -> bool {
    underline(line).is_some()
}

fn level(line: &str) -> Option<u8> {
    let marks = line.len() - line.trim_start_matches('#').len();
    let rest = &line[marks..];
    let is_heading = (1..=6).contains(&marks) && rest.starts_with([' ', '\t']) && !rest.trim().is_empty();
    is_heading.then(|| u8::try_from(marks).expect("at most six"))
}

fn underline(line: &str) -> Option<u8> {
    let line = line.trim_end();
    let only = |mark: char| line.len() >= 3 && line.chars().all(|c| c == mark);
    if only('=') {
        Some(1)
    } else if only('-') {
        Some(2)
    } else {
        None
    }
}

/// A line that can be a heading: no list, table or quotation.
fn is_words(line: &str) -> bool {
    let line = line.trim_start();
    !line.is_empty() && !line.starts_with(['|', '-', '*', '>', '+']) && line.len() <= 200
}

fn fence_mark(line: &str) -> Option<char> {
    let line = line.trim_start();
    ['`', '~'].into_iter().find(|mark| line.chars().take_while(|c| c == mark).count() >= 3)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn headings_are_found_outside_of_code_only() {
        let text =
            "# One\n\ntext\n\n```\n# no heading\n```\n\nTwo\n---\n\n- list\n---\n\n#tag\n#### Four ##\n";
        let document = read(text);
        assert_eq!(document.title.as_deref(), Some("One"));
        let headings: Vec<(u32, u8)> =
            document.lines.iter().filter_map(|line| Some((line.first, line.heading?))).collect();
        assert_eq!(headings, [(1, 1), (9, 2), (16, 4)]);
        let again: Vec<&str> = document.lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(again, text.lines().collect::<Vec<_>>());
    }

    #[test]
    fn a_text_without_headings_has_no_title() {
        assert_eq!(read("just\nwords\n").title, None);
        assert_eq!(read("").lines, []);
    }
}
