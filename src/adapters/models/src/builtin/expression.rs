//! Judges whether words are an expression, and writes them as the evaluator reads them.
//!
//! The last resort of [`super::arithmetic`]: numbers, operators in signs or words, functions, units, and nothing else.

/// Stands for the result of an earlier step until [`super::steps`] knows which. No message can contain it unnoticed:
/// [`of`] knows no such sign.
pub(super) const PREVIOUS: char = '\u{1}';

/// More words than any expression that a person writes.
const MAX_TOKENS: usize = 400;

/// Whether all of `text` points back to a result.
pub(super) fn is_previous(text: &str) -> bool {
    const POINTERS: &[&str] = &[
        "it", "that", "this", "them", "the result", "result", "the answer", "answer", "the sum", "the total",
        "that result", "this result", "that number", "that amount", "the amount", "the product", "the difference",
    ];
    POINTERS.iter().any(|known| text.eq_ignore_ascii_case(known))
}

/// A unit as the evaluator writes it; `None` for any other words.
pub(super) fn unit(text: &str) -> Option<String> {
    let text = super::words::core(text);
    let text = super::words::after_any(text, &["the", "degrees"]).unwrap_or(text);
    let mut out: Vec<String> = Vec::new();
    for token in tokens(text)? {
        match token {
            Token::Word(word) => out.push(unit_word(word).or_else(|| (word == "per").then(|| "per".to_owned()))?),
            Token::Sign('/') => out.push("/".to_owned()),
            Token::Sign('^') => out.push("^".to_owned()),
            Token::Number(digit) if out.last().is_some_and(|last| last == "^") => out.push(digit),
            Token::Sign('%') => out.push("%".to_owned()),
            _ => return None,
        }
    }
    let (first, last) = (out.first()?, out.last()?);
    let joins = |word: &str| matches!(word, "per" | "/" | "^");
    (out.len() <= 6 && !joins(first) && !joins(last)).then(|| out.join(" "))
}

/// `text` as an expression; `None` when any part of it is none.
pub(super) fn of(text: &str) -> Option<String> {
    let tokens = tokens(text)?;
    let mut out: Vec<String> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let words = |n: usize| -> Option<Vec<&str>> {
            let words: Vec<&str> = tokens.get(at..at + n)?.iter().filter_map(Token::word).collect();
            (words.len() == n).then_some(words)
        };
        let (written, taken) = match token {
            Token::Number(number) => (number.clone(), 1),
            Token::Sign(sign) => (sign.to_string(), 1),
            Token::Word(word) => match phrase(words(3), 3).or_else(|| phrase(words(2), 2)) {
                Some(found) => found,
                None => (self::word(word, out.last().map(String::as_str), tokens.get(at + 1))?, 1),
            },
        };
        if !written.is_empty() {
            out.push(written);
        }
        at += taken;
    }
    Some(spaced(&out)).filter(|text| says_something(text))
}

/// Phrases of several words.
fn phrase(words: Option<Vec<&str>>, taken: usize) -> Option<(String, usize)> {
    let written = match words?.join(" ").to_ascii_lowercase().as_str() {
        "multiplied by" => "*",
        "divided by" => "/",
        "to the power of" | "the power of" | "raised to the" | "raised to" | "to the power" => "^",
        "per cent" => "%",
        "degrees celsius" | "degree celsius" | "degrees c" | "deg c" => "°C",
        "degrees fahrenheit" | "degree fahrenheit" | "degrees f" | "deg f" => "°F",
        "square meters" | "square metres" | "square meter" | "square metre" => "m^2",
        "square feet" | "square foot" => "ft^2",
        "square kilometers" | "square kilometres" => "km^2",
        "square miles" => "miles^2",
        "cubic meters" | "cubic metres" => "m^3",
        "miles per hour" => "mph",
        "kilometers per hour" | "kilometres per hour" => "km/h",
        "light years" | "light year" => "lightyears",
        "fluid ounces" | "fluid ounce" => "floz",
        _ => return None,
    };
    Some((written.to_owned(), taken))
}

/// One word, knowing what stands around it.
fn word(word: &str, before: Option<&str>, after: Option<&Token<'_>>) -> Option<String> {
    let lower = word.to_ascii_lowercase();
    let written = match lower.as_str() {
        "plus" => "+",
        "minus" | "less" => "-",
        "times" => "*",
        "over" => "/",
        "mod" | "modulo" => "mod",
        "of" => "of",
        "per" => "per",
        "percent" | "pct" => "%",
        "squared" => "^2",
        "cubed" => "^3",
        "the" | "a" if after.is_some() => "",
        "to" | "in" | "into" | "as" if after.is_some() => "to",
        "x" if before.is_some() && after.is_some() => "*",
        "pi" | "π" => "pi",
        "e" => "e",
        "sqrt" | "cbrt" | "sin" | "cos" | "tan" | "asin" | "acos" | "atan" | "sinh" | "cosh" | "tanh" | "ln" | "log"
        | "log2" | "log10" | "abs" | "floor" | "ceil" | "round" | "exp" => return Some(lower),
        _ => return number_word(&lower).map(|n| n.to_string()).or_else(|| unit_word(word)),
    };
    Some(written.to_owned())
}

/// Puts tokens together: no spaces inside calls and powers, spaces around operators.
fn spaced(tokens: &[String]) -> String {
    let mut out = String::new();
    for (i, token) in tokens.iter().enumerate() {
        let previous = i.checked_sub(1).map(|i| tokens[i].as_str());
        let tight = token.starts_with(['^', '%', ')', '!', ',', '\'', '"'])
            || matches!(previous, None | Some("(" | "^" | "√"))
            || (token == "(" && previous.is_some_and(|word| word.starts_with(|c: char| c.is_ascii_lowercase() && word.len() > 1) && is_function(word)));
        if !tight && !(previous == Some("-") && leads(tokens, i - 1)) {
            out.push(' ');
        }
        out.push_str(token);
    }
    out
}

/// Whether the sign at `at` is a sign of a number rather than between two.
fn leads(tokens: &[String], at: usize) -> bool {
    at == 0 || matches!(tokens[at - 1].as_str(), "(" | "+" | "-" | "*" | "/" | "^" | "to" | "of")
}

fn is_function(word: &str) -> bool {
    matches!(
        word,
        "sqrt" | "cbrt" | "sin" | "cos" | "tan" | "asin" | "acos" | "atan" | "sinh" | "cosh" | "tanh" | "ln" | "log"
            | "log2" | "log10" | "abs" | "floor" | "ceil" | "round" | "exp"
    )
}

/// A lone number says nothing that a person would ask; a value and something done to it does.
pub(super) fn says_something(text: &str) -> bool {
    let value = text.contains(|c: char| c.is_ascii_digit() || c == PREVIOUS) || text.contains("pi");
    let done = text.trim_start_matches('-').contains(['+', '-', '*', '/', '^', '!', '(', '√'])
        || [" to ", " of ", " mod "].iter().any(|word| text.contains(word));
    value && done
}

enum Token<'a> {
    Number(String),
    Word(&'a str),
    Sign(char),
}

impl Token<'_> {
    fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            _ => None,
        }
    }
}

fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let mut out = Vec::new();
    let mut rest = text.trim();
    while let Some(c) = rest.chars().next() {
        if out.len() == MAX_TOKENS {
            return None;
        }
        let (token, len) = if c.is_ascii_digit() || (c == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            number(rest)?
        } else if c.is_alphabetic() || c == '°' || c == 'µ' {
            let end = rest.char_indices().skip(1).find(|(_, c)| !c.is_alphanumeric()).map_or(rest.len(), |(at, _)| at);
            (Token::Word(&rest[..end]), end)
        } else {
            let sign = match c {
                '+' | '-' | '*' | '/' | '^' | '(' | ')' | '!' | '%' | '√' | '\'' | '"' => c,
                '×' | '·' | '⋅' => '*',
                '÷' => '/',
                '−' | '–' => '-',
                _ => return None,
            };
            if rest.starts_with("**") { (Token::Sign('^'), 2) } else { (Token::Sign(sign), c.len_utf8()) }
        };
        out.push(token);
        rest = rest[len..].trim_start();
    }
    (!out.is_empty()).then_some(out)
}

/// `1,234.5`, `3e8`, as one token without its commas.
fn number(rest: &str) -> Option<(Token<'_>, usize)> {
    let bytes = rest.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut end = 0;
    let mut points = 0;
    loop {
        match bytes.get(end) {
            Some(b'0'..=b'9') => end += 1,
            Some(b',') if digit(end + 1) && digit(end + 2) && digit(end + 3) && !digit(end + 4) => end += 1,
            Some(b'.') if points == 0 && digit(end + 1) => {
                points += 1;
                end += 1;
            }
            Some(b'e' | b'E') if digit(end + 1) || (matches!(bytes.get(end + 1), Some(b'-' | b'+')) && digit(end + 2)) => {
                end += 2;
                while digit(end) {
                    end += 1;
                }
                break;
            }
            // `1,5` and `1.2.3` are written by somebody who means something else.
            Some(b',' | b'.') if digit(end + 1) => return None,
            _ => break,
        }
    }
    Some((Token::Number(rest[..end].replace(',', "")), end))
}

fn number_word(word: &str) -> Option<u32> {
    const ONES: &[&str] = &[
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
        "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
    ];
    const TENS: &[&str] = &["thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred"];
    let ones = ONES.iter().position(|known| word == *known).and_then(|n| u32::try_from(n).ok());
    let tens = TENS.iter().position(|known| word == *known).and_then(|n| u32::try_from(n).ok());
    ones.or(tens.map(|n| (n + 3) * 10))
}

/// Units that people ask about, in the evaluator's spelling. Symbols count in their own case only: `M` is no metre.
fn unit_word(word: &str) -> Option<String> {
    const SYMBOLS: &[&str] = &[
        "m", "km", "cm", "mm", "nm", "µm", "mi", "ft", "yd", "g", "kg", "mg", "t", "lb", "lbs", "oz", "l", "L", "ml", "mL",
        "cl", "dl", "s", "ms", "h", "min", "W", "kW", "MW", "GW", "kWh", "Wh", "J", "kJ", "MJ", "cal", "kcal", "V", "A",
        "mA", "Hz", "kHz", "MHz", "GHz", "Pa", "kPa", "hPa", "MPa", "bar", "mbar", "atm", "psi", "N", "kN", "K", "°C", "°F",
        "C", "F", "kB", "KB", "MB", "GB", "TB", "PB", "KiB", "MiB", "GiB", "TiB", "Mbit", "Gbit", "Mbps", "Gbps", "mph",
        "kph", "kmh", "rad", "deg", "ha", "hp", "floz",
    ];
    const NAMES: &[&str] = &[
        "meter", "meters", "metre", "metres", "kilometer", "kilometers", "kilometre", "kilometres", "centimeter",
        "centimeters", "centimetre", "centimetres", "millimeter", "millimeters", "millimetre", "millimetres", "mile",
        "miles", "foot", "feet", "yard", "yards", "inch", "inches", "gram", "grams", "kilogram", "kilograms", "kilo",
        "kilos", "milligram", "milligrams", "tonne", "tonnes", "ton", "tons", "pound", "pounds", "ounce", "ounces", "stone",
        "liter", "liters", "litre", "litres", "milliliter", "milliliters", "millilitre", "millilitres", "gallon", "gallons",
        "pint", "pints", "quart", "quarts", "cup", "cups", "tablespoon", "tablespoons", "teaspoon", "teaspoons", "second",
        "seconds", "minute", "minutes", "hour", "hours", "day", "days", "week", "weeks", "month", "months", "year", "years",
        "decade", "decades", "century", "centuries", "celsius", "fahrenheit", "kelvin", "watt", "watts", "kilowatt",
        "kilowatts", "joule", "joules", "calorie", "calories", "volt", "volts", "ampere", "amperes", "hertz", "pascal",
        "pascals", "newton", "newtons", "byte", "bytes", "kilobyte", "kilobytes", "megabyte", "megabytes", "gigabyte",
        "gigabytes", "terabyte", "terabytes", "bit", "bits", "degree", "degrees", "radian", "radians", "acre", "acres",
        "hectare", "hectares", "lightyear", "lightyears", "knot", "knots", "furlong", "furlongs", "fathom", "fathoms",
        "parsec", "parsecs", "dozen", "thousand", "million", "billion", "hex", "binary", "octal", "decimal", "fraction",
    ];
    let lower = word.to_lowercase();
    let spelled = match lower.as_str() {
        "celsius" | "centigrade" => "°C",
        "fahrenheit" => "°F",
        "kilo" | "kilos" => "kg",
        "kmh" | "kph" => "km/h",
        "kelvins" => "kelvin",
        "mbps" => "Mbit/s",
        "gbps" => "Gbit/s",
        "°c" => "°C",
        "°f" => "°F",
        "lbs" => "lb",
        _ if SYMBOLS.contains(&word) => word,
        _ if NAMES.contains(&lower.as_str()) => lower.as_str(),
        // Symbols of two letters and more that people write small or large at will.
        _ => SYMBOLS.iter().find(|known| known.len() > 1 && known.eq_ignore_ascii_case(word))?,
    };
    Some(spelled.to_owned())
}
