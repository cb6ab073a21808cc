//! The answer without a model: a line for each step, from its result as it is; failures said plainly.
//!
//! [`super::BuiltinSynthesizer`] is the face of it. Figures are copied, never computed.

use std::borrow::Cow;

use callboard_domain::limits::MAX_ANSWER_BYTES;
use callboard_domain::request::{StepReport, SynthesizeFinalAnswerRequested};
use serde_json::Value;

use super::cited;
use super::guidance::{self, NOTE};

/// Of a result whose tool has no line of its own.
const MAX_RAW_BYTES: usize = 4 * 1024;
/// Of an expression or a place in a line about its failure.
const MAX_SUBJECT_CHARACTERS: usize = 120;

/// The whole answer, within its bound.
pub(super) fn write(request: &SynthesizeFinalAnswerRequested) -> String {
    let mut lines: Vec<String> = request.steps.iter().map(line).collect();
    let guidance = request.guidance.as_deref().unwrap_or_default();
    if lines.is_empty() || guidance.starts_with(NOTE) {
        lines.extend((!guidance.is_empty()).then(|| guidance.to_owned()));
    }
    if !request.steps.is_empty() && request.steps.iter().all(cited::is_without_answer) {
        lines.push(guidance::more());
    }
    if lines.is_empty() {
        lines.push("There was nothing to do for this message.".to_owned());
    }
    bounded(lines.join("\n"), MAX_ANSWER_BYTES)
}

/// Cuts `text` at a character, and says so.
fn bounded(mut text: String, max_bytes: usize) -> String {
    const CUT: &str = "\n… (cut: the answer is too long)";
    if text.len() > max_bytes {
        text.truncate(text.floor_char_boundary(max_bytes.saturating_sub(CUT.len())));
        text.push_str(CUT);
    }
    text
}

fn line(step: &StepReport) -> String {
    if let Some(error) = step.error() {
        let subject = subject(step).map_or_else(String::new, |subject| format!(" ({subject})"));
        return format!("{}{subject} failed: {}.", step.tool, error.message.trim_end_matches('.'));
    }
    let Some(result) = step.result() else {
        let what = subject(step).unwrap_or_else(|| Cow::Owned(step.id.to_string()));
        return format!("{} ({what}) was skipped: a step that it needs did not succeed.", step.tool);
    };
    let value = result.to_value();
    let told = match &*step.tool {
        "math" => math(&value),
        "exchange" => exchange(&value),
        "weather" => weather(&value),
        "echo" => value["text"].as_str().map(str::to_owned),
        "webhook" | "deposit" => answered(step, &value),
        cited::TOOL => cited::told(step, &value),
        _ => None,
    };
    told.unwrap_or_else(|| format!("{}: {}", step.id, bounded(result.as_str().to_owned(), MAX_RAW_BYTES)))
}

/// What a step is about, for a line without a result. References in it mean nothing to a person.
fn subject(step: &StepReport) -> Option<Cow<'static, str>> {
    let arguments = step.arguments.to_value();
    let text = match &*step.tool {
        "math" => arguments["expression"].as_str()?.to_owned(),
        "weather" => arguments["place"].as_str()?.to_owned(),
        cited::TOOL => arguments["query"].as_str()?.to_owned(),
        "deposit" => arguments["text"].as_str()?.to_owned(),
        // What follows a `?` may be a key.
        "webhook" => arguments["url"].as_str()?.split('?').next()?.to_owned(),
        "exchange" => format!("{} to {}", arguments["from"].as_str()?, arguments["to"].as_str()?),
        _ => return None,
    };
    let text = if text.contains("${") { step.id.to_string() } else { text };
    Some(Cow::Owned(text.chars().take(MAX_SUBJECT_CHARACTERS).collect()))
}

/// `deposit (coin 1) was answered with 200: {"n":1}`
fn answered(step: &StepReport, value: &Value) -> Option<String> {
    let (status, what) = (value["status"].as_u64()?, subject(step)?);
    let body = match &value["body"] {
        Value::Null => String::new(),
        Value::String(text) => format!(": {}", bounded(text.clone(), MAX_RAW_BYTES)),
        body => format!(": {}", bounded(body.to_string(), MAX_RAW_BYTES)),
    };
    Some(format!("{} ({what}) was answered with {status}{body}", step.tool))
}

/// `17% of 2340 = 397.8`, `12 miles = 19.312128 km`
fn math(value: &Value) -> Option<String> {
    let (expression, result) = (value["expression"].as_str()?, value["result"].as_str()?);
    let asked = expression
        .rsplit_once(" to ")
        .or_else(|| expression.rsplit_once(" in "))
        .map_or(expression, |(what, _)| what);
    let equals = if value["approximate"] == true { "≈" } else { "=" };
    Some(format!("{} {equals} {result}", unwrapped(asked.trim())))
}

/// `(19.312128 km)` is `19.312128 km`.
fn unwrapped(text: &str) -> &str {
    text.strip_prefix('(')
        .and_then(|inner| inner.strip_suffix(')'))
        .filter(|inner| !inner.contains(['(', ')']))
        .unwrap_or(text)
}

/// `120 USD = 110.4 EUR (rate 0.92, 2026-11-20)`
fn exchange(value: &Value) -> Option<String> {
    let number = |field: &str| value[field].as_number();
    if let Some(converted) = value["converted"].as_object() {
        let figures: Vec<String> = converted.iter().map(|(to, figure)| format!("{figure} {to}")).collect();
        let date = value["date"].as_str().map_or_else(String::new, |date| format!(" ({date})"));
        return Some(format!(
            "{} {} = {}{date}",
            number("amount")?,
            value["from"].as_str()?,
            figures.join(", ")
        ));
    }
    let (from, to) = (value["from"].as_str()?, value["to"].as_str()?);
    let date = value["date"].as_str().map_or_else(String::new, |date| format!(", {date}"));
    Some(format!(
        "{} {from} = {} {to} (rate {}{date})",
        number("amount")?,
        number("converted")?,
        number("rate")?
    ))
}

/// `Berlin: 11.5 °C, overcast, wind 14.2 km/h, humidity 78 % (Germany, 2026-11-20T12:00Z)`
fn weather(value: &Value) -> Option<String> {
    let figure = |field: &str, before: &str, unit: &str| {
        value[field].as_number().map(|figure| format!("{before}{figure}{unit}"))
    };
    let told = [
        figure("temperature_c", "", " °C").or_else(|| figure("temperature_f", "", " °F")),
        value["conditions"].as_str().map(str::to_owned),
        figure("wind_kmh", "wind ", " km/h").or_else(|| figure("wind_mph", "wind ", " mph")),
        figure("humidity_percent", "humidity ", " %"),
    ];
    let told: Vec<String> = told.into_iter().flatten().collect();
    if told.is_empty() {
        return None;
    }
    let source: Vec<&str> =
        ["country", "observed_at"].iter().filter_map(|field| value[*field].as_str()).collect();
    let source = if source.is_empty() { String::new() } else { format!(" ({})", source.join(", ")) };
    let days = value["days"].as_array().into_iter().flatten().filter_map(day).collect::<String>();
    Some(format!("{}: {}{source}{days}", value["place"].as_str()?, told.join(", ")))
}

/// `\n  2026-11-29: overcast, -4 to 2 °C, 1.2 mm`
fn day(value: &Value) -> Option<String> {
    let range = |low: &str, high: &str, unit: &str| {
        Some(format!("{} to {} {unit}", value[low].as_number()?, value[high].as_number()?))
    };
    let figure = |field: &str, unit: &str| value[field].as_number().map(|figure| format!("{figure} {unit}"));
    let told = [
        value["conditions"].as_str().map(str::to_owned),
        range("low_c", "high_c", "°C").or_else(|| range("low_f", "high_f", "°F")),
        figure("precipitation_mm", "mm").or_else(|| figure("precipitation_in", "in")),
    ];
    let told: Vec<String> = told.into_iter().flatten().collect();
    Some(format!("\n  {}: {}", value["date"].as_str()?, told.join(", ")))
}
