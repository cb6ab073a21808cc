//! `config show`: every value with where it came from, and the keys that have none; secrets only say that they
//! are set.

use figment::value::Value;
use serde::Serialize;

use super::keys;
use super::load::{DEFAULT, Loaded};
use super::sources::leaves;

/// One line of `config show`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    pub key: String,
    /// `null` where it is not set, `"(secret)"` where it must not be shown.
    pub value: serde_json::Value,
    pub origin: String,
}

/// All values in force, by key, and after them the known keys that nobody set.
#[must_use]
pub fn shown(loaded: &Loaded) -> Vec<Shown> {
    let mut out: Vec<Shown> = Vec::new();
    let Ok(root) = loaded.figment().extract::<figment::value::Dict>() else { return out };
    for name in root.keys() {
        let Ok(value) = loaded.figment().find_value(name) else { continue };
        let dict = figment::value::Dict::from([(name.clone(), value)]);
        for (path, value) in leaves(&dict) {
            let origin = loaded.figment().get_metadata(value.tag());
            out.push(Shown {
                key: path.join("."),
                value: json(&path, &value),
                origin: origin.map_or_else(|| DEFAULT.to_owned(), |found| found.name.to_string()),
            });
        }
    }
    let keys: Vec<String> = out.iter().map(|line| line.key.clone()).collect();
    let unset = |key| Shown { key, value: serde_json::Value::Null, origin: DEFAULT.to_owned() };
    out.extend(keys::not_among(&keys).into_iter().map(unset));
    out
}

fn json(path: &[String], value: &Value) -> serde_json::Value {
    let written = serde_json::to_value(value).unwrap_or_default();
    let set = !matches!(&written, serde_json::Value::Null);
    if set && keys::is_secret(path) { serde_json::Value::from(SECRET) } else { without_credentials(written) }
}

const SECRET: &str = "(secret)";

fn without_credentials(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::String(text) => serde_json::Value::from(public_parts(&text)),
        serde_json::Value::Array(items) => items.into_iter().map(without_credentials).collect(),
        other => other,
    }
}

/// A text whose password and query are hidden, where it has such; `user:password@host` counts without a scheme
/// too, as some variables have it. Read as text, so that a URL with a mistake in it is hidden as well.
fn public_parts(text: &str) -> String {
    let (scheme, rest) = text.find("://").map_or(("", text), |at| text.split_at(at + 3));
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:{SECRET}@{host}"),
            // A name that comes alone is often a token.
            None if !scheme.is_empty() => format!("{SECRET}@{host}"),
            None => authority.to_owned(),
        },
        None => authority.to_owned(),
    };
    match rest.split_once('?') {
        Some((path, _)) if !scheme.is_empty() => format!("{scheme}{authority}{path}?{SECRET}"),
        _ => format!("{scheme}{authority}{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::public_parts;

    #[test]
    fn passwords_and_queries_of_urls_are_hidden_and_nothing_else() {
        for (written, shown) in [
            ("http://bob:hunter22@host:1/v1", "http://bob:(secret)@host:1/v1"),
            ("https://host/v1?key=hunter22#part", "https://host/v1?(secret)"),
            ("https://hunter22@host?key=hunter22", "https://(secret)@host?(secret)"),
            ("bob:hunter22@host:11434", "bob:(secret)@host:11434"),
            ("http://bob:hun@ter22@host with a space", "http://bob:(secret)@host with a space"),
            ("http://host:1/v1/@me", "http://host:1/v1/@me"),
            ("a:9092,b:9092", "a:9092,b:9092"),
            ("info,what=debug", "info,what=debug"),
            ("/data/why?", "/data/why?"),
        ] {
            assert_eq!(public_parts(written), shown);
        }
    }
}
