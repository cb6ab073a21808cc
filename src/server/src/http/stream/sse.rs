//! A turn's feed as server-sent events, for `POST /v1/chat` and for whoever takes the stream up again.

use std::convert::Infallible;

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::Serialize;
use serde_json::json;

use super::feed::{Feed, Item};
use super::place::Place;
use super::story::Told;
use crate::http::dto::TurnDto;

/// The media type.
pub const MEDIA: &str = "text/event-stream";

/// The response: `head` first, then the feed. An answer that the log has let go of is read from it.
pub fn response(feed: Feed, head: Option<String>) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.content_type(MEDIA);
    response.insert_header((CACHE_CONTROL, "no-store")).insert_header(("X-Accel-Buffering", "no"));
    response.streaming(stream(feed, head))
}

fn stream(feed: Feed, head: Option<String>) -> impl Stream<Item = Result<Bytes, Infallible>> {
    unfold((feed, head), |(mut feed, mut head)| async move {
        let text = match head.take() {
            Some(head) => head,
            None => write(&feed.next().await?),
        };
        Some((Ok(Bytes::from(text)), (feed, head)))
    })
}

/// One event.
pub fn event(place: &Place, name: &str, data: &impl Serialize) -> String {
    // One line: serde_json escapes line breaks inside of texts.
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("id: {place}\nevent: {name}\ndata: {data}\n\n")
}

fn write(item: &Item) -> String {
    match item {
        Item::Ping => ": ping\n\n".to_owned(),
        Item::Piece { place, epoch, text } => {
            event(place, "answer", &json!({ "epoch": &**epoch, "text": text }))
        }
        Item::Restarted { place, epoch } => event(place, "answer_restarted", &json!({ "epoch": &**epoch })),
        Item::Told { place, told } => match told {
            Told::Accepted(turn) => event(
                place,
                "accepted",
                &TurnDto {
                    status: "pending".to_owned(),
                    answer: None,
                    error: None,
                    ..TurnDto::from(turn.clone())
                },
            ),
            Told::Plan(plan) => event(place, "plan", plan),
            Told::Step { what, version, step } => {
                event(place, what, &json!({ "version": version, "step": step }))
            }
            Told::Ended(turn) => event(place, "done", &TurnDto::from(turn.clone())),
        },
    }
}
