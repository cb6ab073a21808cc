//! `weather in Berlin and Paris`, `is it raining in Oslo`, `how warm is it in New York, USA?`
//!
//! Read by [`super::read`]. A place is words, not figures or requests, so that the rest of a message is not taken for
//! one.

use super::words::{after, after_any, before, core, without_trailing};

/// Places in one question.
const MAX_PLACES: usize = 12;
const MAX_PLACE_BYTES: usize = 80;
const MAX_PLACE_WORDS: usize = 5;

/// What a clause about the weather asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Weather {
    /// Empty when the clause says no place.
    pub places: Vec<String>,
    /// It asks about a day that has not come.
    pub future: bool,
}

/// Reads a clause that mentions the weather.
pub(super) fn read(clause: &str) -> Option<Weather> {
    let (text, future) = without_time(core(clause));
    let text = after_any(text, &["the", "current", "today's"]).unwrap_or(text);
    let text = after(text, "current").unwrap_or(text);
    if let Some(rest) = subject(text) {
        let rest = core(rest);
        if rest.is_empty() {
            return Some(Weather { places: Vec::new(), future });
        }
        let rest = after_any(rest, &["in", "for", "at", "of", "near", "around", "over", "from", "like in"]).unwrap_or(rest);
        return Some(Weather { places: places(without_time(rest).0)?, future });
    }
    // `Berlin weather`
    let place = before(text, "weather").or_else(|| before(text, "forecast")).or_else(|| before(text, "temperature"))?;
    let place = place.strip_suffix("'s").unwrap_or(place);
    Some(Weather { places: places(place)?, future })
}

/// `in Paris`, `and Paris` after a question about the weather elsewhere.
pub(super) fn read_more(clause: &str) -> Option<Weather> {
    let (text, future) = without_time(core(clause));
    let named = after_any(text, &["in", "for", "at"]);
    // Without a word that says so, only a name is a place.
    let names = text.split_whitespace().all(|word| word == "and" || word.starts_with(char::is_uppercase));
    let text = named.or(names.then_some(text))?;
    Some(Weather { places: places(text)?, future })
}

/// What follows the words that make it a question about the weather.
fn subject(text: &str) -> Option<&str> {
    const SUBJECTS: &[&str] = &[
        "weather forecast", "weather report", "weather conditions", "weather like", "weather is like", "weather",
        "forecast", "temperatures", "temperature", "humidity", "wind speed", "how's the weather like",
        "how's the weather", "how is the weather like", "how is the weather", "how is weather", "is the weather nice",
        "do i need an umbrella", "should i take an umbrella", "outside temperature", "wetter",
    ];
    if let Some(rest) = after_any(text, SUBJECTS) {
        return Some(rest);
    }
    let rest = after_any(text, &["is it going to", "will it be", "will it", "does it", "is it", "how"])?;
    let rest = after_any(
        rest,
        &[
            "raining", "rainy", "rain", "snowing", "snowy", "snow", "sunny", "cloudy", "windy", "foggy", "stormy",
            "freezing", "cold", "warm", "hot", "humid", "wet",
        ],
    )?;
    Some(after_any(rest, &["is it", "outside"]).unwrap_or(rest))
}

/// Takes the words for a time off the end; says whether it lies ahead.
fn without_time(text: &str) -> (&str, bool) {
    const NOW: &[&str] =
        &["today", "tonight", "right now", "now", "currently", "at the moment", "outside", "please", "like", "this morning"];
    const AHEAD: &[&str] = &[
        "tomorrow", "next week", "this week", "this weekend", "next weekend", "the weekend", "on monday", "on tuesday",
        "on wednesday", "on thursday", "on friday", "on saturday", "on sunday", "later", "next month",
    ];
    let text = without_trailing(text, NOW);
    let ahead = without_trailing(text, AHEAD);
    (without_trailing(ahead, NOW), ahead.len() < text.len())
}

/// `Berlin, Paris and New York, USA` as three places; nothing when any of them cannot be one.
fn places(text: &str) -> Option<Vec<String>> {
    let mut found: Vec<String> = Vec::new();
    for part in text.split(" and ").flat_map(|part| part.split(" & ")) {
        for (i, piece) in part.split(',').enumerate() {
            let piece = piece.trim();
            let piece = after_any(piece, &["and", "in", "for"]).unwrap_or(piece).trim_end_matches(['.', '!']);
            if piece.is_empty() {
                continue;
            }
            match found.last_mut() {
                Some(place) if i > 0 && is_region(piece) => {
                    place.push_str(", ");
                    place.push_str(piece);
                }
                _ => found.push(is_place(piece).then(|| piece.to_owned())?),
            }
        }
    }
    let fits = found.iter().all(|place| place.len() <= MAX_PLACE_BYTES);
    (!found.is_empty() && found.len() <= MAX_PLACES && fits).then_some(found)
}

fn is_place(text: &str) -> bool {
    /// Words that begin a request or a remark, or stand for no place.
    const NOT_PLACES: &[&str] = &[
        "what", "how", "who", "why", "when", "where", "which", "is", "are", "do", "does", "can", "could", "will", "tell",
        "show", "give", "convert", "calculate", "compute", "echo", "say", "repeat", "add", "take", "double", "half",
        "multiply", "divide", "subtract", "please", "i", "you", "it", "my", "me", "the", "a", "an", "that", "this",
        "then", "also", "write", "make", "play", "open", "send", "book", "find", "sqrt", "sum", "translate", "explain",
        "hi", "hello", "thanks", "bye", "now", "outside", "not", "weather",
    ];
    let mut words = text.split_whitespace();
    let first_ok = words.next().is_some_and(|first| !NOT_PLACES.iter().any(|known| first.eq_ignore_ascii_case(known)));
    // `The Hague` and `the Netherlands` are places, `the answer` is not.
    let the = after(text, "the").is_some_and(|rest| rest.starts_with(char::is_uppercase));
    let letters = text.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '-' | '\'' | '’' | '.'));
    /// Words that make a remark of any words around them.
    const SENTENCE: &[&str] = &[
        "is", "are", "was", "were", "am", "be", "has", "have", "me", "my", "your", "you", "i", "what", "how", "please",
        "because", "with", "about", "should", "would", "want", "not", "like",
    ];
    let remark = text.split_whitespace().any(|word| SENTENCE.iter().any(|known| word.eq_ignore_ascii_case(known)));
    (first_ok || the)
        && !remark
        && letters
        && text.chars().any(char::is_alphabetic)
        && text.len() <= MAX_PLACE_BYTES
        && text.split_whitespace().count() <= MAX_PLACE_WORDS
}

/// What follows a comma to tell a place from its namesakes, rather than being another place.
fn is_region(text: &str) -> bool {
    const REGIONS: &[&str] = &[
        "united states", "united kingdom", "england", "scotland", "wales", "ireland", "france", "germany", "spain",
        "portugal", "italy", "switzerland", "austria", "belgium", "netherlands", "the netherlands", "denmark", "norway",
        "sweden", "finland", "iceland", "poland", "czechia", "czech republic", "slovakia", "hungary", "romania",
        "bulgaria", "greece", "turkey", "ukraine", "russia", "canada", "mexico", "brazil", "argentina", "chile",
        "colombia", "peru", "china", "japan", "south korea", "india", "pakistan", "bangladesh", "indonesia", "malaysia",
        "thailand", "vietnam", "philippines", "australia", "new zealand", "egypt", "morocco", "nigeria", "kenya",
        "south africa", "israel", "saudi arabia", "iran", "iraq", "alabama", "alaska", "arizona", "arkansas",
        "california", "colorado", "connecticut", "delaware", "florida", "georgia", "hawaii", "idaho", "illinois",
        "indiana", "iowa", "kansas", "kentucky", "louisiana", "maine", "maryland", "massachusetts", "michigan",
        "minnesota", "mississippi", "missouri", "montana", "nebraska", "nevada", "new hampshire", "new jersey",
        "new mexico", "north carolina", "north dakota", "ohio", "oklahoma", "oregon", "pennsylvania", "rhode island",
        "south carolina", "south dakota", "tennessee", "texas", "utah", "vermont", "virginia", "west virginia",
        "wisconsin", "wyoming", "ontario", "quebec", "british columbia", "bavaria", "tuscany", "catalonia",
    ];
    let initials: String = text.chars().filter(|c| *c != '.').collect();
    let abbreviation = (2..=3).contains(&initials.len()) && initials.bytes().all(|b| b.is_ascii_uppercase());
    abbreviation || REGIONS.iter().any(|known| text.eq_ignore_ascii_case(known))
}
