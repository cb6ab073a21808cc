//! A request as a stub received it, and the reply that it gives.
//!
//! [`super::server`] makes the first and sends the second; the services in between only see these two.

use hyper::HeaderMap;
use hyper::http::request::Parts;
use serde_json::Value;

use super::flow::Flow;

/// One request, as tests look at it afterwards.
#[derive(Debug, Clone)]
pub struct Received {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query's pairs, decoded, in order.
    pub query: Vec<(String, String)>,
    /// The headers; [`Self::header`] looks one up.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Received {
    pub(super) fn new(parts: Parts, body: Vec<u8>) -> Self {
        let query = parts.uri.query().unwrap_or_default();
        Self {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            headers: parts.headers,
            body,
        }
    }

    /// A header that is text, by name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The first query parameter of that name.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(super) fn route(&self) -> (&str, &str) {
        (&self.method, &self.path)
    }
}

/// A reply: JSON, or a stream of bytes.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body, where there is no stream.
    pub body: Value,
    /// Headers beside those that every reply has.
    pub headers: Vec<(String, String)>,
    pub(super) stream: Option<Flow>,
}

impl Reply {
    /// 200.
    pub fn ok(body: Value) -> Self {
        Self::new(200, body)
    }

    /// Any status.
    pub fn new(status: u16, body: Value) -> Self {
        Self { status, body, headers: Vec::new(), stream: None }
    }

    /// 200, and then whatever flows.
    pub(super) fn stream(flow: Flow) -> Self {
        Self { stream: Some(flow), ..Self::ok(Value::Null) }
    }
}
