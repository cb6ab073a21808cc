//! What a word is: letters and digits, in lower case, without accents, reduced to its English stem.
//!
//! Documents and queries go through the same. Of a query the words that carry no meaning are left out: without them a
//! passage that says all the rest says everything that was asked. [`super::tokens`] says where a word ends.

use tantivy::tokenizer::{
    AsciiFoldingFilter, Language, LowerCaser, RemoveLongFilter, Stemmer, TextAnalyzer, TokenStream, Tokenizer,
};

use super::tokens::Words;
use crate::bounds::MAX_QUERY_WORDS;

/// Longer "words" are keys and hashes.
const MAX_WORD_BYTES: usize = 64;

/// Words that questions are made of, not what they are about.
const FUNCTION_WORDS: &str = "\
    a about according actually after all also am an and any anybody anyone anything are as at be \
    been before being but by can cannot could did do docs document documentation documents does \
    doing done explain find for from get give given gives go goes had happen happens has have having \
    her here hers him his how however i if in into is it its just kind know let like list look \
    manual many may me mean means might mine more most much must my myself need needs no not of off \
    on one only or other our ours out over please say says search shall she should show so some \
    somebody someone something such tell than thank thanks that the their theirs them then there \
    these they thing things this those to too up upon us use used very want was we were what when \
    where whether which while who whom whose why will with would you your yours";

/// Makes stems of texts.
pub(crate) struct Analyzer(TextAnalyzer);

impl Analyzer {
    pub fn new() -> Self {
        Self(analyzer())
    }

    /// The stems of `text`, in order.
    pub fn stems(&mut self, text: &str) -> Vec<String> {
        let mut stems = Vec::new();
        self.0.token_stream(text).process(&mut |token| stems.push(token.text.clone()));
        stems
    }
}

pub(super) fn analyzer() -> TextAnalyzer {
    TextAnalyzer::builder(Words::default())
        .filter(RemoveLongFilter::limit(MAX_WORD_BYTES))
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .filter(Stemmer::new(Language::English))
        .build()
}

/// `the`, `who`; and `s`, as in `Fellmark's`.
fn is_function_word(word: &str) -> bool {
    let single = word.len() == 1 && word.bytes().all(|b| b.is_ascii_alphabetic());
    single || FUNCTION_WORDS.split(' ').any(|known| known.eq_ignore_ascii_case(word))
}

/// The stems that a query is about, each once; all of its words when they are function words only.
pub(crate) fn query_words(analyzer: &mut Analyzer, query: &str) -> Vec<String> {
    let mut all = Vec::new();
    Words::default().token_stream(query).process(&mut |token| all.push(token.text.clone()));
    let mut words: Vec<&String> = all.iter().filter(|word| !is_function_word(word)).collect();
    if words.is_empty() {
        words = all.iter().collect();
    }
    let mut stems: Vec<String> = Vec::new();
    for stem in words.into_iter().flat_map(|word| analyzer.stems(word)) {
        if stems.len() < MAX_QUERY_WORDS && !stems.contains(&stem) {
            stems.push(stem);
        }
    }
    stems
}

#[cfg(test)]
mod tests {
    use super::{Analyzer, FUNCTION_WORDS, query_words};

    #[test]
    fn a_query_is_what_it_is_about() {
        let mut analyzer = Analyzer::new();
        for (query, expected) in [
            ("How long is the warranty?", "long warranti"),
            ("What does error E07 mean?", "error e07"),
            ("batteries Battery BATTERY", "batteri"),
            ("Größe des Café", "gross des cafe"),
            ("who is it", "who is it"),
            ("Fellmark's Cairn 5 with 5.2 kWh", "fellmark cairn 5 5.2 kwh"),
            ("?!", ""),
        ] {
            assert_eq!(query_words(&mut analyzer, query).join(" "), expected, "{query}");
        }
        let long: String = (0..200).map(|n| format!("word{n} ")).collect();
        assert_eq!(query_words(&mut analyzer, &long).len(), 64);
    }

    #[test]
    fn the_list_is_sorted() {
        let words: Vec<&str> = FUNCTION_WORDS.split(' ').collect();
        assert!(words.is_sorted() && words.len() > 150);
    }
}
