//! Whether words name a place, or several: `Berlin, Paris and New York, USA`. [`super::weather`] asks.

use super::words::{after, after_any};

/// Places in one question.
const MAX_PLACES: usize = 12;
const MAX_PLACE_BYTES: usize = 80;
const MAX_PLACE_WORDS: usize = 5;

/// `Berlin, Paris and New York, USA` as three places; nothing when any of them cannot be one.
pub(super) fn places(text: &str) -> Option<Vec<String>> {
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
    const NOT_PLACES: &str = "\
        what how who why when where which is are do does can could will tell show give convert calculate \
        compute echo say repeat add take double half multiply divide subtract please i you it my me the a \
        an that this then also write make play open send book find sqrt sum translate explain hi hello \
        thanks bye now outside not weather";
    let mut words = text.split_whitespace();
    let first_ok = words
        .next()
        .is_some_and(|first| !NOT_PLACES.split(' ').any(|known| first.eq_ignore_ascii_case(known)));
    // `The Hague` and `the Netherlands` are places, `the answer` is not.
    let the = after(text, "the").is_some_and(|rest| rest.starts_with(char::is_uppercase));
    let letters = text.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '-' | '\'' | '’' | '.'));
    /// Words that make a remark of any words around them.
    const SENTENCE: &str = "\
        is are was were am be has have me my your you i what how please because with about should would \
        want not like";
    let remark =
        text.split_whitespace().any(|word| SENTENCE.split(' ').any(|known| word.eq_ignore_ascii_case(known)));
    (first_ok || the)
        && !remark
        && letters
        && text.chars().any(char::is_alphabetic)
        && text.len() <= MAX_PLACE_BYTES
        && text.split_whitespace().count() <= MAX_PLACE_WORDS
}

/// What follows a comma to tell a place from its namesakes, rather than being another place.
fn is_region(text: &str) -> bool {
    const REGIONS: &str = "\
        united states, united kingdom, england, scotland, wales, ireland, france, germany, spain, \
        portugal, italy, switzerland, austria, belgium, netherlands, the netherlands, denmark, norway, \
        sweden, finland, iceland, poland, czechia, czech republic, slovakia, hungary, romania, bulgaria, \
        greece, turkey, ukraine, russia, canada, mexico, brazil, argentina, chile, colombia, peru, china, \
        japan, south korea, india, pakistan, bangladesh, indonesia, malaysia, thailand, vietnam, \
        philippines, australia, new zealand, egypt, morocco, nigeria, kenya, south africa, israel, saudi \
        arabia, iran, iraq, alabama, alaska, arizona, arkansas, california, colorado, connecticut, \
        delaware, florida, georgia, hawaii, idaho, illinois, indiana, iowa, kansas, kentucky, louisiana, \
        maine, maryland, massachusetts, michigan, minnesota, mississippi, missouri, montana, nebraska, \
        nevada, new hampshire, new jersey, new mexico, north carolina, north dakota, ohio, oklahoma, \
        oregon, pennsylvania, rhode island, south carolina, south dakota, tennessee, texas, utah, vermont, \
        virginia, west virginia, wisconsin, wyoming, ontario, quebec, british columbia, bavaria, tuscany, \
        catalonia";
    let initials: String = text.chars().filter(|c| *c != '.').collect();
    let abbreviation = (2..=3).contains(&initials.len()) && initials.bytes().all(|b| b.is_ascii_uppercase());
    abbreviation || REGIONS.split(", ").any(|known| text.eq_ignore_ascii_case(known))
}
