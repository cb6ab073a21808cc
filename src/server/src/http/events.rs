//! A conversation's records: as an SSE stream that follows, or as JSON lines.

use std::time::Duration;

use actix_web::http::header::{ACCEPT, CACHE_CONTROL};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use callboard_domain::id::ConversationId;
use callboard_ports::Record;
use callboard_ports::log::{Batch, LogError};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::api::Api;
use super::problem::Problem;
use crate::records::{kind, line};

/// Proxies close a silent connection after 30 s or 60 s.
const PING: Duration = Duration::from_secs(15);

#[derive(Debug, Deserialize)]
pub struct EventsQuery {
    after: Option<String>,
    /// JSON lines end with the newest record unless this is set; SSE follows unless it is `false`.
    follow: Option<bool>,
}

/// A conversation's records from `conversation-events`.
#[utoipa::path(
    get, path = "/v1/conversations/{id}/events", tag = "conversations",
    params(("id" = String, Path),
           ("after" = Option<String>, Query, description = "Only what follows the event of this id"),
           ("Last-Event-ID" = Option<String>, Header, description = "As `after`, as EventSource sends it"),
           ("follow" = Option<bool>, Query, description = "Go on as records are written")),
    responses((status = 200, description = "text/event-stream, or application/x-ndjson by Accept", body = String),
              (status = 404, body = Problem), (status = 503, body = Problem))
)]
pub async fn events(
    api: web::Data<Api>,
    request: HttpRequest,
    path: web::Path<String>,
    query: web::Query<EventsQuery>,
) -> Result<HttpResponse, Problem> {
    let running = api.running()?;
    let id = ConversationId::new(&path)?;
    let after = after(&request, &query)?;
    if running.node.read(&id, callboard_domain::State::is_empty).await? {
        return Err(Problem::not_found("unknown_conversation", format!("there is no conversation {id}")));
    }
    let accepts = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    let shape = if accepts.contains("ndjson") { Shape::Lines } else { Shape::Sse };
    let follow = query.follow.unwrap_or(shape == Shape::Sse);
    let mut response = HttpResponse::Ok();
    response.content_type(match shape {
        Shape::Lines => "application/x-ndjson",
        Shape::Sse => "text/event-stream",
    });
    response.insert_header((CACHE_CONTROL, "no-store")).insert_header(("X-Accel-Buffering", "no"));
    if follow {
        let source = Source::Live(running.node.follow(&id, after).await?);
        return Ok(response.streaming(stream(source, shape, id, after)));
    }
    let source = Source::Log(running.node.records(&id).await?);
    Ok(response.streaming(stream(source, shape, id, after)))
}

fn after(request: &HttpRequest, query: &EventsQuery) -> Result<Option<u64>, Problem> {
    let header = request.headers().get("last-event-id").and_then(|value| value.to_str().ok());
    let (text, field) = match (query.after.as_deref(), header) {
        // A reconnecting EventSource repeats the URL and knows better by now.
        (_, Some(text)) if !text.is_empty() => (text, "Last-Event-ID"),
        (Some(text), _) if !text.is_empty() => (text, "after"),
        _ => return Ok(None),
    };
    let wrong = || Problem::bad_request("invalid_event_id", "this is no id of an event").field(field);
    text.trim().parse().map(Some).map_err(|_| wrong())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Sse,
    Lines,
}

enum Source {
    Live(mpsc::Receiver<Result<(Batch, usize), LogError>>),
    Log(mpsc::Receiver<Result<Batch, LogError>>),
}

impl Source {
    /// The next records, in order.
    async fn next(&mut self) -> Option<Result<Vec<Record>, LogError>> {
        match self {
            Self::Live(live) => live
                .recv()
                .await
                .map(|item| item.map(|(batch, at)| batch.records.get(at).cloned().into_iter().collect())),
            Self::Log(log) => log.recv().await.map(|item| item.map(|batch| batch.records.to_vec())),
        }
    }
}

fn stream(
    source: Source,
    shape: Shape,
    id: ConversationId,
    after: Option<u64>,
) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
    unfold(Some(source), move |source| {
        let id = id.clone();
        async move {
            let mut source = source?;
            let text = match tokio::time::timeout(PING, source.next()).await {
                // JSON lines have no comments; an empty line is one that readers skip.
                Err(_) => if shape == Shape::Sse { ": ping\n\n" } else { "\n" }.to_owned(),
                Ok(None) => return None,
                Ok(Some(Err(error))) => {
                    tracing::warn!(conversation = %id, %error, "an event stream ends early");
                    return None;
                }
                Ok(Some(Ok(records))) => records
                    .iter()
                    .filter(|record| record.key == id.as_str().as_bytes())
                    .filter(|record| after.is_none_or(|after| record.offset > after))
                    .map(|record| write(shape, record))
                    .collect(),
            };
            Some((Ok(Bytes::from(text)), Some(source)))
        }
    })
}

fn write(shape: Shape, record: &Record) -> String {
    match shape {
        Shape::Lines => line(record) + "\n",
        Shape::Sse => format!("id: {}\nevent: {}\ndata: {}\n\n", record.offset, kind(record), line(record)),
    }
}
