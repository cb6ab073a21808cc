//! Whether two texts say the same: as texts, as numbers, or as expressions with one value; references to other steps
//! count as the steps that they mean.
//!
//! [`super::expected`] compares through a [`Lens`]; [`super::score`] makes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::expected::{close, number, plain};

/// The value of an expression, in words such as `19.3 km`; `None` where it has none.
pub type Evaluate<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How one step's arguments are looked at.
#[derive(Default, Clone, Copy)]
pub struct Lens<'a> {
    /// Which expected step each planned step is taken for; without it any reference is as good as another.
    pub steps: Option<&'a BTreeMap<String, String>>,
    /// Set where a text is an expression.
    pub evaluate: Option<Evaluate<'a>>,
}

impl fmt::Debug for Lens<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lens").field("steps", &self.steps).finish_non_exhaustive()
    }
}

/// What stands for the references of two expressions: primes, so that no sum of some is another.
const STAND_INS: [u32; 6] = [7, 11, 13, 17, 19, 23];

impl Lens<'_> {
    /// Whether `actual` says what `expected` says.
    pub fn same(&self, expected: &str, actual: &str) -> bool {
        let expected = pieces(expected, |id| match self.steps {
            Some(_) => id.to_owned(),
            None => String::new(),
        });
        let actual = pieces(actual, |id| match self.steps {
            Some(steps) => steps.get(id).cloned().unwrap_or_else(|| format!("unexpected {id}")),
            None => String::new(),
        });
        let (e, a) = (plain(&spelled(&expected)), plain(&spelled(&actual)));
        if e == a {
            return true;
        }
        match (number(&e), number(&a)) {
            (Some(e), Some(a)) => return close(e, a),
            // In words the letters count, in an expression the value does.
            _ if self.evaluate.is_none() => return false,
            _ => {}
        }
        self.same_value(&expected, &actual)
    }

    fn same_value(&self, expected: &[Piece], actual: &[Piece]) -> bool {
        let Some(evaluate) = self.evaluate else { return false };
        let ids: BTreeSet<&str> = expected.iter().chain(actual).filter_map(Piece::reference).collect();
        if ids.len() > STAND_INS.len() {
            return false;
        }
        let numbers: BTreeMap<&str, u32> = ids.into_iter().zip(STAND_INS).collect();
        let value = |pieces: &[Piece]| {
            let text: String = pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Text(text) => text.clone(),
                    Piece::Reference(id) => numbers[id.as_str()].to_string(),
                })
                .collect();
            evaluate(&text)
        };
        match (value(expected), value(actual)) {
            (Some(expected), Some(actual)) => same_result(&expected, &actual, evaluate),
            _ => false,
        }
    }
}

/// A part of a text.
#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    /// The step that is referred to; which field of its result is taken is not judged.
    Reference(String),
}

impl Piece {
    fn reference(&self) -> Option<&str> {
        match self {
            Self::Reference(id) => Some(id),
            Self::Text(_) => None,
        }
    }
}

/// Takes `${step.path}` apart from the text around it; `$${` is text.
fn pieces(text: &str, name: impl Fn(&str) -> String) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        let escaped = before.ends_with('$');
        match from.find('}') {
            Some(end) if !escaped => {
                plain.push_str(before);
                let inside = from[2..end].trim();
                let id = inside.split(['.', '[']).next().unwrap_or(inside).trim();
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
                pieces.push(Piece::Reference(name(id)));
                rest = &from[end + 1..];
            }
            _ => {
                plain.push_str(before);
                plain.push_str("${");
                rest = &from[2..];
            }
        }
    }
    plain.push_str(rest);
    pieces.push(Piece::Text(plain));
    pieces
}

fn spelled(pieces: &[Piece]) -> String {
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Reference(id) => format!("${{{id}}}"),
        })
        .collect()
}

/// Two values in words: numbers that are close, and the same unit, whatever it is called.
fn same_result(a: &str, b: &str, evaluate: Evaluate<'_>) -> bool {
    let ((a, unit_a), (b, unit_b)) = match (amount(a), amount(b)) {
        (Some(a), Some(b)) => (a, b),
        _ => return plain(a) == plain(b),
    };
    let one = || evaluate(&format!("1 {unit_a} to {unit_b}")).as_deref().and_then(amount);
    close(a, b) && (plain(&unit_a) == plain(&unit_b) || one().is_some_and(|(one, _)| close(one, 1.0)))
}

/// `19.3 km` as its number and its unit.
fn amount(text: &str) -> Option<(f64, String)> {
    let text = text.trim_start_matches("approx.").trim_start_matches('≈').trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || ".,-−".contains(c))).unwrap_or(text.len());
    Some((number(&text[..end])?, text[end..].trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Lens;

    /// Sums and percentages: enough to tell the same value from the same text.
    fn evaluate(text: &str) -> Option<String> {
        if let Some((part, whole)) = text.split_once("% of ") {
            let (part, whole): (f64, f64) = (part.trim().parse().ok()?, whole.trim().parse().ok()?);
            return Some((part * whole / 100.0).to_string());
        }
        if let Some((a, b)) = text.split_once('*') {
            return Some((a.trim().parse::<f64>().ok()? * b.trim().parse::<f64>().ok()?).to_string());
        }
        if text == "1 km to kilometres" {
            return Some("1 kilometres".to_owned());
        }
        let (distance, unit) = text.split_once("miles to ").or_else(|| text.split_once("mi in "))?;
        Some(format!("{} {unit}", distance.trim().parse::<f64>().ok()? * 1.609_344))
    }

    #[test]
    fn an_expression_is_judged_by_its_value_and_a_word_by_its_letters() {
        let lens = Lens { steps: None, evaluate: Some(&evaluate) };
        for (a, b) in [
            ("17% of 2340", "17 % of  2340"),
            ("17% of 2340", "2340 * 0.17"),
            ("17% of 2340", "0.17*2340"),
            ("12 miles to km", "12 mi in km"),
            ("12 miles to km", "12 miles to kilometres"),
        ] {
            assert!(lens.same(a, b), "{a} is {b}");
        }
        assert!(!lens.same("17% of 2340", "17% of 234"));
        assert!(!lens.same("12 miles to km", "12 miles to feet"));
        assert!(!Lens::default().same("17% of 2340", "2340 * 0.17"), "as a text it is another");
    }

    #[test]
    fn a_reference_means_the_step_that_was_expected_there() {
        let steps = BTreeMap::from([("exchange-1".to_owned(), "euros".to_owned())]);
        let lens = Lens { steps: Some(&steps), evaluate: Some(&evaluate) };
        assert!(lens.same("19% of ${euros}", "19% of ${exchange-1.converted}"));
        assert!(lens.same("19% of ${euros}", "${exchange-1.converted} * 0.19"));
        assert!(!lens.same("19% of ${euros}", "19% of ${weather-1.temperature_c}"));
        assert!(!lens.same("19% of ${euros}", "19% of 110"));
        assert!(Lens::default().same("${a}", "${b.c.d}"));
        assert!(!Lens::default().same("${a}", "$${a}"), "an escaped reference is none");
    }
}
