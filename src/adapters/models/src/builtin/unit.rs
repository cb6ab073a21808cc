//! Units and number words that people use, in the evaluator's spelling. [`super::expression`] and
//! [`super::arithmetic`] ask here whether a word is one.

use super::token::{Token, tokens};
use super::words::{after_any, core};

/// A unit as the evaluator writes it; `None` for any other words.
pub(super) fn unit(text: &str) -> Option<String> {
    let text = core(text);
    let text = after_any(text, &["the", "degrees"]).unwrap_or(text);
    let mut out: Vec<String> = Vec::new();
    for token in tokens(text)? {
        match token {
            Token::Word(word) => {
                out.push(unit_word(word).or_else(|| (word == "per").then(|| "per".to_owned()))?)
            }
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

/// `twelve`, `ninety`: what people write out.
pub(super) fn number_word(word: &str) -> Option<u32> {
    const ONES: &str = "\
        zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen \
        sixteen seventeen eighteen nineteen twenty";
    const TENS: &str = "\
        thirty forty fifty sixty seventy eighty ninety hundred";
    let ones = ONES.split(' ').position(|known| word == known).and_then(|n| u32::try_from(n).ok());
    let tens = TENS.split(' ').position(|known| word == known).and_then(|n| u32::try_from(n).ok());
    ones.or(tens.map(|n| (n + 3) * 10))
}

/// Units that people ask about, in the evaluator's spelling. Symbols count in their own case only: `M` is no metre.
pub(super) fn unit_word(word: &str) -> Option<String> {
    const SYMBOLS: &str = "\
        m km cm mm nm µm mi ft yd g kg mg t lb lbs oz l L ml mL cl dl s ms h min W kW MW GW kWh Wh J kJ MJ \
        cal kcal V A mA Hz kHz MHz GHz Pa kPa hPa MPa bar mbar atm psi N kN K °C °F C F kB KB MB GB TB PB \
        KiB MiB GiB TiB Mbit Gbit Mbps Gbps mph kph kmh rad deg ha hp floz";
    const NAMES: &str = "\
        meter meters metre metres kilometer kilometers kilometre kilometres centimeter centimeters \
        centimetre centimetres millimeter millimeters millimetre millimetres mile miles foot feet yard \
        yards inch inches gram grams kilogram kilograms kilo kilos milligram milligrams tonne tonnes ton \
        tons pound pounds ounce ounces stone liter liters litre litres milliliter milliliters millilitre \
        millilitres gallon gallons pint pints quart quarts cup cups tablespoon tablespoons teaspoon \
        teaspoons second seconds minute minutes hour hours day days week weeks month months year years \
        decade decades century centuries celsius fahrenheit kelvin watt watts kilowatt kilowatts joule \
        joules calorie calories volt volts ampere amperes hertz pascal pascals newton newtons byte bytes \
        kilobyte kilobytes megabyte megabytes gigabyte gigabytes terabyte terabytes bit bits degree \
        degrees radian radians acre acres hectare hectares lightyear lightyears knot knots furlong \
        furlongs fathom fathoms parsec parsecs dozen thousand million billion hex binary octal decimal \
        fraction";
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
        _ if SYMBOLS.split(' ').any(|known| known == word) => word,
        _ if NAMES.split(' ').any(|known| known == lower) => lower.as_str(),
        // Symbols of two letters and more that people write small or large at will.
        _ => SYMBOLS.split(' ').find(|known| known.len() > 1 && known.eq_ignore_ascii_case(word))?,
    };
    Some(spelled.to_owned())
}
