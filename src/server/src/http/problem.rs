//! Errors as RFC 9457 problems with stable codes: the one table from what can go wrong to what HTTP says.

use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, HeaderName, HeaderValue, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use callboard_actors::NodeError;
use callboard_domain::event::TurnError;
use callboard_domain::id::InvalidId;
use callboard_ports::log::{AppendError, LogError};
use serde::Serialize;
use utoipa::ToSchema;

/// The media type of problems.
const MEDIA: &str = "application/problem+json";

/// What went wrong, for people (`detail`) and programs (`code`). Boxed: it travels as an error through every
/// handler.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(transparent)]
pub struct Problem(Box<ProblemDetails>);

/// The members of a problem.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ProblemDetails {
    /// `/problems/CODE`.
    pub r#type: String,
    pub title: String,
    /// The HTTP status; absent in the error of a turn, which is an answer like any other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub detail: String,
    pub code: String,
    /// The field, header or parameter that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The bound that was passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// How that stands which the request does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// What may have been meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub near: Vec<String>,
    #[serde(skip)]
    retry_after_s: Option<u64>,
    #[serde(skip)]
    allow: Option<&'static str>,
}

impl std::ops::Deref for Problem {
    type Target = ProblemDetails;

    fn deref(&self) -> &ProblemDetails {
        &self.0
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

/// The code of a problem, beside the response that carries it: the guard counts refusals by it. Codes are this program's own
/// words, so that clients make no new ones.
pub(super) struct Refusal(pub(super) String);

/// `not_ready` → `Not ready`.
fn title(code: &str) -> String {
    let words = code.replace('_', " ");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

impl Problem {
    #[must_use]
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(ProblemDetails {
            r#type: format!("/problems/{code}"),
            title: title(code),
            status: Some(status.as_u16()),
            detail: detail.into(),
            code: code.to_owned(),
            field: None,
            limit: None,
            state: None,
            near: Vec::new(),
            retry_after_s: None,
            allow: None,
        }))
    }

    #[must_use]
    pub fn bad_request(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    #[must_use]
    pub fn not_found(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// 503, worth another try soon.
    #[must_use]
    pub fn unavailable(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(1)
    }

    #[must_use]
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("this resource takes {allow}");
        let mut problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
        problem.0.allow = Some(allow);
        problem
    }

    #[must_use]
    pub fn internal() -> Self {
        let detail = "the server failed at this request; its log says more";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    #[must_use]
    pub fn field(mut self, field: &str) -> Self {
        self.0.field = Some(field.to_owned());
        self
    }

    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.0.limit = Some(limit as u64);
        self
    }

    #[must_use]
    pub fn state(mut self, state: &str) -> Self {
        self.0.state = Some(state.to_owned());
        self
    }

    #[must_use]
    pub fn near(mut self, near: Vec<String>) -> Self {
        self.0.near = near;
        self
    }

    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// The error that a turn ended with.
    #[must_use]
    pub fn of_turn(error: &TurnError) -> Self {
        let mut problem = Self::new(StatusCode::OK, &error.code, &*error.message);
        problem.0.status = None;
        problem
    }

    /// A problem for an answer that has none yet: 404 of an unknown path, for example.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        let code = match status {
            StatusCode::NOT_FOUND => "not_found",
            StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
            StatusCode::PAYLOAD_TOO_LARGE => "body_too_large",
            StatusCode::REQUEST_TIMEOUT => "request_timeout",
            status if status.is_server_error() => return Self::internal(),
            _ => "bad_request",
        };
        let detail = status.canonical_reason().unwrap_or("the request cannot be served");
        Self::new(status, code, detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status.and_then(|s| StatusCode::from_u16(s).ok()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header(ContentType(MEDIA.parse().expect("a constant media type parses")));
        let come_again =
            matches!(self.status_code(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        if let Some(seconds) = self.retry_after_s.or(come_again.then_some(1)) {
            response.insert_header((RETRY_AFTER, seconds.to_string()));
        }
        response.extensions_mut().insert(Refusal(self.code.clone()));
        if let Some(allow) = self.allow {
            response.insert_header((HeaderName::from_static("allow"), HeaderValue::from_static(allow)));
        }
        response.body(serde_json::to_string(self).unwrap_or_default())
    }
}

impl From<NodeError> for Problem {
    fn from(error: NodeError) -> Self {
        let detail = error.to_string();
        match error {
            NodeError::NotReady { .. } => Self::unavailable("not_ready", detail),
            NodeError::Busy(_) => Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", detail).retry_after(1),
            NodeError::Blocked { .. } => Self::new(StatusCode::CONFLICT, "conversation_blocked", detail),
            NodeError::Log(error) => error.into(),
            NodeError::Gone(_) => Self::unavailable("not_available", detail),
            NodeError::NoSuchActor { near, .. } => {
                Self::not_found("no_such_actor", detail).field("path").near(near)
            }
        }
    }
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        let detail = error.to_string();
        match error {
            LogError::Unavailable(_) | LogError::Closed(_) => Self::unavailable("log_unavailable", detail),
            LogError::OutOfRange { .. } => Self::new(StatusCode::GONE, "records_gone", detail),
        }
    }
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        let detail = error.to_string();
        match error {
            AppendError::Full => Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", detail).retry_after(1),
            AppendError::Refused(_) => Self::bad_request("refused", detail),
            AppendError::Unknown(_) => {
                let detail = format!("unknown: retry with the same Idempotency-Key ({detail})");
                Self::unavailable("outcome_unknown", detail)
            }
            AppendError::Closed(_) => Self::unavailable("log_unavailable", detail),
        }
    }
}

impl From<InvalidId> for Problem {
    fn from(error: InvalidId) -> Self {
        let (field, limit) = match &error {
            InvalidId::Empty { what, max } | InvalidId::TooLong { what, max, .. } => (*what, Some(*max)),
            InvalidId::Character { what, .. } | InvalidId::Dots { what } => (*what, None),
            InvalidId::Effect(_) => ("effect_id", None),
        };
        let problem = Self::bad_request("invalid_id", error.to_string()).field(field);
        match limit {
            Some(limit) => problem.limit(limit),
            None => problem,
        }
    }
}
