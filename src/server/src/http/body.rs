//! Request bodies: read within their bound, then field by field, so that every refusal names its field.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, web};
use bytes::BytesMut;
use callboard_domain::limits::{MAX_MESSAGE_BYTES, MAX_METADATA_BYTES};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::problem::Problem;

/// A message and metadata at their bounds, six times because a client may write every byte as `\u00XX`, and room
/// for the other fields.
pub const MAX_BODY_BYTES: usize = 6 * (MAX_MESSAGE_BYTES + MAX_METADATA_BYTES) + 4 * 1024;

/// A megabyte and a half over a poor mobile link; whoever is slower holds a connection for nothing.
const ARRIVED_WITHIN: Duration = Duration::from_secs(30);

/// The fields of a JSON object, not yet read.
#[derive(Debug, Default)]
pub struct Fields(BTreeMap<String, Box<RawValue>>);

/// Reads the body of a request as a JSON object. An empty body is an empty object where `optional`.
///
/// # Errors
/// 415 when it is not said to be JSON, 413 when it is too large, 400 when it is no JSON object in UTF-8.
pub async fn fields(request: &HttpRequest, payload: web::Payload, optional: bool) -> Result<Fields, Problem> {
    let bytes = bytes(payload).await?;
    parse(request, &bytes, optional)
}

/// Reads the body of a request within its bound.
///
/// # Errors
/// 413 when it is too large, 408 when it takes too long.
pub async fn bytes(payload: web::Payload) -> Result<BytesMut, Problem> {
    let late = || {
        let detail = format!("the body did not arrive within {} s", ARRIVED_WITHIN.as_secs());
        Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail)
    };
    tokio::time::timeout(ARRIVED_WITHIN, read(payload)).await.map_err(|_| late())?
}

/// Reads bytes as a JSON object.
///
/// # Errors
/// As [`fields`].
pub fn parse(request: &HttpRequest, bytes: &[u8], optional: bool) -> Result<Fields, Problem> {
    if bytes.is_empty() && optional {
        return Ok(Fields::default());
    }
    let media = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = media.split(';').next().unwrap_or("").trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let detail = format!("the body must be sent as application/json, not as {essence:?}");
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Problem::new(status, "unsupported_media_type", detail).field("content-type"));
    }
    if bytes.is_empty() {
        return Err(Problem::bad_request("empty_body", "the body is empty; a JSON object is needed"));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let detail = format!("the body is not UTF-8 from byte {} on", e.valid_up_to());
        Problem::bad_request("not_utf8", detail)
    })?;
    let object = serde_json::from_str(text).map_err(|e| {
        let detail = format!("the body is no JSON object: {e}");
        Problem::bad_request("bad_json", detail)
    })?;
    Ok(Fields(object))
}

async fn read(mut payload: web::Payload) -> Result<BytesMut, Problem> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk =
            chunk.map_err(|e| Problem::bad_request("broken_body", format!("the body broke off: {e}")))?;
        if bytes.len() + chunk.len() > MAX_BODY_BYTES {
            let detail = format!("the body has more than {MAX_BODY_BYTES} bytes");
            let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail);
            return Err(problem.field("body").limit(MAX_BODY_BYTES));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

impl Fields {
    /// Of an object that was written down.
    #[cfg(test)]
    pub fn of(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }

    /// Refuses a field that is not among `known`.
    ///
    /// # Errors
    /// 400 naming it, and what is known.
    pub fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => {
                let shown: String = name.chars().take(64).collect();
                let detail = format!("there is no field {shown:?}; known are {}", known.join(", "));
                Err(Problem::bad_request("unknown_field", detail).field(&shown))
            }
            None => Ok(()),
        }
    }

    /// Takes an optional field; `null` is absent.
    ///
    /// # Errors
    /// 400 naming the field when its value is of another type.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        let Some(raw) = self.0.remove(name) else { return Ok(None) };
        serde_json::from_str(raw.get()).map_err(|e| {
            let words = e.to_string();
            let words = words.split(" at line").next().unwrap_or(&words);
            Problem::bad_request("invalid_field", format!("{name}: {words}")).field(name)
        })
    }

    /// Takes a field as it was written; `null` is a value like any other.
    pub fn raw(&mut self, name: &str) -> Option<Box<RawValue>> {
        self.0.remove(name)
    }

    /// Takes a field that must be there.
    ///
    /// # Errors
    /// 400 naming the field when it is missing or of another type.
    pub fn need<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Problem> {
        self.take(name)?.ok_or_else(|| {
            Problem::bad_request("missing_field", format!("the field {name:?} is missing")).field(name)
        })
    }
}
