//! Frankfurter v1 as a stub: a day's reference rates between currencies, the same on every day.
//!
//! One of the services of [`super`]. Rates are fixed: 1 USD is 0.92 EUR, unless a test says otherwise.

use std::collections::BTreeMap;
use std::io;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

use super::request::{Received, Reply};
use super::server::Stub;

/// How much of each currency one US dollar buys.
type PerDollar = BTreeMap<String, f64>;

/// A running Frankfurter.
#[derive(Debug)]
pub struct Exchange {
    stub: Stub,
    rates: Arc<Mutex<PerDollar>>,
}

impl Exchange {
    /// Starts it.
    pub fn start() -> io::Result<Self> {
        let known = [
            ("USD", 1.0),
            ("EUR", 0.92),
            ("GBP", 0.79),
            ("NOK", 10.9),
            ("SEK", 10.5),
            ("CHF", 0.88),
            ("JPY", 151.2),
        ];
        let rates = known.map(|(currency, rate)| (currency.to_owned(), rate));
        let rates = Arc::new(Mutex::new(PerDollar::from(rates)));
        let seen = rates.clone();
        let answer = move |request: &Received| answer(&lock(&seen), request);
        Ok(Self { stub: Stub::start("exchange", Box::new(answer), refusal)?, rates })
    }

    /// From now on one US dollar buys `rate` of `currency`; a new currency becomes known.
    pub fn set_per_dollar(&self, currency: &str, rate: f64) {
        lock(&self.rates).insert(currency.to_uppercase(), rate);
    }
}

impl Deref for Exchange {
    type Target = Stub;
    fn deref(&self) -> &Stub {
        &self.stub
    }
}

fn answer(rates: &PerDollar, request: &Received) -> Reply {
    match request.route() {
        ("GET", "/v1/latest") => day(rates, request, "2026-11-20"),
        ("GET", "/v1/currencies") => {
            Reply::ok(rates.keys().map(|name| (name.clone(), json!(name))).collect())
        }
        ("GET", path) => match path.strip_prefix("/v1/").filter(|date| date.len() == 10) {
            Some(date) => day(rates, request, date),
            None => not_found(),
        },
        _ => not_found(),
    }
}

fn day(rates: &PerDollar, request: &Received, date: &str) -> Reply {
    let param = |name: &str, old_name: &str| request.param(name).or_else(|| request.param(old_name));
    let base = param("base", "from").unwrap_or("EUR").to_uppercase();
    let Some(base_rate) = rates.get(&base) else { return not_found() };
    let Ok(amount) = request.param("amount").unwrap_or("1").parse::<f64>() else {
        return Reply::new(422, json!({"message": "invalid amount"}));
    };
    let wanted = param("symbols", "to")
        .map(|symbols| symbols.split(',').map(|symbol| symbol.trim().to_uppercase()).collect::<Vec<_>>());
    // A currency has no rate against itself there.
    let found: Map<String, Value> = rates
        .iter()
        .filter(|(currency, _)| **currency != base)
        .filter(|(currency, _)| wanted.as_ref().is_none_or(|wanted| wanted.contains(currency)))
        .map(|(currency, rate)| (currency.clone(), json!(rounded(amount * rate / base_rate))))
        .collect();
    if found.is_empty() {
        return not_found();
    }
    Reply::ok(json!({"amount": amount, "base": base, "date": date, "rates": found}))
}

/// Five decimals, as the rates are published; what division adds beyond them is noise.
fn rounded(rate: f64) -> f64 {
    (rate * 100_000.0).round() / 100_000.0
}

fn not_found() -> Reply {
    Reply::new(404, json!({"message": "not found"}))
}

fn refusal(status: u16) -> Value {
    json!({"message": format!("the stub was told to answer {status}")})
}

fn lock(rates: &Mutex<PerDollar>) -> MutexGuard<'_, PerDollar> {
    rates.lock().unwrap_or_else(PoisonError::into_inner)
}
