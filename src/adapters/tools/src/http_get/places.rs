//! Where `http_get` may go: `tools.http_get.allow`. An entry is a host (`example.org`), a domain with all below it
//! (`*.example.org`), or `SCHEME://HOST[:PORT][/PREFIX]` as [`crate::allow`] has it.
//!
//! An address of this machine is asked only when an entry names it with scheme and port; other private addresses never.

use std::net::IpAddr;

use callboard_domain::event::ToolError;
use reqwest::Url;

use super::addresses::is_public;
use crate::allow::{covers, parse};
use crate::registry::BuildError;

const TOOL: &str = "http_get";
/// They are named to planners.
const MAX_ENTRIES: usize = 64;

#[derive(Debug)]
enum Place {
    Host(String),
    Below(String),
    Url(Url),
}

#[derive(Debug)]
pub(super) struct Places {
    entries: Vec<Place>,
    words: String,
}

impl Places {
    pub fn read(entries: &[String]) -> Result<Self, BuildError> {
        let wrong = |problem: String| BuildError::Setting { tool: TOOL.to_owned(), key: "allow", problem };
        if entries.len() > MAX_ENTRIES {
            return Err(wrong(format!("has {} entries; at most {MAX_ENTRIES} are allowed", entries.len())));
        }
        let read = entries.iter().map(|text| place(text.trim()).map_err(wrong));
        Ok(Self { entries: read.collect::<Result<_, _>>()?, words: entries.join(", ") })
    }

    /// The entries as they were written.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// Reads a URL from a plan or a redirect.
    pub fn admit(&self, text: &str) -> Result<Url, ToolError> {
        let refused =
            |problem: String| ToolError::new("refused", format!("{TOOL}: the URL {problem}"), false);
        let url = parse(text).map_err(&refused)?;
        let by = self.entries.iter().find(|place| place.covers(&url));
        let origin = url.origin().ascii_serialization();
        let Some(by) = by else {
            return Err(refused(format!(
                "at {origin} is not allowed; an operator allows its host with `tools.http_get.allow`; allowed are: {}",
                self.words
            )));
        };
        let named = matches!(by, Place::Url(_));
        let may = |ip: std::net::IpAddr| is_public(ip) || (named && ip.is_loopback());
        match address(&url) {
            Some(ip) if !may(ip) => Err(refused(format!(
                "at {origin} is a private, loopback or link-local address, which is never asked"
            ))),
            _ => Ok(url),
        }
    }
}

impl Place {
    fn covers(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        let usual_port = url.port().is_none();
        match self {
            Self::Host(name) => usual_port && host == name,
            Self::Below(domain) => {
                let below = host.strip_suffix(domain.as_str());
                usual_port && below.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            Self::Url(entry) => covers(entry, url),
        }
    }
}

/// The address that a URL is written with; other spellings (decimal, octal, short) were read as one.
fn address(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

fn place(text: &str) -> Result<Place, String> {
    const WRITE: &str =
        "write a host (example.org), a domain (*.example.org) or SCHEME://HOST[:PORT][/PREFIX]";
    if text.contains("://") {
        let url = parse(text).map_err(|problem| format!("has a URL that {problem}; {WRITE}"))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("has a URL that has a query or a fragment; {WRITE}"));
        }
        return match address(&url) {
            Some(ip) if ip.is_loopback() && url.port().is_none() => Err(format!(
                "has {text:?}, an address of this machine, without a port; name one, such as http://127.0.0.1:8000"
            )),
            Some(ip) if !ip.is_loopback() && !is_public(ip) => {
                Err(format!("has {text:?}, a private or link-local address, which is never asked"))
            }
            _ => Ok(Place::Url(url)),
        };
    }
    let (below, name) = text.strip_prefix("*.").map_or((false, text), |name| (true, name));
    // Read as part of a URL, so that it is spelt as URLs have it.
    let url = Url::parse(&format!("https://{name}/")).map_err(|_| format!("has {text:?}; {WRITE}"))?;
    let plain =
        url.path() == "/" && url.port().is_none() && url.username().is_empty() && url.query().is_none();
    let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
    if name.is_empty() || !plain || name.contains(['/', ':', '@', '*']) {
        return Err(format!("has {text:?}; {WRITE}"));
    }
    match address(&url) {
        Some(ip) if !is_public(ip) => Err(format!(
            "has {text:?}, a private, loopback or link-local address; one of this machine is named with scheme and port, such as \
             http://127.0.0.1:8000, the others are never asked"
        )),
        _ if below => Ok(Place::Below(host)),
        _ => Ok(Place::Host(host)),
    }
}

#[cfg(test)]
mod tests {
    use super::Places;

    fn places(entries: &[&str]) -> Places {
        let entries: Vec<String> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        Places::read(&entries).unwrap()
    }

    #[test]
    fn hosts_domains_and_prefixes() {
        let places =
            places(&["Example.org", "*.wiki.example", "https://docs.example/api", "http://127.0.0.1:8000"]);
        for url in [
            "http://example.org/a?b=c",
            "https://EXAMPLE.org./",
            "https://wiki.example/",
            "https://de.wiki.example/page",
            "https://docs.example/api/x",
            "http://127.0.0.1:8000/x",
            "http://2130706433:8000/x",
        ] {
            assert!(places.admit(url).is_ok(), "{url}: {:?}", places.admit(url));
        }
        for url in [
            "https://www.example.org/",
            "https://example.org:8443/",
            "https://notwiki.example/",
            "https://docs.example/other",
            "http://127.0.0.1:8001/",
            "http://localhost:8000/",
            "https://user:word@example.org/",
            "file:///etc/passwd",
            "ftp://example.org/",
        ] {
            let error = places.admit(url).unwrap_err();
            assert!(&*error.kind == "refused" && !error.retryable, "{url}");
        }
    }

    #[test]
    fn private_addresses_are_refused_however_they_are_spelt() {
        let wrong = [
            "127.0.0.1",
            "10.0.0.1",
            "http://10.0.0.1:8000",
            "http://127.0.0.1",
            "0x7f.1",
            "2130706433",
            "017700000001",
            "http://[::ffff:10.0.0.1]:80",
            "https://169.254.169.254",
            "a b",
            "",
            "*.",
            "example.org/path",
            "example.org:80",
        ];
        for entry in wrong {
            let error = Places::read(&[entry.to_owned()]).unwrap_err().to_string();
            assert!(error.starts_with("tools.http_get.allow has"), "{entry}: {error}");
        }
        assert!(Places::read(&["http://[::1]:8000".to_owned()]).is_ok());
    }
}
