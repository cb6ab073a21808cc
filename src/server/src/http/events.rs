//! A conversation's records: as an SSE stream that follows, or as JSON lines.

use std::time::Duration;

use actix_web::http::header::{ACCEPT, CACHE_CONTROL};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use callboard_actors::NodeError;
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
/// An actor that was killed is back within this.
const FOLLOW_AGAIN: Duration = Duration::from_millis(100);

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
    let source = if follow {
        Source::Live(running.node.follow(&id, after).await?)
    } else {
        Source::Log(running.node.records(&id).await?)
    };
    Ok(response.streaming(stream(Feed { api: api.clone(), id, shape, source, last: after })))
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

/// A stream on its way.
struct Feed {
    api: web::Data<Api>,
    id: ConversationId,
    shape: Shape,
    source: Source,
    /// Offset of the newest record that was given.
    last: Option<u64>,
}

impl Feed {
    /// The next text of the stream; `None` at its end.
    async fn next(&mut self) -> Option<String> {
        let api = self.api.clone();
        let records = tokio::select! {
            biased;
            records = self.records() => records?,
            // JSON lines have no comments; an empty line is one that readers skip.
            () = tokio::time::sleep(PING) => {
                return Some(if self.shape == Shape::Sse { ": ping\n\n" } else { "\n" }.to_owned());
            }
            () = api.released() => return None,
        };
        let mut text = String::new();
        for record in records.iter().filter(|record| record.key == self.id.as_str().as_bytes()) {
            if self.last.is_none_or(|last| record.offset > last) {
                self.last = Some(record.offset);
                text.push_str(&write(self.shape, record));
            }
        }
        Some(text)
    }

    /// The next records, in order. Must be able to be dropped between two of them.
    async fn records(&mut self) -> Option<Vec<Record>> {
        let item = match &mut self.source {
            Source::Log(log) => log.recv().await?.map(|batch| batch.records.to_vec()),
            Source::Live(live) => match live.recv().await {
                Some(item) => item.map(|(batch, at)| batch.records.get(at).cloned().into_iter().collect()),
                None => return self.again().await,
            },
        };
        item.inspect_err(
            |error| tracing::warn!(conversation = %self.id, %error, "an event stream ends early"),
        )
        .ok()
    }

    /// The conversation's actor has ended (idle, or killed): follow its next one.
    async fn again(&mut self) -> Option<Vec<Record>> {
        tokio::time::sleep(FOLLOW_AGAIN).await;
        let running = self.api.taking().ok()?;
        match running.node.follow(&self.id, self.last).await {
            Ok(live) => self.source = Source::Live(live),
            Err(NodeError::NotReady { .. } | NodeError::Gone(_) | NodeError::Busy(_)) => {}
            Err(error) => {
                tracing::warn!(conversation = %self.id, %error, "an event stream ends early");
                return None;
            }
        }
        Some(Vec::new())
    }
}

fn stream(feed: Feed) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
    unfold(feed, |mut feed| async move { Some((Ok(Bytes::from(feed.next().await?)), feed)) })
}

fn write(shape: Shape, record: &Record) -> String {
    match shape {
        Shape::Lines => line(record) + "\n",
        Shape::Sse => format!("id: {}\nevent: {}\ndata: {}\n\n", record.offset, kind(record), line(record)),
    }
}
