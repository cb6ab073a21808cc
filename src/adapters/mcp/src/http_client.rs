//! reqwest as rmcp's HTTP client, with one answer read otherwise: an error without an id.
//!
//! A server that cannot or will not read a request answers with an error that names no request (`400`, "No valid session
//! ID", after its restart). rmcp has nobody to give it to, and the caller would wait until its time is over. Here it is the
//! answer to the request that was posted. [`crate::http`] builds the client and judges the error.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use futures_util::stream::BoxStream;
use reqwest::Client;
use reqwest::header::{HeaderName, HeaderValue};
use rmcp::model::{ClientJsonRpcMessage, ErrorCode, JsonRpcMessage};
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use sse_stream::Sse;

/// What begins the words of such an error.
pub(crate) const NOT_READ: &str = "it did not read the message: ";

/// The client.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient(pub Client);

type Headers = HashMap<HeaderName, HeaderValue>;
type Stream = BoxStream<'static, Result<Sse, SseError>>;
type Failed = StreamableHttpError<reqwest::Error>;

impl StreamableHttpClient for HttpClient {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        auth: Option<String>,
        headers: Headers,
    ) -> Result<StreamableHttpPostResponse, Failed> {
        let most = crate::stdout::MAX_MESSAGE_BYTES;
        self.post_message_with_max_sse_event_size(uri, message, session, auth, headers, most).await
    }

    async fn post_message_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        auth: Option<String>,
        headers: Headers,
        most: usize,
    ) -> Result<StreamableHttpPostResponse, Failed> {
        let asks = matches!(message, ClientJsonRpcMessage::Request(_));
        let answer =
            self.0.post_message_with_max_sse_event_size(uri, message, session, auth, headers, most).await?;
        match &answer {
            StreamableHttpPostResponse::Json(JsonRpcMessage::Error(error), _)
                if asks && error.id.is_none() =>
            {
                let words = &error.error.message;
                // An internal error is one of carrying it out.
                let words = match error.error.code {
                    ErrorCode::INTERNAL_ERROR => words.to_string(),
                    _ => format!("{NOT_READ}{words}"),
                };
                Err(StreamableHttpError::UnexpectedServerResponse(Cow::Owned(words)))
            }
            _ => Ok(answer),
        }
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        auth: Option<String>,
        headers: Headers,
    ) -> Result<(), Failed> {
        self.0.delete_session(uri, session, auth, headers).await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last: Option<String>,
        auth: Option<String>,
        headers: Headers,
    ) -> Result<Stream, Failed> {
        self.0.get_stream(uri, session, last, auth, headers).await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last: Option<String>,
        auth: Option<String>,
        headers: Headers,
        most: usize,
    ) -> Result<Stream, Failed> {
        self.0.get_stream_with_max_sse_event_size(uri, session, last, auth, headers, most).await
    }
}
