//! What each word of a query is worth, and whether a passage says enough of them to be an answer.
//!
//! BM25's scores order passages and mean nothing by themselves: the best of a thousand passages that are all about
//! something else has a score too. The share of the question's weight that a passage covers tells the two apart.

use std::collections::HashSet;

use serde::Serialize;

use crate::index::IndexError;

/// A word that no document has weighs as much as one that three have: it may be a slip, or the user's own word.
const LEAST_FREQUENCY: u64 = 3;
/// A passage that covers this share is about the question…
const GOOD: f64 = 0.6;
/// …this one may be, and one that covers less has a word in common with it by chance.
const WEAK: f64 = 0.3;

/// Whether there is an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Confidence {
    None,
    Weak,
    Good,
}

/// The words of a query with their weights.
#[derive(Debug)]
pub(super) struct Weights(Vec<(String, f64)>);

impl Weights {
    /// Weighs `words` by how many of the `passages` have them.
    pub fn of(
        words: &[String],
        frequency: impl Fn(&str) -> Result<u64, tantivy::TantivyError>,
        passages: u64,
    ) -> Result<Self, IndexError> {
        let mut weights = Vec::with_capacity(words.len());
        for word in words {
            let with = frequency(word)?.max(LEAST_FREQUENCY).min(passages.max(LEAST_FREQUENCY)) as f64;
            let without = (passages as f64 - with).max(0.0);
            weights.push((word.clone(), ((without + 0.5) / (with + 0.5)).ln_1p()));
        }
        Ok(Self(weights))
    }

    /// The weight of the query's words that are among `stems`, each once; those of the `title` count for a `share`.
    pub fn covered(&self, stems: &[String], title: &[String], share: f64) -> f64 {
        let said: HashSet<&str> = stems.iter().map(String::as_str).collect();
        let said = self.0.iter().filter(|(word, _)| said.contains(word.as_str()));
        said.map(|(word, weight)| if title.contains(word) { weight * share } else { *weight }).sum()
    }

    pub fn confidence(&self, stems: &[String]) -> Confidence {
        let all: f64 = self.0.iter().map(|(_, weight)| weight).sum();
        let share = if all > 0.0 { self.covered(stems, &[], 1.0) / all } else { 0.0 };
        match share {
            share if share >= GOOD => Confidence::Good,
            share if share >= WEAK => Confidence::Weak,
            _ => Confidence::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Confidence, Weights};

    fn confidence(query: &[(&str, u64)], said: &str) -> Confidence {
        let words: Vec<String> = query.iter().map(|(word, _)| (*word).to_owned()).collect();
        let frequency = |word: &str| Ok(query.iter().find(|(known, _)| *known == word).unwrap().1);
        let stems: Vec<String> = said.split(' ').map(str::to_owned).collect();
        Weights::of(&words, frequency, 100).unwrap().confidence(&stems)
    }

    #[test]
    fn a_rare_word_in_common_is_an_answer_and_a_common_one_is_none() {
        assert_eq!(confidence(&[("warranti", 8), ("long", 5)], "the warranti last"), Confidence::Weak);
        assert_eq!(confidence(&[("warranti", 4), ("cairn", 60)], "warranti"), Confidence::Good);
        assert_eq!(confidence(&[("capit", 0), ("franc", 0)], "unit price"), Confidence::None);
        assert_eq!(confidence(&[("tesla", 0), ("batteri", 40)], "batteri"), Confidence::None);
        assert_eq!(confidence(&[], "batteri"), Confidence::None);
    }
}
