//! `weather in Berlin and Paris`, `is it raining in Oslo`, `how warm is it in New York, USA?`
//!
//! Read by [`super::read`]. A place is words, not figures or requests, so that the rest of a message is not taken for
//! one.

use super::place::places;
use super::words::{after, after_any, before, core, without_trailing};

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
        let rest = after_any(rest, &["in", "for", "at", "of", "near", "around", "over", "from", "like in"])
            .unwrap_or(rest);
        return Some(Weather { places: places(without_time(rest).0)?, future });
    }
    // `Berlin weather`
    let place = before(text, "weather")
        .or_else(|| before(text, "forecast"))
        .or_else(|| before(text, "temperature"))?;
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
        "weather forecast",
        "weather report",
        "weather conditions",
        "weather like",
        "weather is like",
        "weather",
        "forecast",
        "temperatures",
        "temperature",
        "humidity",
        "wind speed",
        "how's the weather like",
        "how's the weather",
        "how is the weather like",
        "how is the weather",
        "how is weather",
        "is the weather nice",
        "do i need an umbrella",
        "should i take an umbrella",
        "outside temperature",
        "wetter",
    ];
    if let Some(rest) = after_any(text, SUBJECTS) {
        return Some(rest);
    }
    let rest = after_any(text, &["is it going to", "will it be", "will it", "does it", "is it", "how"])?;
    let rest = after_any(
        rest,
        &[
            "raining", "rainy", "rain", "snowing", "snowy", "snow", "sunny", "cloudy", "windy", "foggy",
            "stormy", "freezing", "cold", "warm", "hot", "humid", "wet",
        ],
    )?;
    Some(after_any(rest, &["is it", "outside"]).unwrap_or(rest))
}

/// Takes the words for a time off the end; says whether it lies ahead.
fn without_time(text: &str) -> (&str, bool) {
    const NOW: &[&str] = &[
        "today",
        "tonight",
        "right now",
        "now",
        "currently",
        "at the moment",
        "outside",
        "please",
        "like",
        "this morning",
    ];
    const AHEAD: &[&str] = &[
        "tomorrow",
        "next week",
        "this week",
        "this weekend",
        "next weekend",
        "the weekend",
        "on monday",
        "on tuesday",
        "on wednesday",
        "on thursday",
        "on friday",
        "on saturday",
        "on sunday",
        "later",
        "next month",
    ];
    let text = without_trailing(text, NOW);
    let ahead = without_trailing(text, AHEAD);
    (without_trailing(ahead, NOW), ahead.len() < text.len())
}
