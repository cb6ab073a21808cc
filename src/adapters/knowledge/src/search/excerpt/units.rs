//! A passage in the pieces that can be told by themselves: sentences, items of a list, rows of a table, headings.

use crate::document::Passage;

/// A piece, and where it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    pub text: String,
    pub first: u32,
    pub last: u32,
    /// Sentences of one paragraph have the same.
    pub block: usize,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sentence,
    Item,
    /// A row, or a line of code: one line, whole.
    Row,
    Heading,
}

/// The pieces of `passage`, in order.
pub(super) fn of(passage: &Passage) -> Vec<Unit> {
    let mut splitter = Splitter { units: Vec::new(), block: 0, kind: Kind::Sentence, open: None };
    let mut fenced = false;
    let lines: Vec<&str> = passage.text.split('\n').collect();
    let underlined = |at: usize| {
        let below = lines.get(at + 1).map_or("", |below| below.trim());
        below.len() >= 3 && ['=', '-'].iter().any(|mark| below.chars().all(|c| c == *mark))
    };
    for (at, (line, span)) in lines.iter().zip(&passage.spans).enumerate() {
        let text = line.trim();
        if text.starts_with("```") || text.starts_with("~~~") {
            splitter.end_block();
            fenced = !fenced;
        } else if fenced {
            splitter.whole(text, *span, Kind::Row);
        } else if text.is_empty() || is_rule(text) {
            splitter.end_block();
        } else if text.starts_with('#') && text.contains(' ') {
            splitter.whole(text.trim_matches('#').trim(), *span, Kind::Heading);
        } else if let Some(row) = text.strip_prefix('|') {
            splitter.whole(row.trim_end_matches('|').trim(), *span, Kind::Row);
        } else if let Some(item) = item(text) {
            splitter.end_block();
            splitter.kind = Kind::Item;
            splitter.words(item, *span);
        } else if splitter.open.is_none() && underlined(at) {
            splitter.whole(text, *span, Kind::Heading);
        } else {
            splitter.words(text.trim_start_matches(['>', ' ']), *span);
        }
    }
    splitter.end_block();
    splitter.units
}

/// `---`, `===`, `|---|---|`: marks without words.
fn is_rule(text: &str) -> bool {
    text.chars().all(|c| matches!(c, '-' | '=' | '|' | ':' | '*' | '_' | ' '))
}

/// What follows the mark of a list's item.
fn item(text: &str) -> Option<&str> {
    if let Some(rest) = ["- ", "* ", "+ "].iter().find_map(|mark| text.strip_prefix(mark)) {
        return Some(rest.trim_start());
    }
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let rest = text[digits..].strip_prefix(['.', ')'])?.strip_prefix(' ')?;
    (1..=3).contains(&digits).then(|| rest.trim_start())
}

struct Splitter {
    units: Vec<Unit>,
    block: usize,
    /// Of the block.
    kind: Kind,
    open: Option<Unit>,
}

impl Splitter {
    /// Takes a line of a paragraph, sentence by sentence.
    fn words(&mut self, line: &str, (first, last): (u32, u32)) {
        let mut rest = line.trim();
        while !rest.is_empty() {
            let (sentence, more, ended) = match end_of_sentence(rest) {
                Some(end) => (&rest[..end], rest[end..].trim_start(), true),
                None => (rest, "", ends_sentence(rest)),
            };
            let new = || Unit { text: String::new(), first, last, block: self.block, kind: self.kind };
            let open = self.open.get_or_insert_with(new);
            if !open.text.is_empty() {
                open.text.push(' ');
            }
            open.text.push_str(sentence);
            open.last = last;
            if ended {
                self.units.extend(self.open.take());
            }
            rest = more;
        }
    }

    /// Takes a line that is a unit by itself.
    fn whole(&mut self, text: &str, (first, last): (u32, u32), kind: Kind) {
        self.end_block();
        if !text.is_empty() {
            self.units.push(Unit { text: text.to_owned(), first, last, block: self.block, kind });
            self.block += 1;
        }
    }

    fn end_block(&mut self) {
        self.units.extend(self.open.take());
        self.block += 1;
        self.kind = Kind::Sentence;
    }
}

fn ends_sentence(text: &str) -> bool {
    text.trim_end_matches(['"', '”', '’', ')', '*', '_']).ends_with(['.', '!', '?', '…'])
}

/// Where the first sentence of a line ends, if another follows it there.
fn end_of_sentence(text: &str) -> Option<usize> {
    text.match_indices(' ').map(|(at, _)| at).find(|at| {
        let next = text[*at..].trim_start();
        let begins =
            next.starts_with(|c: char| c.is_uppercase() || matches!(c, '"' | '“' | '`' | '*' | '<' | '['));
        begins && ends_sentence(&text[..*at]) && !is_abbreviation(&text[..*at])
    })
}

fn is_abbreviation(text: &str) -> bool {
    const KNOWN: &[&str] =
        &["e.g.", "i.e.", "approx.", "No.", "Nr.", "Dr.", "Mr.", "Mrs.", "St.", "vs.", "cf."];
    let word = text.rsplit(' ').next().unwrap_or_default();
    // "No." by itself is an answer.
    KNOWN.contains(&word) && text.len() > word.len()
}
