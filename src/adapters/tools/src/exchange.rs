//! `exchange`: money from one currency to others at a day's reference rate of a Frankfurter (ECB rates).
//!
//! A neighbour of the other tools under [`crate::registry`]; asks through [`crate::http`].

use std::time::Duration;

use callboard_domain::event::ToolError;
use callboard_domain::json::RawJson;
use callboard_domain::plan::Backoff;
use callboard_ports::tool::{Call, Tool, ToolSpec};
use futures_util::future::BoxFuture;
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde_json::{Map, Number, Value, json};

use crate::config::ExchangeConfig;
use crate::http::{Http, address, base_url, unexpected};
use crate::registry::BuildError;
use crate::spec::{self, Defaults};

const PUBLIC: &str = "https://api.frankfurter.dev";
/// Reference rates have five or six digits; what multiplication adds beyond ten is binary noise (110.39999…).
const SIGNIFICANT_DIGITS: usize = 10;
/// Currencies at once; all that are in daily trade are some thirty.
const MAX_TARGETS: usize = 40;
/// Where the service does not say how long its rates are fresh. They change once on a working day…
const FRESH: Duration = Duration::from_secs(10 * 60);
/// …and those of a day that has passed never.
const FRESH_OF_A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) struct Exchange {
    spec: ToolSpec,
    base: Url,
    http: Http,
}

#[derive(Deserialize)]
struct Arguments {
    amount: Option<Number>,
    from: String,
    to: To,
    date: Option<String>,
}

/// One currency, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum To {
    One(String),
    Several(Vec<String>),
}

impl Exchange {
    pub fn new(config: &ExchangeConfig, http: Http) -> Result<Self, BuildError> {
        let currency = |what: &str| {
            json!({
                "type": "string", "pattern": "^[A-Za-z]{3}$",
                "description": format!("ISO 4217 code of the currency to convert {what}, such as USD.")
            })
        };
        let defaults = Defaults {
            name: "exchange",
            description: "Converts `amount` of the currency `from` to the currency `to` at the reference rate of today, or of \
                          the day `date`. The result has `converted`, `rate` and `date`; with a list in `to` it has \
                          `converted` and `rates` by currency.",
            schema: json!({
                "type": "object",
                "properties": {
                    "amount": {"type": "number", "description": "How much; 1 when left out."},
                    "from": currency("from"),
                    "to": {"anyOf": [
                        currency("to"),
                        {"type": "array", "items": currency("to"), "minItems": 1, "maxItems": MAX_TARGETS}
                    ]},
                    "date": {
                        "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
                        "description": "A day from 1999-01-04 to today, as YYYY-MM-DD; today when left out."
                    }
                },
                "required": ["from", "to"],
                "additionalProperties": false
            }),
            timeout_ms: 10_000,
            deadline_ms: 60_000,
            max_attempts: 3,
            backoff: Backoff { initial_ms: 300, max_ms: 5_000 },
            concurrency: 16,
        };
        Ok(Self {
            spec: spec::pure(defaults, &config.overrides())?,
            base: base_url("exchange", "base_url", config.base_url.as_deref().unwrap_or(PUBLIC))?,
            http,
        })
    }
}

impl Tool for Exchange {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<RawJson, ToolError>> {
        Box::pin(async move {
            let arguments: Arguments = serde_json::from_str(call.arguments.as_str())
                .map_err(|error| ToolError::new("invalid_arguments", format!("exchange: {error}"), false))?;
            let work = convert(self.http.clone(), self.base.clone(), arguments);
            self.http.run("exchange", call.timeout_ms, work).await
        })
    }
}

async fn convert(http: Http, base: Url, arguments: Arguments) -> Result<RawJson, ToolError> {
    let from = arguments.from.to_uppercase();
    let (targets, several) = match &arguments.to {
        To::One(to) => (vec![to.to_uppercase()], false),
        To::Several(to) => (to.iter().map(|to| to.to_uppercase()).collect(), true),
    };
    let amount = arguments.amount.unwrap_or_else(|| 1.into());
    let others: Vec<&str> = targets.iter().map(String::as_str).filter(|to| **to != from).collect();
    let symbols = others.join(",");
    // A Frankfurter knows no rate of a currency against itself; asking for all shows whether it is one.
    let mut query = vec![("base", from.as_str())];
    if !others.is_empty() {
        query.push(("symbols", symbols.as_str()));
    }
    let (path, usual) = match &arguments.date {
        Some(date) => (format!("/v1/{date}"), FRESH_OF_A_DAY),
        None => ("/v1/latest".to_owned(), FRESH),
    };
    let reply = http.get("exchange", address(&base, &path, &query), usual).await?;
    if matches!(
        reply.status,
        StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST
    ) {
        return Err(unknown(&from, &targets.join(", "), arguments.date.as_deref()));
    }
    if !reply.status.is_success() {
        return Err(reply.refusal("exchange"));
    }
    let (mut rates, mut converted) = (Map::new(), Map::new());
    for to in &targets {
        let rate = if *to == from {
            Number::from(1)
        } else {
            rate(&reply.body, &from, to, arguments.date.as_deref())?
        };
        let exact = amount.as_f64().zip(rate.as_f64()).map(|(amount, rate)| amount * rate);
        let figure = exact.and_then(rounded).ok_or_else(|| {
            let message = format!(
                "{amount} {from} at a rate of {rate} is more than can be counted; use a smaller amount"
            );
            ToolError::new("invalid_arguments", message, false)
        })?;
        rates.insert(to.clone(), Value::Number(rate));
        converted.insert(to.clone(), Value::Number(figure));
    }
    let mut result = Map::from_iter([
        ("amount".to_owned(), Value::Number(amount)),
        ("from".to_owned(), Value::from(from)),
    ]);
    match targets.first().filter(|_| !several) {
        Some(to) => {
            result.insert("to".to_owned(), Value::from(to.as_str()));
            result.insert("rate".to_owned(), rates.remove(to).unwrap_or_default());
            result.insert("converted".to_owned(), converted.remove(to).unwrap_or_default());
        }
        None => {
            result.insert("rates".to_owned(), Value::Object(rates));
            result.insert("converted".to_owned(), Value::Object(converted));
        }
    }
    // The day whose rates these are: of a weekend it is the Friday before.
    if let Some(date) = reply.body["date"].as_str() {
        result.insert("date".to_owned(), Value::from(date));
    }
    Ok(RawJson::from_value(&Value::Object(result)))
}

/// The rate as the service gives it: for an amount of 1, because no other was asked for.
fn rate(body: &Value, from: &str, to: &str, date: Option<&str>) -> Result<Number, ToolError> {
    let rates = body["rates"].as_object().ok_or_else(|| unexpected("exchange", "rates"))?;
    match rates.get(to) {
        Some(Value::Number(rate)) => Ok(rate.clone()),
        Some(_) => Err(unexpected("exchange", "number as its rate")),
        None => Err(unknown(from, to, date)),
    }
}

fn unknown(from: &str, to: &str, date: Option<&str>) -> ToolError {
    let day = date.map_or_else(String::new, |date| format!(" on {date}"));
    let message = format!(
        "there is no exchange rate from {from} to {to}{day}; both must be ISO 4217 codes in daily trade"
    );
    ToolError::new("not_found", message, false)
}

/// To the significant digits; a whole number stays one. `None` when it is not finite.
fn rounded(exact: f64) -> Option<Number> {
    let text = format!("{exact:.*e}", SIGNIFICANT_DIGITS - 1);
    let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

#[cfg(test)]
mod tests {
    use super::rounded;

    #[test]
    fn binary_noise_is_rounded_away() {
        assert_eq!(rounded(120.0 * 0.92).unwrap().to_string(), "110.4");
        assert_eq!(rounded(1_000_000.0 * 151.2).unwrap().to_string(), "151200000");
        assert_eq!(rounded(0.000_12 * 0.92).unwrap().to_string(), "0.0001104");
        assert_eq!(rounded(-3.0 * 0.1).unwrap().to_string(), "-0.3");
        assert!(rounded(f64::INFINITY).is_none());
    }
}
