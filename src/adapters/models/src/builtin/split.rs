//! Where one part of a message may end and the next begin. Linear in the message, whatever it holds.
//!
//! Nothing is decided here: [`super::read`] tries the longest part that makes sense. Quotes, parentheses, thousands
//! (`1,000`), decimals and factorials (`5!`) are never cut.

use std::ops::Range;

/// More places to cut than any question has; beyond them the rest is one part.
const MAX_CUTS: usize = 256;

/// A place where a message may be cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    /// What lies between the two parts.
    pub at: Range<usize>,
    pub kind: Kind,
}

/// How sure a cut is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `;` and line ends: separate for certain.
    Line,
    /// `?`, `!`, `.`: the end of a sentence.
    Sentence,
    /// `,`, `and`, `then`: perhaps.
    Soft,
}

/// Every place where `message` may be cut, in order.
pub(super) fn cuts(message: &str) -> Vec<Cut> {
    let closes = enclosures(message);
    let mut found: Vec<Cut> = Vec::new();
    let mut at = 0;
    let mut enclosed = closes.iter().peekable();
    while at < message.len() && found.len() < MAX_CUTS {
        while enclosed.peek().is_some_and(|range| range.start < at) {
            enclosed.next();
        }
        if let Some(range) = enclosed.next_if(|range| range.start == at) {
            at = range.end;
            continue;
        }
        match cut_at(message, at) {
            Some(cut) => {
                at = cut.at.end;
                join(&mut found, cut);
            }
            None => at += message[at..].chars().next().map_or(1, char::len_utf8),
        }
    }
    found
}

/// `?!` and `. And` are one cut: the surer of the two.
fn join(found: &mut Vec<Cut>, cut: Cut) {
    match found.last_mut() {
        Some(last) if last.at.end == cut.at.start => {
            last.at.end = cut.at.end;
            if last.kind == Kind::Soft || cut.kind == Kind::Line {
                last.kind = cut.kind;
            }
        }
        _ => found.push(cut),
    }
}

/// Quotes and parentheses that have their other half, outermost only, in order.
fn enclosures(message: &str) -> Vec<Range<usize>> {
    let mut outer: Vec<Range<usize>> = Vec::new();
    let mut open: Vec<(char, usize)> = Vec::new();
    let mut quote: Option<usize> = None;
    let last_quote = message.rfind('"');
    let last_curly = message.rfind('”');
    let mut previous = ' ';
    for (at, c) in message.char_indices() {
        let end = at + c.len_utf8();
        if let Some(start) = quote {
            let closing = if message[start..].starts_with('"') { '"' } else { '”' };
            if c == closing {
                close(&mut outer, start..end);
                quote = None;
            }
        } else {
            match c {
                // 5'10" is a length.
                '"' if !previous.is_ascii_digit() && last_quote > Some(at) => quote = Some(at),
                '“' if last_curly > Some(at) => quote = Some(at),
                '(' | '[' | '{' => open.push((c, at)),
                ')' | ']' | '}' => {
                    let opener = match c {
                        ')' => '(',
                        ']' => '[',
                        _ => '{',
                    };
                    if open.last().is_some_and(|(found, _)| *found == opener)
                        && let Some((_, start)) = open.pop()
                    {
                        close(&mut outer, start..end);
                    }
                }
                _ => {}
            }
        }
        previous = c;
    }
    outer
}

/// Keeps only the outermost: an enclosure swallows those inside it.
fn close(outer: &mut Vec<Range<usize>>, range: Range<usize>) {
    while outer.last().is_some_and(|inner| inner.start > range.start) {
        outer.pop();
    }
    outer.push(range);
}

fn cut_at(message: &str, at: usize) -> Option<Cut> {
    let rest = &message[at..];
    let c = rest.chars().next()?;
    let end = at + c.len_utf8();
    let before = message[..at].chars().next_back();
    let after = message[end..].chars().next();
    let ends_here = after.is_none_or(char::is_whitespace);
    let counted = before.is_some_and(|c| c.is_ascii_digit() || c == ')');
    match c {
        ';' | '；' | '\n' => Some(Cut { at: at..end, kind: Kind::Line }),
        '?' | '？' | '！' | '。' | '¿' | '¡' => Some(Cut { at: at..end, kind: Kind::Sentence }),
        '!' if !counted && after != Some('=') => Some(Cut { at: at..end, kind: Kind::Sentence }),
        '.' if ends_here && !abbreviated(&message[..at]) => Some(Cut { at: at..end, kind: Kind::Sentence }),
        ',' if counted && after.is_some_and(|c| c.is_ascii_digit()) => None,
        ':' if ends_here => Some(Cut { at: at..end, kind: Kind::Soft }),
        ',' | '，' | '、' => Some(Cut { at: at..with_words(message, end), kind: Kind::Soft }),
        c if c.is_whitespace() => {
            let words = with_words(message, end);
            (words > end && message[end..words].trim() != "")
                .then_some(Cut { at: at..words, kind: Kind::Soft })
        }
        _ => None,
    }
}

/// Skips `and`, `then`, `also` and `&` after `from`; `from` itself when there are none.
fn with_words(message: &str, from: usize) -> usize {
    let mut end = from;
    let mut any = false;
    loop {
        let rest = &message[end..];
        let word_at = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let word = rest[word_at..].split(char::is_whitespace).next().unwrap_or_default();
        let word_end = end + word_at + word.len();
        let joins = ["and", "then", "also", "&"].iter().any(|known| word.eq_ignore_ascii_case(known));
        // A joint stands between two parts: something must follow it.
        if !joins || !message[word_end..].starts_with(char::is_whitespace) {
            return if any { end } else { from };
        }
        any = true;
        end = word_end;
    }
}

/// `St. Louis` is one place, `approx. 5` one number.
fn abbreviated(before: &str) -> bool {
    let word = before.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    ["st", "mt", "ft", "dr", "mr", "mrs", "ms", "approx", "vs", "no", "e", "g"]
        .iter()
        .any(|known| word.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::cuts;

    fn parts(message: &str) -> Vec<&str> {
        let mut from = 0;
        let mut parts = Vec::new();
        for cut in cuts(message) {
            parts.push(message[from..cut.at.start].trim());
            from = cut.at.end;
        }
        parts.push(message[from..].trim());
        parts.retain(|part| !part.is_empty());
        parts
    }

    #[test]
    fn messages_are_cut_where_people_pause() {
        for (message, expected) in [
            ("a? b; c", vec!["a", "b", "c"]),
            ("a, b, and c", vec!["a", "b", "c"]),
            ("a and then b then also c", vec!["a", "b", "c"]),
            ("1,000 + 2,500.50 and 3", vec!["1,000 + 2,500.50", "3"]),
            ("say \"one, two; three\" and four", vec!["say \"one, two; three\"", "four"]),
            ("(1, 2) and [3; 4]", vec!["(1, 2)", "[3; 4]"]),
            ("5! and 3!*2", vec!["5!", "3!*2"]),
            ("Hi! How?!", vec!["Hi", "How"]),
            ("St. Louis. Rome.", vec!["St. Louis", "Rome"]),
            ("sand and land", vec!["sand", "land"]),
            ("and", vec!["and"]),
            ("an \"open quote, and more", vec!["an \"open quote", "more"]),
            ("(open, b", vec!["(open", "b"]),
            (":) a, b", vec![":) a", "b"]),
            ("", vec![]),
        ] {
            assert_eq!(parts(message), expected, "{message}");
        }
    }
}
