//! Errors in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`, with the codes of problems.

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpResponse, ResponseError};
use callboard_domain::view::TurnView;
use serde_json::{Value, json};

use crate::http::problem::{self, Problem};

/// A problem that is told as OpenAI tells it.
#[derive(Debug)]
pub struct Refusal {
    problem: Problem,
    status: StatusCode,
    /// The same request would come to the same end: official clients are told not to repeat it.
    is_final: bool,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let status = problem.status_code();
        Self { problem, status, is_final: false }
    }
}

impl From<callboard_actors::NodeError> for Refusal {
    fn from(error: callboard_actors::NodeError) -> Self {
        Problem::from(error).into()
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.problem.fmt(f)
    }
}

impl Refusal {
    /// A turn that ended without an answer.
    #[must_use]
    pub fn of_turn(turn: &TurnView) -> Self {
        let problem = match &turn.error {
            Some(error) => Problem::of_turn(error),
            None => Problem::new(StatusCode::CONFLICT, turn.status, format!("the turn was {}", turn.status)),
        };
        let status =
            if turn.error.is_some() { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::CONFLICT };
        Self { problem, status, is_final: true }
    }

    /// The answer began anew after pieces of it were sent, and says something else.
    #[must_use]
    pub fn restarted() -> Self {
        let words = "the answer began anew after part of it was sent; ask again to get it whole: the same request with the same Idempotency-Key joins this turn";
        Problem::new(StatusCode::CONFLICT, "answer_restarted", words).into()
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> Value {
        let code =
            if self.status == StatusCode::UNAUTHORIZED { "invalid_api_key" } else { &self.problem.code };
        let kind = match self.status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        json!({ "error": {
            "message": self.problem.detail, "type": kind, "param": self.problem.field, "code": code,
        } })
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if self.is_final {
            response.insert_header(("x-should-retry", "false"));
        }
        if let Some(value) = self.problem.error_response().headers().get(RETRY_AFTER) {
            response.insert_header((RETRY_AFTER, value.clone()));
        }
        response.extensions_mut().insert(problem::Refusal(self.problem.code.clone()));
        response.json(self.body())
    }
}
