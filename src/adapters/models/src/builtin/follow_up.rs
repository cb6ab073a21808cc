//! `and in Celsius?`, `what about Paris?` after a question that said the rest.
//!
//! The earlier question is asked once more with the new words in the place of its last `in …`, `to …`, `for …` or `at …`.
//! [`super`] tries it on earlier questions, the newest first, and takes the first that it then understands whole.

use super::words::{after_any, bare};

/// Longer remarks say for themselves what they are about.
const MAX_WORDS: usize = 5;
/// What is replaced begins with one of these.
const PREPOSITIONS: [&str; 5] = [" in ", " into ", " to ", " for ", " at "];

/// What a follow-up names, without the words around it; `None` where it is none.
pub(super) fn named(message: &str) -> Option<&str> {
    let text = bare(message);
    let joined = after_any(text, &["and what about", "what about", "how about", "and", "then"]);
    let place = after_any(joined.unwrap_or(text), &["in", "into", "to", "for", "at"]);
    let named = bare(place.or(joined)?);
    let words = named.split_whitespace().count();
    ((1..=MAX_WORDS).contains(&words)).then_some(named)
}

/// The earlier question about what is `named` now.
pub(super) fn about(named: &str, earlier: &str) -> Option<String> {
    let earlier = bare(earlier);
    let lower = earlier.to_lowercase();
    // Case changes the length of few letters; where it does, the places are not to be trusted.
    let lower = (lower.len() == earlier.len()).then_some(lower)?;
    let (at, preposition) = PREPOSITIONS
        .iter()
        .filter_map(|preposition| lower.rfind(preposition).map(|at| (at, *preposition)))
        .max_by_key(|(at, _)| *at)?;
    // Of several questions the one that is meant is the last with such a place.
    let clauses = ["; ", ", ", ". ", "? ", "! "].iter();
    let start = clauses.filter_map(|end| earlier[..at].rfind(end).map(|at| at + end.len())).max();
    Some(format!("{}{preposition}{named}", earlier[start.unwrap_or(0)..at].trim()))
}

#[cfg(test)]
mod tests {
    use super::{about, named};

    #[test]
    fn what_is_named_takes_the_place_of_what_was() {
        let asked = |message: &str, earlier: &str| about(named(message)?, earlier);
        for (message, earlier, meant) in [
            ("and in Celsius?", "What is 350 °F in Kelvin?", "What is 350 °F in Celsius"),
            ("And in Paris?", "weather in Oslo", "weather in Paris"),
            ("what about Paris?", "How is the weather in Oslo?", "How is the weather in Paris"),
            ("to feet", "17% of 2340, and 12 miles to km", "and 12 miles to feet"),
            ("in feet", "Is it 1,200.5 miles to km?", "Is it 1,200.5 miles to feet"),
            ("and New York City", "weather in Rome; weather for Oslo", "weather for New York City"),
        ] {
            assert_eq!(asked(message, earlier).as_deref(), Some(meant), "{message} after {earlier}");
        }
    }

    #[test]
    fn what_speaks_for_itself_is_no_follow_up() {
        for message in ["What is 2+2?", "Oslo", "and", "", "and then please tell me a long story about a log"]
        {
            assert_eq!(named(message), None, "{message}");
        }
        assert_eq!(about("Celsius", "echo one"), None);
    }
}
