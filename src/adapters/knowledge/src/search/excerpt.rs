//! The sentences of a passage that answer a query, with their own lines: what is cited where no model writes the answer.
//!
//! The words are the document's. Only marks are taken away: of a list, a quotation, a table's edge, and line ends.
//! [`units`] are what is chosen from.

mod units;

use super::weigh::Weights;
use crate::bounds::MAX_EXCERPT_BYTES;
use crate::document::Passage;
use crate::index::Analyzer;
use units::{Kind, Unit};

/// A shorter sentence is seldom an answer by itself: its neighbour comes along.
const SHORT_BYTES: usize = 60;
/// "No." before a sentence belongs to it.
const INTERJECTIONS: &[&str] = &["Yes", "No", "Never", "Always"];
/// A longer sentence that begins with one is more than one.
const INTERJECTION_BYTES: usize = 25;
/// What is asked for with `how` and one of these is a number…
const MEASURES: &[&str] = &[
    "big", "cold", "deep", "far", "fast", "heavy", "high", "hot", "large", "late", "long", "loud", "many",
    "much", "often", "old", "quickly", "soon", "tall", "warm", "wide",
];
/// …and so is what is asked for with one of these.
const NUMBERS: &[&str] =
    &["when", "price", "cost", "costs", "date", "number", "percentage", "rate", "weight"];
/// Numbers in words.
const NUMERALS: &[&str] = &[
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "twenty", "thirty", "hundred", "thousand", "half", "twice", "once",
];
/// A number, where one was asked for, weighs as much as a word.
const NUMBER_BONUS: f64 = 1.5;
/// A word of the title is what the whole passage is about: it tells its sentences apart the least.
const TITLE_SHARE: f64 = 0.4;
/// A heading says what an answer is about, and seldom the answer.
const HEADING_SHARE: f64 = 0.5;

/// Sentences and where they stand in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Excerpt {
    pub text: String,
    pub first: u32,
    pub last: u32,
}

/// The best sentences of `passage`.
pub(super) fn of(passage: &Passage, weights: &Weights, query: &str, analyzer: &mut Analyzer) -> Excerpt {
    let units = units::of(passage);
    let title = analyzer.stems(&passage.title);
    let for_number = asks_for_number(query);
    let mut best = (0, f64::MIN);
    for (at, unit) in units.iter().enumerate() {
        let mut score = weights.covered(&analyzer.stems(&unit.text), &title, TITLE_SHARE);
        if for_number && has_number(&unit.text) {
            score += NUMBER_BONUS;
        }
        if unit.kind == Kind::Heading {
            score *= HEADING_SHARE;
        }
        if score > best.1 {
            best = (at, score);
        }
    }
    let (first, last) = passage.lines();
    let told = if units.is_empty() { &[][..] } else { around(&units, best.0) };
    let mut text = joined(told);
    if told.is_empty() {
        text = passage.text.replace('\n', " ");
    }
    if text.len() > MAX_EXCERPT_BYTES {
        text.truncate(text.floor_char_boundary(MAX_EXCERPT_BYTES));
        text.push('…');
    }
    let first = told.iter().map(|unit| unit.first).min().unwrap_or(first);
    let last = told.iter().map(|unit| unit.last).max().unwrap_or(last);
    Excerpt { text, first, last }
}

fn asks_for_number(query: &str) -> bool {
    let words: Vec<String> =
        query.split(|c: char| !c.is_alphanumeric()).map(str::to_ascii_lowercase).collect();
    words.iter().any(|word| NUMBERS.contains(&word.as_str()))
        || words.windows(2).any(|pair| pair[0] == "how" && MEASURES.contains(&pair[1].as_str()))
}

fn has_number(text: &str) -> bool {
    // The 1 of `OH-1` is a name's.
    let figure = |word: &str| {
        word.trim_start_matches(['(', '€', '$', '£', '-', '−', '~']).starts_with(|c: char| c.is_ascii_digit())
    };
    text.split_whitespace().any(figure)
        || text.split(|c: char| !c.is_alphabetic()).any(|word| NUMERALS.contains(&word))
}

fn joined(told: &[Unit]) -> String {
    let mut text = String::new();
    let mut heading = false;
    for unit in told {
        let listed = unit.kind == Kind::Item && !text.ends_with([':', ';', ',', '.', '!', '?']);
        text.push_str(match (text.is_empty(), heading, listed) {
            (true, ..) => "",
            (_, true, _) => ": ",
            (_, _, true) => "; ",
            _ => " ",
        });
        text.push_str(&unit.text);
        heading = unit.kind == Kind::Heading;
    }
    text
}

/// The unit at `best` and those that are told along with it.
fn around(units: &[Unit], best: usize) -> &[Unit] {
    let same = |at: usize| units.get(at).is_some_and(|unit| unit.block == units[best].block);
    let (mut from, mut to) = (best, best);
    let interjects = |text: &str| {
        text.len() <= INTERJECTION_BYTES && INTERJECTIONS.iter().any(|word| text.starts_with(word))
    };
    if best > 0 && same(best - 1) && interjects(&units[best - 1].text) {
        from -= 1;
    }
    let mut bytes: usize = units[from..=to].iter().map(|unit| unit.text.len() + 1).sum();
    // What ends with a colon announces what follows it, and so does a heading.
    let announces = units[best].text.ends_with(':');
    while let Some(next) = units.get(to + 1) {
        let announced = announces && next.kind == Kind::Item;
        let below = units[to].kind == Kind::Heading && next.kind != Kind::Heading;
        let wanted = announced || below || (same(to + 1) && bytes < SHORT_BYTES);
        if !wanted || bytes + next.text.len() > MAX_EXCERPT_BYTES {
            break;
        }
        bytes += next.text.len() + 1;
        to += 1;
    }
    &units[from..=to]
}

#[cfg(test)]
mod tests {
    use super::super::weigh::Weights;
    use super::{Excerpt, of};
    use crate::document::{Kind, cut, read};
    use crate::index::{Analyzer, query_words};

    fn excerpt(text: &str, query: &str) -> (String, u32, u32) {
        let mut analyzer = Analyzer::new();
        let passage = cut(&read(Kind::Text, text), "x.md").remove(0);
        let words = query_words(&mut analyzer, query);
        let weights = Weights::of(&words, |_| Ok(5), 100).unwrap();
        let Excerpt { text, first, last } = of(&passage, &weights, query, &mut analyzer);
        (text, first, last)
    }

    #[test]
    fn the_sentence_that_says_it_with_its_lines() {
        let text = "# Warranty\n\nIt is ours. The warranty lasts ten\nyears from the first day, at most\neleven. It ends \
                    when the moon falls.\n\n- Fans have 3 years, e.g. The Fan.\n- Paint has none\n  at all, never.\n";
        for (query, expected, first, last) in [
            (
                "how long does the warranty last",
                "The warranty lasts ten years from the first day, at most eleven.",
                3,
                5,
            ),
            ("will it end with the moon", "It ends when the moon falls.", 5, 5),
            ("how many years have fans", "Fans have 3 years, e.g. The Fan.", 7, 7),
            ("is paint covered", "Paint has none at all, never.", 8, 9),
        ] {
            assert_eq!(excerpt(text, query), (expected.to_owned(), first, last), "{query}");
        }
    }

    #[test]
    fn rows_lists_headings_and_short_answers() {
        let text = "Can I do it?\n---\n\nNo. Only an installer may do it.\n\nThese are needed:\n\n- a wrench\n- a cable\n\n\
                    | code | what |\n|---|---|\n| E07 | fan blocked |\n\n```\n# GET /v1\n```\n";
        for (query, expected, first, last) in [
            ("may an installer do it", "No. Only an installer may do it.", 4, 4),
            ("is something needed", "These are needed: a wrench; a cable", 6, 9),
            ("E07", "E07 | fan blocked", 13, 13),
            ("GET", "# GET /v1", 16, 16),
        ] {
            assert_eq!(excerpt(text, query), (expected.to_owned(), first, last), "{query}");
        }
        let text = "## Version 4.2.0 (12 October)\n\nMuch is new.\nMore is old.\n";
        assert_eq!(
            excerpt(text, "when was 4.2.0 made"),
            ("Version 4.2.0 (12 October): Much is new.".to_owned(), 1, 3)
        );
    }
}
