//! What the user called a place: a name, and after a comma what tells it from its namesakes.
//!
//! [`super::open_meteo`] searches by the name alone, so the rest is compared here.

use serde_json::Value;

/// `Paris, Texas` is the name `Paris` and the region `Texas`.
pub(super) fn split(place: &str) -> (&str, Option<&str>) {
    match place.split_once(',') {
        Some((name, region)) if !name.trim().is_empty() && !region.trim().is_empty() => {
            (name.trim(), Some(region.trim()))
        }
        _ => (place.trim().trim_matches(','), None),
    }
}

/// Whether a geocoding result lies in `region`: its country, country code, state or district, in any case.
pub(super) fn lies_in(found: &Value, region: &str) -> bool {
    let parts: Vec<String> = region.split(',').map(|part| plain(part.trim())).collect();
    let names: Vec<String> = ["country", "country_code", "admin1", "admin2", "admin3"]
        .iter()
        .filter_map(|field| found[*field].as_str())
        .map(plain)
        .collect();
    parts.iter().all(|part| names.iter().any(|name| name == part || name == expanded(part)))
}

fn plain(text: &str) -> String {
    text.chars().filter(|c| *c != '.').flat_map(char::to_lowercase).collect()
}

/// Short forms that geocoding writes out.
fn expanded(region: &str) -> &str {
    match region {
        "usa" | "us" | "america" | "united states of america" => "united states",
        "uk" | "gb" | "great britain" | "england" | "britain" => "united kingdom",
        "uae" => "united arab emirates",
        "holland" => "netherlands",
        "czech republic" => "czechia",
        "ny" => "new york",
        "ca" => "california",
        "tx" => "texas",
        "fl" => "florida",
        "wa" => "washington",
        "ma" => "massachusetts",
        "il" => "illinois",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{lies_in, split};

    #[test]
    fn a_region_follows_the_first_comma() {
        assert_eq!(split("Paris, Texas"), ("Paris", Some("Texas")));
        assert_eq!(split(" New York "), ("New York", None));
        assert_eq!(split("Oslo,"), ("Oslo", None));
    }

    #[test]
    fn regions_are_countries_codes_or_states() {
        let paris = json!({"country": "United States", "country_code": "US", "admin1": "Texas"});
        for region in ["Texas", "TX", "USA", "U.S.A.", "us", "Texas, USA"] {
            assert!(lies_in(&paris, region), "{region}");
        }
        assert!(!lies_in(&paris, "France"));
    }
}
