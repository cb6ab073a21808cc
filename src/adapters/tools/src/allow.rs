//! Where tools with effects may send: the operator's list, `tools.NAME.allow`. Nothing is allowed by default.
//!
//! An entry is `SCHEME://HOST[:PORT][/PREFIX]`. URLs are compared after parsing, so that another spelling of a host, a
//! default port or a dot segment is no way around it. [`crate::webhook`] and [`crate::deposit`] ask.

use callboard_domain::event::ToolError;
use reqwest::Url;

use crate::registry::BuildError;

/// A URL with its query; beyond it is a document in the wrong place.
const MAX_URL_BYTES: usize = 2_048;

/// The list of one tool.
#[derive(Debug, Clone)]
pub(crate) struct AllowList {
    tool: &'static str,
    entries: Vec<Url>,
}

impl AllowList {
    /// Reads the entries as an operator wrote them.
    pub fn read(tool: &'static str, entries: &[String]) -> Result<Self, BuildError> {
        let entries = entries.iter().map(|text| Self::entry(tool, "allow", text));
        Ok(Self { tool, entries: entries.collect::<Result<_, _>>()? })
    }

    /// Reads one URL of the tool's settings.
    pub fn entry(tool: &str, key: &'static str, text: &str) -> Result<Url, BuildError> {
        let wrong = |problem: &str| BuildError::Setting {
            tool: tool.to_owned(),
            key,
            problem: format!(
                "has a URL that {problem}; write SCHEME://HOST[:PORT][/PREFIX], such as https://example.org/hooks"
            ),
        };
        let url = parse(text).map_err(|problem| wrong(&problem))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("has a query or a fragment"));
        }
        Ok(url)
    }

    /// Allows what lies below `url` as well.
    pub fn with(mut self, url: &Url) -> Self {
        self.entries.push(url.clone());
        self
    }

    /// Reads a URL from a call's arguments. The error never repeats more of it than its origin: the rest may be secret.
    pub fn admit(&self, text: &str) -> Result<Url, ToolError> {
        let refused =
            |problem: &str| ToolError::new("refused", format!("{}: the URL {problem}", self.tool), false);
        let url = parse(text).map_err(|problem| refused(&problem))?;
        if self.entries.iter().any(|entry| covers(entry, &url)) {
            return Ok(url);
        }
        let origin = url.origin().ascii_serialization();
        Err(refused(&format!(
            "at {origin} is not allowed; an operator allows it with `tools.{}.allow = [\"{origin}\"]`, a path after it allows only \
             what lies below",
            self.tool
        )))
    }
}

/// Reads an http or https URL that can be compared.
pub(crate) fn parse(text: &str) -> Result<Url, String> {
    let text = text.trim();
    if text.len() > MAX_URL_BYTES {
        return Err(format!("has {} bytes; at most {MAX_URL_BYTES} are allowed", text.len()));
    }
    let url = Url::parse(text).map_err(|error| format!("is no URL ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err("is not an http or https URL".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("contains a user or password".to_owned());
    }
    let path = url.path().to_ascii_lowercase();
    if path.contains("%2f") || path.contains("%5c") {
        // Services differ in whether that is a separator, so no prefix would hold.
        return Err("has an encoded slash in its path".to_owned());
    }
    Ok(url)
}

/// Whether `url` lies below `entry`.
pub(crate) fn covers(entry: &Url, url: &Url) -> bool {
    let prefix = entry.path().trim_end_matches('/');
    let below = url.path().strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    entry.scheme() == url.scheme()
        && entry.host() == url.host()
        && entry.port_or_known_default() == url.port_or_known_default()
        && below
}

#[cfg(test)]
mod tests {
    use super::AllowList;

    fn list(entries: &[&str]) -> AllowList {
        let entries: Vec<String> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        AllowList::read("webhook", &entries).unwrap()
    }

    #[test]
    fn what_lies_below_an_entry_is_allowed_however_it_is_spelt() {
        let list = list(&["https://Example.org/hooks/", "http://127.0.0.1:8080", "https://bücher.example"]);
        for url in [
            "https://example.org/hooks",
            "HTTPS://EXAMPLE.ORG:443/hooks/a?b=c#d",
            "https://example.org/x/../hooks/a",
            "http://127.0.0.1:8080",
            "http://127.1:8080/any/path",
            "https://xn--bcher-kva.example/",
        ] {
            assert!(list.admit(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn nothing_else_is() {
        let list = list(&["https://example.org/hooks", "http://127.0.0.1:8080"]);
        for (url, words) in [
            ("https://example.org/hooksmith", "tools.webhook.allow"),
            ("https://example.org/hooks/../admin", "tools.webhook.allow"),
            ("https://example.org/hooks/%2e%2e/admin", "tools.webhook.allow"),
            ("https://example.org/hooks/..%2Fadmin", "encoded slash"),
            ("https://example.org/hooks/..\\admin", "tools.webhook.allow"),
            ("http://example.org/hooks", "tools.webhook.allow"),
            ("https://example.org:8443/hooks", "tools.webhook.allow"),
            ("https://example.org.evil.example/hooks", "tools.webhook.allow"),
            ("https://example.org@evil.example/hooks", "user or password"),
            ("https://me:word@example.org/hooks", "user or password"),
            ("http://127.0.0.1:80801/", "no URL"),
            ("http://127.0.0.1:8081/", "tools.webhook.allow"),
            ("file:///etc/passwd", "http or https"),
            ("example.org/hooks", "no URL"),
            ("", "no URL"),
        ] {
            let error = list.admit(url).unwrap_err();
            assert!(error.message.contains(words), "{url}: {}", error.message);
            assert!(!error.retryable && &*error.kind == "refused");
            assert!(!error.message.contains("word@"), "{}", error.message);
        }
        assert!(self::list(&[]).admit("https://example.org").is_err(), "nothing by default");
        assert!(list.admit(&format!("https://example.org/hooks/{}", "a".repeat(3_000))).is_err());
    }

    #[test]
    fn wrong_entries_are_named_without_their_secrets() {
        for entry in
            ["example.org", "ftp://example.org", "https://me:word@example.org", "https://example.org/?a=b"]
        {
            let error = AllowList::read("webhook", &[entry.to_owned()]).unwrap_err().to_string();
            assert!(error.contains("tools.webhook.allow") && error.contains("SCHEME://"), "{error}");
            assert!(!error.contains("word@"), "{error}");
        }
    }
}
