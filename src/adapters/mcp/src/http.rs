//! A server over streamable HTTP: the client that reaches it and what its errors say about a request.
//!
//! [`crate::life`] connects with it, [`crate::call`] asks [`fate`] about requests that failed.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::common::client_side_sse::ExponentialBackoff;
use rmcp::transport::streamable_http_client::{StreamableHttpClientTransportConfig, StreamableHttpError};

use crate::http_client::{HttpClient, NOT_READ};
use crate::settings::{Reach, Settings};
use crate::stdout::MAX_MESSAGE_BYTES;

/// A host that does not accept a connection in this time is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Tries at taking up a stream of events that broke: some three seconds, then the server is started anew.
const STREAM_TRIES: usize = 4;

pub(crate) type HttpTransport = StreamableHttpClientTransport<HttpClient>;

/// The transport to a server that is reached over HTTP.
///
/// # Errors
/// Why there is none, in a sentence.
pub(crate) fn transport(settings: &Settings) -> Result<HttpTransport, String> {
    let Reach::Http { url, headers } = &settings.reach else {
        return Err("it is not reached over HTTP".to_owned());
    };
    let mut builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        // A redirect would take the headers, which are secret, elsewhere.
        .redirect(Policy::none())
        // A request goes out once: a second one behind our back might be a second effect.
        .retry(reqwest::retry::never())
        .user_agent(concat!("callboard/", env!("CARGO_PKG_VERSION")));
    if is_loopback(url) {
        builder = builder.no_proxy();
    }
    let client = builder.build().map_err(|error| format!("no HTTP client: {}", innermost(&error)))?;
    let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
        .custom_headers(headers.iter().cloned().collect())
        .max_concurrent_requests(settings.concurrency)
        .max_sse_event_size(MAX_MESSAGE_BYTES)
        // A new session is a new life, with a new list of tools.
        .reinit_on_expired_session(false);
    let mut again = ExponentialBackoff::default();
    again.max_times = Some(STREAM_TRIES);
    again.base_duration = Duration::from_millis(200);
    again.max_delay = Some(Duration::from_secs(2));
    config.retry_config = Arc::new(again);
    Ok(StreamableHttpClientTransport::with_client(HttpClient(client), config))
}

fn is_loopback(url: &Url) -> bool {
    matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

/// What is known about a request that could not be sent or had no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It did not arrive, or was not taken: it may be sent again.
    NotTaken(String),
    /// The server refuses such requests.
    Refused(String),
    /// It may have been carried out.
    Unknown(String),
}

/// Judges what a transport says. Nothing of it names the URL, whose query may hold a key.
pub(crate) fn fate(error: &(dyn Error + Send + Sync + 'static)) -> Fate {
    let Some(error) = error.downcast_ref::<StreamableHttpError<reqwest::Error>>() else {
        // A pipe that takes no more has not taken the whole line, and half a line is no message.
        return Fate::NotTaken(format!("it takes no messages any more: {error}"));
    };
    match error {
        StreamableHttpError::Client(error) if error.is_connect() || error.is_builder() => {
            Fate::NotTaken(format!("it could not be reached: {}", innermost(error)))
        }
        StreamableHttpError::Client(error) => Fate::Unknown(format!("it broke off: {}", innermost(error))),
        StreamableHttpError::HttpStatus(answer) if matches!(answer.status, 429 | 503) => {
            Fate::NotTaken(format!("it answered {}: it is not taking requests now", answer.status))
        }
        StreamableHttpError::HttpStatus(answer) => Fate::Unknown(format!("it answered {}", answer.status)),
        StreamableHttpError::SessionExpired => {
            Fate::NotTaken("it does not know the session any more (404)".to_owned())
        }
        StreamableHttpError::AuthRequired(_) | StreamableHttpError::InsufficientScope(_) => {
            Fate::Refused("it wants another authorization; set it in headers".to_owned())
        }
        StreamableHttpError::UnexpectedServerResponse(words) if words.starts_with(NOT_READ) => {
            Fate::NotTaken(words.to_string())
        }
        StreamableHttpError::UnexpectedServerResponse(words) if words.starts_with("HTTP 4") => {
            Fate::Refused(format!("it answered {words}"))
        }
        StreamableHttpError::ReservedHeaderConflict(name) => {
            Fate::Refused(format!("it has no use for header {name}"))
        }
        other => Fate::Unknown(other.to_string()),
    }
}

/// The cause at the bottom: reqwest's own words name the URL, the last cause is what happened.
fn innermost(error: &reqwest::Error) -> String {
    let mut source: Option<&dyn Error> = error.source();
    let mut words = None;
    while let Some(cause) = source {
        words = Some(cause.to_string());
        source = cause.source();
    }
    words.unwrap_or_else(|| "no further cause is known".to_owned())
}
