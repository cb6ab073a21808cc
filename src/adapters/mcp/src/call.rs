//! One attempt at a call: through the session of the moment, with the effect id in its `_meta`, and every ending says what
//! is known of the effect.
//!
//! | what happened | known | error |
//! |---|---|---|
//! | no session, no slot, no connection, 404 of its session, 429, 503 | nothing was sent, or it was not taken | `unavailable`, retryable |
//! | an answer | it was done | none |
//! | `isError` | it failed, in the server's own words | `refused`; retryable unless the tool is unsafe |
//! | JSON-RPC error about the request (-32700, -32600 to -32602), 4xx | the server refused it | `refused` |
//! | out of time, a lost connection, 5xx, any other error or answer | nothing | in doubt for an unsafe tool, else `timeout` or `unavailable`, retryable |
//!
//! [`crate::tool`] runs it on the runtime of the connections; dropping it there tells the server that nobody waits.

use std::borrow::Cow;
use std::time::Duration;

use callboard_domain::event::ToolError;
use callboard_domain::json::RawJson;
use callboard_domain::plan::EffectClass;
use callboard_ports::tool::Call;
use rmcp::RoleClient;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResult, CancelledNotificationParam, ClientRequest,
    ErrorCode, ErrorData, JsonObject, MetaObject, RequestId, RequestMetaObject, ServerResult,
};
use rmcp::service::{Peer, PeerRequestOptions, ServiceError};
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::catalog::Offer;
use crate::http::{self, Fate};
use crate::result;
use crate::server::{Server, Session};

/// In the `_meta` of a call; the same for every attempt at an effect.
pub const IDEMPOTENCY_KEY: &str = "io.callboard/idempotency-key";
/// In the `_meta` of a call, from 1.
pub const ATTEMPT: &str = "io.callboard/attempt";
/// Telling a server that nobody waits is worth no more.
const CANCEL_WITHIN: Duration = Duration::from_secs(1);

/// Makes the call.
pub(crate) async fn run(server: &Server, offer: &Offer, call: Call) -> Result<RawJson, ToolError> {
    let about = About { server, offer };
    let began = Instant::now();
    let arguments = about.arguments(&call)?;
    let limit = Duration::from_millis(call.timeout_ms);
    // The rest is for the call: what ran out of time before it was sent must not look like one that was.
    let send_until = began + limit / 2;
    let (_slot, session, handle) = loop {
        let left = send_until.saturating_duration_since(Instant::now());
        let (slot, session) = server.admit(left).await.map_err(|why| about.not_taken(&why))?;
        let ask = request(offer, arguments.clone());
        match session.peer.send_request_with_option(ask, options(&call)).await {
            Ok(handle) => break (slot, session, handle),
            // Its line was closed a moment ago: the next life takes the call.
            Err(_) => server.hung_up(session.generation),
        }
    };
    let mut unwatched = Unwatched { server, session: &session, id: Some(handle.id.clone()) };
    let answered = timeout_at(began + limit, handle.await_response()).await;
    if let Ok(Ok(_) | Err(ServiceError::McpError(_))) = &answered {
        server.hear();
    }
    match answered {
        Err(_) => {
            drop(unwatched);
            server.suspect(session.generation);
            let words = format!("did not answer within {} ms", call.timeout_ms);
            Err(about.unknown("timeout", &words))
        }
        Ok(answer) => {
            unwatched.id = None;
            about.judge(answer, &session)
        }
    }
}

fn request(offer: &Offer, arguments: JsonObject) -> ClientRequest {
    let name: Cow<'static, str> = Cow::Owned(offer.theirs.to_string());
    ClientRequest::CallToolRequest(CallToolRequest::new(
        CallToolRequestParams::new(name).with_arguments(arguments),
    ))
}

fn options(call: &Call) -> PeerRequestOptions {
    let mut meta = JsonObject::new();
    meta.insert(IDEMPOTENCY_KEY.to_owned(), json!(call.idempotency_key));
    meta.insert(ATTEMPT.to_owned(), json!(call.attempt));
    PeerRequestOptions::no_options().with_meta(RequestMetaObject(MetaObject(meta)))
}

/// A call that was sent; dropped before its answer, it tells the server.
struct Unwatched<'a> {
    server: &'a Server,
    session: &'a Session,
    id: Option<RequestId>,
}

impl Drop for Unwatched<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let peer: Peer<RoleClient> = self.session.peer.clone();
        self.server.runtime.spawn(async move {
            let param =
                CancelledNotificationParam::new(Some(id), Some("nobody waits for it any more".to_owned()));
            let _ = tokio::time::timeout(CANCEL_WITHIN, peer.notify_cancelled(param)).await;
        });
    }
}

/// Whose call it is, for its errors.
struct About<'a> {
    server: &'a Server,
    offer: &'a Offer,
}

impl About<'_> {
    fn said(&self, words: &str) -> String {
        let tool = &self.offer.spec.name;
        self.server.settings.masks.hide(&format!("{tool}: MCP server {} {words}", self.server.settings.name))
    }

    fn arguments(&self, call: &Call) -> Result<JsonObject, ToolError> {
        serde_json::from_str(call.arguments.as_str()).map_err(|error| {
            let words = format!("{}: the arguments are no JSON object: {error}", self.offer.spec.name);
            ToolError::new("invalid_arguments", words, false)
        })
    }

    fn not_taken(&self, why: &str) -> ToolError {
        ToolError::new("unavailable", self.said(&format!("has not taken the call: {why}")), true)
    }

    fn refused(&self, words: &str, retryable: bool) -> ToolError {
        ToolError::new("refused", self.said(words), retryable)
    }

    /// It may have been done.
    fn unknown(&self, kind: &str, words: &str) -> ToolError {
        match self.offer.spec.effect {
            EffectClass::Unsafe | EffectClass::Reconcilable => {
                ToolError::in_doubt(self.said(&format!("{words}; the call may have been carried out")))
            }
            EffectClass::Pure | EffectClass::Idempotent => ToolError::new(kind, self.said(words), true),
        }
    }

    fn judge(
        &self,
        answer: Result<ServerResult, ServiceError>,
        session: &Session,
    ) -> Result<RawJson, ToolError> {
        let lost = |words: &str| {
            self.server.suspect(session.generation);
            Err(self.unknown("unavailable", words))
        };
        match answer {
            Ok(ServerResult::CallToolResult(answer)) => self.answered(answer),
            Ok(_) => Err(self.unknown("bad_response", "answered with something that is no result of a tool")),
            Err(ServiceError::McpError(error)) => Err(self.error(&error)),
            Err(ServiceError::TransportSend(error)) => match http::fate(&*error.error) {
                Fate::NotTaken(why) => {
                    self.server.suspect(session.generation);
                    Err(self.not_taken(&why))
                }
                Fate::Refused(why) => Err(self.refused(&format!("refused the call: {why}"), false)),
                Fate::Unknown(why) => lost(&format!("broke off: {why}")),
            },
            Err(ServiceError::TransportClosed) => lost("closed the connection before it answered"),
            Err(other) => lost(&format!("broke off: {other}")),
        }
    }

    fn answered(&self, answer: CallToolResult) -> Result<RawJson, ToolError> {
        if answer.is_error != Some(true) {
            return Ok(result::result(answer, &self.server.settings.masks));
        }
        let reason = result::reason(&answer);
        // As the official SDKs report arguments that their schema refuses.
        let about_arguments = reason.starts_with("MCP error -32602");
        let again = !about_arguments && self.offer.spec.effect != EffectClass::Unsafe;
        Err(self.refused(&format!("says that it failed: {reason}"), again))
    }

    fn error(&self, error: &ErrorData) -> ToolError {
        let words = format!("answered with error {}: {}", error.code.0, error.message);
        let about_the_request = [
            ErrorCode::PARSE_ERROR,
            ErrorCode::INVALID_REQUEST,
            ErrorCode::METHOD_NOT_FOUND,
            ErrorCode::INVALID_PARAMS,
        ];
        match about_the_request.contains(&error.code) {
            true => self.refused(&words, false),
            false => self.unknown("unavailable", &words),
        }
    }
}
