//! Where Ollama is, as people and `OLLAMA_HOST` write it.

use reqwest::Url;

use super::USUAL_PORT;

/// Reads `OLLAMA_HOST` as Ollama itself does: a host, `host:port` or a URL; an address to listen on everywhere is
/// reached at home.
///
/// # Errors
/// A sentence on what is wrong with it.
pub fn host_url(host: &str) -> Result<Url, String> {
    let host = host.trim();
    let with_scheme = if host.contains("://") { host.to_owned() } else { format!("http://{host}") };
    let mut url = Url::parse(&with_scheme).map_err(|error| format!("{host:?} is no address ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("{host:?} is no address of a web service"));
    }
    let unusable = |_| format!("{host:?} is no address of a web service");
    if matches!(url.host_str(), Some("0.0.0.0" | "[::]")) {
        url.set_host(Some("127.0.0.1")).map_err(|error| error.to_string())?;
    }
    if url.port().is_none() && !host.contains("://") {
        url.set_port(Some(USUAL_PORT)).map_err(unusable)?;
    }
    url.set_path("/");
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::host_url;

    #[test]
    fn hosts_are_read_as_ollama_reads_them() {
        for (host, url) in [
            ("127.0.0.1", "http://127.0.0.1:11434/"),
            ("0.0.0.0:1234", "http://127.0.0.1:1234/"),
            ("models.example", "http://models.example:11434/"),
            ("https://models.example", "https://models.example/"),
            ("http://localhost:8000/ignored", "http://localhost:8000/"),
        ] {
            assert_eq!(host_url(host).unwrap().as_str(), url);
        }
        assert!(host_url("ftp://x").is_err() && host_url("").is_err());
    }
}
